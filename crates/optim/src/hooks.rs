//! Functions that are called before or after each step of an optimizer.

use std::sync::atomic::{AtomicU64, Ordering};

/// A registered hook, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookId(u64);

type Hook<O> = Box<dyn FnMut(&mut O) + Send>;

/// The hooks of an owner `O`, in the order in which they were registered; `None` for one that is
/// running.
pub(crate) struct Hooks<O>(Vec<(HookId, Option<Hook<O>>)>);

impl<O> Default for Hooks<O> {
    fn default() -> Self {
        Hooks(Vec::new())
    }
}

impl<O> Hooks<O> {
    pub(crate) fn add(&mut self, hook: impl FnMut(&mut O) + Send + 'static) -> HookId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = HookId(NEXT.fetch_add(1, Ordering::Relaxed));
        self.0.push((id, Some(Box::new(hook))));
        id
    }

    pub(crate) fn remove(&mut self, id: HookId) -> bool {
        let before = self.0.len();
        self.0.retain(|(registered, _)| *registered != id);
        self.0.len() < before
    }

    /// Calls every hook that is registered now. A hook that panics stays registered.
    pub(crate) fn call(owner: &mut O, hooks: fn(&mut O) -> &mut Self) {
        let ids: Vec<HookId> = hooks(owner).0.iter().map(|&(id, _)| id).collect();
        for id in ids {
            // Skips a hook that was removed meanwhile, or is running already.
            let Some(hook) = hooks(owner).slot(id).and_then(Option::take) else { continue };
            let mut running = Running { owner, hooks, id, hook: Some(hook) };
            if let Some(hook) = &mut running.hook {
                hook(running.owner);
            }
        }
    }

    fn slot(&mut self, id: HookId) -> Option<&mut Option<Hook<O>>> {
        self.0.iter_mut().find(|(registered, _)| *registered == id).map(|(_, hook)| hook)
    }
}

/// A hook taken out of its list while it runs, since it has the owner, and may add and remove
/// hooks. It is put back when this is dropped, on a panic too, unless it has been removed.
struct Running<'o, O> {
    owner: &'o mut O,
    hooks: fn(&mut O) -> &mut Hooks<O>,
    id: HookId,
    hook: Option<Hook<O>>,
}

impl<O> Drop for Running<'_, O> {
    fn drop(&mut self) {
        if let Some(slot) = (self.hooks)(self.owner).slot(self.id) {
            *slot = self.hook.take();
        }
    }
}

//! Functions that are called before or after each step.

use std::sync::atomic::{AtomicU64, Ordering};

/// A registered hook: what removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookId(u64);

type Hook<O> = Box<dyn FnMut(&mut O) + Send>;

/// Hooks, in the order in which they were registered; `None` for one that runs.
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
        self.0.retain(|(present, _)| *present != id);
        self.0.len() < before
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = HookId> {
        self.0.iter().map(|&(id, _)| id)
    }

    pub(crate) fn take(&mut self, id: HookId) -> Option<Hook<O>> {
        self.0.iter_mut().find(|(present, _)| *present == id)?.1.take()
    }

    /// Puts back a hook that has run, unless it has been removed meanwhile.
    pub(crate) fn put_back(&mut self, id: HookId, hook: Hook<O>) {
        if let Some((_, place)) = self.0.iter_mut().find(|(present, _)| *present == id) {
            *place = Some(hook);
        }
    }
}

//! Functions that are called before or after each step.

use std::sync::atomic::{AtomicU64, Ordering};

/// A registered hook: what removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookId(u64);

type Hook<O> = Box<dyn FnMut(&mut O) + Send>;

/// Hooks, in the order in which they were registered.
pub(crate) struct Hooks<O>(Vec<(HookId, Hook<O>)>);

impl<O> Default for Hooks<O> {
    fn default() -> Self {
        Hooks(Vec::new())
    }
}

impl<O> Hooks<O> {
    pub(crate) fn add(&mut self, hook: impl FnMut(&mut O) + Send + 'static) -> HookId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = HookId(NEXT.fetch_add(1, Ordering::Relaxed));
        self.0.push((id, Box::new(hook)));
        id
    }

    pub(crate) fn remove(&mut self, id: HookId) -> bool {
        let before = self.0.len();
        self.0.retain(|(present, _)| *present != id);
        self.0.len() < before
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn call(&mut self, optimizer: &mut O) {
        self.0.iter_mut().for_each(|(_, hook)| hook(optimizer));
    }

    /// Puts back hooks that were taken to be called, before those that they registered.
    pub(crate) fn put_back(&mut self, mut called: Hooks<O>) {
        called.0.append(&mut self.0);
        *self = called;
    }
}

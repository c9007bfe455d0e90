//! The cell in which a leaf accumulates its gradient.

use crate::arrays::array::Array;
use crate::tape::node::lock;
use adamant_kernels::Float;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The accumulated gradient of a leaf.
pub(crate) struct GradCell<T: Float> {
    /// The gradient, if any. It has the leaf's shape and fills its storage, which others may share.
    ///
    /// The lock is held while a gradient is added or changed, so no thread finds the cell empty
    /// meanwhile and no addition is lost. Adding takes no other locks than those of kernels and
    /// buffers, which are always taken last, so it cannot deadlock.
    grad: Mutex<Option<Array<T>>>,
    /// False for a frozen parameter: backward passes do not add to its gradient.
    accumulates: AtomicBool,
}

impl<T: Float> GradCell<T> {
    pub(crate) fn empty() -> Self {
        GradCell { grad: Mutex::new(None), accumulates: AtomicBool::new(true) }
    }

    pub(crate) fn accumulates(&self) -> bool {
        self.accumulates.load(Ordering::Relaxed)
    }

    pub(crate) fn set_accumulates(&self, on: bool) {
        self.accumulates.store(on, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Array<T>> {
        lock(&self.grad).clone()
    }

    /// Replaces the gradient.
    pub(crate) fn set(&self, grad: Option<Array<T>>) {
        let grad = grad.map(|grad| grad.compact("set_grad"));
        let old = std::mem::replace(&mut *lock(&self.grad), grad);
        drop(old); // not under the lock
    }

    /// Calls `change` with the elements in row-major order, if there is a gradient.
    pub(crate) fn change(&self, change: impl FnOnce(&mut [T])) {
        if let Some(grad) = &mut *lock(&self.grad) {
            change(grad.make_mut());
        }
    }

    /// Sets the elements to zero, if there is a gradient.
    pub(crate) fn zero(&self) {
        if let Some(grad) = &mut *lock(&self.grad) {
            match grad.get_mut() {
                Some(elements) => elements.fill(T::ZERO),
                None => *grad = Array::full(grad.shape().clone(), T::ZERO),
            }
        }
    }

    /// Adds `grad` to the gradient, unless the leaf is frozen.
    pub(crate) fn accumulate(&self, grad: Array<T>) {
        if !self.accumulates() {
            return;
        }
        let grad = grad.compact("backward");
        let mut cell = lock(&self.grad);
        match &mut *cell {
            Some(sum) => sum.add_assign(grad),
            None => *cell = Some(grad),
        }
    }
}

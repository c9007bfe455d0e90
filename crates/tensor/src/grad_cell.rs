//! Where a leaf collects its gradient.

use crate::grad_mode::no_grad;
use crate::node::lock;
use crate::tensor::Tensor;
use adamant_kernels::{Float, zip_assign};
use std::sync::Mutex;

/// The gradient that has arrived, if any: of the leaf's shape, in a buffer of its own.
///
/// The lock is held while a gradient is added, so that no one sees the cell without it.
/// What is done then takes no other lock but those of kernels and buffers, which are
/// innermost: nothing can wait in a circle.
pub(crate) struct GradCell<T: Float>(Mutex<Option<Tensor<T>>>);

impl<T: Float> GradCell<T> {
    pub(crate) fn empty() -> Self {
        GradCell(Mutex::new(None))
    }

    pub(crate) fn get(&self) -> Option<Tensor<T>> {
        lock(&self.0).clone()
    }

    pub(crate) fn take(&self) -> Option<Tensor<T>> {
        lock(&self.0).take()
    }

    /// Puts `grad` in place of what is there.
    pub(crate) fn set(&self, grad: Option<Tensor<T>>) {
        let grad = grad.map(|grad| grad.array.compact().into());
        let before = std::mem::replace(&mut *lock(&self.0), grad);
        drop(before); // not under the lock
    }

    pub(crate) fn zero(&self, set_to_none: bool) {
        if set_to_none {
            drop(self.take());
        } else if let Some(grad) = &mut *lock(&self.0) {
            match grad.array.get_mut() {
                Some(numbers) => numbers.fill(T::ZERO),
                None => *grad = Tensor::zeros(grad.array.shape()),
            }
        }
    }

    /// Adds `grad`.
    pub(crate) fn accumulate(&self, grad: Tensor<T>) {
        let grad = Tensor::from(grad.array.compact());
        let mut cell = lock(&self.0);
        match &mut *cell {
            Some(sum) => no_grad(|| add_to(sum, grad)),
            None => *cell = Some(grad),
        }
    }
}

/// Adds a gradient to another, in place where no one else sees one of them.
pub(crate) fn add_to<T: Float>(sum: &mut Tensor<T>, mut grad: Tensor<T>) {
    if crate::is_grad_enabled() && (sum.is_tracked() || grad.is_tracked()) {
        *sum = &*sum + grad;
    } else if let Some(numbers) = sum.array.get_mut() {
        zip_assign(numbers, grad.array.contiguous().dense(), |x, y| x + y);
    } else if let Some(numbers) = grad.array.get_mut() {
        zip_assign(numbers, sum.array.contiguous().dense(), |y, x| x + y);
        *sum = grad;
    } else {
        *sum = &*sum + grad;
    }
}

//! Where a leaf collects its gradient.

use crate::grad_mode::no_grad;
use crate::node::lock;
use crate::tensor::Tensor;
use adamant_kernels::{Float, zip_assign};
use std::sync::Mutex;

/// The gradient that has arrived, if any: contiguous, of the leaf's shape.
///
/// The lock is held to move a tensor in or out, never while computing.
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

    /// Puts `grad` in place of what is there; contiguous, since an optimizer
    /// wants plain memory and not a view of something larger.
    pub(crate) fn set(&self, grad: Option<Tensor<T>>) {
        *lock(&self.0) = grad.map(|grad| grad.array.contiguous().into());
    }

    pub(crate) fn zero(&self, set_to_none: bool) {
        let present = self.take();
        if let (false, Some(mut grad)) = (set_to_none, present) {
            match grad.array.get_mut() {
                Some(numbers) => numbers.fill(T::ZERO),
                None => grad = Tensor::zeros(grad.array.shape()),
            }
            *lock(&self.0) = Some(grad);
        }
    }

    /// Adds `grad`. Who finds that another thread has put one there meanwhile
    /// takes that along.
    pub(crate) fn accumulate(&self, grad: Tensor<T>) {
        let mut grad = Tensor::from(grad.array.contiguous());
        loop {
            let mut cell = lock(&self.0);
            let Some(mut present) = cell.take() else {
                *cell = Some(grad);
                return;
            };
            drop(cell);
            no_grad(|| add_to(&mut present, grad));
            grad = present;
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

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
            let Some(present) = cell.take() else {
                *cell = Some(grad);
                return;
            };
            drop(cell);
            grad = no_grad(|| add(present, grad));
        }
    }
}

/// The sum of two gradients, in place where no one else sees one of them.
pub(crate) fn add<T: Float>(mut a: Tensor<T>, mut b: Tensor<T>) -> Tensor<T> {
    if crate::is_grad_enabled() && (a.is_tracked() || b.is_tracked()) {
        return a + b;
    }
    let add_to = |sum: &mut Tensor<T>, other: &Tensor<T>| match sum.array.get_mut() {
        Some(sum) => {
            zip_assign(sum, other.array.contiguous().dense(), |x, y| x + y);
            true
        }
        None => false,
    };
    if add_to(&mut a, &b) {
        a
    } else if add_to(&mut b, &a) {
        b
    } else {
        a + b
    }
}

//! The other operand of an operation: a tensor or a scalar.

use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::borrow::Cow;

/// A tensor, or a scalar that stands for a tensor of shape `[]`.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x = Tensor::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
/// assert_eq!(x.maximum(2.0).to_vec(), [2.0, 3.0]);
/// assert_eq!(x.maximum(&x).to_vec(), [1.0, 3.0]);
/// ```
pub trait Operand<T: Float> {
    /// The operand as a tensor.
    fn operand(&self) -> Cow<'_, Tensor<T>>;
}

impl<T: Float> Operand<T> for T {
    fn operand(&self) -> Cow<'_, Tensor<T>> {
        Cow::Owned(Tensor::scalar(*self))
    }
}

impl<T: Float> Operand<T> for &Tensor<T> {
    fn operand(&self) -> Cow<'_, Tensor<T>> {
        Cow::Borrowed(self)
    }
}

impl<T: Float> Operand<T> for Tensor<T> {
    fn operand(&self) -> Cow<'_, Tensor<T>> {
        Cow::Borrowed(self)
    }
}

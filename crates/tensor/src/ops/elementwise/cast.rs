//! Conversion between element types.

use crate::arrays::mask::Mask;
use crate::is_grad_enabled;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The elements converted to type `U`, rounded to nearest.
    ///
    /// A graph has one element type, so gradients do not pass through a cast. A tracked tensor is
    /// refused rather than cut off silently: call [`detach`](Tensor::detach) first, or cast within
    /// [`no_grad`](crate::no_grad).
    ///
    /// PyTorch: `x.to(dtype)`, `x.float()`, `x.double()`, which are differentiable.
    ///
    /// # Panics
    /// If the tensor is tracked and recording is on.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([0.1f32, 1.0]);
    /// assert_eq!(x.cast::<f64>().to_vec(), [f64::from(0.1f32), 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cast<U: Float>(&self) -> Tensor<U> {
        assert!(
            !(self.is_tracked() && is_grad_enabled()),
            "cast: the tensor is tracked, and gradients do not pass from {} to {}; detach() it first",
            U::DTYPE,
            T::DTYPE
        );
        self.array.cast::<U>().into()
    }
}

impl Mask {
    /// 1 where the mask is true, 0 elsewhere.
    ///
    /// PyTorch: `mask.to(dtype)`.
    #[must_use]
    #[track_caller]
    pub fn to_tensor<T: Float>(&self) -> Tensor<T> {
        self.array.map("to_tensor", |value| if value == 0 { T::ZERO } else { T::ONE }).into()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, no_grad};

    #[test]
    fn casts_round_to_nearest() {
        let x = Tensor::from([0.1f64, 1e300, f64::NAN, -0.0]);
        let y = x.cast::<f32>().to_vec();
        assert_eq!((y[0], y[1], y[3].to_bits()), (0.1f32, f32::INFINITY, (-0.0f32).to_bits()));
        assert!(y[2].is_nan());
    }

    #[test]
    fn untracked_within_no_grad() {
        let x = Tensor::from([1.0f32]).requires_grad();
        assert!(!no_grad(|| x.cast::<f64>()).is_tracked());
    }

    #[test]
    #[should_panic(expected = "gradients do not pass from f64 to f32")]
    fn a_tracked_tensor_is_refused() {
        let _ = Tensor::from([1.0f32]).requires_grad().cast::<f64>();
    }
}

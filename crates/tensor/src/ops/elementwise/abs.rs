//! Size and sign.

use crate::ops::elementwise::piecewise::record_pieces;
use crate::ops::elementwise::round::flat;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `|x|`, element by element.
    ///
    /// Gradient: `g sign(x)`, 0 at 0. PyTorch: `x.abs()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-2.0f32).abs().item(), 2.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn abs(&self) -> Tensor<T> {
        record_pieces("abs", self, T::abs, side, toward)
    }

    /// 1 where `x > 0`, −1 where `x < 0`, and 0 elsewhere, including at NaN.
    ///
    /// Gradient: 0. PyTorch: `x.sign()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-2.0f32).sign().item(), -1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sign(&self) -> Tensor<T> {
        flat("sign", self, |x| toward(T::ONE, side(x)))
    }
}

/// The side of 0 that `x` lies on: a piece of `|x|`.
pub(crate) fn side<T: Float>(x: T) -> u8 {
    if x > T::ZERO {
        1
    } else if x < T::ZERO {
        2
    } else {
        0
    }
}

/// `g` times the sign of the elements on this side.
pub(crate) fn toward<T: Float>(g: T, side: u8) -> T {
    let sign = match side {
        1 => T::ONE,
        2 => -T::ONE,
        _ => T::ZERO,
    };
    g * sign
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].abs() * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].sign() * &x[0], &[&[3, 4]], -2.0..2.0);
    }
}

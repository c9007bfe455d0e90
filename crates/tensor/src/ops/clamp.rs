//! Values kept within bounds.

use super::piecewise::record_pieces;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `min(max(x, min), max)`, element by element; NaN stays NaN.
    ///
    /// Gradient: `g` where `min < x < max`, and 0 elsewhere, at the bounds too.
    ///
    /// PyTorch: `x.clamp(min, max)`; as there, all is `max` if `min > max`. For one
    /// bound alone give an infinity for the other.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-3.0f32, 0.5, 3.0], [3]).unwrap();
    /// assert_eq!(x.clamp(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// assert_eq!(x.clamp(0.0, f64::INFINITY).to_vec(), [0.0, 0.5, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Tensor<T> {
        let (min, max) = (T::from_f64(min), T::from_f64(max));
        // An infinite bound is none: what is there passes.
        let above = |x| if min == T::NEG_INFINITY { x >= min } else { x > min };
        let below = |x| if max == T::INFINITY { x <= max } else { x < max };
        bounded("clamp", self, min, max, |x| above(x) && below(x))
    }

    /// `min(max(x, min), max)`, as [`clamp`](Tensor::clamp): the name of the
    /// activation.
    ///
    /// Gradient: `g` where `min < x < max`, and 0 elsewhere, at the bounds too.
    ///
    /// PyTorch: `torch.nn.functional.hardtanh(x, min, max)`, where the bounds are −1
    /// and 1 unless given.
    ///
    /// # Panics
    /// If `min > max`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-3.0f32, 0.5, 3.0], [3]).unwrap();
    /// assert_eq!(x.hardtanh(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn hardtanh(&self, min: f64, max: f64) -> Tensor<T> {
        assert!(min <= max, "hardtanh: the bounds {min} and {max}; expected them in order");
        let (min, max) = (T::from_f64(min), T::from_f64(max));
        bounded("hardtanh", self, min, max, |x| x > min && x < max)
    }
}

/// `x` within its bounds; the gradient passes where `inside`.
#[track_caller]
fn bounded<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    min: T,
    max: T,
    inside: impl Fn(T) -> bool + Sync,
) -> Tensor<T> {
    let value = x.array.map(move |x| {
        let x = if x < min { min } else { x };
        if x > max { max } else { x }
    });
    let pass = |g, inside| if inside == 1 { g } else { T::ZERO };
    record_pieces(op, x, value, |x| u8::from(inside(x)), pass)
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].clamp(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].hardtanh(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
    }
}

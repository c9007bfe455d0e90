//! The rectifiers relu and leaky_relu, and threshold.

use crate::ops::elementwise::piecewise::{piecewise, record_pieces};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `max(x, 0)`, element by element; NaN stays NaN.
    ///
    /// Gradient: `g` where `x` is positive or NaN, and 0 elsewhere, including at 0.
    ///
    /// PyTorch: `x.relu()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-1.0f32, 0.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.relu().to_vec(), [0.0, 0.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn relu(&self) -> Tensor<T> {
        let value = self.array.map("relu", |x| if x <= T::ZERO { T::ZERO } else { x });
        // Saves the result rather than pieces: the next operation, in most networks a product,
        // saves it too.
        let saved = value.clone();
        // Not a product, in which an infinite gradient times 0 would be NaN.
        let pass = |g, y| if y <= T::ZERO { T::ZERO } else { g };
        record("relu", [self], value, move |ctx| {
            [Some(piecewise("relu", ctx.grad(), &saved, pass))]
        })
    }

    /// `x` where `x > 0`, and `slope · x` elsewhere.
    ///
    /// Gradient: `g` where `x > 0`, and `slope · g` elsewhere, including at 0.
    ///
    /// PyTorch: `torch.nn.functional.leaky_relu(x, slope)`, where the slope defaults to 0.01.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-1.0f32, 0.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.leaky_relu(0.25).to_vec(), [-0.25, 0.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor<T> {
        let slope = T::from_f64(slope);
        let value = move |x| if x > T::ZERO { x } else { x * slope };
        let above = |x| u8::from(x > T::ZERO);
        let scale = move |g, above| if above == 1 { g } else { g * slope };
        record_pieces("leaky_relu", self, value, above, scale)
    }

    /// `x` where `x > threshold`, and `value` elsewhere; NaN stays NaN.
    ///
    /// Gradient: `g` where `x` is above the threshold or NaN, and 0 elsewhere, including at the
    /// threshold.
    ///
    /// PyTorch: `torch.nn.functional.threshold(x, threshold, value)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([0.5f32, 1.0, 2.0]).threshold(1.0, -7.0).to_vec(), [-7.0, -7.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn threshold(&self, threshold: f64, value: f64) -> Tensor<T> {
        let (limit, below) = (T::from_f64(threshold), T::from_f64(value));
        let value = move |x| if x <= limit { below } else { x };
        let pass = |g, is_below| if is_below == 1 { T::ZERO } else { g };
        record_pieces("threshold", self, value, move |x| u8::from(x <= limit), pass)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].relu() * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].leaky_relu(0.1) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].threshold(0.5, 3.0) * &x[0], &[&[3, 4]], -2.0..2.0);
    }

    #[test]
    fn corner_cases_follow_pytorch() {
        let x = Tensor::from_vec(vec![0.0f32, f32::NAN, -1.0, 1.0], [4]).unwrap().requires_grad();
        let y = x.relu();
        assert!(y.to_vec()[1].is_nan());
        y.backward_with(&Tensor::full([4], f32::INFINITY));
        assert_eq!(x.grad().unwrap().to_vec(), [0.0, f32::INFINITY, 0.0, f32::INFINITY]);
    }
}

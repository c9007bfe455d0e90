//! The logistic function.

use crate::ops::elementwise::add::scalar_sub;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `1 / (1 + e⁻ˣ)`, element by element.
    ///
    /// Gradient: `g σ(x) (1 − σ(x))`. PyTorch: `x.sigmoid()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).sigmoid().item(), 0.5);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor<T> {
        let value = self.array.map(
            "sigmoid",
            #[inline(always)]
            |x| T::ONE / (T::ONE + (-x).exp()),
        );
        let saved = value.clone();
        record("sigmoid", [self], value, move |ctx| {
            [Some(ctx.chain(
                &ctx.output(&saved),
                |g, y| g * (y * (T::ONE - y)),
                |g, y| g * (y * scalar_sub(T::ONE, y)),
            ))]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].sigmoid(), &[&[2, 3]], -2.0..2.0);
    }

    #[test]
    fn the_ends_are_exact() {
        let x = Tensor::from_vec(vec![-1e4f32, 1e4], [2]).unwrap();
        assert_eq!(x.sigmoid().to_vec(), [0.0, 1.0]);
    }
}

//! The hyperbolic tangent.

use crate::ops::elementwise::add::scalar_sub;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `tanh x`, element by element.
    ///
    /// Gradient: `g (1 − tanh² x)`. PyTorch: `x.tanh()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).tanh().item(), 0.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn tanh(&self) -> Tensor<T> {
        let value = self.array.map("tanh", T::tanh);
        let saved = value.clone();
        record("tanh", [self], value, move |ctx| {
            [Some(ctx.chain(
                &ctx.output(&saved),
                |g, y| g * (T::ONE - y * y),
                |g, y| g * scalar_sub(T::ONE, &(y * y)),
            ))]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].tanh(), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].tanh(), &[&[]], -2.0..2.0);
    }
}

//! Exponentials.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `eˣ`, element by element.
    ///
    /// Gradient: `g eˣ`. PyTorch: `x.exp()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).exp().item(), 1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn exp(&self) -> Tensor<T> {
        let value = self.array.map("exp", T::exp);
        let saved = value.clone();
        record("exp", [self], value, move |ctx| [Some(ctx.grad() * ctx.output(&saved))])
    }

    /// `eˣ − 1`, element by element, precise near 0.
    ///
    /// Gradient: `g (y + 1)`. PyTorch: `x.expm1()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(1e-10f32).expm1().item(), 1e-10);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn expm1(&self) -> Tensor<T> {
        let value = self.array.map("expm1", T::exp_m1);
        let saved = value.clone();
        record("expm1", [self], value, move |ctx| {
            [Some(ctx.grad() * (ctx.output(&saved) + T::ONE))]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].exp(), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].expm1(), &[&[2, 3]], -2.0..2.0);
    }
}

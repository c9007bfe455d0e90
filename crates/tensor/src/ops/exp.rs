//! `eˣ` and its inverse.

use crate::node::record;
use crate::tensor::Tensor;
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
        let value = self.array.map(T::exp);
        let saved = value.clone();
        record("exp", [self], value, move |ctx| [Some(ctx.grad() * ctx.output(&saved))])
    }

    /// The natural logarithm, element by element.
    ///
    /// Gradient: `g / x`. PyTorch: `x.log()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(1.0f32).log().item(), 0.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn log(&self) -> Tensor<T> {
        let x = self.clone();
        record("log", [self], self.array.map(T::ln), move |ctx| [Some(ctx.grad() / &x)])
    }
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].exp(), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].log(), &[&[2, 3]], 0.5..2.0);
    }
}

//! Logarithms.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The natural logarithm, element by element; NaN for a negative element.
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
        record("log", [self], self.array.map("log", T::ln), move |ctx| [Some(ctx.grad() / &x)])
    }

    /// `ln(1 + x)`, element by element, precise near 0.
    ///
    /// Gradient: `g / (x + 1)`. PyTorch: `x.log1p()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(1e-10f32).log1p().item(), 1e-10);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn log1p(&self) -> Tensor<T> {
        let x = self.clone();
        record("log1p", [self], self.array.map("log1p", T::ln_1p), move |ctx| {
            [Some(ctx.grad() / (&x + T::ONE))]
        })
    }

    /// The logarithm to base 2, element by element.
    ///
    /// Gradient: `g / (x ln 2)`. PyTorch: `x.log2()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(8.0f32).log2().item(), 3.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn log2(&self) -> Tensor<T> {
        let x = self.clone();
        let ln_2 = T::from_f64(std::f64::consts::LN_2);
        record("log2", [self], self.array.map("log2", T::log2), move |ctx| {
            [Some(ctx.grad() / (&x * ln_2))]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].log(), &[&[2, 3]], 0.5..2.0);
        check_op(|x| x[0].log1p(), &[&[2, 3]], -0.5..2.0);
        check_op(|x| x[0].log2(), &[&[2, 3]], 0.5..2.0);
    }
}

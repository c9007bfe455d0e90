//! `xᵉ` for a constant exponent.

use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// Each element to the power `e`.
    ///
    /// Gradient: `g e xᵉ⁻¹`, and 0 for `e = 0`.
    ///
    /// PyTorch: `x.pow(e)`; as there, the exponents ±½, ±1, ±2 and 3 are roots,
    /// products and quotients.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![2.0f32, -3.0], [2]).unwrap();
    /// assert_eq!(x.powf(3.0).to_vec(), [8.0, -27.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn powf(&self, e: f64) -> Tensor<T> {
        let exponent = T::from_f64(e);
        let value = match e {
            2.0 => self.array.map(|x| x * x),
            3.0 => self.array.map(|x| x * x * x),
            0.5 => self.array.map(T::sqrt),
            -0.5 => self.array.map(|x| T::ONE / x.sqrt()),
            -1.0 => self.array.map(|x| T::ONE / x),
            -2.0 => self.array.map(|x| T::ONE / (x * x)),
            _ => self.array.map(|x| x.powf(exponent)),
        };
        let x = self.clone();
        record("powf", [self], value, move |ctx| {
            // Not g · 0 · x⁻¹, which is NaN at 0.
            let gradient = if e == 0.0 {
                Tensor::zeros(x.array.shape())
            } else {
                ctx.grad() * x.powf(e - 1.0) * exponent
            };
            [Some(gradient)]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for e in [2.0, 3.0, -1.0, 0.5, -0.5, -2.0, 2.7, 1.0, 0.0] {
            check_op(|x| x[0].powf(e), &[&[2, 3]], 0.5..2.0);
        }
    }

    #[test]
    fn roots_are_pytorchs() {
        let x = Tensor::from_vec(vec![f64::NEG_INFINITY, -0.0], [2]).unwrap();
        let root = x.powf(0.5).to_vec();
        assert!(root[0].is_nan() && root[1] == 0.0 && root[1].is_sign_negative());
        assert_eq!(x.powf(-0.5).to_vec()[1], f64::NEG_INFINITY);
    }

    #[test]
    fn the_gradient_at_zero_is_finite() {
        let x = Tensor::from_vec(vec![0.0f64], [1]).unwrap().requires_grad();
        (x.powf(0.0) + x.powf(1.0) + x.powf(2.0)).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [1.0]);
    }
}

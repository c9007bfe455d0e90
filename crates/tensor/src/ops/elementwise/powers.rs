//! Powers and roots.

use crate::arrays::array::Array;
use crate::ops::elementwise::add::neg;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// Each element to the power `e`.
    ///
    /// Gradient: `g e xᵉ⁻¹`, and 0 for `e = 0`.
    ///
    /// PyTorch: `x.pow(e)`; as there, the exponents ±½, ±1, ±2 and 3 are computed as roots,
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
            0.0 => Array::full_for("powf", self.array.shape().clone(), T::ONE), // of NaN too
            1.0 => self.array.clone(),
            2.0 => self.array.map("powf", |x| x * x),
            3.0 => self.array.map("powf", |x| x * x * x),
            0.5 => self.array.map("powf", T::sqrt),
            -0.5 => self.array.map("powf", |x| T::ONE / x.sqrt()),
            -1.0 => self.array.map("powf", |x| T::ONE / x),
            -2.0 => self.array.map("powf", |x| T::ONE / (x * x)),
            _ => self.array.map(
                "powf",
                #[inline(always)]
                move |x| x.powf(exponent),
            ),
        };
        let x = self.clone();
        record("powf", [self], value, move |ctx| {
            // Not g · 0 · x⁻¹, which would be NaN at 0.
            let gradient = if e == 0.0 {
                Tensor::zeros(x.array.shape())
            } else {
                let power = x.powf(e - 1.0);
                ctx.chain(
                    &power,
                    move |g, power| g * (power * exponent),
                    |g, power| g * (power * exponent),
                )
            };
            [Some(gradient)]
        })
    }

    /// Each element to the integer power `e`. PyTorch: `x.pow(e)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-2.0f32).powi(5).item(), -32.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn powi(&self, e: i32) -> Tensor<T> {
        self.powf(f64::from(e))
    }

    /// Each element to the power of the corresponding element of `e`; the operands broadcast.
    ///
    /// Gradients: `g e xᵉ⁻¹`, 0 where `e = 0`; `g xᵉ ln x`, 0 where `x = 0` and `e ≥ 0`.
    ///
    /// PyTorch: `x.pow(e)`, `x ** e`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let e = Tensor::from_vec(vec![0.0f32, 1.0, 2.0], [3]).unwrap();
    /// assert_eq!(Tensor::scalar(3.0).pow(&e).to_vec(), [1.0, 3.0, 9.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn pow(&self, e: &Tensor<T>) -> Tensor<T> {
        let shape = self.broadcast_with("pow", e);
        let value = self.array.zip("pow", &e.array, shape, T::powf);
        let (x, e_saved) = (self.clone(), e.clone());
        let y = e.wants_grad().then(|| value.clone());
        record("pow", [self, e], value, move |ctx| {
            let (g, e) = (ctx.grad(), &e_saved);
            let of_base = || (g * (e * x.pow(&(e - T::ONE)))).masked_fill(&e.eq(T::ZERO), T::ZERO);
            let of_exponent = |y: &Array<T>| {
                let flat = x.eq(T::ZERO) & e.ge(T::ZERO);
                g * (ctx.output(y) * x.log()).masked_fill(&flat, T::ZERO)
            };
            [
                ctx.broadcast_back(0, of_base),
                y.as_ref().and_then(|y| ctx.broadcast_back(1, || of_exponent(y))),
            ]
        })
    }

    /// `x²`, element by element.
    ///
    /// Gradient: `2 g x`. PyTorch: `x.square()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(3.0f32).square().item(), 9.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn square(&self) -> Tensor<T> {
        self.powf(2.0)
    }

    /// `√x`, element by element; NaN for a negative element.
    ///
    /// Gradient: `g / 2√x`. PyTorch: `x.sqrt()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(9.0f32).sqrt().item(), 3.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sqrt(&self) -> Tensor<T> {
        let value = self.array.map("sqrt", T::sqrt);
        let saved = value.clone();
        let two = T::from_f64(2.0);
        record("sqrt", [self], value, move |ctx| [Some(ctx.grad() / (ctx.output(&saved) * two))])
    }

    /// `1 / √x`, element by element; NaN for a negative element.
    ///
    /// Gradient: `−½ g y³`. PyTorch: `x.rsqrt()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(4.0f32).rsqrt().item(), 0.5);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor<T> {
        let value = self.array.map("rsqrt", |x| T::ONE / x.sqrt());
        let saved = value.clone();
        let half = T::from_f64(-0.5);
        record("rsqrt", [self], value, move |ctx| {
            [Some(ctx.grad() * half * ctx.output(&saved).powf(3.0))]
        })
    }

    /// `1 / x`, element by element.
    ///
    /// Gradient: `−g y²`. PyTorch: `x.reciprocal()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(4.0f32).reciprocal().item(), 0.25);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn reciprocal(&self) -> Tensor<T> {
        let value = self.array.map("reciprocal", |x| T::ONE / x);
        let saved = value.clone();
        record("reciprocal", [self], value, move |ctx| {
            let y = ctx.output(&saved);
            [Some(neg(ctx.grad()) * (&y * &y))]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for e in [2.0, 3.0, -1.0, 0.5, -0.5, -2.0, 2.7, 1.0, 0.0] {
            check_op(|x| x[0].powf(e), &[&[2, 3]], 0.5..2.0);
        }
        check_op(|x| x[0].powi(3), &[&[2, 3]], -2.0..2.0);
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            check_op(|x| x[0].pow(&x[1]), &shapes, 0.5..2.0);
        }
        check_op(|x| x[0].square() * x[0].sqrt(), &[&[2, 3]], 0.5..2.0);
        check_op(|x| x[0].rsqrt() * x[0].reciprocal(), &[&[2, 3]], 0.5..2.0);
    }

    #[test]
    fn roots_follow_pytorch() {
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

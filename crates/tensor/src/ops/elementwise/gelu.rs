//! The Gaussian error linear unit, exact and approximated by tanh, and the error function.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

impl<T: Float> Tensor<T> {
    /// The error function `2/√π ∫₀ˣ exp(−t²) dt`, element by element.
    ///
    /// Gradient: `g 2/√π exp(−x²)`. PyTorch: `x.erf()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).erf().item(), 0.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn erf(&self) -> Tensor<T> {
        let x = self.clone();
        let scale = T::from_f64(FRAC_2_SQRT_PI);
        record("erf", [self], self.array.map("erf", T::erf), move |ctx| {
            [Some(ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| (-(x * x)).exp() * scale * g,
                |g, x| (-(x * x)).exp() * scale * g,
            ))]
        })
    }

    /// `x Φ(x) = ½ x (1 + erf(x / √2))`, element by element.
    ///
    /// Gradient: `g (Φ(x) + x φ(x))`, where `φ` is the normal density.
    ///
    /// PyTorch: `torch.nn.functional.gelu(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-100.0f32, 0.0, 100.0], [3]).unwrap();
    /// assert_eq!(x.gelu().to_vec(), [0.0, 0.0, 100.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn gelu(&self) -> Tensor<T> {
        let [half, root, density] =
            [0.5, FRAC_1_SQRT_2, FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0].map(T::from_f64);
        let value = self.array.map(
            "gelu",
            #[inline(always)]
            move |x| x * half * (T::ONE + (x * root).erf()),
        );
        let x = self.clone();
        record("gelu", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| {
                    let below = half * (T::ONE + (x * root).erf());
                    g * (below + x * ((x * x * -half).exp() * density))
                },
                |g, x| {
                    let below = ((x * root).erf() + T::ONE) * half;
                    g * (below + x * ((x * x * -half).exp() * density))
                },
            );
            [Some(gradient)]
        })
    }

    /// `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, element by element: close to
    /// [`gelu`](Tensor::gelu).
    ///
    /// PyTorch: `torch.nn.functional.gelu(x, approximate="tanh")`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-100.0f32, 0.0, 100.0], [3]).unwrap();
    /// assert_eq!(x.gelu_tanh().to_vec(), [0.0, 0.0, 100.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor<T> {
        let [half, beta, kappa, kappa3] =
            [0.5, SQRT_2 * FRAC_2_SQRT_PI * 0.5, 0.044715, 3.0 * 0.044715].map(T::from_f64);
        let inner = move |x: T| beta * (x + kappa * (x * x * x));
        let value = self.array.map(
            "gelu_tanh",
            #[inline(always)]
            move |x| half * x * (T::ONE + inner(x).tanh()),
        );
        let x = self.clone();
        record("gelu_tanh", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| {
                    let tanh = inner(x).tanh();
                    let slope = beta * (T::ONE + kappa3 * (x * x));
                    g * (half * (T::ONE + tanh) + half * x * (T::ONE - tanh * tanh) * slope)
                },
                |g, x| {
                    let tanh = ((x + x * x * x * kappa) * beta).tanh();
                    let slope = (x * x * kappa3 + T::ONE) * beta;
                    let falling = -(&tanh * &tanh) + T::ONE;
                    g * ((tanh + T::ONE) * half + x * half * falling * slope)
                },
            );
            [Some(gradient)]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].erf(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].gelu(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].gelu_tanh(), &[&[3, 4]], -2.0..2.0);
    }
}

//! The smooth activations silu, mish, softplus, logsigmoid, and softsign.

use crate::ops::elementwise::add::scalar_sub;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `x σ(x) = x / (1 + e⁻ˣ)`, element by element.
    ///
    /// Gradient: `g σ(x) (1 + x (1 − σ(x)))`. PyTorch: `torch.nn.functional.silu(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).silu().item(), 0.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn silu(&self) -> Tensor<T> {
        let value = self.array.map(
            "silu",
            #[inline(always)]
            |x| x / (T::ONE + (-x).exp()),
        );
        let x = self.clone();
        record("silu", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                |g, x| {
                    let s = T::ONE / (T::ONE + (-x).exp());
                    g * s * (T::ONE + x * (T::ONE - s))
                },
                |g, x| {
                    let s = x.sigmoid();
                    g * &s * (x * scalar_sub(T::ONE, &s) + T::ONE)
                },
            );
            [Some(gradient)]
        })
    }

    /// `ln(1 + e^{βx}) / β`, element by element; `x` where `βx > threshold`.
    ///
    /// Gradient: `g σ(βx)`, and `g` above the threshold.
    ///
    /// PyTorch: `torch.nn.functional.softplus(x, beta, threshold)`, where they default to 1 and 20.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![0.0f32, 50.0], [2]).unwrap();
    /// assert_eq!(x.softplus(1.0, 20.0).to_vec(), [2f32.ln(), 50.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn softplus(&self, beta: f64, threshold: f64) -> Tensor<T> {
        let (beta, limit) = (T::from_f64(beta), T::from_f64(threshold));
        let value = self.array.map(
            "softplus",
            #[inline(always)]
            move |x| if x * beta > limit { x } else { (x * beta).exp().ln_1p() / beta },
        );
        let x = self.clone();
        record("softplus", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| {
                    let z = (x * beta).exp();
                    if x * beta > limit { g } else { g * z / (z + T::ONE) }
                },
                |g, x| {
                    let steep = x * beta;
                    g.where_(&steep.gt(limit), g * steep.sigmoid())
                },
            );
            [Some(gradient)]
        })
    }

    /// `x tanh(ln(1 + eˣ))`, element by element.
    ///
    /// Gradient: `g (t + x σ(x) (1 − t²))`, where `t = tanh(ln(1 + eˣ))`.
    ///
    /// PyTorch: `torch.nn.functional.mish(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([0.0f32, 100.0]).mish().to_vec(), [0.0, 100.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mish(&self) -> Tensor<T> {
        // The sum is exp(x) for large x, and infinite only where the tanh is 1.
        let gate = |x: T| x.exp().ln_1p().tanh();
        let value = self.array.map(
            "mish",
            #[inline(always)]
            move |x| x * gate(x),
        );
        let x = self.clone();
        record("mish", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| {
                    let (t, s) = (gate(x), T::ONE / (T::ONE + (-x).exp()));
                    g * (t + x * s * (T::ONE - t * t))
                },
                |g, x| {
                    let t = x.softplus(1.0, 20.0).tanh();
                    let falling = -(&t * &t) + T::ONE;
                    g * (t + x * x.sigmoid() * falling)
                },
            );
            [Some(gradient)]
        })
    }

    /// `ln σ(x) = −ln(1 + e⁻ˣ)`, element by element, without overflow.
    ///
    /// Gradient: `g σ(−x)`. PyTorch: `torch.nn.functional.logsigmoid(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-1e4f32, 0.0, 1e4]);
    /// assert_eq!(x.logsigmoid().to_vec(), [-1e4, -2f32.ln(), 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor<T> {
        let value = self.array.map(
            "logsigmoid",
            #[inline(always)]
            |x| {
                let low = if x > T::ZERO { T::ZERO } else { x };
                low - (-x.abs()).exp().ln_1p()
            },
        );
        let x = self.clone();
        record("logsigmoid", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                |g, x| {
                    let z = (-x.abs()).exp();
                    let s = z / (T::ONE + z); // σ(−|x|)
                    if x < T::ZERO { g * (T::ONE - s) } else { g * s }
                },
                |g, x| g * (-x).sigmoid(),
            );
            [Some(gradient)]
        })
    }

    /// `x / (1 + |x|)`, element by element.
    ///
    /// Gradient: `g / (1 + |x|)²`, as PyTorch computes it: `g / (1 + |x|) − g |x| / (1 + |x|)²`.
    /// PyTorch: `torch.nn.functional.softsign(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-1.0f32).softsign().item(), -0.5);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn softsign(&self) -> Tensor<T> {
        let value = self.array.map("softsign", |x| x / (x.abs() + T::ONE));
        let x = self.clone();
        record("softsign", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                |g, x| {
                    let size = x.abs() + T::ONE;
                    let slope = x / size / size;
                    let side = if x == T::ZERO { T::ZERO } else { T::ONE.copysign(x) };
                    g / size - g * slope * side
                },
                |g, x| {
                    let size = x.abs() + T::ONE;
                    g / &size - g * (x / &size / &size) * x.sign()
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
        check_op(|x| x[0].silu(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].softplus(1.5, 1.0), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].softsign(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].mish(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].logsigmoid(), &[&[3, 4]], -2.0..2.0);
    }
}

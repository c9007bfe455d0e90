//! The exponential linear units.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// SELU's α and scale, at which activations keep mean 0 and variance 1.
const SELU: [f64; 2] = [1.6732632423543772, 1.0507009873554805];

impl<T: Float> Tensor<T> {
    /// `x` where `x > 0`, and `α (eˣ − 1)` elsewhere.
    ///
    /// Gradient: `g` where `x > 0`, and `g α eˣ` elsewhere.
    ///
    /// PyTorch: `torch.nn.functional.elu(x, alpha)`, where `α` defaults to 1.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-1e9f32, 0.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.elu(1.0).to_vec(), [-1.0, 0.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Tensor<T> {
        exponential_unit("elu", self, [1.0, alpha, 1.0])
    }

    /// `x` where `x > 0`, and `α (exp(x/α) − 1)` elsewhere: an [`elu`](Tensor::elu) whose slope is
    /// continuous for every `α`.
    ///
    /// Gradient: `g` where `x > 0`, and `g exp(x/α)` elsewhere.
    ///
    /// PyTorch: `torch.nn.functional.celu(x, alpha)`, where `α` defaults to 1.
    ///
    /// # Panics
    /// If `alpha` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-1e9f32, 0.0, 2.0]);
    /// assert_eq!(x.celu(2.0).to_vec(), [-2.0, 0.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn celu(&self, alpha: f64) -> Tensor<T> {
        assert!(alpha != 0.0, "celu: alpha is {alpha}; expected another number than 0");
        exponential_unit("celu", self, [1.0, alpha, 1.0 / alpha])
    }

    /// `s x` where `x > 0`, and `s α (eˣ − 1)` elsewhere, with `s ≈ 1.0507` and `α ≈ 1.6733`:
    /// activations keep their mean of 0 and variance of 1 from layer to layer.
    ///
    /// Gradient: `g s` where `x > 0`, and `g s α eˣ` elsewhere.
    ///
    /// PyTorch: `torch.nn.functional.selu(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-1e9f32, 0.0, 1.0]);
    /// assert_eq!(x.selu().to_vec(), [-1.7580993, 0.0, 1.050701]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn selu(&self) -> Tensor<T> {
        let [alpha, scale] = SELU;
        exponential_unit("selu", self, [scale, alpha * scale, 1.0])
    }
}

/// `above · x` where `x > 0`, and `below (exp(steep · x) − 1)` elsewhere.
#[track_caller]
fn exponential_unit<T: Float>(op: &'static str, x: &Tensor<T>, factors: [f64; 3]) -> Tensor<T> {
    let slope = T::from_f64(factors[1] * factors[2]); // at 0, from below
    let [above, below, steep] = factors.map(T::from_f64);
    let value = x.array.map(
        op,
        #[inline(always)]
        move |x| if x < T::ZERO { (x * steep).exp_m1() * below } else { x * above },
    );
    let saved = x.clone();
    record(op, [x], value, move |ctx| {
        let gradient = ctx.chain(
            &saved,
            #[inline(always)]
            move |g, x| if x <= T::ZERO { g * slope * (x * steep).exp() } else { g * above },
            |g, x| {
                let below_zero = x.clamp_max(0.0) * steep;
                (g * above).where_(&x.gt(T::ZERO), g * slope * below_zero.exp())
            },
        );
        [Some(gradient)]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].elu(0.7), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].celu(0.7), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].celu(-0.7), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].selu(), &[&[3, 4]], -2.0..2.0);
    }
}

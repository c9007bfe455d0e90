//! The exponential linear unit.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

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
        let alpha = T::from_f64(alpha);
        let value = self.array.map(
            "elu",
            #[inline(always)]
            move |x| if x < T::ZERO { x.exp_m1() * alpha } else { x },
        );
        let x = self.clone();
        record("elu", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                #[inline(always)]
                move |g, x| if x <= T::ZERO { g * alpha * x.exp() } else { g },
                |g, x| {
                    let (above, below) = (x.gt(T::ZERO), x.clamp_max(0.0));
                    g.where_(&above, g * alpha * below.exp())
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
        check_op(|x| x[0].elu(0.7), &[&[3, 4]], -2.0..2.0);
    }
}

//! Values kept within bounds.

use super::piecewise::piecewise;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `min(max(x, min), max)`, element by element; NaN stays NaN.
    ///
    /// Gradient: `g` where `min < x < max`, and 0 elsewhere, at the bounds too.
    ///
    /// PyTorch: `x.clamp(min, max)`; as there, all is `max` if `min > max`. For one
    /// bound alone give an infinity for the other.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-3.0f32, 0.5, 3.0], [3]).unwrap();
    /// assert_eq!(x.clamp(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// assert_eq!(x.clamp(0.0, f64::INFINITY).to_vec(), [0.0, 0.5, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Tensor<T> {
        let (min, max) = (T::from_f64(min), T::from_f64(max));
        let x = self.array.clone();
        record("clamp", [self], bounded(self, min, max), move |ctx| {
            // An infinite bound is none: what is there passes.
            let above = move |x| if min == T::NEG_INFINITY { x >= min } else { x > min };
            let below = move |x| if max == T::INFINITY { x <= max } else { x < max };
            let pass = move |g, x| if above(x) && below(x) { g } else { T::ZERO };
            [Some(piecewise("clamp_backward", ctx.grad(), &x, pass))]
        })
    }

    /// `min(max(x, min), max)`, as [`clamp`](Tensor::clamp): the name of the
    /// activation.
    ///
    /// Gradient: `g` where `min < x < max`, and 0 elsewhere, at the bounds too.
    ///
    /// PyTorch: `torch.nn.functional.hardtanh(x, min, max)`, where the bounds are −1
    /// and 1 unless given.
    ///
    /// # Panics
    /// If `min > max`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-3.0f32, 0.5, 3.0], [3]).unwrap();
    /// assert_eq!(x.hardtanh(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn hardtanh(&self, min: f64, max: f64) -> Tensor<T> {
        assert!(min <= max, "hardtanh: the bounds {min} and {max}; expected them in order");
        let (min, max) = (T::from_f64(min), T::from_f64(max));
        let x = self.array.clone();
        record("hardtanh", [self], bounded(self, min, max), move |ctx| {
            let pass = move |g, x| if x > min && x < max { g } else { T::ZERO };
            [Some(piecewise("hardtanh_backward", ctx.grad(), &x, pass))]
        })
    }
}

fn bounded<T: Float>(x: &Tensor<T>, min: T, max: T) -> crate::Array<T> {
    x.array.map(move |x| {
        let x = if x < min { min } else { x };
        if x > max { max } else { x }
    })
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].clamp(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].hardtanh(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
    }
}

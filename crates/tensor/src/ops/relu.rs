//! The rectifier.

use crate::array::Array;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `max(x, 0)`, element by element; NaN stays NaN.
    ///
    /// Gradient: `g` where `x > 0` or NaN, and 0 elsewhere, at `x = 0` too.
    ///
    /// PyTorch: `x.relu()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-1.0f32, 0.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.relu().to_vec(), [0.0, 0.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn relu(&self) -> Tensor<T> {
        let value = self.array.map(|x| if x <= T::ZERO { T::ZERO } else { x });
        let saved = value.clone();
        record("relu", [self], value, move |ctx| [Some(pass_positive(ctx.grad(), &saved))])
    }
}

/// `g` where `y` is not ≤ 0, and 0 elsewhere: not a product, which would make
/// NaN of an infinite gradient. PyTorch: `threshold_backward`.
fn pass_positive<T: Float>(g: &Tensor<T>, y: &Array<T>) -> Tensor<T> {
    let pass = |g, y| if y <= T::ZERO { T::ZERO } else { g };
    let value = g.array.zip(y, y.shape().clone(), pass);
    let y = y.clone();
    record("threshold_backward", [g], value, move |ctx| [Some(pass_positive(ctx.grad(), &y))])
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].relu() * &x[0], &[&[3, 4]], -2.0..2.0);
    }

    #[test]
    fn corner_cases_follow_pytorch() {
        let x = Tensor::from_vec(vec![0.0f32, f32::NAN, -1.0, 1.0], [4]).unwrap().requires_grad();
        let y = x.relu();
        assert!(y.to_vec()[1].is_nan());
        y.backward_with(&Tensor::full([4], f32::INFINITY));
        assert_eq!(x.grad().unwrap().to_vec(), [0.0, f32::INFINITY, 0.0, f32::INFINITY]);
    }
}

//! The length of vectors.

use super::abs::{side, toward};
use super::max::best;
use super::piecewise::piecewise;
use super::reduction::Reduction;
use crate::dims::Dims;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The norm `(Σ |x|ᵖ)^{1/p}` of all elements, of shape `[]`, for `p` of 1, 2 or ∞.
    ///
    /// Gradient, for `p = 2`: `g x / y`, 0 where `y = 0`; for 1: `g sign(x)`; for ∞: `g sign(x)`
    /// shared evenly among the largest. PyTorch: `x.norm(p)`.
    ///
    /// # Panics
    /// If `p` is another number.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32, -4.0], [2]).unwrap();
    /// let norms = [1.0, 2.0, f64::INFINITY].map(|p| x.norm(p).item());
    /// assert_eq!(norms, [7.0, 5.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn norm(&self, p: f64) -> Tensor<T> {
        norm("norm", self, p, .., false)
    }

    /// [`norm`](Tensor::norm) over dimensions `dims`, which disappear, or stay with
    /// size 1 if `keepdim`.
    ///
    /// PyTorch: `x.norm(p, dims, keepdim)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or `p` is not 1, 2 or ∞.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32, -4.0, 0.0, 0.0], [2, 2]).unwrap();
    /// assert_eq!(x.norm_dim(2.0, 1, false).to_vec(), [5.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn norm_dim(&self, p: f64, dims: impl Dims, keepdim: bool) -> Tensor<T> {
        norm("norm_dim", self, p, dims, keepdim)
    }
}

#[track_caller]
fn norm<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    p: f64,
    dims: impl Dims,
    keepdim: bool,
) -> Tensor<T> {
    if p == f64::INFINITY {
        return best(op, &x.abs(), dims, keepdim, true, |x, best| x > best);
    }
    let over = Reduction::new(op, x, dims, keepdim);
    if p == 1.0 {
        let value = over.sum(&x.array.map(T::abs));
        let sides = x.wants_grad().then(|| x.array.map(side));
        return record(op, [x], value, move |ctx| {
            let g = over.spread(ctx.grad());
            [sides.as_ref().map(|sides| piecewise(op, &g, sides, toward))]
        });
    }
    assert!(p == 2.0, "{op}: the norm of order {p}; expected 1, 2 or infinity");
    let value = over.sum(&x.array.map(|x| x * x)).map(T::sqrt);
    let (x_saved, saved) = (x.clone(), value.clone());
    record(op, [x], value, move |ctx| {
        let y = over.spread(&ctx.output(&saved));
        let direction = (&x_saved / &y).masked_fill(&y.eq(T::ZERO), T::ZERO);
        [Some(over.spread(ctx.grad()) * direction)]
    })
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        let apart = Tensor::from_vec(vec![1.0, 3.0, -1.0, 5.0, -2.0, 9.0], [2, 3]).unwrap();
        for p in [1.0, 2.0, f64::INFINITY] {
            check_op(|x| (&x[0] + &apart).norm(p), &[&[2, 3]], -0.4..0.4);
            check_op(|x| (&x[0] + &apart).norm_dim(p, 1, true), &[&[2, 3]], -0.4..0.4);
        }
    }

    #[test]
    fn the_gradient_at_zero_is_zero() {
        for p in [1.0, 2.0, f64::INFINITY] {
            let x = Tensor::<f32>::zeros([3]).requires_grad();
            x.norm(p).backward();
            assert_eq!(x.grad().unwrap().to_vec(), [0.0; 3]);
        }
    }

    #[test]
    #[should_panic(expected = "norm: the norm of order 3; expected 1, 2 or infinity")]
    fn other_orders_are_refused() {
        let _ = Tensor::<f32>::ones([2]).norm(3.0);
    }
}

//! Vector norms.

use crate::arrays::keepdim::ReduceDims;
use crate::ops::elementwise::abs::{side, toward};
use crate::ops::elementwise::piecewise::piecewise;
use crate::ops::reduce::max::best;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The norm `(Σ |x|ᵖ)^{1/p}` of all elements, of shape `[]`; for `p = ∞` and `p = −∞` the
    /// largest and the smallest `|x|`, for `p = 0` the number of nonzero elements.
    ///
    /// Gradient: `g sign(x) (|x| / y)^{p−1}`, 0 where `y = 0`, or, for `p < 1`, where `x = 0`; for
    /// `p = ±∞` it is `g sign(x)`, shared evenly among the elements with that `|x|`; for `p = 0` it
    /// is 0.
    ///
    /// PyTorch: `x.norm(p)`.
    ///
    /// # Panics
    /// If there are no elements and `p` is infinite or negative.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([3.0f32, -4.0, 0.0]);
    /// let norms = [0.0, 1.0, 2.0, f64::INFINITY].map(|p| x.norm(p).item());
    /// assert_eq!(norms, [2.0, 7.0, 5.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn norm(&self, p: f64) -> Tensor<T> {
        norm("norm", self, p, ..)
    }

    /// [`norm`](Tensor::norm) over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// PyTorch: `x.norm(p, dims)`, `x.norm(p, dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or they have no elements and `p` is infinite or negative.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32, -4.0, 0.0, 0.0], [2, 2]).unwrap();
    /// assert_eq!(x.norm_dim(2.0, 1).to_vec(), [5.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn norm_dim(&self, p: f64, dims: impl ReduceDims) -> Tensor<T> {
        norm("norm_dim", self, p, dims)
    }
}

#[track_caller]
fn norm<T: Float>(op: &'static str, x: &Tensor<T>, p: f64, dims: impl ReduceDims) -> Tensor<T> {
    if p == f64::INFINITY {
        return best(op, &x.abs(), dims, true, |x, best| x > best);
    }
    if p == f64::NEG_INFINITY {
        return best(op, &x.abs(), dims, true, |x, best| x < best);
    }
    let over = Reduction::new(op, x, dims);
    if p < 0.0 {
        over.refuse_empty();
    }
    if p == 0.0 {
        let value = over.sum_of(&x.array, |x| if x == T::ZERO { T::ZERO } else { T::ONE });
        return record(op, [x], value, move |_| [Some(Tensor::zeros(&over.shape))]);
    }
    if p == 1.0 {
        let value = over.sum_of(&x.array, T::abs);
        let sides = if x.wants_grad() { Some(x.array.map(op, side)) } else { None };
        return record(op, [x], value, move |ctx| {
            let g = over.spread(ctx.grad());
            [sides.as_ref().map(|sides| piecewise(op, &g, sides, toward))]
        });
    }
    let value = if p == 2.0 {
        over.sum_of(&x.array, |x| x * x).map(op, T::sqrt)
    } else {
        let (e, root) = (T::from_f64(p), T::from_f64(1.0 / p));
        let sums = over.sum_of(
            &x.array,
            #[inline(always)]
            move |x| x.abs().powf(e),
        );
        sums.map(op, move |sum| sum.powf(root))
    };
    let (x_saved, saved) = (x.clone(), value.clone());
    record(op, [x], value, move |ctx| {
        let (g, x, y) = (ctx.grad(), &x_saved, ctx.output(&saved));
        let gradient = if p == 2.0 {
            let (y, g) = (over.spread(&y), over.spread(g));
            if is_pass_recorded() {
                g * (x / &y).masked_fill(&y.eq(T::ZERO), T::ZERO)
            } else {
                let share = |x, y, g| g * if y == T::ZERO { T::ZERO } else { x / y };
                x.array.zip3(op, &y.array, &g.array, over.shape.clone(), share).into()
            }
        } else if p < 1.0 {
            let slopes = x.sign() * x.abs().powf(p - 1.0).masked_fill(&x.eq(T::ZERO), T::ZERO);
            slopes * over.spread(g) * over.spread(&y.powf(1.0 - p))
        } else {
            let slopes = match p < 2.0 {
                true => x.sign() * x.abs().powf(p - 1.0),
                false => x * x.abs().powf(p - 2.0), // can be differentiated at 0
            };
            let scale = (g / y.powf(p - 1.0)).masked_fill(&y.eq(T::ZERO), T::ZERO);
            slopes * over.spread(&scale)
        };
        [Some(gradient)]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    const ORDERS: [f64; 10] =
        [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, -1.5, f64::INFINITY, f64::NEG_INFINITY];

    #[test]
    fn gradients() {
        let apart = Tensor::from_vec(vec![1.0, 3.0, -1.0, 5.0, -2.0, 9.0], [2, 3]).unwrap();
        for p in ORDERS {
            check_op(|x| (&x[0] + &apart).norm(p), &[&[2, 3]], -0.4..0.4);
            check_op(|x| (&x[0] + &apart).norm_dim(p, keepdim(1)), &[&[2, 3]], -0.4..0.4);
        }
    }

    #[test]
    fn the_gradient_at_zero_is_zero() {
        for p in ORDERS {
            let x = Tensor::<f32>::zeros([3]).requires_grad();
            x.norm(p).backward();
            assert_eq!(x.grad().unwrap().to_vec(), [0.0; 3], "p = {p}");
        }
    }

    #[test]
    fn gradients_that_arrive_may_be_nan_or_large() {
        let x = Tensor::from([0.0f32, 0.0]).requires_grad();
        x.norm(2.0).backward_with(&Tensor::scalar(f32::NAN));
        assert!(x.grad().unwrap().to_vec().iter().all(|g| g.is_nan()));
        let x = Tensor::from([3e-22f32, 4e-22]).requires_grad();
        x.norm(2.0).backward_with(&Tensor::scalar(1e20));
        assert!(x.grad().unwrap().to_vec().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn an_empty_norm_follows_pytorch() {
        // torch.zeros(2, 0).norm(p, 1); torch.zeros(0, 2).norm(-1, 1)
        for p in [0.0, 0.5, 1.0, 2.0, 3.0] {
            assert_eq!(Tensor::<f32>::zeros([2, 0]).norm_dim(p, 1).to_vec(), [0.0; 2]);
        }
        assert_eq!(Tensor::<f32>::zeros([0, 2]).norm_dim(-1.0, 1).shape(), [0]);
    }

    #[test]
    #[should_panic(expected = "norm: a tensor of shape [0] has nothing to choose from")]
    fn a_negative_order_needs_an_element() {
        let _ = Tensor::<f32>::zeros([0]).norm(-1.0);
    }
}

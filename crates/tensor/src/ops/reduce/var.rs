//! Variance and standard deviation.

use crate::arrays::keepdim::ReduceDims;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `Σ (x − x̄)² / max(0, n − correction)` of all elements, of shape `[]`; the mean is computed
    /// first. The correction may be fractional.
    ///
    /// Gradient: `2 g (x − x̄) / (n − correction)`. Without degrees of freedom, `n ≤ correction`, it
    /// is `g · ∞`, or NaN for an element that equals the mean.
    ///
    /// PyTorch: `x.var(correction=…)`, where the correction defaults to 1.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([1.0f32, 2.0, 3.0]);
    /// assert_eq!((x.var(1).item(), x.var(0).item()), (1.0, 2.0 / 3.0));
    /// assert_eq!(x.var(1.5).item(), 4.0 / 3.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn var(&self, correction: impl Into<f64>) -> Tensor<T> {
        variance("var", self, .., correction.into(), true)
    }

    /// [`var`](Tensor::var) over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// Gradient: `2 g (x − x̄) / (n − correction)`, whatever the correction.
    ///
    /// PyTorch: `x.var(dims, correction=…)`, `x.var(dims, correction=…, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 3.0], [5.0, 5.0]]);
    /// assert_eq!(x.var_dim(1, 1).to_vec(), [2.0, 0.0]);
    /// assert_eq!(x.var_dim([0, 1], 1.25).item(), 4.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn var_dim(&self, dims: impl ReduceDims, correction: impl Into<f64>) -> Tensor<T> {
        variance("var_dim", self, dims, correction.into(), self.shape().is_empty())
    }

    /// The standard deviation: the root of [`var`](Tensor::var).
    ///
    /// Gradient: 0 where the result is 0. PyTorch: `x.std(correction=…)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// assert_eq!(x.std(1).item(), 1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn std(&self, correction: impl Into<f64>) -> Tensor<T> {
        deviation("std", &variance("std", self, .., correction.into(), true))
    }

    /// The standard deviation over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()): the root of [`var_dim`](Tensor::var_dim).
    ///
    /// PyTorch: `x.std(dims, correction=…)`, `x.std(dims, correction=…, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 5.0, 5.0, 5.0], [2, 3]).unwrap();
    /// assert_eq!(x.std_dim(1, 1).to_vec(), [1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn std_dim(&self, dims: impl ReduceDims, correction: impl Into<f64>) -> Tensor<T> {
        let of_all = self.shape().is_empty();
        let variance = variance("std_dim", self, dims, correction.into(), of_all);
        deviation("std_dim", &variance)
    }
}

/// Without degrees of freedom, the gradient of PyTorch's `x.var()`, which scalars use too, differs
/// from that of `x.var(dims)`: `of_all` chooses the former.
#[track_caller]
fn variance<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    dims: impl ReduceDims,
    correction: f64,
    of_all: bool,
) -> Tensor<T> {
    let over = Reduction::new(op, x, dims);
    let count = T::from_f64(over.count as f64);
    let freedom = over.count as f64 - correction;
    let divisor = T::from_f64(freedom.max(0.0));
    let mean = over.sum(&x.array).map(op, move |sum| sum / count).reshape(op, over.kept.clone());
    let value = over.sum_squares(&x.array, &mean).map(op, move |sum| sum / divisor);
    let x_saved = x.clone();
    record(op, [x], value, move |ctx| {
        let x = &x_saved;
        let mean = over.spread(&x.mean_dim(&over.dims[..]));
        if of_all && freedom <= 0.0 {
            let at_mean = x.eq(&mean);
            let slope = Tensor::full(x.shape(), T::INFINITY).masked_fill(&at_mean, T::NAN);
            return [Some(over.spread(ctx.grad()) * slope)];
        }
        let slope = over.spread(&(ctx.grad() * T::from_f64(2.0 / freedom)));
        if is_pass_recorded() {
            return [Some((x - mean) * slope)];
        }
        let in_one_loop = |x, mean, slope| (x - mean) * slope;
        let gradient = x.array.zip3(op, &mean.array, &slope.array, over.shape.clone(), in_one_loop);
        [Some(gradient.into())]
    })
}

/// `√v`, with the gradient 0 at 0.
#[track_caller]
fn deviation<T: Float>(op: &'static str, variance: &Tensor<T>) -> Tensor<T> {
    let value = variance.array.map(op, T::sqrt);
    let saved = value.clone();
    let two = T::from_f64(2.0);
    record(op, [variance], value, move |ctx| {
        let y = ctx.output(&saved);
        let slope = ctx.grad() / (&y * two);
        [Some(slope.masked_fill(&y.eq(T::ZERO), T::ZERO))]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    #[test]
    fn gradients() {
        let apart = Tensor::from_vec(vec![0.0, 3.0, 1.0, 5.0, 2.0, 9.0], [2, 3]).unwrap();
        check_op(|x| x[0].var(1), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].var_dim([0, 2], 1.5), &[&[2, 2, 3]], -2.0..2.0);
        check_op(|x| x[0].var_dim(keepdim(1), 0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| (&x[0] + &apart).std(0), &[&[2, 3]], -0.4..0.4);
        check_op(|x| (&x[0] + &apart).std_dim(0, 1), &[&[2, 3]], -0.4..0.4);
    }

    #[test]
    fn corner_cases_follow_pytorch() {
        let one = Tensor::<f32>::ones([1]).requires_grad();
        assert!(one.var(1).item().is_nan());
        let few = Tensor::from([1.0f32, 2.0]).requires_grad();
        few.var(2.5).backward();
        assert_eq!(few.grad().unwrap().to_vec(), [f32::INFINITY; 2]);
        few.zero_grad();
        few.var_dim(0, 2.5).backward();
        assert_eq!(few.grad().unwrap().to_vec(), [2.0, -2.0]);
        let same = Tensor::<f32>::ones([3]).requires_grad();
        same.std(1).backward();
        assert_eq!(same.grad().unwrap().to_vec(), [0.0; 3]);
    }

    #[test]
    fn a_large_mean_costs_no_precision() {
        let x = Tensor::from_vec(vec![1e4f32, 1e4 + 1.0, 1e4 + 2.0], [3]).unwrap();
        assert_eq!(x.var(1).item(), 1.0);
    }
}

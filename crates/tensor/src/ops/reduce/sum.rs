//! Sums and means.
//!
//! Blocks are summed pairwise: the error grows with the logarithm of the length, and the bits do
//! not depend on the number of threads.

use crate::arrays::keepdim::ReduceDims;
use crate::ops::elementwise::div::div_scalar;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The sum of all elements, of shape `[]`; 0 for an empty tensor.
    ///
    /// Gradient: `g`, repeated. PyTorch: `x.sum()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).sum().item(), 6.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sum(&self) -> Tensor<T> {
        let shape = self.array.shape().clone();
        let value = self.array.sum_range("sum", 0..shape.len());
        record("sum", [self], value, move |ctx| [Some(ctx.grad().broadcast_to(&shape))])
    }

    /// The sums over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// Gradient: `g`, repeated. PyTorch: `x.sum(dims)`, `x.sum(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::{Tensor, keepdim};
    /// let x = Tensor::<f32>::ones([2, 3]);
    /// assert_eq!(x.sum_dim(0).to_vec(), [2.0; 3]);
    /// assert_eq!(x.sum_dim(keepdim([0, -1])).shape(), [1, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sum_dim(&self, dims: impl ReduceDims) -> Tensor<T> {
        sum_over(self, Reduction::new("sum_dim", self, dims))
    }

    /// The mean of all elements, of shape `[]`; NaN for an empty tensor.
    ///
    /// Gradient: `g / n`, repeated. PyTorch: `x.mean()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 6.0], [3]).unwrap();
    /// assert_eq!(x.mean().item(), 3.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mean(&self) -> Tensor<T> {
        div_scalar(&self.sum(), T::from_f64(self.numel() as f64))
    }

    /// The means over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// Gradient: `g / n`, repeated. PyTorch: `x.mean(dims)`, `x.mean(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 6.0], [2, 2]).unwrap();
    /// assert_eq!(x.mean_dim(0).to_vec(), [2.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn mean_dim(&self, dims: impl ReduceDims) -> Tensor<T> {
        let over = Reduction::new("mean_dim", self, dims);
        let count = T::from_f64(over.count as f64);
        div_scalar(&sum_over(self, over), count)
    }
}

#[track_caller]
fn sum_over<T: Float>(x: &Tensor<T>, over: Reduction) -> Tensor<T> {
    let value = over.sum(&x.array);
    record("sum_dim", [x], value, move |ctx| [Some(over.spread(ctx.grad()))])
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    #[test]
    fn gradients() {
        for shape in [&[2, 3][..], &[], &[1], &[0, 2]] {
            check_op(|x| x[0].sum().powf(2.0), &[shape], -2.0..2.0);
        }
        check_op(|x| x[0].mean().powf(2.0), &[&[2, 3]], -2.0..2.0);
        for dim in 0..3 {
            check_op(|x| x[0].sum_dim(dim).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
            check_op(|x| x[0].mean_dim(keepdim(dim)).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        }
        check_op(|x| x[0].sum_dim([0, -1]).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].mean_dim(keepdim(..)).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].sum_dim(keepdim(-1)).powf(2.0), &[&[]], -2.0..2.0);
    }

    #[test]
    fn a_long_mean_is_right() {
        let x = Tensor::from_vec(vec![0.1f32; 10_000_000], [10_000, 1000]).unwrap();
        for mean in [x.mean(), x.mean_dim(..), x.mean_dim(0).select(0, 999)] {
            assert!((f64::from(mean.item()) / f64::from(0.1f32) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    #[should_panic(expected = "sum_dim: dimensions [0, -1] of a tensor of shape []: one is named")]
    fn the_dimension_of_a_scalar_is_unique() {
        let _ = Tensor::scalar(1.0f32).sum_dim([0, -1]);
    }

    #[test]
    #[should_panic(expected = "sum_dim: dimension 2 of a tensor of shape [2, 3]")]
    fn a_missing_dimension_is_refused() {
        let _ = Tensor::<f32>::ones([2, 3]).sum_dim(2);
    }

    #[test]
    #[should_panic(
        expected = "sum_dim: dimensions [1, -1] of a tensor of shape [2, 3]: one is named twice"
    )]
    fn a_dimension_named_twice_is_refused() {
        let _ = Tensor::<f32>::ones([2, 3]).sum_dim([1, -1]);
    }
}

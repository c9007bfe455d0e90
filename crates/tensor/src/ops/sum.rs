//! Sums and means.

use super::div::div_scalar;
use crate::node::record;
use crate::shape::check_dim;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The sum of all elements, of shape `[]`; 0 for an empty tensor.
    ///
    /// Summed in pairs of blocks: the error grows with the logarithm of the
    /// length, and the bits do not depend on the number of threads.
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
        let value = self.array.sum_range(0..shape.len());
        record("sum", [self], value, move |ctx| [Some(ctx.grad().broadcast_to(&shape))])
    }

    /// The sum over dimension `dim`, which disappears, or stays with size 1 if `keepdim`.
    ///
    /// PyTorch: `x.sum(dim, keepdim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([2, 3]);
    /// assert_eq!(x.sum_dim(0, false).to_vec(), [2.0; 3]);
    /// assert_eq!(x.sum_dim(1, true).shape(), [2, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sum_dim(&self, dim: usize, keepdim: bool) -> Tensor<T> {
        let shape = self.array.shape().clone();
        check_dim("sum_dim", dim, &shape);
        let kept = shape.with(dim, 1);
        let sum = self.array.sum_range(dim..dim + 1);
        let value = if keepdim { sum.reshape(kept.clone()) } else { sum };
        record("sum_dim", [self], value, move |ctx| {
            [Some(ctx.grad().reshape(&kept).broadcast_to(&shape))]
        })
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
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shape in [&[2, 3][..], &[], &[1], &[0, 2]] {
            check_op(|x| x[0].sum().powf(2.0), &[shape], -2.0..2.0);
        }
        check_op(|x| x[0].mean().powf(2.0), &[&[2, 3]], -2.0..2.0);
        for dim in 0..3 {
            check_op(|x| x[0].sum_dim(dim, false).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
            check_op(|x| x[0].sum_dim(dim, true).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        }
    }

    #[test]
    #[should_panic(expected = "sum_dim: dimension 2 of a tensor of shape [2, 3]")]
    fn a_missing_dimension_is_refused() {
        let _ = Tensor::<f32>::ones([2, 3]).sum_dim(2, false);
    }
}

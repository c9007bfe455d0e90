//! A part of a dimension. Views: nothing is copied.

use crate::node::record;
use crate::shape::{Shape, check_dim};
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The view of `len` elements of dimension `dim`, from `start` on.
    ///
    /// Gradient: `g` at its place, 0 elsewhere. PyTorch: `x.narrow(dim, start, len)`.
    ///
    /// # Panics
    /// If there is no such dimension or range.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// assert_eq!(x.narrow(0, 1, 2).to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Tensor<T> {
        let shape = self.array.shape().clone();
        check_dim("narrow", dim, &shape);
        assert!(
            start.checked_add(len).is_some_and(|end| end <= shape[dim]),
            "narrow: {len} elements from {start} on are not in dimension {dim} of a tensor of \
             shape {shape}"
        );
        let value = self.array.narrow(dim, start, len);
        record("narrow", [self], value, move |ctx| [Some(embed(ctx.grad(), &shape, dim, start))])
    }

    /// The view at `index` of dimension `dim`, which disappears.
    ///
    /// PyTorch: `x.select(dim, index)`, `x[index]`.
    ///
    /// # Panics
    /// If there is no such dimension or index.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.select(1, 0).to_vec(), [1.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn select(&self, dim: usize, index: usize) -> Tensor<T> {
        let shape = self.array.shape();
        check_dim("select", dim, shape);
        assert!(
            index < shape[dim],
            "select: index {index} of dimension {dim} of a tensor of shape {shape}"
        );
        let shape = shape.clone();
        let value = self.array.narrow(dim, index, 1).without_dim(dim);
        record("select", [self], value, move |ctx| {
            let one = ctx.grad().reshape(shape.with(dim, 1));
            [Some(embed(&one, &shape, dim, index))]
        })
    }
}

/// Zeros of `shape` with `x` from `start` of dimension `dim` on.
#[track_caller]
fn embed<T: Float>(x: &Tensor<T>, shape: &Shape, dim: usize, start: usize) -> Tensor<T> {
    let len = x.array.shape()[dim];
    let value = x.array.embed(shape, dim, start);
    record("narrow_backward", [x], value, move |ctx| [Some(ctx.grad().narrow(dim, start, len))])
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].narrow(1, 1, 2).powf(3.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].narrow(0, 2, 0).powf(3.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].select(0, 1).powf(3.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].select(0, 1).powf(3.0), &[&[2]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "narrow: 2 elements from 2 on are not in dimension 0")]
    fn a_range_past_the_end_is_refused() {
        let _ = Tensor::<f32>::ones([3]).narrow(0, 2, 2);
    }
}

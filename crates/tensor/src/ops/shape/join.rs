//! Concatenating and stacking tensors.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::shape::Shape;
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, concatenate};

impl<T: Float> Tensor<T> {
    /// The tensors concatenated along dimension `dim`. Tensors of shape `[0]` are skipped, whatever
    /// the shape of the others.
    ///
    /// Gradient: for each tensor its part of `g`. PyTorch: `torch.cat(tensors, dim)`.
    ///
    /// # Panics
    /// If there are no tensors, there is no such dimension, or other sizes differ.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (a, b) = (Tensor::<f32>::ones([2, 1]), Tensor::zeros([2, 2]));
    /// assert_eq!(Tensor::cat(&[&a, &b], 1).to_vec(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cat(tensors: &[&Tensor<T>], dim: impl Dim) -> Tensor<T> {
        assert!(!tensors.is_empty(), "cat: no tensors; expected at least one");
        let left_out = |tensor: &Tensor<T>| tensor.shape() == [0];
        let (shape, dim) = match tensors.iter().find(|tensor| !left_out(tensor)) {
            Some(first) => (first.array.shape(), check_dim("cat", dim, first.array.shape())),
            None => (tensors[0].array.shape(), 0), // as in PyTorch, whatever `dim` is
        };
        for (i, tensor) in tensors.iter().enumerate() {
            let found = tensor.array.shape();
            let continues =
                || found.len() == shape.len() && found.with_size(dim, 0) == shape.with_size(dim, 0);
            assert!(
                left_out(tensor) || continues(),
                "cat: tensor {i} has shape {found}, which along dimension {dim} does not continue \
                 {shape}: the other dimensions must be equal"
            );
        }
        let size = |tensor: &&Tensor<T>| if left_out(tensor) { 0 } else { tensor.shape()[dim] };
        let sizes: Vec<usize> = tensors.iter().map(size).collect();
        let size = sizes.iter().fold(0usize, |sum, &size| sum.saturating_add(size));
        let shape = shape.with_size(dim, size).checked("cat");
        let [_, _, inner] = shape.around(dim);
        let mut value = Array::build("cat", shape, |_| {});
        // Not in a closure, which would hide the caller of `contiguous`.
        let mut parts = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            parts.push(tensor.array.contiguous("cat"));
        }
        let rows =
            parts.iter().zip(&sizes).map(|(part, size)| (part.contiguous_slice(), size * inner));
        let rows: Vec<_> = rows.collect();
        concatenate(value.make_mut_for("cat"), &rows);
        let shapes: Vec<Shape> =
            tensors.iter().map(|tensor| tensor.array.shape().clone()).collect();
        record_many("cat", tensors, value, move |ctx| {
            let mut start = 0;
            let part = |(i, &size): (usize, &usize)| {
                let from = start;
                start += size;
                let part = || ctx.grad().narrow(dim, from, size).reshape(&shapes[i]);
                ctx.needs(i).then(part)
            };
            sizes.iter().enumerate().map(part).collect()
        })
    }

    /// The tensors, which have equal shapes, stacked along a new dimension `dim`.
    ///
    /// PyTorch: `torch.stack(tensors, dim)`.
    ///
    /// # Panics
    /// If there are no tensors, there is no such dimension, or the shapes differ.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (a, b) = (Tensor::<f32>::ones([2]), Tensor::zeros([2]));
    /// assert_eq!(Tensor::stack(&[&a, &b], 1).to_vec(), [1.0, 0.0, 1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn stack(tensors: &[&Tensor<T>], dim: impl Dim) -> Tensor<T> {
        let Some(first) = tensors.first() else {
            panic!("stack: no tensors; expected at least one")
        };
        let shape = first.array.shape();
        for (i, tensor) in tensors.iter().enumerate() {
            let found = tensor.array.shape();
            assert!(
                found == shape,
                "stack: tensor {i} has shape {found}, the first {shape}; expected the same"
            );
        }
        let dim = check_dim("stack", dim, &shape.iter().copied().chain([1]).collect());
        let mut parts = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            parts.push(tensor.unsqueeze(dim));
        }
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        let shapes = [&[2, 3][..], &[2, 1], &[2, 0]];
        check_op(|x| Tensor::cat(&[&x[0], &x[1], &x[2]], 1).powf(2.0), &shapes, -2.0..2.0);
        check_op(|x| Tensor::cat(&[&x[0], &x[0]], 0).powf(2.0), &[&[2, 3]], -2.0..2.0);
        for dim in 0..3 {
            check_op(
                |x| Tensor::stack(&[&x[0], &x[1]], dim).powf(2.0),
                &[&[2, 3], &[2, 3]],
                -2.0..2.0,
            );
        }
        check_op(|x| Tensor::stack(&[&x[0], &x[1]], 0).powf(2.0), &[&[], &[]], -2.0..2.0);
    }

    #[test]
    fn tensors_of_shape_0_are_left_out() {
        // torch.cat([e, x, e], 1), and its gradient in e, of shape [0]
        let (e, x) = (Tensor::<f32>::ones([0]).requires_grad(), Tensor::ones([2, 3]));
        let y = Tensor::cat(&[&e, &x, &e], -1);
        assert_eq!((y.shape(), y.to_vec()), (x.shape(), x.to_vec()));
        y.sum().backward();
        assert_eq!(e.grad().unwrap().shape(), [0]);
        // torch.cat([e, e], 1), torch.cat([e, torch.ones(0, 3)], 1)
        assert_eq!(Tensor::cat(&[&e, &e], 1).shape(), [0]);
        assert_eq!(Tensor::cat(&[&e, &Tensor::ones([0, 3])], 1).shape(), [0, 3]);
    }

    #[test]
    #[should_panic(expected = "cat: tensor 1 has shape [0, 2]")]
    fn other_empty_tensors_must_fit() {
        let _ = Tensor::<f32>::cat(&[&Tensor::ones([2, 3]), &Tensor::ones([0, 2])], 0);
    }

    #[test]
    #[should_panic(expected = "cat: tensor 1 has shape [3, 2], which along dimension 1 does not \
                               continue [2, 2]")]
    fn tensors_that_differ_are_refused() {
        let _ = Tensor::<f32>::cat(&[&Tensor::ones([2, 2]), &Tensor::ones([3, 2])], 1);
    }
}

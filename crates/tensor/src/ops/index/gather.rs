//! Elements by index along a dimension, and the adjoint: adding at indices.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float, Lookup};
use smallvec::SmallVec;

impl<T: Float> Tensor<T> {
    /// `out[.., i, ..] = x[.., index[.., i, ..], ..]` along dimension `dim`; the result has the
    /// shape of `index`, whose other dimensions are at most as large as this tensor's. A scalar
    /// counts as a vector of one element, and an empty `index` may have any shape.
    ///
    /// Gradient: `g`, summed at the indices. PyTorch: `x.gather(dim, index)`.
    ///
    /// # Panics
    /// If there is no such dimension, the shapes do not fit, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::{Indices, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// let index = Indices::from_vec(vec![0, 0, 1, 0], [2, 2]).unwrap();
    /// assert_eq!(x.gather(1, &index).to_vec(), [1.0, 1.0, 4.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn gather(&self, dim: impl Dim, index: &Indices) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.gather(0, index);
        }
        let shape = self.array.shape();
        if shape.len() == 1 && index.shape().is_empty() {
            return self.gather(dim, &index.reshape([1])).reshape([]);
        }
        let dim = check_dim("gather", dim, shape);
        if index.numel() == 0 {
            return self.narrow(dim, 0, 0).reshape(index.array.shape());
        }
        check_sizes("gather", shape, dim, index);
        let indices = index.array.contiguous("gather");
        let view = self.array.strided_slice();
        let step = view.strides[dim];
        let mut strides: SmallVec<[usize; 4]> = view.strides.into();
        strides[dim] = 0;
        let lookup = Lookup {
            shape: indices.shape(),
            strides: &strides,
            step,
            index: indices.contiguous_slice(),
        };
        let mut is_within = true;
        let value = Array::build("gather", indices.shape().clone(), |out| {
            is_within = kernels::gather(out, view.data, lookup, shape[dim]);
        });
        if !is_within {
            check_bounds("gather", shape, dim, index); // panics
        }
        gathered("gather", self, value, dim, index)
    }

    /// This tensor with `out[.., index[.., i, ..], ..] += source[.., i, ..]` along dimension `dim`;
    /// indices may repeat. A scalar counts as a vector of one element, and an empty `index` may
    /// have any shape.
    ///
    /// Gradients: `g`; for `source` `g` gathered at the indices, and 0 where `source` is larger
    /// than `index` (PyTorch has no gradient there).
    ///
    /// PyTorch: `x.scatter_add(dim, index, source)`.
    ///
    /// # Panics
    /// If there is no such dimension, `index` is larger than `source` in any dimension or than this
    /// tensor in another one, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::{Indices, Tensor};
    /// let source = Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [3]).unwrap();
    /// let sums = Tensor::zeros([2]).scatter_add(0, &Indices::from(vec![0, 1, 0]), &source);
    /// assert_eq!(sums.to_vec(), [5.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn scatter_add(&self, dim: impl Dim, index: &Indices, source: &Tensor<T>) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.scatter_add(0, index, source).reshape([]);
        }
        let shape = self.array.shape();
        if shape.len() == 1 && index.shape().is_empty() {
            return self.scatter_add(dim, &index.reshape([1]), source);
        }
        if shape.len() == 1 && source.shape().is_empty() {
            return self.scatter_add(dim, index, &source.reshape([1]));
        }
        let dim = check_dim("scatter_add", dim, shape);
        if index.numel() == 0 {
            let shape = source.array.shape().clone();
            return record("scatter_add", [self, source], self.array.clone(), move |ctx| {
                [Some(ctx.grad().clone()), Some(Tensor::zeros(&shape))]
            });
        }
        check_sizes("scatter_add", shape, dim, index);
        check_bounds("scatter_add", shape, dim, index);
        let (found, largest) = (index.array.shape(), source.array.shape());
        assert!(
            found.len() == largest.len() && found.iter().zip(largest.iter()).all(|(i, s)| i <= s),
            "scatter_add: a source of shape {largest} with indices of shape {found}; expected an \
             element for each index"
        );
        let mut source = source.clone();
        for (d, &size) in found.iter().enumerate() {
            if source.shape()[d] > size {
                source = source.narrow(d, 0, size);
            }
        }
        let source = &source;
        let value = scatter("scatter_add", self.array.clone(), dim, index, &source.array);
        let index = index.clone();
        record("scatter_add", [self, source], value, move |ctx| {
            [
                ctx.needs(0).then(|| ctx.grad().clone()),
                ctx.needs(1).then(|| ctx.grad().gather(dim, &index)),
            ]
        })
    }
}

/// `value`, the elements of `x` at the indices, recorded.
#[track_caller]
pub(crate) fn gathered<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    value: Array<T>,
    dim: usize,
    index: &Indices,
) -> Tensor<T> {
    let (shape, index) = (x.array.shape().clone(), index.clone());
    record(op, [x], value, move |ctx| [Some(scattered(ctx.grad(), &shape, dim, &index))])
}

/// `out` with `source` added at the indices; in place if nothing else shares it.
#[track_caller]
fn scatter<T: Float>(
    op: &str,
    mut out: Array<T>,
    dim: usize,
    index: &Indices,
    source: &Array<T>,
) -> Array<T> {
    let (indices, source) = (index.array.contiguous(op), source.contiguous(op));
    let mut strides = kernels::contiguous_strides(out.shape());
    let step = strides[dim];
    strides[dim] = 0;
    let lookup = Lookup {
        shape: indices.shape(),
        strides: &strides,
        step,
        index: indices.contiguous_slice(),
    };
    kernels::scatter_add(out.make_mut_for(op), source.contiguous_slice(), lookup);
    out
}

/// Zeros of `shape` with `g` added at the indices: the gradient of [`Tensor::gather`].
#[track_caller]
fn scattered<T: Float>(g: &Tensor<T>, shape: &Shape, dim: usize, index: &Indices) -> Tensor<T> {
    let op = "gather_backward";
    let zeros = Array::full_for(op, shape.clone(), T::ZERO);
    let value = scatter(op, zeros, dim, index, &g.array);
    let index = index.clone();
    record(op, [g], value, move |ctx| [Some(ctx.grad().gather(dim, &index))])
}

/// Panics unless the sizes of `index` fit a tensor of `shape` along dimension `dim`.
#[track_caller]
fn check_sizes(op: &str, shape: &Shape, dim: usize, index: &Indices) {
    let found = index.array.shape();
    let fits =
        found.len() == shape.len() && (0..shape.len()).all(|d| d == dim || found[d] <= shape[d]);
    assert!(
        fits,
        "{op}: indices of shape {found} along dimension {dim} of a tensor of shape {shape}; \
         expected the same number of dimensions, and at most its sizes in the others"
    );
}

/// Panics unless all indices are below the size of dimension `dim` of a tensor of `shape`.
#[track_caller]
pub(crate) fn check_bounds(op: &str, shape: &Shape, dim: usize, index: &Indices) {
    if let Some((position, found)) = index.find_outside(op, shape[dim]) {
        panic!(
            "{op}: index {found} at position {position}; expected less than {}, the size of \
             dimension {dim} of a tensor of shape {shape}",
            shape[dim]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    fn indices(values: &[usize], shape: &[usize]) -> Indices {
        Indices::from_vec(values.to_vec(), shape).unwrap()
    }

    #[test]
    fn gradients() {
        let rows = indices(&[0, 2, 2, 0], &[2, 2]); // repeated
        check_op(|x| x[0].gather(1, &rows).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].gather(0, &rows).powf(2.0), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].gather(0, &indices(&[0], &[])).powf(2.0), &[&[]], -2.0..2.0);
        check_op(|x| x[0].scatter_add(1, &rows, &x[1]).powf(2.0), &[&[3, 3], &[2, 2]], -2.0..2.0);
        let none = indices(&[], &[0, 2]);
        check_op(|x| x[0].gather(0, &none), &[&[3, 2]], -2.0..2.0);
    }

    #[test]
    fn a_scalar_is_a_vector_of_one_element() {
        let (scalar, vector) = (Tensor::scalar(3.0f64), Tensor::from([1.0f64, 2.0]));
        let one = |shape: &[usize]| indices(&[0], shape);
        // torch.tensor(3.).gather(0, torch.tensor([0, 0])), and with torch.tensor([0])
        let twice = scalar.gather(-1, &indices(&[0, 0], &[2]));
        assert_eq!((twice.shape(), twice.to_vec()), (&[2][..], vec![3.0; 2]));
        assert_eq!(scalar.gather(0, &one(&[1])).shape(), [1]);
        assert_eq!(
            (scalar.gather(0, &one(&[])).shape(), vector.gather(0, &one(&[])).item()),
            (&[][..], 1.0)
        );
        // torch.tensor(3.).scatter_add(0, torch.tensor([0, 0]), torch.ones(2)), and others
        assert_eq!(scalar.scatter_add(0, &indices(&[0, 0], &[2]), &Tensor::ones([2])).item(), 5.0);
        for (index, source) in [(&[][..], &[][..]), (&[1], &[]), (&[], &[1]), (&[1], &[2])] {
            let sum = |x: &Tensor<f64>| x.scatter_add(0, &one(index), &Tensor::ones(source));
            assert_eq!((sum(&scalar).shape(), sum(&scalar).item()), (&[][..], 4.0));
            assert_eq!(sum(&vector).to_vec(), [2.0, 2.0]);
        }
        check_op(|x| x[0].gather(0, &indices(&[0, 0], &[2])).powf(2.0), &[&[]], -2.0..2.0);
        check_op(|x| x[0].scatter_add(0, &one(&[1]), &x[1]).powf(2.0), &[&[], &[3]], -2.0..2.0);
    }

    #[test]
    fn an_empty_index_may_have_any_shape() {
        // torch.ones(2, 3).gather(0, i) and scatter_add(0, i, s) for i and s of these shapes
        for shape in [&[0][..], &[0, 9], &[9, 0], &[0, 0, 0]] {
            let none = indices(&[], shape);
            check_op(|x| x[0].gather(1, &none), &[&[2, 3]], -2.0..2.0);
            check_op(|x| x[0].scatter_add(1, &none, &x[1]), &[&[2, 3], shape], -2.0..2.0);
            assert_eq!(Tensor::<f32>::ones([2, 3]).gather(0, &none).shape(), shape);
            assert_eq!(Tensor::scalar(1.0).scatter_add(0, &none, &Tensor::ones([2])).item(), 1.0);
        }
    }

    #[test]
    fn elements_beyond_the_indices_are_ignored() {
        check_op(
            |x| x[0].scatter_add(0, &indices(&[1, 0], &[1, 2]), &x[1]).powf(2.0),
            &[&[3, 2], &[2, 3]],
            -2.0..2.0,
        );
    }

    #[test]
    #[should_panic(expected = "gather: index 3 at position 1; expected less than 3, the size of \
                               dimension 0 of a tensor of shape [3]")]
    fn an_index_past_the_end_is_refused() {
        let _ = Tensor::<f32>::ones([3]).gather(0, &Indices::from(vec![0, 3]));
    }

    #[test]
    #[should_panic(expected = "expected the same number of dimensions")]
    fn indices_of_another_rank_are_refused() {
        let _ = Tensor::<f32>::ones([3, 2]).gather(0, &Indices::from(vec![0]));
    }
}

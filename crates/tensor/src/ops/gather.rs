//! Elements by index along a dimension, and the sum that undoes it.

use crate::array::Array;
use crate::dims::{Dim, check_dim};
use crate::indices::Indices;
use crate::node::record;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::{self as kernels, Float, Lookup};
use smallvec::SmallVec;

impl<T: Float> Tensor<T> {
    /// `out[.., i, ..] = x[.., index[.., i, ..], ..]` along dimension `dim`; the
    /// result has the shape of `index`, which in the other dimensions is at most
    /// as large as this tensor.
    ///
    /// Gradient: `g`, added up where it came from. PyTorch: `x.gather(dim, index)`.
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
        let shape = self.array.shape();
        let dim = check_index("gather", shape, dim, index);
        let places = index.array.contiguous();
        let view = self.array.view();
        let step = view.strides.get(dim).copied().unwrap_or(0);
        let mut strides: SmallVec<[usize; 4]> = view.strides.into();
        strides.iter_mut().skip(dim).take(1).for_each(|stride| *stride = 0);
        let lookup =
            Lookup { shape: places.shape(), strides: &strides, step, index: places.dense() };
        let value = Array::build(places.shape().clone(), |out| {
            kernels::gather(out, view.data, lookup);
        });
        let (shape, index) = (shape.clone(), index.clone());
        record("gather", [self], value, move |ctx| {
            [Some(scattered(ctx.grad(), &shape, dim, &index))]
        })
    }

    /// This tensor with `out[.., index[.., i, ..], ..] += source[.., i, ..]` along
    /// dimension `dim`; an index may come more than once.
    ///
    /// Gradients: `g`, and `g` gathered at the indices for `source`.
    ///
    /// PyTorch: `x.scatter_add(dim, index, source)`.
    ///
    /// # Panics
    /// If there is no such dimension, the shapes do not fit, or an index is too large.
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
        let shape = self.array.shape();
        let dim = check_index("scatter_add", shape, dim, index);
        assert!(
            source.array.shape() == index.array.shape(),
            "scatter_add: a source of shape {} with indices of shape {}; expected the same",
            source.array.shape(),
            index.array.shape()
        );
        let value = scatter(self.array.clone(), dim, index, &source.array);
        let index = index.clone();
        record("scatter_add", [self, source], value, move |ctx| {
            [
                ctx.needs(0).then(|| ctx.grad().clone()),
                ctx.needs(1).then(|| ctx.grad().gather(dim, &index)),
            ]
        })
    }
}

/// `out` with `source` added at the indices; in place if no one else sees it.
fn scatter<T: Float>(
    mut out: Array<T>,
    dim: usize,
    index: &Indices,
    source: &Array<T>,
) -> Array<T> {
    let (places, source) = (index.array.contiguous(), source.contiguous());
    let mut strides = kernels::contiguous_strides(out.shape());
    let step = strides.get(dim).copied().unwrap_or(0);
    strides.iter_mut().skip(dim).take(1).for_each(|stride| *stride = 0);
    let lookup = Lookup { shape: places.shape(), strides: &strides, step, index: places.dense() };
    kernels::scatter_add(out.make_mut(), source.dense(), lookup);
    out
}

/// Zeros of `shape` with `g` added at the indices: the gradient of [`Tensor::gather`].
#[track_caller]
fn scattered<T: Float>(g: &Tensor<T>, shape: &Shape, dim: usize, index: &Indices) -> Tensor<T> {
    let value = scatter(Array::full(shape.clone(), T::ZERO), dim, index, &g.array);
    let index = index.clone();
    record("gather_backward", [g], value, move |ctx| [Some(ctx.grad().gather(dim, &index))])
}

/// The dimension's number; panics unless `index` fits a tensor of `shape` along it.
/// A scalar is indexed as if it had one dimension of size 1.
#[track_caller]
fn check_index(op: &str, shape: &Shape, dim: impl Dim, index: &Indices) -> usize {
    let found = index.array.shape();
    if shape.is_empty() && found.is_empty() && [0, -1].contains(&dim.signed()) {
        return check_places(op, shape, 0, 1, index);
    }
    let dim = check_dim(op, dim, shape);
    let fits =
        found.len() == shape.len() && (0..shape.len()).all(|d| d == dim || found[d] <= shape[d]);
    assert!(
        fits,
        "{op}: indices of shape {found} along dimension {dim} of a tensor of shape {shape}; \
         expected as many dimensions, and in the others at most its sizes"
    );
    check_places(op, shape, dim, shape[dim], index)
}

#[track_caller]
pub(super) fn check_places(
    op: &str,
    shape: &Shape,
    dim: usize,
    size: usize,
    index: &Indices,
) -> usize {
    if let Some((place, found)) = index.find_outside(size) {
        panic!(
            "{op}: index {found} (number {place} of the indices) of dimension {dim} of a tensor \
             of shape {shape}, which has {size}"
        );
    }
    dim
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::testing::check_op;

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
    #[should_panic(expected = "gather: index 3 (number 1 of the indices) of dimension 0 of a \
                               tensor of shape [3], which has 3")]
    fn an_index_past_the_end_is_refused() {
        let _ = Tensor::<f32>::ones([3]).gather(0, &Indices::from(vec![0, 3]));
    }

    #[test]
    #[should_panic(expected = "expected as many dimensions")]
    fn indices_of_another_rank_are_refused() {
        let _ = Tensor::<f32>::ones([3, 2]).gather(0, &Indices::from(vec![0]));
    }
}

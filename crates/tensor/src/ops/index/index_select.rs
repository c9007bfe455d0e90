//! Rows by index: index_select, embedding and masked_select, and their adjoint, index_add.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::ops::index::gather::check_bounds;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, add_rows, take_rows};

impl<T: Float> Tensor<T> {
    /// The slices at these indices of dimension `dim`, in the order of the indices.
    ///
    /// Gradient: `g`, summed at the indices.
    ///
    /// PyTorch: `x.index_select(dim, index)`.
    ///
    /// # Panics
    /// If there is no such dimension, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.index_select(0, &[1, 0, 1]).to_vec(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index_select(&self, dim: impl Dim, index: &[usize]) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            let indices = index.len();
            assert!(indices == 1, "index_select: {indices} indices of a scalar; expected 1");
            return vector.index_select(0, index).reshape([]);
        }
        let shape = self.array.shape().clone();
        let dim = check_dim("index_select", dim, &shape);
        let index = Indices::from(index);
        check_bounds("index_select", &shape, dim, &index);
        let x = self.array.contiguous("index_select");
        let value = Array::build("index_select", shape.with_size(dim, index.numel()), |out| {
            take_rows(
                out,
                x.contiguous_slice(),
                around(&shape, dim),
                index.array.contiguous_slice(),
            );
        });
        record("index_select", [self], value, move |ctx| {
            [Some(added(ctx.grad(), &shape, dim, &index))]
        })
    }

    /// This tensor with `source` added to the slices at these indices of dimension `dim`; indices
    /// may repeat.
    ///
    /// Gradients: `g`; for `source`, `g` selected at the indices.
    ///
    /// PyTorch: `x.index_add(dim, index, source)`.
    ///
    /// # Panics
    /// If there is no such dimension, the shapes do not fit, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let source = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(Tensor::zeros([3]).index_add(0, &[2, 2], &source).to_vec(), [0.0, 0.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index_add(&self, dim: impl Dim, index: &[usize], source: &Tensor<T>) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            let (count, found) = (index.len(), source.array.shape());
            assert!(
                count == 1 && found.is_empty(),
                "index_add: a source of shape {found} for {count} indices of a scalar; expected \
                 [] and 1"
            );
            return vector.index_add(0, index, &source.reshape([1])).reshape([]);
        }
        let shape = self.array.shape().clone();
        let dim = check_dim("index_add", dim, &shape);
        let index = Indices::from(index);
        check_bounds("index_add", &shape, dim, &index);
        let (found, expected) = (source.array.shape(), shape.with_size(dim, index.numel()));
        assert!(
            *found == expected,
            "index_add: a source of shape {found} for {} indices of dimension {dim} of a tensor \
             of shape {shape}; expected {expected}",
            index.numel()
        );
        let value = add_at("index_add", self.array.clone(), dim, &index, &source.array);
        record("index_add", [self, source], value, move |ctx| {
            [
                ctx.needs(0).then(|| ctx.grad().clone()),
                ctx.needs(1).then(|| ctx.grad().index_select(dim, index.array.contiguous_slice())),
            ]
        })
    }

    /// The rows of this table at these indices: `[V, D]` with indices of shape `[…]` → `[…, D]`.
    ///
    /// PyTorch: `torch.nn.functional.embedding(index, table)`.
    ///
    /// # Panics
    /// If this is not a matrix, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::{Indices, Tensor};
    /// let table = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// let words = Indices::from_vec(vec![1, 0, 1], [1, 3]).unwrap();
    /// assert_eq!(table.embedding(&words).shape(), [1, 3, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn embedding(&self, index: &Indices) -> Tensor<T> {
        let shape = self.array.shape();
        assert!(
            shape.len() == 2,
            "embedding: a table of shape {shape}; expected [entries, features]"
        );
        check_bounds("embedding", shape, 0, index);
        let rows = self.index_select(0, index.array.contiguous("embedding").contiguous_slice());
        let result: Shape = index.shape().iter().copied().chain([shape[1]]).collect();
        rows.reshape(result)
    }

    /// The elements where the mask is true, in row-major order, in one dimension;
    /// tensor and mask broadcast.
    ///
    /// Gradient: `g` where the mask is true, 0 elsewhere. PyTorch: `x.masked_select(mask)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, -2.0, 3.0], [3]).unwrap();
    /// assert_eq!(x.masked_select(&x.gt(0.0)).to_vec(), [1.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn masked_select(&self, mask: &Mask) -> Tensor<T> {
        let shape = self.array.shape().broadcast_with("masked_select", mask.array.shape());
        let positions = mask.broadcast_to(&shape).positions("masked_select");
        self.broadcast_to(&shape).reshape([shape.numel()]).index_select(0, &positions)
    }
}

/// `out` with the slices of `source` added at the indices; in place if nothing else shares it.
#[track_caller]
fn add_at<T: Float>(
    op: &str,
    mut out: Array<T>,
    dim: usize,
    index: &Indices,
    source: &Array<T>,
) -> Array<T> {
    let (split, source) = (around(out.shape(), dim), source.contiguous(op));
    add_rows(
        out.make_mut_for(op),
        source.contiguous_slice(),
        split,
        index.array.contiguous_slice(),
    );
    out
}

/// Zeros of `shape` with the slices of `g` added at the indices: the gradient of
/// [`Tensor::index_select`].
#[track_caller]
fn added<T: Float>(g: &Tensor<T>, shape: &Shape, dim: usize, index: &Indices) -> Tensor<T> {
    let op = "index_select_backward";
    let zeros = Array::full_for(op, shape.clone(), T::ZERO);
    let value = add_at(op, zeros, dim, index, &g.array);
    let index = index.clone();
    record(op, [g], value, move |ctx| {
        [Some(ctx.grad().index_select(dim, index.array.contiguous_slice()))]
    })
}

/// The sizes before, of, and after dimension `dim`.
pub(crate) fn around(shape: &Shape, dim: usize) -> [usize; 3] {
    let size = |sizes: &[usize]| sizes.iter().product::<usize>();
    [size(&shape[..dim]), shape[dim], size(&shape[dim + 1..])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for dim in 0..3 {
            check_op(|x| x[0].index_select(dim, &[1, 0, 1]).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        }
        check_op(|x| x[0].index_select(0, &[]), &[&[2, 3]], -2.0..2.0);
        check_op(
            |x| x[0].index_add(1, &[2, 0, 2], &x[1]).powf(2.0),
            &[&[2, 3], &[2, 3]],
            -2.0..2.0,
        );
        let words = Indices::from_vec(vec![1, 1, 0, 3], [2, 2]).unwrap();
        check_op(|x| x[0].embedding(&words).powf(2.0), &[&[4, 3]], -2.0..2.0);
        let mask = Mask::from_vec(vec![true, false, true], [3]).unwrap();
        check_op(|x| x[0].masked_select(&mask).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].masked_select(&mask).powf(2.0), &[&[2, 1]], -2.0..2.0);
    }

    #[test]
    fn a_scalar_is_a_vector_of_one_element() {
        // torch.tensor(3.).index_add(-1, torch.tensor([0]), torch.tensor(2.))
        check_op(|x| x[0].index_add(-1, &[0], &x[1]).powf(2.0), &[&[], &[]], -2.0..2.0);
        assert_eq!(Tensor::scalar(3.0).index_add(0, &[0], &Tensor::scalar(2.0)).item(), 5.0);
    }

    #[test]
    #[should_panic(expected = "index_add: a source of shape [1] for 1 indices of a scalar")]
    fn a_scalar_needs_a_scalar_source() {
        let _ = Tensor::scalar(3.0f32).index_add(0, &[0], &Tensor::ones([1]));
    }

    #[test]
    #[should_panic(
        expected = "index_select: index 2 at position 0; expected less than 2, the size of"
    )]
    fn an_index_past_the_end_is_refused() {
        let _ = Tensor::<f32>::ones([3, 2]).index_select(1, &[2]);
    }
}

//! Slices of a dimension replaced at given indices.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::ops::index::gather::check_bounds;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, put_rows};

impl<T: Float> Tensor<T> {
    /// This tensor with the slices at these indices of dimension `dim` replaced by those of
    /// `source`. Where an index repeats, the last one wins.
    ///
    /// Gradients: `g`, with 0 at the indices; for `source`, `g` selected at the indices, with 0 for
    /// a slice that a later one replaced.
    ///
    /// PyTorch: `x.index_copy(dim, index, source)`, where the winner among equal indices is
    /// undefined.
    ///
    /// # Panics
    /// If there is no such dimension, the shapes do not fit, or an index is too large.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let source = Tensor::from([1.0f32, 2.0, 3.0]);
    /// let copied = Tensor::zeros([3]).index_copy(0, &[2, 0, 2], &source);
    /// assert_eq!(copied.to_vec(), [2.0, 0.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index_copy(&self, dim: impl Dim, index: &[usize], source: &Tensor<T>) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.index_copy(0, index, source).reshape([]);
        }
        let shape = self.array.shape();
        let dim = check_dim("index_copy", dim, shape);
        let index = Indices::from(index);
        check_bounds("index_copy", shape, dim, &index);
        let (found, expected) = (source.array.shape(), shape.with_size(dim, index.numel()));
        assert!(
            *found == expected,
            "index_copy: a source of shape {found} for {} indices of dimension {dim} of a tensor \
             of shape {shape}; expected {expected}",
            index.numel()
        );
        self.copy_at(dim, index, source)
    }

    /// [`index_copy`](Tensor::index_copy) at contiguous indices that have been checked.
    #[track_caller]
    pub(crate) fn copy_at(&self, dim: usize, index: Indices, source: &Tensor<T>) -> Tensor<T> {
        let op = "index_copy";
        let (mut value, values) = (self.array.clone(), source.array.contiguous(op));
        let (split, at) = (value.shape().around(dim), index.array.contiguous_slice());
        put_rows(value.make_mut_for(op), values.contiguous_slice(), split, at);
        let copied = source.array.shape().clone();
        record(op, [self, source], value, move |ctx| {
            let g = ctx.grad();
            let of_source = || {
                let selected = g.slices_at(dim, index.clone());
                match replaced(index.array.contiguous_slice(), g.shape(), dim) {
                    Some(replaced) => selected.masked_fill(&replaced, T::ZERO),
                    None => selected,
                }
            };
            [
                ctx.needs(0).then(|| g.copy_at(dim, index.clone(), &Tensor::zeros(&copied))),
                ctx.needs(1).then(of_source),
            ]
        })
    }
}

/// A mask of the indices of dimension `dim` that appear again later, which broadcasts to the
/// selected slices; `None` if no index repeats.
#[track_caller]
fn replaced(index: &[usize], shape: &[usize], dim: usize) -> Option<Mask> {
    // From the last to the first, with a bit for each index that has appeared.
    let mut seen = vec![0_u64; shape[dim].div_ceil(64)];
    let mut replaced = vec![0; index.len()];
    for (replaced, &index) in replaced.iter_mut().zip(index).rev() {
        let (word, bit) = (&mut seen[index / 64], 1 << (index % 64));
        *replaced = u8::from(*word & bit != 0);
        *word |= bit;
    }
    let aligned: Shape =
        [index.len()].into_iter().chain(shape[dim + 1..].iter().map(|_| 1)).collect();
    replaced
        .contains(&1)
        .then(|| Mask { array: Array::from_slice_for("index_copy", aligned, &replaced) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for index in [&[2, 0][..], &[1, 1], &[]] {
            let n = index.len();
            let copied = |x: &[Tensor<f64>]| x[0].index_copy(1, index, &x[1]).powf(2.0);
            check_op(copied, &[&[2, 3, 2], &[2, n, 2]], -2.0..2.0);
        }
        check_op(|x| x[0].index_copy(0, &[0], &x[1]).powf(2.0), &[&[], &[1]], -2.0..2.0);
    }

    #[test]
    fn the_last_equal_index_wins_and_gets_the_gradient() {
        let source = Tensor::from([1.0f32, 2.0, 3.0]).requires_grad();
        let copied = Tensor::zeros([2]).index_copy(0, &[1, 0, 1], &source);
        assert_eq!(copied.to_vec(), [2.0, 3.0]);
        copied.backward_with(&Tensor::from([5.0, 7.0]));
        assert_eq!(source.grad().unwrap().to_vec(), [0.0, 5.0, 7.0]);
    }

    #[test]
    #[should_panic(
        expected = "index_copy: a source of shape [2] for 1 indices of dimension 0 of a \
                               tensor of shape [3]; expected [1]"
    )]
    fn a_source_of_another_shape_is_refused() {
        let _ = Tensor::<f32>::ones([3]).index_copy(0, &[0], &Tensor::ones([2]));
    }
}

//! Rows by index: index_select and embedding, and their adjoint, index_add.

use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::ops::index::gather::check_bounds;
use crate::tape::positions::{Positions, record_selection};
use crate::tape::record::record;
use crate::tape::stored::{Stored, widen};
use crate::tape::tensor::Tensor;
use crate::tape::weight::Weight;
use adamant_kernels::{Float, add_rows};

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
        self.slices_at(dim, index)
    }

    /// [`index_select`](Tensor::index_select) at contiguous indices that have been checked.
    #[track_caller]
    pub(crate) fn slices_at(&self, dim: usize, index: Indices) -> Tensor<T> {
        let value = self.array.take("index_select", &[(dim, index.array.contiguous_slice())]);
        record_selection("index_select", self, value, || Positions::Slices { dim, index })
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
        self.add_at(dim, index, source)
    }

    /// [`index_add`](Tensor::index_add) at contiguous indices that have been checked.
    #[track_caller]
    pub(crate) fn add_at(&self, dim: usize, index: Indices, source: &Tensor<T>) -> Tensor<T> {
        let op = "index_add";
        let (mut value, values) = (self.array.clone(), source.array.contiguous(op));
        let (split, at) = (value.shape().around(dim), index.array.contiguous_slice());
        add_rows(value.make_mut_for(op), values.contiguous_slice(), split, at);
        record(op, [self, source], value, move |ctx| {
            [
                ctx.needs(0).then(|| ctx.grad().clone()),
                ctx.needs(1).then(|| ctx.grad().slices_at(dim, index.clone())),
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
        let result = embedding_shape(self.array.shape(), index);
        let rows = self.index_select(0, index.array.contiguous("embedding").contiguous_slice());
        rows.reshape(result)
    }
}

impl<T: Float> Weight<T> {
    /// [`Tensor::embedding`]. Of a parameter that is [stored as BF16](crate::Parameter::store_as) it
    /// widens only these rows.
    ///
    /// # Panics
    /// As [`Tensor::embedding`].
    ///
    /// ```
    /// use adamant_tensor::{Indices, Parameter, Storage, Tensor, Weight};
    /// let table = Parameter::new(Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]));
    /// table.set_requires_grad(false);
    /// table.store_as(Storage::Bf16);
    /// let rows = Weight::from(&table).embedding(&Indices::from([1, 0, 1]));
    /// assert_eq!(rows.to_vec(), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn embedding(&self, index: &Indices) -> Tensor<T> {
        let table = match &self.value {
            Stored::Full(_) => return self.tensor().embedding(index),
            Stored::Bf16(table) => table.contiguous("embedding"),
        };
        let shape = embedding_shape(table.shape(), index);
        let index = index.array.contiguous("embedding");
        let rows = table.take("embedding", &[(0, index.contiguous_slice())]);
        widen(&rows.reshape("embedding", shape), "embedding").into()
    }
}

/// The shape of the rows of a table at these indices.
#[track_caller]
fn embedding_shape(table: &Shape, index: &Indices) -> Shape {
    assert!(table.len() == 2, "embedding: a table of shape {table}; expected [entries, features]");
    check_bounds("embedding", table, 0, index);
    index.shape().iter().copied().chain([table[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Parameter, Storage};

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
    }

    #[test]
    fn rows_of_a_bf16_table_are_widened() {
        let values: Vec<f32> = (0..12).map(|i| i as f32 / 4.0).collect();
        let table = Parameter::new(Tensor::from_vec(values, [4, 3]).unwrap());
        table.set_requires_grad(false);
        for index in [Indices::from([[3, 0], [1, 3]]), Indices::from_vec(vec![], [0, 2]).unwrap()] {
            let rows = [Storage::Full, Storage::Bf16].map(|storage| {
                table.store_as(storage);
                Weight::from(&table).embedding(&index)
            });
            assert_eq!(rows[0].shape(), rows[1].shape());
            assert_eq!(rows[0].to_vec(), rows[1].to_vec());
        }
    }

    #[test]
    #[should_panic(expected = "embedding: index 4 at position 0; expected less than 4")]
    fn an_index_past_the_end_of_a_bf16_table_is_refused() {
        let table = Parameter::new(Tensor::<f32>::ones([4, 3]));
        table.set_requires_grad(false);
        table.store_as(Storage::Bf16);
        let _ = Weight::from(&table).embedding(&Indices::from([4]));
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

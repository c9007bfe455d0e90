//! The index of the largest and of the smallest element.

use crate::arrays::array::with_room;
use crate::arrays::dims::{Dim, check_dim};
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, arg_best, reduce_rows};

impl<T: Float> Tensor<T> {
    /// The index of the largest element along dimension `dim`, in row-major order of the other
    /// dimensions: the first of equal ones, or the first NaN if there is one.
    ///
    /// PyTorch: `x.argmax(dim)`. Over all elements: `x.flatten(0, -1).argmax(0)`.
    /// [`max_dim`](Tensor::max_dim) returns the indices as [`Indices`](crate::Indices).
    ///
    /// # Panics
    /// If there is no such dimension, or it is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 2.0, 0.0], [2, 2]).unwrap();
    /// assert_eq!((x.argmax(1), x.argmax(0)), (vec![1, 0], vec![1, 0]));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn argmax(&self, dim: impl Dim) -> Vec<usize> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.argmax(0);
        }
        let dim = check_dim("argmax", dim, self.array.shape());
        self.arg_best("argmax", dim, |x, best| x > best)
    }

    /// The index of the smallest element along dimension `dim`, in row-major order of the other
    /// dimensions: the first of equal ones, or the first NaN if there is one.
    ///
    /// PyTorch: `x.argmin(dim)`. Over all elements: `x.flatten(0, -1).argmin(0)`.
    /// [`min_dim`](Tensor::min_dim) returns the indices as [`Indices`](crate::Indices).
    ///
    /// # Panics
    /// If there is no such dimension, or it is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 2.0, 0.0], [2, 2]).unwrap();
    /// assert_eq!(x.argmin(-1), [0, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn argmin(&self, dim: impl Dim) -> Vec<usize> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.argmin(0);
        }
        let dim = check_dim("argmin", dim, self.array.shape());
        self.arg_best("argmin", dim, |x, best| x < best)
    }

    #[track_caller]
    pub(crate) fn arg_best(
        &self,
        op: &str,
        dim: usize,
        better: impl Fn(T, T) -> bool + Copy + Sync,
    ) -> Vec<usize> {
        let shape = self.array.shape();
        assert!(shape[dim] > 0, "{op}: dimension {dim} of a tensor of shape {shape} is empty");
        let len = shape.without(dim).numel();
        let mut out = with_room(op, len);
        out.resize(len, 0);
        let rows = self.array.rows(op, &[dim]);
        reduce_rows(&mut out, rows.contiguous_slice(), shape[dim], |row| arg_best(row, better));
        out
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn other_dimensions_keep_their_order() {
        let x =
            Tensor::from_vec((0..24).map(|i| ((i * 7) % 24) as f32).collect(), [2, 3, 4]).unwrap();
        let values = x.to_vec();
        for (i, best) in x.argmax(1).into_iter().enumerate() {
            let column = |j: usize| values[(i / 4) * 12 + j * 4 + i % 4];
            assert!((0..3).all(|j| column(j) <= column(best)));
        }
    }
}

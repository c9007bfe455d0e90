//! Sorting.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::ops::index::gather::gathered;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, sort_rows};

impl<T: Float> Tensor<T> {
    /// The elements along dimension `dim` in ascending order, and their original indices.
    ///
    /// Equal elements keep their order. NaN counts as the largest value.
    ///
    /// Gradient: `g` at the original indices. PyTorch: `x.sort(dim, stable=True)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![2.0f32, 3.0, 1.0], [3]).unwrap();
    /// let (sorted, indices) = x.sort(0);
    /// assert_eq!((sorted.to_vec(), indices.to_vec()), (vec![1.0, 2.0, 3.0], vec![2, 0, 1]));
    /// ```
    #[track_caller]
    pub fn sort(&self, dim: impl Dim) -> (Tensor<T>, Indices) {
        self.in_order("sort", dim, None, false)
    }

    /// The elements along dimension `dim` in descending order, and their original indices.
    ///
    /// Equal elements keep their order. NaN counts as the largest value.
    ///
    /// Gradient: `g` at the original indices. PyTorch: `x.sort(dim, descending=True, stable=True)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([2.0f32, 3.0, 1.0]);
    /// let (sorted, indices) = x.sort_descending(0);
    /// assert_eq!((sorted.to_vec(), indices.to_vec()), (vec![3.0, 2.0, 1.0], vec![1, 0, 2]));
    /// ```
    #[track_caller]
    pub fn sort_descending(&self, dim: impl Dim) -> (Tensor<T>, Indices) {
        self.in_order("sort_descending", dim, None, true)
    }

    /// The `k` largest elements along dimension `dim`, the largest first, and their original
    /// indices.
    ///
    /// Of equal elements the first ones are taken. NaN counts as the largest value.
    ///
    /// Gradient: `g` at the original indices. PyTorch: `x.topk(k, dim)`.
    ///
    /// # Panics
    /// If there is no such dimension, or it is shorter than `k`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![2.0f32, 3.0, 1.0], [3]).unwrap();
    /// let (best, indices) = x.topk(2, 0);
    /// assert_eq!((best.to_vec(), indices.to_vec()), (vec![3.0, 2.0], vec![1, 0]));
    /// ```
    #[track_caller]
    pub fn topk(&self, k: usize, dim: impl Dim) -> (Tensor<T>, Indices) {
        self.in_order("topk", dim, Some(k), true)
    }

    /// The `k` smallest elements along dimension `dim`, the smallest first, and their original
    /// indices.
    ///
    /// Of equal elements the first ones are taken. NaN counts as the largest value.
    ///
    /// Gradient: `g` at the original indices. PyTorch: `x.topk(k, dim, largest=False)`.
    ///
    /// # Panics
    /// If there is no such dimension, or it is shorter than `k`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([2.0f32, 3.0, 1.0]);
    /// let (least, indices) = x.topk_smallest(2, 0);
    /// assert_eq!((least.to_vec(), indices.to_vec()), (vec![1.0, 2.0], vec![2, 0]));
    /// ```
    #[track_caller]
    pub fn topk_smallest(&self, k: usize, dim: impl Dim) -> (Tensor<T>, Indices) {
        self.in_order("topk_smallest", dim, Some(k), false)
    }

    /// The first `k` elements along `dim` in sorted order (default: all), and their indices.
    #[track_caller]
    fn in_order(
        &self,
        op: &'static str,
        dim: impl Dim,
        k: Option<usize>,
        descending: bool,
    ) -> (Tensor<T>, Indices) {
        if let Some(vector) = self.scalar_as_vector(dim) {
            // As in PyTorch, a scalar keeps its element even for k = 0.
            let k = k.map(|k| k.max(1));
            let (value, index) = vector.in_order(op, 0, k, descending);
            return (value.reshape([]), index.reshape([]));
        }
        let shape = self.array.shape();
        let dim = check_dim(op, dim, shape);
        let size = shape[dim];
        let k = k.unwrap_or(size);
        assert!(
            k <= size,
            "{op}: {k} elements of dimension {dim} of a tensor of shape {shape}, which has {size}"
        );
        let rows = self.array.rows(op, &[dim]);
        let sizes = rows.shape().clone().with_size(shape.len() - 1, k);
        let mut indices = Array::build(op, sizes.clone(), |_| {});
        let values = Array::build(op, sizes, |values| {
            let indices = indices.make_mut_for(op);
            sort_rows(values, indices, rows.contiguous_slice(), size, k, descending);
        });
        // Moves the last dimension back to `dim`.
        let mut back: Vec<usize> = (0..shape.len() - 1).collect();
        back.insert(dim, shape.len() - 1);
        let indices = Indices { array: indices.permute(&back).contiguous(op) };
        let values = values.permute(&back).contiguous(op);
        (gathered(op, self, values, dim, &indices), indices)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        // Broadcasting makes equal elements, where there is a kink: make them differ.
        let apart = Tensor::from_vec((0..12).map(|i| f64::from(i * 5 % 12)).collect(), [2, 3, 2]);
        let apart = apart.unwrap();
        for dim in 0..3 {
            check_op(
                |x| (&x[0] + &apart).sort_descending(dim).0.powf(2.0),
                &[&[2, 3, 2]],
                -0.4..0.4,
            );
            check_op(|x| (&x[0] + &apart).topk_smallest(2, dim).0, &[&[2, 3, 2]], -0.4..0.4);
        }
        check_op(|x| x[0].sort(0).0.powf(2.0), &[&[0]], -2.0..2.0);
    }

    #[test]
    fn nan_is_largest_and_equals_keep_their_order() {
        let x = Tensor::from_vec(vec![1.0f32, f32::NAN, 0.0, 1.0, -0.0], [5]).unwrap();
        assert_eq!(x.sort(0).1.to_vec(), [2, 4, 0, 3, 1]);
        assert_eq!(x.sort_descending(0).1.to_vec(), [1, 0, 3, 2, 4]);
        assert_eq!(x.topk(2, -1).1.to_vec(), [1, 0]);
    }

    #[test]
    fn other_dimensions_are_kept() {
        let x = Tensor::from_vec(vec![3.0f32, 1.0, 2.0, 0.0, 1.0, 9.0], [3, 2]).unwrap();
        let (sorted, indices) = x.sort(0);
        assert_eq!(sorted.to_vec(), [1.0, 0.0, 2.0, 1.0, 3.0, 9.0]);
        assert_eq!(indices.to_vec(), [2, 1, 1, 0, 0, 2]);
        assert_eq!(x.topk(0, 0).0.shape(), [0, 2]);
        // torch.tensor(3.).topk(0)
        assert_eq!(Tensor::scalar(3.0f32).topk(0, 0).0.item(), 3.0);
    }
}

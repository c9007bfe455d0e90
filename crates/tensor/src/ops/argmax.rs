//! The place of the largest.

use crate::shape::check_dim;
use crate::tensor::Tensor;
use adamant_kernels::{Float, argmax_rows};

impl<T: Float> Tensor<T> {
    /// The index of the largest element along dimension `dim`, in row-major
    /// order of the others; the first of equals, the first NaN if there is one.
    ///
    /// PyTorch: `x.argmax(dim)`.
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
    pub fn argmax(&self, dim: usize) -> Vec<usize> {
        let shape = self.array.shape();
        check_dim("argmax", dim, shape);
        assert!(shape[dim] > 0, "argmax: dimension {dim} of a tensor of shape {shape} is empty");
        let mut order: Vec<usize> = (0..shape.len()).filter(|&d| d != dim).collect();
        order.push(dim);
        argmax_rows(self.array.permute(&order).contiguous().dense(), shape[dim])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn the_other_dimensions_keep_their_order() {
        let x =
            Tensor::from_vec((0..24).map(|i| ((i * 7) % 24) as f32).collect(), [2, 3, 4]).unwrap();
        let values = x.to_vec();
        for (i, best) in x.argmax(1).into_iter().enumerate() {
            let column = |j: usize| values[(i / 4) * 12 + j * 4 + i % 4];
            assert!((0..3).all(|j| column(j) <= column(best)));
        }
    }
}

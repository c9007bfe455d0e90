//! Single elements: `x[[i, j]]`.

use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::ops::Index;

impl<T: Float, const N: usize> Index<[usize; N]> for Tensor<T> {
    type Output = T;

    /// The element at an index for each dimension.
    ///
    /// For views see [`select`](Tensor::select) and [`narrow`](Tensor::narrow). PyTorch:
    /// `x[i, j].item()`.
    ///
    /// # Panics
    /// If there is not one index for each dimension, or one is out of range.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x[[1, 0]], 3.0);
    /// ```
    #[track_caller]
    fn index(&self, index: [usize; N]) -> &T {
        let shape = self.array.shape();
        assert!(
            shape.len() == N && index.iter().zip(shape.iter()).all(|(i, size)| i < size),
            "index {index:?} of a tensor of shape {shape}; expected one index below the size for \
             each dimension"
        );
        let view = self.array.strided_slice();
        let position: usize = index.iter().zip(view.strides).map(|(i, stride)| i * stride).sum();
        &view.data[position]
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn a_view_is_indexed_by_its_own_dimensions() {
        let x = Tensor::<f64>::arange(0.0, 24.0, 1.0).reshape([2, 3, 4]).permute([2, 0, 1]);
        assert_eq!(x[[3, 1, 2]], 23.0);
        assert_eq!(x.narrow(0, 1, 2)[[1, 0, 1]], 6.0);
        assert_eq!(Tensor::scalar(2.0f32)[[]], 2.0);
    }

    #[test]
    #[should_panic(expected = "index [0, 2] of a tensor of shape [2, 2]")]
    fn an_index_out_of_range_is_named() {
        let _ = Tensor::<f32>::ones([2, 2])[[0, 2]];
    }
}

//! Counting nonzero elements, and whether any or all are nonzero. NaN is nonzero.

use crate::arrays::dims::Dims;
use crate::arrays::indices::Indices;
use crate::arrays::keepdim::ReduceDims;
use crate::arrays::mask::Mask;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The number of nonzero elements.
    ///
    /// PyTorch: `x.count_nonzero()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([0.0f32, 2.0, -0.0, f32::NAN]).count_nonzero(), 2);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn count_nonzero(&self) -> usize {
        let values = self.array.contiguous("count_nonzero");
        adamant_kernels::count(values.contiguous_slice(), |x| x != T::ZERO)
    }

    /// The number of nonzero elements over dimensions `dims`, which disappear; no dimensions mean
    /// all.
    ///
    /// PyTorch: `x.count_nonzero(dims)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[0.0f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.count_nonzero_dim(1).to_vec(), [1, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn count_nonzero_dim(&self, dims: impl Dims) -> Indices {
        self.nonzero("count_nonzero_dim").count_over("count_nonzero_dim", dims)
    }

    /// Whether any element is nonzero; false for an empty tensor.
    ///
    /// PyTorch: `x.any()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert!(Tensor::from([0.0f32, 2.0]).any());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn any(&self) -> bool {
        self.nonzero("any").any()
    }

    /// Whether all elements are nonzero; true for an empty tensor.
    ///
    /// PyTorch: `x.all()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert!(!Tensor::from([0.0f32, 2.0]).all());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn all(&self) -> bool {
        self.nonzero("all").all()
    }

    /// Whether any element is nonzero along dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// PyTorch: `x.any(dims)`, `x.any(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[0.0f32, 2.0], [0.0, 0.0]]);
    /// assert_eq!(x.any_dim(1).to_vec(), [true, false]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn any_dim(&self, dims: impl ReduceDims) -> Mask {
        self.nonzero("any_dim").any_over("any_dim", dims)
    }

    /// Whether all elements are nonzero along dimensions `dims`, which disappear, or keep size 1
    /// for [`keepdim(dims)`](crate::keepdim()).
    ///
    /// PyTorch: `x.all(dims)`, `x.all(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[0.0f32, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.all_dim(1).to_vec(), [false, true]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn all_dim(&self, dims: impl ReduceDims) -> Mask {
        self.nonzero("all_dim").all_over("all_dim", dims)
    }

    #[track_caller]
    fn nonzero(&self, op: &str) -> Mask {
        Mask { array: self.array.map(op, |x| u8::from(x != T::ZERO)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepdim;

    #[test]
    fn nan_is_not_zero_and_negative_zero_is() {
        let x = Tensor::from([[f32::NAN, -0.0], [0.0, 1.0]]);
        assert_eq!((x.count_nonzero(), x.any(), x.all()), (2, true, false));
        assert_eq!(x.any_dim(keepdim(0)).shape(), [1, 2]);
    }

    #[test]
    fn no_dimensions_count_all_and_compare_none() {
        let x = Tensor::from([[0.0f32, 1.0], [2.0, 3.0]]);
        let none: [usize; 0] = [];
        assert_eq!(x.count_nonzero_dim(none).to_vec(), [3]);
        assert_eq!(x.any_dim(none).to_vec(), [false, true, true, true]);
        assert_eq!(x.all_dim(none).shape(), [2, 2]);
    }
}

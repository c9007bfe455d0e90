//! Comparisons: masks, without a gradient.
//!
//! The other operand is a tensor, which broadcasts, or a scalar. NaN is neither equal to, nor less
//! or greater than anything.

use crate::arrays::mask::Mask;
use crate::ops::elementwise::operand::Operand;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// Where the elements are equal. PyTorch: `x.eq(other)`, `x == other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(x.eq(2.0).to_vec(), [false, true]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn eq(&self, other: impl Operand<T>) -> Mask {
        self.compare("eq", other, |x, y| x == y)
    }

    /// Where the elements differ. PyTorch: `x.ne(other)`, `x != other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[must_use]
    #[track_caller]
    pub fn ne(&self, other: impl Operand<T>) -> Mask {
        self.compare("ne", other, |x, y| x != y)
    }

    /// Where this is less. PyTorch: `x.lt(other)`, `x < other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[must_use]
    #[track_caller]
    pub fn lt(&self, other: impl Operand<T>) -> Mask {
        self.compare("lt", other, |x, y| x < y)
    }

    /// Where this is less or equal. PyTorch: `x.le(other)`, `x <= other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[must_use]
    #[track_caller]
    pub fn le(&self, other: impl Operand<T>) -> Mask {
        self.compare("le", other, |x, y| x <= y)
    }

    /// Where this is greater. PyTorch: `x.gt(other)`, `x > other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[must_use]
    #[track_caller]
    pub fn gt(&self, other: impl Operand<T>) -> Mask {
        self.compare("gt", other, |x, y| x > y)
    }

    /// Where this is greater or equal. PyTorch: `x.ge(other)`, `x >= other`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[must_use]
    #[track_caller]
    pub fn ge(&self, other: impl Operand<T>) -> Mask {
        self.compare("ge", other, |x, y| x >= y)
    }

    /// Where the elements are NaN. PyTorch: `x.isnan()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, f32::NAN], [2]).unwrap();
    /// assert_eq!(x.isnan().to_vec(), [false, true]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn isnan(&self) -> Mask {
        Mask { array: self.array.map("isnan", |x| u8::from(x.is_nan())) }
    }

    /// Where the elements are neither infinite nor NaN. PyTorch: `x.isfinite()`.
    #[must_use]
    #[track_caller]
    pub fn isfinite(&self) -> Mask {
        Mask { array: self.array.map("isfinite", |x| u8::from(x.is_finite())) }
    }

    #[track_caller]
    fn compare(
        &self,
        op: &str,
        other: impl Operand<T>,
        f: impl Fn(T, T) -> bool + Copy + Sync,
    ) -> Mask {
        let other = other.operand();
        let shape = self.broadcast_with(op, &other);
        Mask { array: self.array.zip(op, &other.array, shape, move |x, y| u8::from(f(x, y))) }
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn nan_compares_with_nothing() {
        let x = Tensor::from_vec(vec![f64::NAN, 0.0, 1.0], [3]).unwrap();
        assert_eq!(x.eq(&x).to_vec(), [false, true, true]);
        assert_eq!(x.ne(&x).to_vec(), [true, false, false]);
        assert_eq!(x.lt(1.0).to_vec(), [false, true, false]);
        assert_eq!(x.le(1.0).to_vec(), [false, true, true]);
        assert_eq!(x.gt(0.0).to_vec(), [false, false, true]);
        assert_eq!(x.ge(0.0).to_vec(), [false, true, true]);
        assert_eq!(x.isfinite().to_vec(), [false, true, true]);
    }

    #[test]
    fn operands_broadcast() {
        let column = Tensor::from_vec(vec![0.0f32, 2.0], [2, 1]).unwrap();
        let row = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
        assert_eq!(column.ge(&row).to_vec(), [false, false, false, true, true, false]);
    }
}

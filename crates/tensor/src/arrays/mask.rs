//! Arrays of booleans: the results of comparisons.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dims, check_dims};
use crate::arrays::error::ShapeError;
use crate::arrays::indices::Indices;
use crate::arrays::keepdim::ReduceDims;
use crate::arrays::shape::Shape;
use adamant_kernels::{Element, Marked, count, reduce_rows};
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// An n-dimensional array of booleans, a byte each.
///
/// Comparisons return one; [`Tensor::where_`](crate::Tensor::where_),
/// [`Tensor::masked_fill`](crate::Tensor::masked_fill) and
/// [`Tensor::masked_select`](crate::Tensor::masked_select) take one. `&`, `|`, `^` and `!` combine
/// them, with broadcasting.
///
/// PyTorch: a tensor of dtype `torch.bool`.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x = Tensor::from_vec(vec![-1.0f32, 0.5, 2.0], [3]).unwrap();
/// let inside = x.gt(0.0) & x.lt(1.0);
/// assert_eq!(inside.to_vec(), [false, true, false]);
/// ```
#[derive(Clone)]
pub struct Mask {
    /// Each element is 0 or 1.
    pub(crate) array: Array<u8>,
}

impl Mask {
    /// A mask of these values, in row-major order.
    ///
    /// PyTorch: `torch.tensor(values).reshape(shape)`.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    #[track_caller]
    pub fn from_vec(values: Vec<bool>, shape: impl Into<Shape>) -> Result<Self, ShapeError> {
        let shape = ShapeError::check(values.len(), shape.into())?;
        let values: Vec<u8> = values.into_iter().map(u8::from).collect();
        Ok(Mask { array: Array::from_slice_for("from_vec", shape, &values) })
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.array.numel()
    }

    /// The values in row-major order.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<bool> {
        self.array.to_vec().into_iter().map(|value| value != 0).collect()
    }

    /// The number of true elements.
    ///
    /// PyTorch: `mask.count_nonzero()`.
    #[must_use]
    #[track_caller]
    pub fn count(&self) -> usize {
        count(self.array.contiguous("count").contiguous_slice(), |x| x != 0)
    }

    /// Whether any element is true; false for an empty mask.
    ///
    /// PyTorch: `mask.any()`.
    #[must_use]
    #[track_caller]
    pub fn any(&self) -> bool {
        self.array.contiguous("any").contiguous_slice().contains(&1)
    }

    /// Whether all elements are true; true for an empty mask.
    ///
    /// PyTorch: `mask.all()`.
    #[must_use]
    #[track_caller]
    pub fn all(&self) -> bool {
        !self.array.contiguous("all").contiguous_slice().contains(&0)
    }

    /// The number of true elements over dimensions `dims`, which disappear; no dimensions mean all.
    ///
    /// PyTorch: `mask.count_nonzero(dims)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Mask;
    /// let mask = Mask::from([[true, true], [false, true]]);
    /// assert_eq!(mask.count_dim(1).to_vec(), [2, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn count_dim(&self, dims: impl Dims) -> Indices {
        self.count_over("count_dim", dims)
    }

    /// Whether any element is true along dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// PyTorch: `mask.any(dims)`, `mask.any(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    #[must_use]
    #[track_caller]
    pub fn any_dim(&self, dims: impl ReduceDims) -> Mask {
        self.any_over("any_dim", dims)
    }

    /// Whether all elements are true along dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()).
    ///
    /// PyTorch: `mask.all(dims)`, `mask.all(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    #[must_use]
    #[track_caller]
    pub fn all_dim(&self, dims: impl ReduceDims) -> Mask {
        self.all_over("all_dim", dims)
    }

    #[track_caller]
    pub(crate) fn any_over<D: ReduceDims>(&self, op: &str, dims: D) -> Mask {
        let dims = check_dims(op, dims.dims(), self.array.shape());
        Mask { array: self.reduce(op, &dims, D::KEEPDIM, |row| u8::from(row.contains(&1))) }
    }

    #[track_caller]
    pub(crate) fn all_over<D: ReduceDims>(&self, op: &str, dims: D) -> Mask {
        let dims = check_dims(op, dims.dims(), self.array.shape());
        Mask { array: self.reduce(op, &dims, D::KEEPDIM, |row| u8::from(!row.contains(&0))) }
    }

    #[track_caller]
    pub(crate) fn count_over(&self, op: &str, dims: impl Dims) -> Indices {
        let shape = self.array.shape();
        let mut dims = check_dims(op, dims, shape);
        if dims.is_empty() {
            dims = (0..shape.len()).collect(); // as in PyTorch, for counts alone
        }
        Indices { array: self.reduce(op, &dims, false, |row| count(row, |x| x != 0)) }
    }

    /// `f` of the elements along dimensions `dims`, as a row.
    #[track_caller]
    fn reduce<E: Element>(
        &self,
        op: &str,
        dims: &[usize],
        keepdim: bool,
        f: impl Fn(&[u8]) -> E + Sync,
    ) -> Array<E> {
        let shape = self.array.shape();
        let rows = self.array.rows(op, dims);
        let row = dims.iter().map(|&d| shape[d]).product::<usize>();
        Array::build(op, shape.reduced(dims, keepdim), |out| {
            reduce_rows(out, rows.contiguous_slice(), row, f);
        })
    }

    /// The same values in row-major order under another shape.
    ///
    /// # Panics
    /// If the number of elements is not that of the shape.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Mask {
        Mask {
            array: self
                .array
                .reshape("reshape", self.array.shape().to_reshaped("reshape", shape.into())),
        }
    }

    /// The view of shape `shape`, in which dimensions of size 1 and missing leading ones repeat.
    ///
    /// # Panics
    /// If this shape does not broadcast to `shape`.
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Mask {
        let shape = shape.into();
        self.array.shape().check_broadcast_to("broadcast_to", &shape);
        Mask { array: self.array.broadcast_to(&shape) }
    }

    /// The same values, contiguous.
    #[track_caller]
    pub(crate) fn contiguous(&self, op: &str) -> Mask {
        Mask { array: self.array.contiguous(op) }
    }

    /// The row-major positions where the mask is true.
    #[track_caller]
    pub(crate) fn positions(&self, op: &str) -> Array<usize> {
        let values = self.array.contiguous(op);
        let marked = Marked::new(values.contiguous_slice());
        Array::build(op, [marked.count()].into(), |out| marked.positions(out))
    }

    #[track_caller]
    fn zip(&self, op: &str, other: &Mask, f: impl Fn(u8, u8) -> u8 + Copy + Sync) -> Mask {
        let shape = self.array.shape().broadcast_with(op, other.array.shape());
        Mask { array: self.array.zip(op, &other.array, shape, f) }
    }
}

macro_rules! operator {
    ($Op:ident, $op:ident, $f:expr) => {
        operator!($Op, $op, &Mask, &Mask, $f);
        operator!($Op, $op, &Mask, Mask, $f);
        operator!($Op, $op, Mask, &Mask, $f);
        operator!($Op, $op, Mask, Mask, $f);
    };
    ($Op:ident, $op:ident, $A:ty, $B:ty, $f:expr) => {
        impl $Op<$B> for $A {
            type Output = Mask;
            #[track_caller]
            fn $op(self, rhs: $B) -> Mask {
                self.zip(stringify!($op), &rhs, $f)
            }
        }
    };
}

operator!(BitAnd, bitand, |a, b| a & b);
operator!(BitOr, bitor, |a, b| a | b);
operator!(BitXor, bitxor, |a, b| a ^ b);

impl Not for &Mask {
    type Output = Mask;
    #[track_caller]
    fn not(self) -> Mask {
        Mask { array: self.array.map("not", |value| 1 - value) }
    }
}

impl Not for Mask {
    type Output = Mask;
    #[track_caller]
    fn not(self) -> Mask {
        !&self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepdim;

    #[test]
    fn masks_combine_and_reduce() {
        let a = Mask::from_vec(vec![true, true, false, false], [2, 2]).unwrap();
        let row = Mask::from_vec(vec![true, false], [2]).unwrap();
        assert_eq!((&a & &row).to_vec(), [true, false, false, false]);
        assert_eq!((&a ^ !&row).to_vec(), [true, false, false, true]);
        assert_eq!((a.any(), a.all(), a.count()), (true, false, 2));
        assert_eq!(a.all_dim(1).to_vec(), [true, false]);
        assert_eq!(a.any_dim(keepdim(0)).shape(), [1, 2]);
        assert_eq!(a.count_dim(0).to_vec(), [1, 1]);
        let empty = Mask::from_vec(vec![], [0, 2]).unwrap();
        assert_eq!(empty.count_dim(0).to_vec(), [0, 0]);
        assert_eq!((empty.any(), empty.all()), (false, true));
        assert_eq!(empty.all_dim(0).to_vec(), [true, true]);
        assert_eq!(a.to_tensor::<f32>().to_vec(), [1.0, 1.0, 0.0, 0.0]);
    }
}

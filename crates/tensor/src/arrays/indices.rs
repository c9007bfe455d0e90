//! Arrays of indices along a dimension.

use crate::arrays::array::Array;
use crate::arrays::error::ShapeError;
use crate::arrays::shape::Shape;

/// An n-dimensional array of indices.
///
/// [`Tensor::sort`](crate::Tensor::sort), [`Tensor::topk`](crate::Tensor::topk) and
/// [`Tensor::max_dim`](crate::Tensor::max_dim) return one;
/// [`Tensor::gather`](crate::Tensor::gather) and [`Tensor::embedding`](crate::Tensor::embedding)
/// take one.
///
/// PyTorch: a tensor of dtype `torch.int64`.
///
/// ```
/// use adamant_tensor::Indices;
/// let i = Indices::from_vec(vec![2, 0, 1, 1], [2, 2]).unwrap();
/// assert_eq!((i.shape(), i.to_vec()), (&[2, 2][..], vec![2, 0, 1, 1]));
/// ```
#[derive(Clone)]
pub struct Indices {
    pub(crate) array: Array<usize>,
}

impl Indices {
    /// An array of these indices, in row-major order.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    #[track_caller]
    pub fn from_vec(values: Vec<usize>, shape: impl Into<Shape>) -> Result<Self, ShapeError> {
        let shape = ShapeError::check(values.len(), shape.into())?;
        Ok(Indices { array: Array::from_slice_for("from_vec", shape, &values) })
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

    /// The indices in row-major order.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<usize> {
        self.array.to_vec()
    }

    /// The same indices in row-major order under another shape.
    ///
    /// # Panics
    /// If the number of elements is not that of the shape.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Indices {
        Indices {
            array: self
                .array
                .reshape("reshape", self.array.shape().to_reshaped("reshape", shape.into())),
        }
    }

    /// The view at `index` of the first dimension, which disappears.
    ///
    /// PyTorch: `x[index]`.
    ///
    /// # Panics
    /// If there is no such index.
    ///
    /// ```
    /// use adamant_tensor::Indices;
    /// let rows = Indices::from_vec(vec![2, 0, 1, 1], [2, 2]).unwrap();
    /// assert_eq!(rows.select(1).to_vec(), [1, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn select(&self, index: usize) -> Indices {
        let shape = self.array.shape();
        let len = shape.first().copied().unwrap_or(0);
        assert!(
            index < len,
            "select: index {index} of indices of shape {shape}; expected less than {len}"
        );
        Indices { array: self.array.with_layout(self.array.layout().select(0, index)) }
    }

    /// The first index that is not below `size`, and its position.
    #[track_caller]
    pub(crate) fn find_outside(&self, op: &str, size: usize) -> Option<(usize, usize)> {
        let indices = self.array.contiguous(op);
        if adamant_kernels::all_below(indices.contiguous_slice(), size) {
            return None;
        }
        indices.contiguous_slice().iter().copied().enumerate().find(|&(_, index)| index >= size)
    }
}

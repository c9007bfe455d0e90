//! Which dimensions a reduction reduces, and whether it keeps them.

use crate::arrays::dims::Dims;

/// The dimensions of a reduction: they disappear from the shape ([`Dims`]), or keep size 1
/// ([`keepdim(dims)`](keepdim())).
///
/// ```
/// use adamant_tensor::{Tensor, keepdim};
/// let x = Tensor::<f32>::ones([2, 3, 4]);
/// assert_eq!(x.sum_dim([0, -1]).shape(), [3]);
/// assert_eq!(x.sum_dim(keepdim([0, -1])).shape(), [1, 3, 1]);
/// ```
pub trait ReduceDims {
    /// The type of the dimensions; a [`Dim`](crate::Dim) if there can be only one.
    type Dims: Dims;
    #[doc(hidden)]
    const KEEPDIM: bool;
    #[doc(hidden)]
    fn dims(self) -> Self::Dims;
}

impl<D: Dims> ReduceDims for D {
    type Dims = D;
    const KEEPDIM: bool = false;
    fn dims(self) -> D {
        self
    }
}

/// Dimensions that a reduction keeps with size 1; [`keepdim`](keepdim()) makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepDim<D>(D);

impl<D: Dims> ReduceDims for KeepDim<D> {
    type Dims = D;
    const KEEPDIM: bool = true;
    fn dims(self) -> D {
        self.0
    }
}

/// Dimensions that a reduction keeps with size 1, so that the result broadcasts against the
/// reduced tensor.
///
/// PyTorch: `keepdim=True`.
///
/// ```
/// use adamant_tensor::{Tensor, keepdim};
/// let x = Tensor::from([[1.0f32, 3.0], [2.0, 6.0]]);
/// let shares = &x / x.sum_dim(keepdim(1));
/// assert_eq!(shares.to_vec(), [0.25, 0.75, 0.25, 0.75]);
/// ```
#[must_use]
pub fn keepdim<D: Dims>(dims: D) -> KeepDim<D> {
    KeepDim(dims)
}

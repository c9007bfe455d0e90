//! Naming dimensions: counted from the front, or negative from the back.

use crate::arrays::shape::Shape;
use smallvec::SmallVec;
use std::ops::RangeFull;

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for isize {}
    impl Sealed for i32 {}
}

/// A dimension: `0` is the first, `-1` the last.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::ones([2, 3]);
/// assert_eq!(x.sum_dim(-1).to_vec(), x.sum_dim(1).to_vec());
/// ```
pub trait Dim: sealed::Sealed + Copy {
    /// The index, negative if it counts from the back.
    #[doc(hidden)]
    fn signed(self) -> isize;
}

impl Dim for usize {
    fn signed(self) -> isize {
        isize::try_from(self).unwrap_or(isize::MAX) // no shape has that many dimensions
    }
}

impl Dim for isize {
    fn signed(self) -> isize {
        self
    }
}

impl Dim for i32 {
    fn signed(self) -> isize {
        self as isize
    }
}

/// Several dimensions: one (`1`), a list (`[0, -1]`), or all of them (`..`).
///
/// ```
/// use adamant_tensor::{Tensor, keepdim};
/// let x = Tensor::<f32>::ones([2, 3, 4]);
/// assert_eq!(x.sum_dim([0, -1]).shape(), [3]);
/// assert_eq!(x.sum_dim(keepdim(..)).shape(), [1, 1, 1]);
/// ```
pub trait Dims {
    /// The indices as written, for a shape of `dims` dimensions.
    #[doc(hidden)]
    fn signed(&self, dims: usize) -> SmallVec<[isize; 4]>;
}

impl<D: Dim> Dims for D {
    fn signed(&self, _: usize) -> SmallVec<[isize; 4]> {
        SmallVec::from_slice(&[Dim::signed(*self)])
    }
}

impl<D: Dim> Dims for &[D] {
    fn signed(&self, _: usize) -> SmallVec<[isize; 4]> {
        self.iter().map(|&dim| Dim::signed(dim)).collect()
    }
}

impl<D: Dim, const N: usize> Dims for [D; N] {
    fn signed(&self, dims: usize) -> SmallVec<[isize; 4]> {
        self.as_slice().signed(dims)
    }
}

impl<D: Dim, const N: usize> Dims for &[D; N] {
    fn signed(&self, dims: usize) -> SmallVec<[isize; 4]> {
        self.as_slice().signed(dims)
    }
}

impl Dims for RangeFull {
    fn signed(&self, dims: usize) -> SmallVec<[isize; 4]> {
        (0..dims as isize).collect()
    }
}

/// The index of dimension `dim` of `shape`; panics if there is no such dimension.
#[track_caller]
pub(crate) fn check_dim(op: &str, dim: impl Dim, shape: &Shape) -> usize {
    let (dim, dims) = (dim.signed(), shape.len());
    let index = if dim < 0 { dim + dims as isize } else { dim };
    match usize::try_from(index) {
        Ok(index) if index < dims => index,
        _ => panic!(
            "{op}: dimension {dim} of a tensor of shape {shape}, which has {}",
            match dims {
                0 => "none".to_string(),
                1 => "only dimension 0 (or -1)".to_string(),
                n => format!("dimensions 0 to {} (or -{n} to -1)", n - 1),
            }
        ),
    }
}

/// The indices of dimensions `dims` of `shape`, ascending; panics if one does not exist or is named
/// twice. As in PyTorch, a scalar has no dimensions, but accepts 0 or −1.
#[track_caller]
pub(crate) fn check_dims(op: &str, dims: impl Dims, shape: &Shape) -> SmallVec<[usize; 4]> {
    let named = dims.signed(shape.len());
    let of_scalar = shape.is_empty() && named.iter().all(|dim| [0, -1].contains(dim));
    let as_shape = if of_scalar { &Shape::from([1]) } else { shape };
    let mut found: SmallVec<[usize; 4]> = SmallVec::new();
    for &dim in &named {
        found.push(check_dim(op, dim, as_shape)); // not in a closure, which would hide the caller
    }
    found.sort_unstable();
    assert!(
        found.windows(2).all(|pair| pair[0] != pair[1]),
        "{op}: dimensions {named:?} of a tensor of shape {shape}: one is named twice"
    );
    if of_scalar { SmallVec::new() } else { found }
}

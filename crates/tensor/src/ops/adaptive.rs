//! What adaptive poolings share: as many windows as asked for, whatever the size of the input.

use super::max_pool::images;
use super::windows::{AdaptiveSize, refuse_zero, rows_and_columns};
use crate::shape::Shape;

/// The sizes of an adaptive pooling. A line is an image of one row.
#[derive(Clone)]
pub(super) struct Form {
    /// Rows and columns of an image of the input.
    pub(super) image: [usize; 2],
    /// Rows and columns of windows.
    pub(super) windows: [usize; 2],
    /// The shape of the input.
    pub(super) x: Shape,
    /// The shape of the result.
    pub(super) y: Shape,
}

impl Form {
    #[track_caller]
    pub(super) fn new<const D: usize>(op: &str, x: &Shape, size: AdaptiveSize<D>) -> Form {
        let (images, image) = images::<D>(op, x);
        let windows: [usize; D] = std::array::from_fn(|d| size.0[d].unwrap_or(image[d]));
        refuse_zero(op, "size of images", image);
        refuse_zero(op, "size of the result", windows);
        Form {
            image: rows_and_columns(image, 1),
            windows: rows_and_columns(windows, 1),
            x: x.clone(),
            y: images.iter().copied().chain(windows).collect(),
        }
    }
}

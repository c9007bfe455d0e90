//! What adaptive poolings share: a requested number of windows, whatever the size of the input.

use super::max_pool::images;
use super::windows::{AdaptiveSize, refuse_zero, rows_and_columns};
use crate::shape::Shape;

/// The sizes of an adaptive pooling. A line is an image of one row.
#[derive(Clone)]
pub(super) struct AdaptiveWindows {
    /// Rows and columns of each input image.
    pub(super) image: [usize; 2],
    /// Rows and columns of windows: the size of each output image.
    pub(super) output: [usize; 2],
    /// The shape of the input.
    pub(super) x: Shape,
    /// The shape of the result.
    pub(super) y: Shape,
}

impl AdaptiveWindows {
    #[track_caller]
    pub(super) fn new<const D: usize>(
        op: &str,
        x: &Shape,
        size: AdaptiveSize<D>,
    ) -> AdaptiveWindows {
        let (images, image) = images::<D>(op, x);
        let output: [usize; D] = std::array::from_fn(|d| size.0[d].unwrap_or(image[d]));
        refuse_zero(op, "size of images", image);
        refuse_zero(op, "size of the result", output);
        AdaptiveWindows {
            image: rows_and_columns(image, 1),
            output: rows_and_columns(output, 1),
            x: x.clone(),
            y: images.iter().copied().chain(output).collect(),
        }
    }
}

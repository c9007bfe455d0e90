//! What adaptive poolings share: a requested number of windows, whatever the size of the input.

use crate::arrays::shape::Shape;
use crate::ops::layer::max_pool::images;
use crate::ops::layer::windows::{AdaptiveSize, refuse_zero, rows_and_columns};

/// The sizes of an adaptive pooling. A line is an image of one row.
#[derive(Clone)]
pub(crate) struct AdaptiveWindows {
    /// Rows and columns of each input image.
    pub(crate) image: [usize; 2],
    /// Rows and columns of windows: the size of each output image.
    pub(crate) output: [usize; 2],
    /// The shape of the input.
    pub(crate) x: Shape,
    /// The shape of the result.
    pub(crate) y: Shape,
}

impl AdaptiveWindows {
    #[track_caller]
    pub(crate) fn new<const D: usize>(
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

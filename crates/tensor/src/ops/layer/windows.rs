//! What convolutions and poolings share: sizes by dimension, and windows on an image.

use adamant_kernels::Windows;

/// A number for each of `D` dimensions of space: one for all of them (`3`), or a list (`[3, 5]`).
///
/// ```
/// use adamant_tensor::PerDim;
/// assert_eq!(PerDim::<2>::from(3), PerDim::from([3, 3]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerDim<const D: usize>(pub(crate) [usize; D]);

impl<const D: usize> From<usize> for PerDim<D> {
    fn from(each: usize) -> Self {
        PerDim([each; D])
    }
}

impl<const D: usize> From<[usize; D]> for PerDim<D> {
    fn from(sizes: [usize; D]) -> Self {
        PerDim(sizes)
    }
}

/// The size of an adaptive pooling's result: one number for all `D` dimensions of space (`3`), a
/// list (`[3, 5]`), or a list where `None` keeps the input's size (`[None, Some(5)]`).
///
/// ```
/// use adamant_tensor::AdaptiveSize;
/// assert_eq!(AdaptiveSize::<2>::from(3), AdaptiveSize::from([Some(3), Some(3)]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveSize<const D: usize>(pub(crate) [Option<usize>; D]);

impl<const D: usize> From<usize> for AdaptiveSize<D> {
    fn from(each: usize) -> Self {
        AdaptiveSize([Some(each); D])
    }
}

impl<const D: usize> From<[usize; D]> for AdaptiveSize<D> {
    fn from(sizes: [usize; D]) -> Self {
        AdaptiveSize(sizes.map(Some))
    }
}

impl<const D: usize> From<[Option<usize>; D]> for AdaptiveSize<D> {
    fn from(sizes: [Option<usize>; D]) -> Self {
        AdaptiveSize(sizes)
    }
}

/// Rows and columns; a line, the one dimension of space, is an image of one row, which is `row`.
pub(crate) fn rows_and_columns<const D: usize>(sizes: [usize; D], row: usize) -> [usize; 2] {
    match sizes[..] {
        [cols] => [row, cols],
        [rows, cols] => [rows, cols],
        _ => unreachable!("images have rows and columns"),
    }
}

/// How many places a kernel spans, from its first tap to its last.
pub(crate) fn span(kernel: usize, dilation: usize) -> usize {
    (kernel - 1).saturating_mul(dilation).saturating_add(1)
}

/// An image's size with its padding, which is given before and after it.
#[track_caller]
pub(crate) fn padded<const D: usize>(
    op: &str,
    image: [usize; D],
    padding: [[usize; 2]; D],
) -> [usize; D] {
    // Far below usize::MAX: a place, its tap and the padding can be added up.
    let fits = |d: usize| {
        let [before, after] = padding[d];
        let padded = before.checked_add(after).and_then(|both| both.checked_add(image[d]));
        padded.is_some_and(|padded| padded < usize::MAX / 4)
    };
    assert!(
        (0..D).all(fits),
        "{op}: an image of {image:?} is too large with a padding of {padding:?}"
    );
    std::array::from_fn(|d| image[d] + padding[d].iter().sum::<usize>())
}

/// Panics if one of `sizes` is 0.
#[track_caller]
pub(crate) fn refuse_zero<const D: usize>(op: &str, what: &str, sizes: [usize; D]) {
    assert!(!sizes.contains(&0), "{op}: a {what} of {sizes:?}: it must be at least 1");
}

/// The windows of a pooling on images of `image`.
#[track_caller]
pub(crate) fn pooling(
    op: &str,
    image: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil: bool,
) -> Windows {
    refuse_zero(op, "kernel", kernel);
    refuse_zero(op, "stride", stride);
    refuse_zero(op, "dilation", dilation);
    assert!(
        (0..2).all(|d| padding[d] <= kernel[d] / 2),
        "{op}: a padding of {padding:?} with a kernel of {kernel:?}: it must be at most half of it"
    );
    let padded = padded(op, image, padding.map(|side| [side; 2]));
    let spans: [usize; 2] = std::array::from_fn(|d| span(kernel[d], dilation[d]));
    // In ceil mode, windows that begin inside may end outside.
    let reach: [usize; 2] =
        std::array::from_fn(|d| padded[d].saturating_add(if ceil { stride[d] - 1 } else { 0 }));
    assert!(
        (0..2).all(|d| image[d] > 0 && spans[d] <= reach[d]),
        "{op}: images of {image:?}, padded to {padded:?}, are smaller than a kernel of {kernel:?} \
         with a dilation of {dilation:?}"
    );
    let output = std::array::from_fn(|d| {
        let count = (reach[d] - spans[d]) / stride[d] + 1;
        let begins_outside = (count - 1).saturating_mul(stride[d]) >= image[d] + padding[d];
        if ceil && begins_outside { count - 1 } else { count }
    });
    let windows = Windows { input: image, output, kernel, stride, padding, dilation };
    let sees = |d: usize| (0..windows.output[d]).all(|o| !windows.taps(d, o).is_empty());
    assert!(
        sees(0) && sees(1),
        "{op}: with a kernel of {kernel:?}, a dilation of {dilation:?} and a padding of \
         {padding:?}, a window sees nothing of an image of {image:?}"
    );
    windows
}

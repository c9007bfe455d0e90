//! The geometry of a convolution's or a pooling's windows on an image.
//!
//! Along one dimension, tap `k` of window `o` reads position `o · stride + k · dilation − padding`;
//! positions outside the image are padding.

use std::ops::Range;

/// The windows on an image, by rows (0) and columns (1).
///
/// ```
/// use adamant_kernels::Windows;
/// // 3 × 3 windows on a 4 × 5 image with a padding of 1.
/// let windows = Windows {
///     input: [4, 5],
///     output: [4, 5],
///     kernel: [3, 3],
///     stride: [1, 1],
///     padding: [1, 1],
///     dilation: [1, 1],
/// };
/// assert_eq!((windows.taps(0, 0), windows.taps(0, 1)), (1..3, 0..3));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// The image's size.
    pub input: [usize; 2],
    /// The number of windows.
    pub output: [usize; 2],
    /// The number of taps in a window.
    pub kernel: [usize; 2],
    /// The distance between windows.
    pub stride: [usize; 2],
    /// Positions added on each side of the image.
    pub padding: [usize; 2],
    /// The distance between taps.
    pub dilation: [usize; 2],
}

impl Windows {
    /// The windows of one position each.
    pub(crate) fn identity(image: [usize; 2]) -> Windows {
        let (input, output) = (image, image);
        let [kernel, stride, padding, dilation] = [[1; 2], [1; 2], [0; 2], [1; 2]];
        Windows { input, output, kernel, stride, padding, dilation }
    }

    /// The number of elements in an image.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// The number of windows on an image.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The number of taps in a window, saturating: a pooling's kernel may be huge.
    #[must_use]
    pub fn kernel_len(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// The taps of window `o` along dimension `d` that are inside the image.
    #[must_use]
    #[inline]
    pub fn taps(&self, d: usize, o: usize) -> Range<usize> {
        let first = o * self.stride[d]; // in the padded image
        let before = |edge: usize| edge.saturating_sub(first).div_ceil(self.dilation[d]);
        let end = before(self.padding[d] + self.input[d]).min(self.kernel[d]);
        before(self.padding[d]).min(end)..end
    }

    /// The windows along dimension `d` whose tap `k` is inside the image.
    #[inline]
    pub(crate) fn hits(&self, d: usize, k: usize) -> Range<usize> {
        let first = k * self.dilation[d];
        let before = |edge: usize| edge.saturating_sub(first).div_ceil(self.stride[d]);
        let end = before(self.padding[d] + self.input[d]).min(self.output[d]);
        before(self.padding[d]).min(end)..end
    }

    /// The position that tap `k` of window `o` reads, which must be inside the image.
    #[inline]
    pub(crate) fn position(&self, d: usize, o: usize, k: usize) -> usize {
        o * self.stride[d] + k * self.dilation[d] - self.padding[d]
    }

    /// Whether each window `o` reads position `o` and no other.
    pub(crate) fn is_identity(&self) -> bool {
        let plain = (self.kernel, self.stride, self.padding) == ([1; 2], [1; 2], [0; 2]);
        plain && self.input == self.output // the last window may be before the image's end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_and_hits_agree_with_positions() {
        for (input, output, kernel, stride, padding, dilation) in
            [(5, 5, 3, 1, 1, 1), (7, 3, 3, 2, 0, 1), (4, 5, 4, 3, 9, 2), (1, 2, 3, 5, 1, 3)]
        {
            let windows = Windows {
                input: [1, input],
                output: [1, output],
                kernel: [1, kernel],
                stride: [1, stride],
                padding: [0, padding],
                dilation: [1, dilation],
            };
            for (o, k) in (0..output).flat_map(|o| (0..kernel).map(move |k| (o, k))) {
                let position = (o * stride + k * dilation).checked_sub(padding);
                let inside = position.filter(|&position| position < input);
                assert_eq!(windows.taps(1, o).contains(&k), inside.is_some());
                assert_eq!(windows.hits(1, k).contains(&o), inside.is_some());
                inside.inspect(|&position| assert_eq!(windows.position(1, o, k), position));
            }
        }
    }
}

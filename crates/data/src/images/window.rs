//! Parts of an image, and its surroundings.

use super::image::Image;
use crate::error::DataError;
use std::ops::Range;

/// What surrounds a padded image. The examples pad `a b c d` by two on each side.
///
/// PyTorch: the `padding_mode` of torchvision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingMode {
    /// `x x a b c d x x`: this byte in all channels.
    Constant(u8),
    /// `a a a b c d d d`: the outermost pixel, repeated.
    Edge,
    /// `c b a b c d c b`: mirrored at the outermost pixel, which is not repeated.
    Reflect,
    /// `b a a b c d d c`: mirrored, with the outermost pixel repeated.
    Symmetric,
}

impl PaddingMode {
    /// The largest padding of a line of `size` pixels.
    fn most(self, size: usize) -> usize {
        match self {
            // Far more than fits in memory, so that sizes and positions do not overflow.
            PaddingMode::Constant(_) | PaddingMode::Edge => isize::MAX as usize / 4,
            PaddingMode::Reflect => size - 1,
            PaddingMode::Symmetric => size,
        }
    }

    /// The pixel of a line of `size` pixels that stands for position `at`, at most
    /// [`most`](Self::most) outside; `None` for the constant.
    fn source(self, at: isize, size: isize) -> Option<usize> {
        let source = match self {
            _ if (0..size).contains(&at) => at,
            PaddingMode::Constant(_) => return None,
            PaddingMode::Edge => at.clamp(0, size - 1),
            PaddingMode::Reflect if at < 0 => -at,
            PaddingMode::Reflect => 2 * (size - 1) - at,
            PaddingMode::Symmetric if at < 0 => -at - 1,
            PaddingMode::Symmetric => 2 * size - 1 - at,
        };
        Some(source.cast_unsigned())
    }

    fn fill(self) -> u8 {
        match self {
            PaddingMode::Constant(fill) => fill,
            _ => 0, // unused: every position has a source
        }
    }
}

impl Image {
    /// The part of `height` × `width` pixels whose upper left corner is at row `top` and column
    /// `left`.
    ///
    /// PyTorch: `torchvision.transforms.functional.crop`, which pads where it is outside the image.
    ///
    /// # Errors
    /// If it is empty, or not inside the image.
    pub fn crop(
        &self,
        top: usize,
        left: usize,
        height: usize,
        width: usize,
    ) -> Result<Image, DataError> {
        let is_inside = |start: usize, len: usize, size: usize| {
            len > 0 && start.checked_add(len).is_some_and(|end| end <= size)
        };
        if !is_inside(top, height, self.height) || !is_inside(left, width, self.width) {
            let expected = format!("a part of {height} × {width} at ({top}, {left}) inside it");
            return Err(self.unfit("crop", expected));
        }
        Ok(self.window(top as isize, left as isize, height, width, PaddingMode::Edge))
    }

    /// The part of `height` × `width` pixels in the middle.
    ///
    /// PyTorch: `torchvision.transforms.CenterCrop`, which pads smaller images.
    ///
    /// # Errors
    /// If it is empty, or the image is smaller.
    pub fn center_crop(&self, height: usize, width: usize) -> Result<Image, DataError> {
        // Rounded as in torchvision.
        let half = |rest: usize| (rest as f64 / 2.0).round_ties_even() as usize;
        let start = |size: usize, len: usize| half(size.saturating_sub(len));
        self.crop(start(self.height, height), start(self.width, width), height, width)
    }

    /// The image with `padding` more pixels on each side.
    ///
    /// PyTorch: `torchvision.transforms.Pad`.
    ///
    /// # Errors
    /// If the mode mirrors, and the image is not large enough for this padding; or the padded image
    /// does not fit in memory.
    ///
    /// ```
    /// use adamant_data::{Image, PaddingMode};
    /// let image = Image::new(vec![1, 2], [1, 2, 1]).unwrap();
    /// let padded = image.pad(1, PaddingMode::Constant(9)).unwrap();
    /// assert_eq!(padded.bytes(), [9, 9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 9]);
    /// ```
    pub fn pad(&self, padding: usize, mode: PaddingMode) -> Result<Image, DataError> {
        self.check_padding("pad", padding, mode)?;
        let start = -(padding as isize);
        let (height, width) = (self.height + 2 * padding, self.width + 2 * padding);
        self.check_memory("pad", height, width)?;
        Ok(self.window(start, start, height, width, mode))
    }

    /// The image with left and right exchanged.
    ///
    /// PyTorch: `torchvision.transforms.functional.hflip`.
    #[must_use]
    pub fn flip_horizontal(&self) -> Image {
        let rows = self.bytes.chunks_exact(self.stride());
        let pixels = rows.flat_map(|row| row.chunks_exact(self.channels).rev());
        let mut bytes = Vec::with_capacity(self.bytes.len());
        pixels.for_each(|pixel| bytes.extend_from_slice(pixel));
        self.like(self.height, self.width, bytes)
    }

    /// Checks that the mode can pad this image by this many pixels.
    pub(super) fn check_padding(
        &self,
        operation: &'static str,
        padding: usize,
        mode: PaddingMode,
    ) -> Result<(), DataError> {
        let most = mode.most(self.height.min(self.width));
        if padding > most {
            let expected = format!("one that {mode:?} can pad by {padding} pixels");
            return Err(self.unfit(operation, expected));
        }
        Ok(())
    }

    /// Checks that an image of this size, with these channels, fits in memory.
    pub(super) fn check_memory(
        &self,
        operation: &'static str,
        height: usize,
        width: usize,
    ) -> Result<(), DataError> {
        let len = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(self.channels));
        match len.map(|len| Vec::<u8>::new().try_reserve_exact(len)) {
            Some(Ok(())) => Ok(()),
            _ => {
                let found = format!("{height} × {width} pixels");
                let expected = "an image that fits in memory".into();
                Err(DataError::Unfit { operation, found, expected })
            }
        }
    }

    /// The error of an image of the wrong size.
    pub(super) fn unfit(&self, operation: &'static str, expected: String) -> DataError {
        let found = format!("an image of {} × {} pixels", self.height, self.width);
        DataError::Unfit { operation, found, expected }
    }

    /// The part of the padded image whose upper left corner is at (`top`, `left`) of this one. What
    /// is outside is within the padding that has been checked.
    pub(super) fn window(
        &self,
        top: isize,
        left: isize,
        height: usize,
        width: usize,
        mode: PaddingMode,
    ) -> Image {
        let n = self.channels;
        let columns = self.width as isize;
        let end = left + width as isize;
        // The columns of the window that are columns of the image.
        let inside = left.clamp(0, columns)..end.clamp(0, columns);
        let (before, after) = (left..inside.start.min(end), inside.end.max(left)..end);
        let mut bytes = Vec::with_capacity(height * width * n);
        for y in (top..).take(height) {
            let Some(row) = mode.source(y, self.height as isize) else {
                bytes.resize(bytes.len() + width * n, mode.fill());
                continue;
            };
            let row = &self.bytes[row * self.stride()..][..self.stride()];
            let outside = |bytes: &mut Vec<u8>, columns_outside: &Range<isize>| {
                for x in columns_outside.clone() {
                    match mode.source(x, columns) {
                        Some(x) => bytes.extend_from_slice(&row[x * n..][..n]),
                        None => bytes.resize(bytes.len() + n, mode.fill()),
                    }
                }
            };
            outside(&mut bytes, &before);
            bytes.extend_from_slice(
                &row[inside.start.cast_unsigned() * n..inside.end.cast_unsigned() * n],
            );
            outside(&mut bytes, &after);
        }
        self.like(height, width, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: &[u8]) -> Image {
        Image::new(bytes.to_vec(), [1, bytes.len(), 1]).unwrap()
    }

    #[test]
    fn modes_pad_as_documented() {
        let image = Image::new((1..=16).collect(), [4, 4, 1]).unwrap();
        for (mode, second_row, first_row) in [
            (PaddingMode::Constant(7), [7; 8], [7; 8]),
            (PaddingMode::Edge, [1, 1, 1, 2, 3, 4, 4, 4], [1, 1, 1, 2, 3, 4, 4, 4]),
            (PaddingMode::Reflect, [7, 6, 5, 6, 7, 8, 7, 6], [11, 10, 9, 10, 11, 12, 11, 10]),
            (PaddingMode::Symmetric, [2, 1, 1, 2, 3, 4, 4, 3], [6, 5, 5, 6, 7, 8, 8, 7]),
        ] {
            let padded = image.pad(2, mode).unwrap();
            assert_eq!((padded.height, padded.width), (8, 8));
            assert_eq!(
                (&padded.bytes[..8], &padded.bytes[8..16]),
                (&first_row[..], &second_row[..])
            );
            assert_eq!(padded.crop(2, 2, 4, 4).unwrap(), image);
        }
    }

    #[test]
    fn a_window_may_be_outside_of_the_image() {
        let image = line(&[1, 2]);
        let at = |left| image.window(0, left, 1, 3, PaddingMode::Constant(0)).bytes;
        assert_eq!(
            [-4, -2, -1, 0, 1, 4].map(at),
            [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 0], [2, 0, 0], [0, 0, 0]]
        );
    }

    #[test]
    fn crops_and_flips_keep_pixels_whole() {
        let image = Image::new((0..18).collect(), [2, 3, 3]).unwrap();
        assert_eq!(image.crop(1, 1, 1, 2).unwrap().bytes, [12, 13, 14, 15, 16, 17]);
        assert_eq!(image.center_crop(2, 1).unwrap().bytes, [3, 4, 5, 12, 13, 14]);
        let middle = |len| line(&[0, 1, 2, 3, 4]).center_crop(1, len).unwrap().bytes[0];
        assert_eq!([1, 2, 3, 4, 5].map(middle), [2, 2, 1, 0, 0]);
        assert_eq!(image.flip_horizontal().bytes[..6], [6, 7, 8, 3, 4, 5]);
        assert_eq!(image.flip_horizontal().flip_horizontal(), image);
    }

    #[test]
    fn parts_must_be_inside() {
        let image = line(&[1, 2, 3]);
        let text = image.crop(0, 2, 1, 2).unwrap_err().to_string();
        let expected = "crop: found an image of 1 × 3 pixels, expected a part of 1 × 2 at (0, 2) \
                        inside it";
        assert_eq!(text, expected);
        for (top, left, height, width) in [(0, 0, 0, 1), (1, 0, 1, 1), (0, usize::MAX, 1, 2)] {
            assert!(image.crop(top, left, height, width).is_err());
        }
        assert!(image.center_crop(1, 4).is_err());
        let text = image.pad(1, PaddingMode::Reflect).unwrap_err().to_string();
        assert!(text.ends_with("expected one that Reflect can pad by 1 pixels"), "{text}");
        assert!(image.pad(1, PaddingMode::Symmetric).is_ok());
        for mode in [PaddingMode::Constant(0), PaddingMode::Edge] {
            for padding in [usize::MAX / 2, usize::MAX, isize::MAX as usize / 4 + 1] {
                assert!(image.pad(padding, mode).unwrap_err().to_string().contains("can pad by"));
            }
            for padding in [isize::MAX as usize / 4, 1 << 32, 1 << 28] {
                let text = image.pad(padding, mode).unwrap_err().to_string();
                assert!(text.ends_with(", expected an image that fits in memory"), "{text}");
            }
        }
    }
}

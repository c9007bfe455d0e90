//! An image of bytes.

use crate::bytes::{check_statistics, scale_and_shift};
use crate::collate::Collate;
use crate::error::DataError;
use adamant_kernels::convert_bytes;
use adamant_tensor::Tensor;
use std::fmt;

/// An image of bytes, gray or RGB: `[height, width, channels]`, none of them 0, row-major.
///
/// [`normalize`](Image::normalize) and [`to_tensor`](Image::to_tensor) make the tensor of a model's
/// input. A batch of images is [`to_tensor`](Image::to_tensor) of each, stacked.
///
/// With the feature `image`, `Image::open` decodes a file, and `ImageFolder` is a data set of files.
///
/// PyTorch: a `PIL.Image` of mode `L` or `RGB`.
///
/// ```
/// use adamant_data::Image;
/// let image = Image::new(vec![0, 51, 102, 153, 204, 255], [2, 3, 1]).unwrap();
/// assert_eq!(image.flip_horizontal().bytes(), [102, 51, 0, 255, 204, 153]);
/// let part = image.crop(1, 0, 1, 2).unwrap();
/// assert_eq!((part.bytes(), part.to_tensor().shape()), (&[153, 204][..], &[1, 1, 2][..]));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    pub(super) height: usize,
    pub(super) width: usize,
    /// 1 or 3.
    pub(super) channels: usize,
    pub(super) bytes: Vec<u8>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} × {}, {} channels)", self.height, self.width, self.channels)
    }
}

impl Image {
    /// The image of these bytes, which are `[height, width, channels]`: a pixel's channels are
    /// neighbors.
    ///
    /// # Errors
    /// If there are not 1 or 3 channels, the height or the width is 0, or the number of bytes is not
    /// their product.
    pub fn new(bytes: Vec<u8>, shape: [usize; 3]) -> Result<Self, DataError> {
        let [height, width, channels] = shape;
        check(bytes.len(), "height, width, channels", shape, channels)?;
        Ok(Image { height, width, channels, bytes })
    }

    /// The image of these bytes, which are `[channels, height, width]`: a plane for each channel, as
    /// in CIFAR-10's files.
    ///
    /// # Errors
    /// As [`new`](Image::new).
    ///
    /// ```
    /// use adamant_data::Image;
    /// let image = Image::from_planes(&[1, 2, 3, 4, 5, 6], [3, 1, 2]).unwrap();
    /// assert_eq!(image.bytes(), [1, 3, 5, 2, 4, 6]);
    /// ```
    pub fn from_planes(bytes: &[u8], shape: [usize; 3]) -> Result<Self, DataError> {
        let [channels, height, width] = shape;
        check(bytes.len(), "channels, height, width", shape, channels)?;
        let plane = height * width;
        let pixel = |i: usize| bytes[i..].iter().step_by(plane).copied();
        Ok(Image { height, width, channels, bytes: (0..plane).flat_map(pixel).collect() })
    }

    /// The height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of channels: 1 if the image is gray, 3 if it is RGB.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The bytes: `[height, width, channels]`.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tensor `[channels, height, width]` with elements from 0 to 1: a byte `b` becomes
    /// `b / 255`.
    ///
    /// PyTorch: `torchvision.transforms.ToTensor`.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        let n = self.channels;
        self.normalize(&[0.0; 3][..n], &[1.0; 3][..n])
    }

    /// The tensor `[channels, height, width]` in which a byte `b` of channel `c` has become
    /// `(b / 255 − mean[c]) / std[c]`.
    ///
    /// PyTorch: `ToTensor` and `Normalize` of torchvision.
    ///
    /// # Panics
    /// If the numbers of means, standard deviations and channels differ, a mean is not finite, or a
    /// standard deviation is not finite and above 0.
    ///
    /// ```
    /// use adamant_data::Image;
    /// let image = Image::new(vec![255, 0, 51], [1, 1, 3]).unwrap();
    /// let tensor = image.normalize(&[0.5, 0.5, 0.2], &[0.5, 0.25, 1.0]);
    /// for (found, expected) in tensor.to_vec().into_iter().zip([1.0, -2.0, 0.0]) {
    ///     assert!((found - expected).abs() < 1e-6);
    /// }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn normalize(&self, mean: &[f64], std: &[f64]) -> Tensor {
        let n = self.channels;
        check_statistics(mean, std, n);
        let size = self.height * self.width;
        Tensor::build([n, self.height, self.width], |out| {
            let mut plane = vec![0; size];
            for (c, out) in out.chunks_exact_mut(size).enumerate() {
                for (byte, pixel) in plane.iter_mut().zip(self.bytes.chunks_exact(n)) {
                    *byte = pixel[c];
                }
                let (scale, shift) = scale_and_shift(mean[c], std[c]);
                convert_bytes(out, &plane, scale, shift);
            }
        })
    }

    /// An image of this size and the channels of this one.
    pub(super) fn like(&self, height: usize, width: usize, bytes: Vec<u8>) -> Image {
        Image { height, width, channels: self.channels, bytes }
    }

    /// The number of bytes of a row.
    pub(super) fn stride(&self) -> usize {
        self.width * self.channels
    }
}

fn check(bytes: usize, dims: &str, shape: [usize; 3], channels: usize) -> Result<(), DataError> {
    let numel = shape.iter().try_fold(1usize, |numel, &size| numel.checked_mul(size));
    let expected = match numel {
        _ if channels != 1 && channels != 3 => "1 or 3 channels",
        Some(0) => "sizes above 0",
        Some(numel) if numel == bytes => return Ok(()),
        _ => "one byte for each channel of each pixel",
    };
    let found = format!("{bytes} bytes for [{dims}] {shape:?}");
    Err(DataError::Unfit { operation: "Image", found, expected: expected.into() })
}

/// `[batch, channels, height, width]`, from 0 to 1.
impl Collate for Image {
    type Batch = Tensor;

    fn collate(samples: Vec<Self>) -> Result<Tensor, DataError> {
        Tensor::collate(samples.iter().map(Image::to_tensor).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_a_plane_for_each_channel() {
        let planes: Vec<u8> = (0..2 * 3 * 3).map(|i| i * 14).collect();
        let image = Image::from_planes(&planes, [3, 2, 3]).unwrap();
        let tensor = image.to_tensor();
        assert_eq!(tensor.shape(), [3, 2, 3]);
        for (found, byte) in tensor.to_vec().into_iter().zip(planes) {
            assert!((found - f32::from(byte) / 255.0).abs() < 1e-7);
        }
        assert_eq!(Image::new(image.bytes.clone(), [2, 3, 3]).unwrap(), image);
    }

    #[test]
    fn bytes_must_make_an_image() {
        let error = |shape| Image::new(vec![0; 12], shape).unwrap_err().to_string();
        let prefix = "Image: found 12 bytes for [height, width, channels] ";
        for (shape, rest) in [
            ([2, 2, 4], "[2, 2, 4], expected 1 or 3 channels"),
            ([12, 0, 1], "[12, 0, 1], expected sizes above 0"),
            ([2, 3, 1], "[2, 3, 1], expected one byte for each channel of each pixel"),
        ] {
            assert_eq!(error(shape), format!("{prefix}{rest}"));
        }
        assert!(
            error([usize::MAX, 2, 3]).ends_with("expected one byte for each channel of each pixel")
        );
        assert!(Image::from_planes(&[0; 12], [1, 3, 4]).is_ok());
        assert!(Image::from_planes(&[0; 12], [2, 2, 3]).is_err());
    }

    #[test]
    #[should_panic(
        expected = "normalize: std is [0.5, -1.0, 1.0]; expected finite numbers above 0"
    )]
    fn standard_deviations_are_positive() {
        let image = Image::new(vec![0; 3], [1, 1, 3]).unwrap();
        let _ = image.normalize(&[0.0; 3], &[0.5, -1.0, 1.0]);
    }

    #[test]
    fn images_of_different_sizes_make_no_batch() {
        let image = |width| Image::new(vec![0; 3 * width], [1, width, 3]).unwrap();
        assert_eq!(Image::collate(vec![image(4), image(4)]).unwrap().shape(), [2, 3, 1, 4]);
        let error = Image::collate(vec![image(4), image(5)]).unwrap_err().to_string();
        assert!(error.starts_with("found shape [3, 1, 5], expected [3, 1, 4]"), "{error}");
    }
}

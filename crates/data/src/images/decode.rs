//! Images from PNG and JPEG files.

use super::image::Image;
use crate::error::DataError;
use adamant_files::{FileError, open};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::{Cursor, Read};
use std::path::Path;

/// The pixels of the largest image that is decoded, unless the limit is changed: that of Pillow, a
/// quarter of a GiB as RGB. Decoding one takes up to about twenty bytes for each pixel:
///
/// * PNG: the file, limited to eight; the decoder's pixels, at most 4 channels of 16 bits; RGB.
/// * JPEG: the file, limited to four, and the decoder's copy of it; RGB; the coefficients of a
///   progressive image, 16 bits for each of at most 4 components. `Limits` do not restrict this
///   decoder's memory, only the limit on pixels does.
pub(super) const MAX_PIXELS: u64 = (1 << 28) / 3;

impl Image {
    /// The image in a PNG or JPEG file, whatever its name: gray if it is stored so, else RGB.
    /// Requires the feature `image`.
    ///
    /// Transparency is dropped, and 16 bits become 8. The orientation in a photo's EXIF data is not
    /// applied, as in torchvision. A JPEG image's bytes differ from Pillow's by a few units, as its
    /// decoder rounds and interpolates differently.
    ///
    /// PyTorch: `torchvision.datasets.folder.pil_loader`.
    ///
    /// # Errors
    /// If the file cannot be read, is of another format or damaged, or has more than 89,478,485
    /// pixels, Pillow's limit. An image of that size takes up to 1.8 GB while it is decoded.
    pub fn open(path: impl AsRef<Path>) -> Result<Image, DataError> {
        read(path.as_ref(), MAX_PIXELS)
    }
}

/// The first bytes of a JPEG file.
const JPEG_START: [u8; 2] = [0xff, 0xd8];

/// The image in a file, unless it has more pixels.
pub(super) fn read(path: &Path, max_pixels: u64) -> Result<Image, DataError> {
    let io = |error| FileError::io(path, error);
    let (file, len) = open(path)?;
    let mut bytes = Vec::new();
    (&file).take(JPEG_START.len() as u64).read_to_end(&mut bytes).map_err(io)?;
    // A pixel of PNG has at most eight bytes. One of JPEG has three if it is noise of the best
    // quality. A longer file is not an image of so few pixels.
    let bytes_per_pixel = if bytes == JPEG_START { 4 } else { 8 };
    let most = max_pixels.saturating_mul(bytes_per_pixel).saturating_add(1 << 20);
    if len > most {
        let expected = format!("at most {most}, for an image of at most {max_pixels} pixels");
        return Err(FileError::format(path, format!("{len} bytes"), expected).into());
    }
    file.take(len).read_to_end(&mut bytes).map_err(io)?;
    let image = decode(&bytes, max_pixels);
    image.map_err(|(found, expected)| FileError::format(path, found, expected).into())
}

/// The image in these bytes, or what was found and what was expected.
fn decode(bytes: &[u8], max_pixels: u64) -> Result<Image, (String, String)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.expect("a cursor has no errors");
    let Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = reader.format() else {
        let found = if bytes.is_empty() { "an empty file" } else { "another format" };
        return Err((found.into(), "a PNG or JPEG image".into()));
    };
    let name = if format == ImageFormat::Png { "PNG" } else { "JPEG" };
    let damaged = |error: ImageError| {
        (format!("a damaged {name} image: {error}"), "an intact one".to_string())
    };
    // For PNG: whatever a chunk says, the decoder does not allocate more than this.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(8).saturating_add(1 << 24));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > max_pixels {
        let found = format!("an image of {height} × {width} pixels");
        return Err((found, format!("at most {max_pixels} pixels")));
    }
    if format == ImageFormat::Jpeg && !has_end(bytes) {
        // The decoder would make the rest of it gray.
        return Err((
            format!("a damaged {name} image: its end is missing"),
            "an intact one".into(),
        ));
    }
    let is_gray = !decoder.color_type().has_color();
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let (bytes, channels) = if is_gray {
        (image.into_luma8().into_raw(), 1)
    } else {
        (image.into_rgb8().into_raw(), 3)
    };
    let shape = [height as usize, width as usize, channels];
    Image::new(bytes, shape)
        .map_err(|_| (format!("a {name} image without pixels"), "at least one pixel".into()))
}

/// Whether a JPEG file is complete: its segments and scans are followed by an end marker.
fn has_end(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    // Markers begin with 0xff, also those after a scan: in its data, that byte is followed by 0.
    while let Some(start) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[start + 1..];
        let Some(&marker) = rest.first() else { return false };
        let len = match marker {
            0xd9 => return true,
            0 | 1 | 0xd0..=0xd8 => 1, // no segment
            0xff => 0,                // a fill byte
            _ => {
                let Some(&[high, low]) = rest[1..].first_chunk() else { return false };
                1 + usize::from(u16::from_be_bytes([high, low]))
            }
        };
        rest = rest.get(len..).unwrap_or(&[]);
    }
    false
}

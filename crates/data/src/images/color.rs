//! The colors of images.

use super::between;
use super::image::Image;
use adamant_tensor::Generator;

impl Image {
    /// The image with three equal channels if it is gray, else itself.
    ///
    /// PyTorch: `convert("RGB")` of a `PIL.Image`.
    #[must_use]
    pub fn to_rgb(&self) -> Image {
        match self.channels {
            1 => {
                let bytes = self.bytes.iter().flat_map(|&byte| [byte; 3]).collect();
                Image { channels: 3, bytes, ..*self }
            }
            _ => self.clone(),
        }
    }

    /// The image with one channel, `0.299 R + 0.587 G + 0.114 B`.
    ///
    /// PyTorch: `torchvision.transforms.Grayscale`.
    ///
    /// ```
    /// use adamant_data::Image;
    /// let image = Image::new(vec![255, 0, 0, 10, 10, 10], [1, 2, 3]).unwrap();
    /// assert_eq!(image.to_grayscale().bytes(), [76, 10]);
    /// ```
    #[must_use]
    pub fn to_grayscale(&self) -> Image {
        match self.channels {
            3 => {
                // The weights in units of 2⁻¹⁶; their sum is 1.
                let luma = |&[r, g, b]: &[u8; 3]| {
                    let [r, g, b] = [r, g, b].map(u32::from);
                    ((19_595 * r + 38_470 * g + 7_471 * b + (1 << 15)) >> 16) as u8
                };
                let bytes = self.bytes.as_chunks::<3>().0.iter().map(luma).collect();
                Image { channels: 1, bytes, ..*self }
            }
            _ => self.clone(),
        }
    }

    /// The image with its brightness changed: 0 makes it black, 1 leaves it as it is, 2 is twice as
    /// bright.
    ///
    /// PyTorch: `torchvision.transforms.functional.adjust_brightness` of a `PIL.Image`.
    ///
    /// # Panics
    /// If the factor is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn adjust_brightness(self, factor: f64) -> Image {
        check_factor("adjust_brightness", factor);
        self.blend(std::iter::repeat(0), factor)
    }

    /// The image with its contrast changed: 0 makes it gray all over, 1 leaves it as it is.
    ///
    /// PyTorch: `torchvision.transforms.functional.adjust_contrast` of a `PIL.Image`.
    ///
    /// # Panics
    /// If the factor is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn adjust_contrast(self, factor: f64) -> Image {
        check_factor("adjust_contrast", factor);
        let gray = self.to_grayscale().bytes;
        let sum: u64 = gray.iter().map(|&byte| u64::from(byte)).sum();
        let mean = (sum as f64 / gray.len() as f64 + 0.5) as u8;
        self.blend(std::iter::repeat(mean), factor)
    }

    /// The image with its saturation changed: 0 makes it gray, 1 leaves it as it is.
    ///
    /// PyTorch: `torchvision.transforms.functional.adjust_saturation` of a `PIL.Image`.
    ///
    /// # Panics
    /// If the factor is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn adjust_saturation(self, factor: f64) -> Image {
        check_factor("adjust_saturation", factor);
        let (gray, channels) = (self.to_grayscale().bytes, self.channels);
        let gray = gray.iter().flat_map(|&byte| std::iter::repeat_n(byte, channels));
        self.blend(gray, factor)
    }

    /// Each byte at the distance from its origin that it has, times the factor; rounded down.
    fn blend(mut self, origins: impl Iterator<Item = u8>, factor: f64) -> Image {
        let factor = factor as f32;
        for (byte, origin) in self.bytes.iter_mut().zip(origins) {
            let (from, to) = (f32::from(origin), f32::from(*byte));
            *byte = (from + factor * (to - from)) as u8; // a cast to u8 saturates
        }
        self
    }
}

#[track_caller]
fn check_factor(op: &str, factor: f64) {
    assert!(
        (0.0..f64::INFINITY).contains(&factor),
        "{op}: factor is {factor}; expected at least 0"
    );
}

/// Changes brightness, contrast and saturation of an image at random, in random order.
///
/// Each factor is drawn uniformly from `[max(0, 1 − x), 1 + x]`, where `x` is the option.
///
/// PyTorch: `torchvision.transforms.ColorJitter`, without `hue`.
///
/// ```
/// use adamant_data::{ColorJitter, Image};
/// use adamant_tensor::Generator;
/// let image = Image::new(vec![100, 150, 200], [1, 1, 3]).unwrap();
/// let jitter = ColorJitter::new().brightness(0.4).contrast(0.4).saturation(0.4);
/// let changed = jitter.apply(image.clone(), &mut Generator::seed(0));
/// assert_ne!(changed, image);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ColorJitter {
    brightness: f64,
    contrast: f64,
    saturation: f64,
}

impl ColorJitter {
    /// A jitter that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest change of the brightness; default 0.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn brightness(self, brightness: f64) -> Self {
        check_jitter("brightness", brightness);
        ColorJitter { brightness, ..self }
    }

    /// The largest change of the contrast; default 0.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn contrast(self, contrast: f64) -> Self {
        check_jitter("contrast", contrast);
        ColorJitter { contrast, ..self }
    }

    /// The largest change of the saturation; default 0.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn saturation(self, saturation: f64) -> Self {
        check_jitter("saturation", saturation);
        ColorJitter { saturation, ..self }
    }

    /// The image with other colors.
    #[must_use]
    pub fn apply(&self, image: Image, rng: &mut Generator) -> Image {
        type Adjust = fn(Image, f64) -> Image;
        let mut changes = [
            (Image::adjust_brightness as Adjust, self.brightness),
            (Image::adjust_contrast, self.contrast),
            (Image::adjust_saturation, self.saturation),
        ];
        rng.shuffle(&mut changes);
        changes.into_iter().filter(|&(_, most)| most > 0.0).fold(image, |image, (adjust, most)| {
            adjust(image, between(rng, (1.0 - most).max(0.0), 1.0 + most))
        })
    }
}

#[track_caller]
fn check_jitter(name: &str, most: f64) {
    assert!(
        (0.0..f64::INFINITY).contains(&most),
        "ColorJitter: {name} is {most}; expected at least 0"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_survives_rgb() {
        let gray = Image::new((0..=255).collect(), [16, 16, 1]).unwrap();
        let rgb = gray.to_rgb();
        assert_eq!((rgb.channels, rgb.bytes[3..6].to_vec()), (3, vec![1; 3]));
        assert_eq!(rgb.to_grayscale(), gray);
        assert_eq!((rgb.to_rgb(), gray.to_grayscale()), (rgb, gray));
    }

    #[test]
    fn no_contrast_is_the_rounded_mean() {
        let gray = |bytes: &[u8]| Image::new(bytes.to_vec(), [1, bytes.len(), 1]).unwrap();
        assert_eq!(gray(&[10, 11]).adjust_contrast(0.0).bytes, [11, 11]);
        assert_eq!(gray(&[10, 10, 11]).adjust_contrast(0.0).bytes, [10; 3]);
        assert_eq!(gray(&[0, 200]).adjust_contrast(9.0).bytes, [0, 255]);
    }

    #[test]
    fn each_option_draws_its_factor() {
        let image = Image::new(vec![100, 100, 100, 50, 50, 50], [1, 2, 3]).unwrap();
        let rng = &mut Generator::seed(0);
        assert_eq!(ColorJitter::new().apply(image.clone(), rng), image);
        assert_eq!(ColorJitter::new().saturation(0.9).apply(image.clone(), rng), image); // gray
        let jitter = ColorJitter::new().brightness(0.5);
        let firsts: Vec<u8> = (0..500).map(|_| jitter.apply(image.clone(), rng).bytes[0]).collect();
        let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
        assert!((50..53).contains(least) && (147..150).contains(most), "{least} {most}");
        let flat = ColorJitter::new().contrast(1.0).apply(image, rng).bytes;
        assert!(flat[0] != 100 && (i32::from(flat[0]) + i32::from(flat[3]) - 150).abs() <= 2);
    }

    #[test]
    #[should_panic(expected = "ColorJitter: contrast is -1; expected at least 0")]
    fn a_negative_option_panics() {
        let _ = ColorJitter::new().contrast(-1.0);
    }
}

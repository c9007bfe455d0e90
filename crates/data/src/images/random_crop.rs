//! Random parts of images.

use super::image::Image;
use super::window::PaddingMode;
use super::{between, check_interval, log_between};
use crate::error::DataError;
use adamant_tensor::Generator;

/// A part of an image, padded or not, all positions being equally likely.
///
/// PyTorch: `torchvision.transforms.RandomCrop`.
///
/// ```
/// use adamant_data::{Image, PaddingMode, RandomCrop};
/// use adamant_tensor::Generator;
/// let image = Image::new(vec![200; 32 * 32 * 3], [32, 32, 3]).unwrap();
/// let crop = RandomCrop::new(32, 32).padding(4).padding_mode(PaddingMode::Reflect);
/// let part = crop.apply(image, &mut Generator::seed(0)).unwrap();
/// assert_eq!((part.height(), part.width()), (32, 32));
/// ```
#[derive(Clone, Debug)]
pub struct RandomCrop {
    height: usize,
    width: usize,
    padding: usize,
    mode: PaddingMode,
}

impl RandomCrop {
    /// Parts of `height` × `width` pixels.
    ///
    /// # Panics
    /// If the height or the width is 0.
    #[must_use]
    #[track_caller]
    pub fn new(height: usize, width: usize) -> Self {
        check_size("RandomCrop", height, width);
        RandomCrop { height, width, padding: 0, mode: PaddingMode::Constant(0) }
    }

    /// The number of pixels that are added on each side; default 0.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        RandomCrop { padding, ..self }
    }

    /// What is added on each side; default `Constant(0)`, black.
    #[must_use]
    pub fn padding_mode(self, mode: PaddingMode) -> Self {
        RandomCrop { mode, ..self }
    }

    /// A part of the image.
    ///
    /// # Errors
    /// If the padded image is smaller than the part, or the image cannot be padded.
    pub fn apply(&self, image: Image, rng: &mut Generator) -> Result<Image, DataError> {
        let &RandomCrop { height, width, padding, mode } = self;
        image.check_padding("RandomCrop", padding, mode)?;
        let positions = |size: usize, len: usize| (size + 2 * padding + 1).checked_sub(len);
        let (rows, columns) = (positions(image.height, height), positions(image.width, width));
        match (rows.filter(|&rows| rows > 0), columns.filter(|&columns| columns > 0)) {
            (Some(rows), Some(columns)) => {
                image.check_memory("RandomCrop", height, width)?;
                let (top, left) = (rng.below(rows) as isize, rng.below(columns) as isize);
                let padding = padding as isize;
                Ok(image.window(top - padding, left - padding, height, width, mode))
            }
            _ => {
                let padded = format!("at least {height} × {width} with a padding of {padding}");
                Err(image.unfit("RandomCrop", padded))
            }
        }
    }
}

/// A part of an image of random area and aspect ratio, scaled to one size.
///
/// The area and the logarithm of the ratio are drawn uniformly, up to ten times until the part fits;
/// then the largest part in the middle whose ratio is allowed is taken.
///
/// PyTorch: `torchvision.transforms.RandomResizedCrop`.
///
/// ```
/// use adamant_data::{Image, RandomResizedCrop};
/// use adamant_tensor::Generator;
/// let image = Image::new(vec![200; 60 * 80 * 3], [60, 80, 3]).unwrap();
/// let part = RandomResizedCrop::new(32, 32).apply(image, &mut Generator::seed(0));
/// assert_eq!((part.height(), part.width()), (32, 32));
/// ```
#[derive(Clone, Debug)]
pub struct RandomResizedCrop {
    height: usize,
    width: usize,
    scale: (f64, f64),
    ratio: (f64, f64),
}

impl RandomResizedCrop {
    /// Parts scaled to `height` × `width` pixels.
    ///
    /// # Panics
    /// If the height or the width is 0.
    #[must_use]
    #[track_caller]
    pub fn new(height: usize, width: usize) -> Self {
        check_size("RandomResizedCrop", height, width);
        RandomResizedCrop { height, width, scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }

    /// The least and the greatest share of the image's area; default 0.08 and 1.
    ///
    /// # Panics
    /// If not `0 < low <= high`.
    #[must_use]
    #[track_caller]
    pub fn scale(self, low: f64, high: f64) -> Self {
        check_interval("RandomResizedCrop", "scale", low, high);
        RandomResizedCrop { scale: (low, high), ..self }
    }

    /// The least and the greatest ratio of a part's width to its height; default 3/4 and 4/3.
    ///
    /// # Panics
    /// If not `0 < low <= high`.
    #[must_use]
    #[track_caller]
    pub fn ratio(self, low: f64, high: f64) -> Self {
        check_interval("RandomResizedCrop", "ratio", low, high);
        RandomResizedCrop { ratio: (low, high), ..self }
    }

    /// A part of the image, scaled.
    #[must_use]
    pub fn apply(&self, image: Image, rng: &mut Generator) -> Image {
        let (top, left, height, width) = self.part(image.height, image.width, rng);
        let part = image.window(top as isize, left as isize, height, width, PaddingMode::Edge);
        part.resize(self.height, self.width)
    }

    /// The position and the size of a part of an image of this size.
    fn part(
        &self,
        height: usize,
        width: usize,
        rng: &mut Generator,
    ) -> (usize, usize, usize, usize) {
        let (rows, columns) = (height as f64, width as f64);
        for _ in 0..10 {
            let area = rows * columns * between(rng, self.scale.0, self.scale.1);
            let ratio = log_between(rng, self.ratio.0, self.ratio.1);
            let w = (area * ratio).sqrt().round() as usize;
            let h = (area / ratio).sqrt().round() as usize;
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                return (rng.below(height - h + 1), rng.below(width - w + 1), h, w);
            }
        }
        let ratio = (columns / rows).clamp(self.ratio.0, self.ratio.1);
        let h = ((columns / ratio).round() as usize).clamp(1, height);
        let w = ((rows * ratio).round() as usize).clamp(1, width);
        ((height - h) / 2, (width - w) / 2, h, w)
    }
}

#[track_caller]
fn check_size(op: &str, height: usize, width: usize) {
    assert!(height > 0 && width > 0, "{op}: size is {height} × {width}; expected above 0");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// An image whose pixels are all different.
    fn image(height: usize, width: usize) -> Image {
        Image::new((0..height * width).map(|i| i as u8).collect(), [height, width, 1]).unwrap()
    }

    #[test]
    fn every_part_is_drawn() {
        let (whole, rng) = (image(3, 4), &mut Generator::seed(0));
        let padded = whole.pad(1, PaddingMode::Reflect).unwrap();
        let mut expected = BTreeSet::new();
        for top in 0..5 - 2 + 1 {
            for left in 0..6 - 3 + 1 {
                expected.insert(padded.crop(top, left, 2, 3).unwrap().bytes);
            }
        }
        let crop = RandomCrop::new(2, 3).padding(1).padding_mode(PaddingMode::Reflect);
        let mut apply = |_| crop.apply(whole.clone(), rng).unwrap().bytes;
        assert_eq!((0..500).map(&mut apply).collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn equal_generators_draw_equal_parts() {
        let crop = RandomResizedCrop::new(4, 4);
        let draw = |seed| {
            let rng = &mut Generator::seed(seed);
            (0..20).map(|_| crop.apply(image(15, 16), rng).bytes).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn an_image_must_be_large_enough() {
        let rng = &mut Generator::seed(0);
        let crop = RandomCrop::new(4, 9).padding(2);
        assert_eq!(crop.apply(image(1, 5), rng).unwrap().stride(), 9);
        assert_eq!(
            crop.apply(image(8, 4), rng).unwrap_err().to_string(),
            "RandomCrop: found an image of 8 × 4 pixels, expected at least 4 × 9 with a padding of 2"
        );
        let mirrored = crop.padding_mode(PaddingMode::Reflect);
        let text = mirrored.apply(image(2, 9), rng).unwrap_err().to_string();
        assert!(text.ends_with("expected one that Reflect can pad by 2 pixels"), "{text}");
    }

    #[test]
    fn parts_have_the_area_and_ratio_of_the_options() {
        let rng = &mut Generator::seed(0);
        let crop = RandomResizedCrop::new(8, 8).scale(0.2, 0.5).ratio(0.5, 2.0);
        let (mut least, mut greatest, mut wide) = (1.0f64, 0.0f64, 0);
        for _ in 0..2000 {
            let (top, left, h, w) = crop.part(300, 400, rng);
            assert!(top + h <= 300 && left + w <= 400);
            let (area, ratio) = ((h * w) as f64 / 120_000.0, w as f64 / h as f64);
            assert!((0.49..2.02).contains(&ratio), "{ratio}");
            (least, greatest) = (least.min(area), greatest.max(area));
            wide += usize::from(w > h);
        }
        assert!((0.195..0.21).contains(&least) && (0.48..0.505).contains(&greatest));
        assert!((850..1250).contains(&wide), "{wide}"); // large tall ones do not fit
    }

    #[test]
    fn an_image_without_a_fitting_part_is_cropped_in_the_middle() {
        let rng = &mut Generator::seed(0);
        let whole = RandomResizedCrop::new(8, 8).scale(1.0, 1.0);
        assert_eq!(whole.part(10, 100, rng), (0, 43, 10, 13));
        assert_eq!(whole.part(100, 10, rng), (43, 0, 13, 10));
        assert_eq!(whole.clone().ratio(9.0, 9.0).part(5, 1, rng), (2, 0, 1, 1));
    }

    #[test]
    #[should_panic(expected = "RandomResizedCrop: scale is 0.5 to 0.1; expected 0 < low <= high")]
    fn an_empty_interval_panics() {
        let _ = RandomResizedCrop::new(8, 8).scale(0.5, 0.1);
    }
}

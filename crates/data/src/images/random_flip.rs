//! Mirror images at random.

use super::check_probability;
use super::image::Image;
use adamant_tensor::Generator;

/// Exchanges left and right of an image with probability `p`.
///
/// PyTorch: `torchvision.transforms.RandomHorizontalFlip`.
///
/// ```
/// use adamant_data::{Image, RandomHorizontalFlip};
/// use adamant_tensor::Generator;
/// let image = Image::new(vec![1, 2, 3], [1, 3, 1]).unwrap();
/// let flipped = RandomHorizontalFlip::new().p(1.0).apply(image, &mut Generator::seed(0));
/// assert_eq!(flipped.bytes(), [3, 2, 1]);
/// ```
#[derive(Clone, Debug)]
pub struct RandomHorizontalFlip {
    p: f64,
}

impl Default for RandomHorizontalFlip {
    fn default() -> Self {
        Self::new()
    }
}

impl RandomHorizontalFlip {
    /// A flip of half of all images.
    #[must_use]
    pub fn new() -> Self {
        RandomHorizontalFlip { p: 0.5 }
    }

    /// The probability that an image is flipped; default 0.5.
    ///
    /// # Panics
    /// If it is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn p(self, p: f64) -> Self {
        check_probability("RandomHorizontalFlip", p);
        RandomHorizontalFlip { p }
    }

    /// The image, flipped or not.
    #[must_use]
    pub fn apply(&self, image: Image, rng: &mut Generator) -> Image {
        if rng.uniform() < self.p { image.flip_horizontal() } else { image }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_flipped_with_their_probability() {
        let image = Image::new(vec![1, 2], [1, 2, 1]).unwrap();
        for p in [0.0, 0.25, 1.0] {
            let (flip, rng) = (RandomHorizontalFlip::new().p(p), &mut Generator::seed(0));
            let flipped = (0..4000).filter(|_| flip.apply(image.clone(), rng) != image).count();
            assert!((flipped as f64 / 4000.0 - p).abs() < 0.02, "{flipped}");
        }
    }

    #[test]
    #[should_panic(
        expected = "RandomHorizontalFlip: p is 1.5; expected a probability, from 0 to 1"
    )]
    fn a_probability_above_1_panics() {
        let _ = RandomHorizontalFlip::new().p(1.5);
    }
}

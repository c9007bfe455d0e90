//! Erase random rectangles.

use super::{between, check_interval, check_probability, log_between};
use adamant_tensor::{Generator, Tensor};

/// Erases a rectangle of random area and aspect ratio from an image with probability `p`.
///
/// It takes the tensor `[channels, height, width]` of an image, usually a
/// [normalized](crate::Image::normalize) one, whose mean is 0.
///
/// PyTorch: `torchvision.transforms.RandomErasing`.
///
/// ```
/// use adamant_data::RandomErasing;
/// use adamant_tensor::{Generator, Tensor};
/// let erasing = RandomErasing::new().p(1.0).scale(0.25, 0.25).ratio(1.0, 1.0);
/// let erased = erasing.apply(Tensor::ones([3, 16, 16]), &mut Generator::seed(0));
/// assert_eq!(erased.mean().item(), 0.75);
/// ```
#[derive(Clone, Debug)]
pub struct RandomErasing {
    p: f64,
    scale: (f64, f64),
    ratio: (f64, f64),
    value: f32,
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self::new()
    }
}

impl RandomErasing {
    /// Erasing with the defaults.
    #[must_use]
    pub fn new() -> Self {
        RandomErasing { p: 0.5, scale: (0.02, 0.33), ratio: (0.3, 3.3), value: 0.0 }
    }

    /// The probability that a rectangle is erased; default 0.5.
    ///
    /// # Panics
    /// If it is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn p(self, p: f64) -> Self {
        check_probability("RandomErasing", p);
        RandomErasing { p, ..self }
    }

    /// The least and the greatest share of the image's area; default 0.02 and 0.33.
    ///
    /// # Panics
    /// If not `0 < low <= high`.
    #[must_use]
    #[track_caller]
    pub fn scale(self, low: f64, high: f64) -> Self {
        check_interval("RandomErasing", "scale", low, high);
        RandomErasing { scale: (low, high), ..self }
    }

    /// The least and the greatest ratio of the rectangle's height to its width; default 0.3 and 3.3.
    ///
    /// # Panics
    /// If not `0 < low <= high`.
    #[must_use]
    #[track_caller]
    pub fn ratio(self, low: f64, high: f64) -> Self {
        check_interval("RandomErasing", "ratio", low, high);
        RandomErasing { ratio: (low, high), ..self }
    }

    /// The value of all elements of the rectangle; default 0.
    #[must_use]
    pub fn value(self, value: f32) -> Self {
        RandomErasing { value, ..self }
    }

    /// The image, with or without a rectangle. It is returned as it is, too, if ten drawn
    /// rectangles are not smaller than the image in both dimensions.
    ///
    /// # Panics
    /// If the image does not have the shape `[channels, height, width]`.
    #[must_use]
    #[track_caller]
    pub fn apply(&self, image: Tensor, rng: &mut Generator) -> Tensor {
        let &[_, rows, columns] = image.shape() else {
            panic!(
                "RandomErasing: image has shape {:?}; expected [channels, height, width]",
                image.shape()
            );
        };
        if rng.uniform() >= self.p {
            return image;
        }
        let Some((top, left, height, width)) = self.rectangle(rows, columns, rng) else {
            return image;
        };
        let mut elements = image.to_vec();
        for row in elements
            .chunks_exact_mut(rows * columns)
            .flat_map(|plane| plane.chunks_exact_mut(columns).skip(top).take(height))
        {
            row[left..left + width].fill(self.value);
        }
        Tensor::from_vec(elements, image.shape()).expect("the elements of the image")
    }

    /// The position and the size of a rectangle.
    fn rectangle(
        &self,
        rows: usize,
        columns: usize,
        rng: &mut Generator,
    ) -> Option<(usize, usize, usize, usize)> {
        (0..10).find_map(|_| {
            let area = (rows * columns) as f64 * between(rng, self.scale.0, self.scale.1);
            let ratio = log_between(rng, self.ratio.0, self.ratio.1);
            let height = (area * ratio).sqrt().round() as usize;
            let width = (area / ratio).sqrt().round() as usize;
            let fits = height < rows && width < columns;
            fits.then(|| {
                (rng.below(rows - height + 1), rng.below(columns - width + 1), height, width)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rectangle_is_erased_from_all_channels() {
        let rng = &mut Generator::seed(0);
        let erasing = RandomErasing::new().p(0.75).value(7.0);
        let (mut erased, mut positions) = (0, std::collections::BTreeSet::new());
        for _ in 0..1000 {
            let image = erasing.apply(Tensor::zeros([2, 20, 30]), rng).to_vec();
            assert_eq!(image[..600], image[600..]);
            let inside: Vec<usize> = (0..600).filter(|&i| image[i] == 7.0).collect();
            let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
            let (height, width) = (last / 30 - first / 30 + 1, last % 30 - first % 30 + 1);
            assert_eq!(inside.len(), height * width);
            assert!((9..230).contains(&inside.len()), "{}", inside.len());
            erased += 1;
            positions.insert(*first);
        }
        assert!((700..800).contains(&erased) && positions.len() > 200, "{erased}");
    }

    #[test]
    fn an_image_that_is_too_small_stays() {
        let erasing = RandomErasing::new().p(1.0).scale(0.9, 1.0);
        let image = erasing.apply(Tensor::ones([1, 2, 2]), &mut Generator::seed(0));
        assert_eq!(image.to_vec(), [1.0; 4]);
    }

    #[test]
    #[should_panic(
        expected = "RandomErasing: image has shape [4, 4]; expected [channels, height, width]"
    )]
    fn a_matrix_panics() {
        let _ = RandomErasing::new().apply(Tensor::ones([4, 4]), &mut Generator::seed(0));
    }
}

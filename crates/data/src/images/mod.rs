//! Images and their random transforms.

mod color;
#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "image")]
mod folder;
mod image;
mod random_crop;
mod random_erasing;
mod random_flip;
mod resize;
mod window;

pub use self::color::ColorJitter;
#[cfg(feature = "image")]
pub use self::folder::ImageFolder;
pub use self::image::Image;
pub use self::random_crop::{RandomCrop, RandomResizedCrop};
pub use self::random_erasing::RandomErasing;
pub use self::random_flip::RandomHorizontalFlip;
pub use self::window::PaddingMode;

use adamant_tensor::{Float, Generator};

/// A number drawn uniformly from `[low, high)`.
fn between(rng: &mut Generator, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.uniform()
}

/// A number between `low` and `high` whose logarithm is drawn uniformly.
fn log_between(rng: &mut Generator, low: f64, high: f64) -> f64 {
    Float::exp(between(rng, Float::ln(low), Float::ln(high)))
}

/// Checks the option of a random transform: a probability.
#[track_caller]
fn check_probability(op: &str, p: f64) {
    assert!((0.0..=1.0).contains(&p), "{op}: p is {p}; expected a probability, from 0 to 1");
}

/// Checks the option of a random transform: an interval of positive numbers.
#[track_caller]
fn check_interval(op: &str, name: &str, low: f64, high: f64) {
    assert!(
        0.0 < low && low <= high && high < f64::INFINITY,
        "{op}: {name} is {low} to {high}; expected 0 < low <= high"
    );
}

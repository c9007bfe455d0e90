//! The images per second that a loader decodes and augments, without and with two workers.
//!
//! ```text
//! cargo run --release -p adamant-data --features image --example image_throughput [IMAGES]
//! ```
//!
//! It writes JPEG images of 128 × 128 to a temporary folder: 5,000 unless requested otherwise. On
//! two cores that are otherwise idle, two workers should be at least 1.8 times as fast as none.

use adamant_data::{DataLoader, Dataset, ImageFolder, RandomHorizontalFlip, RandomResizedCrop};
use adamant_tensor::Generator;
use image::{Rgb, RgbImage};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

const CLASSES: usize = 10;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(5000), |count| count.parse::<usize>())?;
    let folder = tempfile::tempdir()?;
    write_images(folder.path(), count.max(CLASSES))?;

    let mut rates = [0.0f64; 2]; // the best of all rounds
    let mut sums = Vec::new();
    for _ in 0..ROUNDS {
        for (rate, workers) in rates.iter_mut().zip([0, 2]) {
            let (per_second, sum) = epoch(folder.path(), workers)?;
            *rate = rate.max(per_second);
            sums.push(sum);
        }
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "workers change the images: {sums:?}");
    let [none, two] = rates;
    println!("no workers:  {none:6.0} images/s");
    println!("two workers: {two:6.0} images/s, {:.2} times as many", two / none);
    Ok(())
}

/// The images per second of the first epoch, and the sum of the first image of each batch: the
/// caller hardly works.
fn epoch(folder: &Path, workers: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let images = ImageFolder::open(folder)?;
    let count = images.len();
    let (crop, flip) = (RandomResizedCrop::new(112, 112), RandomHorizontalFlip::new());
    let augmented = images.augment(move |(image, class), rng| {
        let image = flip.apply(crop.apply(image, rng), rng);
        Ok((image.normalize(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]), class))
    });
    let mut loader =
        DataLoader::new(augmented, 32).shuffle(&mut Generator::seed(0)).workers(workers);
    let start = Instant::now();
    let mut sum = 0.0;
    for batch in loader.try_epoch() {
        sum += f64::from(batch?.inputs.select(0, 0).sum().item());
    }
    Ok((count as f64 / start.elapsed().as_secs_f64(), sum))
}

/// Writes images with a pattern and noise, so that they have the size of photos.
fn write_images(folder: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let rng = &mut Generator::seed(0);
    for i in 0..count {
        let class = folder.join(format!("class{}", i % CLASSES));
        fs::create_dir_all(&class)?;
        let waves = [rng.uniform(), rng.uniform(), rng.uniform()].map(|u| 0.02 + 0.2 * u);
        let picture = RgbImage::from_fn(128, 128, |x, y| {
            let noise = rng.next_u64().to_le_bytes();
            let [red, green, blue] = waves.map(|wave| {
                128.0 + 90.0 * (f64::from(x) * wave).sin() * (f64::from(y) * wave).cos()
            });
            let at = |color: f64, noise: u8| (color + f64::from(noise) / 8.0) as u8;
            Rgb([at(red, noise[0]), at(green, noise[1]), at(blue, noise[2])])
        });
        picture.save(class.join(format!("{i}.jpg")))?;
    }
    Ok(())
}

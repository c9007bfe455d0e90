//! Images with their classes.

use super::Failure;
use adamant::data::{Dataset, RandomCrop};
use adamant::prelude::*;
use std::path::Path;

/// The number of classes, and loaders for training and testing: of a folder with a subfolder for each
/// class, or of 20 of each of MNIST's digits as color images.
pub(crate) fn open(
    folder: Option<&Path>,
    side: usize,
    rng: &mut Generator,
) -> Result<(usize, [DataLoader; 2]), Failure> {
    if let Some(folder) = folder {
        let images = ImageFolder::open(folder)?;
        let classes = images.class_names().len();
        let [train, test] = stratified_split(images, [0.8, 0.2], rng)?;
        return Ok((classes, loaders(train, test, side, rng)));
    }
    let Mnist { train, test } = Mnist::bundled()?;
    let mut taken = [0; 10];
    let few = train.filter(|_index, digit| {
        taken[digit] += 1;
        taken[digit] <= 20
    });
    let [train, test] = [few, test.take(500)]
        .map(|images| images.map(|(row, digit)| Ok((colored(row.bytes())?, digit))));
    Ok((10, loaders(train, test, side, rng)))
}

/// Loaders of images with random margins, and of the middle of images.
fn loaders<T, U>(train: T, test: U, side: usize, rng: &mut Generator) -> [DataLoader; 2]
where
    T: Dataset<Sample = (Image, usize)> + Send + Sync + 'static,
    U: Dataset<Sample = (Image, usize)> + Send + Sync + 'static,
{
    let resized = move |image: Image| image.resize_shorter_side(side + side / 8);
    let normalized = |image: Image| image.normalize(&[0.5; 3], &[0.5; 3]);
    let crop = RandomCrop::new(side, side);
    let train = train.augment(move |(image, class), rng| {
        Ok((normalized(crop.apply(resized(image), rng)?), class))
    });
    let test = test.map(move |(image, class)| {
        Ok((normalized(resized(image).center_crop(side, side)?), class))
    });
    let workers = adamant::num_threads();
    [DataLoader::new(train, 16).shuffle(rng), DataLoader::new(test, 50)]
        .map(|loader| loader.workers(workers))
}

/// A digit in color.
fn colored(digit: &[u8]) -> Result<Image, DataError> {
    Image::new(digit.iter().flat_map(|&gray| [gray; 3]).collect(), [28, 28, 3])
}

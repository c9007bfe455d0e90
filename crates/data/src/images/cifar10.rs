//! CIFAR-10 as a data set.

use crate::bytes::ByteRows;
use crate::cifar::{CifarImages, read_cifar10_folder};
use crate::mnist::LabeledImages;
use crate::subset::Subset;
use crate::tensors::TensorDataset;
use adamant_files::FileError;
use std::path::Path;

/// CIFAR-10: color images of 32 × 32, classes 0 to 9, whose names are
/// [`CIFAR10_CLASSES`](crate::CIFAR10_CLASSES).
///
/// A sample has shape `[3, 32, 32]`. A pixel's byte `b` of channel `c` becomes
/// `(b / 255 − MEAN[c]) / STD[c]`, so that each channel of the training images has mean 0 and
/// variance 1.
///
/// PyTorch: `torchvision.datasets.CIFAR10` with `ToTensor` and `Normalize`.
///
/// Random transforms take an [`Image`](crate::Image):
///
/// ```
/// use adamant_data::{Cifar10, DataLoader, Dataset, Image, RandomCrop, RandomHorizontalFlip};
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path();
/// # for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
/// #     std::fs::write(folder.join(format!("{name}.bin")), [7; 3073]).unwrap();
/// # }
/// let Cifar10 { train, test } = Cifar10::open(folder).unwrap();
/// let (crop, flip) = (RandomCrop::new(32, 32).padding(4), RandomHorizontalFlip::new());
/// let train = train.augment(move |(row, class), rng| {
///     let image = Image::from_planes(row.bytes(), [3, 32, 32])?;
///     let image = flip.apply(crop.apply(image, rng)?, rng);
///     Ok((image.normalize(&Cifar10::MEAN, &Cifar10::STD), class))
/// });
/// assert_eq!(DataLoader::new(train, 4).next_batch().inputs.shape(), [4, 3, 32, 32]);
/// assert_eq!(DataLoader::new(test, 1).next_batch().targets, [7]);
/// ```
#[derive(Clone, Debug)]
pub struct Cifar10 {
    /// The training set: 50,000 images.
    pub train: LabeledImages,
    /// The test set: 10,000 images.
    pub test: LabeledImages,
}

impl Cifar10 {
    /// The mean of each channel of the training images, from 0 to 1.
    pub const MEAN: [f64; 3] = [0.4914, 0.4822, 0.4465];
    /// The standard deviation of each channel of the training images.
    pub const STD: [f64; 3] = [0.2470, 0.2435, 0.2616];

    /// The set in the folder `cifar-10-batches-bin`, CIFAR-10's "binary version".
    ///
    /// # Errors
    /// If a file is missing or empty, or is not made of whole images with labels from 0 to 9.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let (train, test) = read_cifar10_folder(folder)?;
        Ok(Cifar10 { train: labeled(train), test: labeled(test) })
    }
}

fn labeled(CifarImages { images, labels }: CifarImages) -> LabeledImages {
    let images = ByteRows::new(images, [3, 32, 32]).expect("images of 3072 bytes");
    let images = images.normalize(&Cifar10::MEAN, &Cifar10::STD);
    Subset::all(TensorDataset::new(images, labels).expect("a label for each image"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Labeled};
    use crate::images::Image;

    #[test]
    fn samples_are_normalized_images() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let record = |label: usize| {
            let pixels = (0..3072).map(move |i| (i * 7 + label * 31) as u8);
            std::iter::once(label as u8).chain(pixels).collect::<Vec<_>>()
        };
        for i in 1..=5 {
            let records = [record(i), record(i + 4)].concat();
            std::fs::write(folder.join(format!("data_batch_{i}.bin")), records).unwrap();
        }
        let missing = Cifar10::open(folder).map(drop).unwrap_err().to_string();
        assert!(missing.contains("test_batch.bin"), "{missing}");
        std::fs::write(folder.join("test_batch.bin"), record(0)).unwrap();
        let Cifar10 { train, test } = Cifar10::open(folder).unwrap();
        assert_eq!((train.labels(), test.labels()), (vec![1, 5, 2, 6, 3, 7, 4, 8, 5, 9], vec![0]));
        let (row, class) = train.get(3).unwrap();
        let expected = record(6);
        assert_eq!((row.bytes(), class), (&expected[1..], 6));
        let tensor = row.to_tensor();
        let blue = (f64::from(expected[1 + 2048 + 5]) / 255.0 - 0.4465) / 0.2616;
        assert!((f64::from(tensor.to_vec()[2048 + 5]) - blue).abs() < 1e-5);
        // Augmented images have the same scale.
        let image = Image::from_planes(row.bytes(), [3, 32, 32]).unwrap();
        assert_eq!(image.normalize(&Cifar10::MEAN, &Cifar10::STD).to_vec(), tensor.to_vec());
    }
}

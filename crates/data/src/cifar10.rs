//! CIFAR-10, from its binary files.

use crate::bytes::ByteRows;
use crate::mnist::LabeledImages;
use crate::subset::Subset;
use crate::tensors::TensorDataset;
use adamant_files::{FileError, open};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// CIFAR-10: color images of 32 × 32 in ten classes, whose names are [`CLASSES`](Cifar10::CLASSES).
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
/// let class = DataLoader::new(test, 1).next_batch().targets[0];
/// assert_eq!(Cifar10::CLASSES[class], "horse");
/// ```
#[derive(Clone, Debug)]
pub struct Cifar10 {
    /// The training set: 50,000 images.
    pub train: LabeledImages,
    /// The test set: 10,000 images.
    pub test: LabeledImages,
}

/// The bytes of an image: red, green and blue planes of 32 × 32.
const IMAGE: usize = 3 * 32 * 32;

impl Cifar10 {
    /// The names of the classes, in the order of their indices.
    pub const CLASSES: [&str; 10] =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    /// The mean of each channel of the training images, from 0 to 1.
    pub const MEAN: [f64; 3] = [0.4914, 0.4822, 0.4465];
    /// The standard deviation of each channel of the training images.
    pub const STD: [f64; 3] = [0.2470, 0.2435, 0.2616];

    /// The set in the folder `cifar-10-batches-bin`, CIFAR-10's "binary version": the training
    /// images of `data_batch_1.bin` to `data_batch_5.bin`, and the test images of `test_batch.bin`.
    ///
    /// # Errors
    /// If a file is missing or empty, or is not made of whole images with labels from 0 to 9.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = folder.as_ref();
        let train = (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin")));
        Ok(Cifar10 { train: read(train)?, test: read([folder.join("test_batch.bin")])? })
    }
}

/// The images of these files, one after the other.
fn read(paths: impl IntoIterator<Item = PathBuf>) -> Result<LabeledImages, FileError> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        append(&path, &mut images, &mut labels)?;
    }
    let images = ByteRows::new(images, [3, 32, 32]).expect("whole images");
    let images = images.normalize(&Cifar10::MEAN, &Cifar10::STD);
    Ok(Subset::all(TensorDataset::new(images, labels).expect("a label for each image")))
}

/// Appends a file's records: a label and an image each.
fn append(path: &Path, images: &mut Vec<u8>, labels: &mut Vec<usize>) -> Result<(), FileError> {
    const RECORD: u64 = 1 + IMAGE as u64;
    let (file, len) = open(path)?;
    let (records, rest) = (len / RECORD, len % RECORD);
    if rest != 0 || records == 0 {
        let found = format!("{rest} bytes in record {records}");
        return Err(FileError::format(path, found, format!("records of {RECORD} bytes")));
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let reserved = images.try_reserve_exact(records as usize * IMAGE);
    reserved.map_err(|error| FileError::io(path, error.into()))?;
    for record in 0..records {
        let mut bytes = [0; 1 + IMAGE];
        file.read_exact(&mut bytes).map_err(|error| FileError::io(path, error))?;
        let [label, image @ ..] = bytes;
        if usize::from(label) >= Cifar10::CLASSES.len() {
            let found = format!("label {label} in record {record}");
            return Err(FileError::format(path, found, "labels from 0 to 9"));
        }
        labels.push(label.into());
        images.extend_from_slice(&image);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Labeled};
    use crate::images::Image;

    fn record(label: u8) -> Vec<u8> {
        let pixels = (0..IMAGE).map(|i| (i * 7 + usize::from(label) * 31) as u8);
        std::iter::once(label).chain(pixels).collect()
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for i in 1..=5 {
            let records = [record(i), record(i + 4)].concat();
            std::fs::write(folder.join(format!("data_batch_{i}.bin")), records).unwrap();
        }
        let missing = Cifar10::open(folder).map(drop).unwrap_err().to_string();
        assert!(missing.contains("test_batch.bin: "), "{missing}");
        std::fs::write(folder.join("test_batch.bin"), record(0)).unwrap();
        let Cifar10 { train, test } = Cifar10::open(folder).unwrap();
        let labels = [1, 5, 2, 6, 3, 7, 4, 8, 5, 9];
        assert_eq!((train.labels(), test.labels()), (labels.to_vec(), vec![0]));
        for (index, label) in labels.into_iter().enumerate() {
            let (row, class) = train.get(index).unwrap();
            assert_eq!((row.bytes(), class), (&record(label as u8)[1..], label));
        }
    }

    #[test]
    fn samples_are_normalized_images() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, record(6)).unwrap();
        let (row, _) = read([path]).unwrap().get(0).unwrap();
        let tensor = row.to_tensor();
        let blue = (f64::from(record(6)[1 + 2048 + 5]) / 255.0 - 0.4465) / 0.2616;
        assert!((f64::from(tensor.to_vec()[2048 + 5]) - blue).abs() < 1e-5);
        // Augmented images have the same scale.
        let image = Image::from_planes(row.bytes(), [3, 32, 32]).unwrap();
        assert_eq!(image.normalize(&Cifar10::MEAN, &Cifar10::STD).to_vec(), tensor.to_vec());
    }

    #[test]
    fn errors_name_file_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read([path.clone()]).unwrap_err().to_string()
        };
        let text = error(&[record(1), record(2), record(10)].concat());
        assert!(text.ends_with("x.bin: found label 10 in record 2, expected labels from 0 to 9"));
        let whole = [record(1), record(2)].concat();
        for len in [0, 1, 2, 3071, 3072, 3074, 6145] {
            let (record, rest) = (len / 3073, len % 3073);
            let found = format!("found {rest} bytes in record {record}, expected records of 3073");
            let text = error(&whole[..len]);
            assert!(text.contains(&found), "{text}");
        }
    }
}

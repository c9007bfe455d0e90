//! CIFAR-10's binary files.

use adamant_files::{FileError, open};
use std::io::{BufReader, Read};
use std::path::Path;

/// The names of the ten classes, in the order of their indices.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The number of bytes of an image: red, green and blue planes of 32 × 32.
const IMAGE: usize = 3 * 32 * 32;

/// Images and their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CifarImages {
    /// The pixels: `[N, 3, 32, 32]`, row-major.
    pub images: Vec<u8>,
    /// The class of each image, below 10.
    pub labels: Vec<usize>,
}

/// Reads one of CIFAR-10's binary files: records of a label and an image.
///
/// # Errors
/// If the file cannot be read or is empty, a label is above 9, or the last record is cut.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("two.bin");
/// std::fs::write(&path, [[7; 3073], [2; 3073]].as_flattened()).unwrap();
/// let file = adamant_data::read_cifar10(&path).unwrap();
/// assert_eq!((file.labels, file.images.len()), (vec![7, 2], 2 * 3 * 32 * 32));
/// ```
pub fn read_cifar10(path: impl AsRef<Path>) -> Result<CifarImages, FileError> {
    let mut file = CifarImages::default();
    file.append(path.as_ref())?;
    Ok(file)
}

/// Reads the folder `cifar-10-batches-bin`: the training images of `data_batch_1.bin` to
/// `data_batch_5.bin`, and the test images of `test_batch.bin`.
///
/// PyTorch: `torchvision.datasets.CIFAR10`, which reads the Python version of the files.
///
/// # Errors
/// If a file is missing, or as [`read_cifar10`].
pub fn read_cifar10_folder(
    folder: impl AsRef<Path>,
) -> Result<(CifarImages, CifarImages), FileError> {
    let folder = folder.as_ref();
    let mut train = CifarImages::default();
    (1..=5).try_for_each(|i| train.append(&folder.join(format!("data_batch_{i}.bin"))))?;
    Ok((train, read_cifar10(folder.join("test_batch.bin"))?))
}

impl CifarImages {
    fn append(&mut self, path: &Path) -> Result<(), FileError> {
        const RECORD: u64 = 1 + IMAGE as u64;
        let (file, len) = open(path)?;
        let (records, rest) = (len / RECORD, len % RECORD);
        if rest != 0 || records == 0 {
            let found = format!("{rest} bytes in record {records}");
            return Err(FileError::format(path, found, format!("records of {RECORD} bytes")));
        }
        let mut file = BufReader::with_capacity(1 << 16, file);
        let reserved = self.images.try_reserve_exact(records as usize * IMAGE);
        reserved.map_err(|error| FileError::io(path, error.into()))?;
        for record in 0..records {
            let mut bytes = [0; 1 + IMAGE];
            file.read_exact(&mut bytes).map_err(|error| FileError::io(path, error))?;
            let [label, image @ ..] = bytes;
            if usize::from(label) >= CIFAR10_CLASSES.len() {
                let found = format!("label {label} in record {record}");
                return Err(FileError::format(path, found, "labels from 0 to 9"));
            }
            self.labels.push(label.into());
            self.images.extend_from_slice(&image);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records whose labels are these, and whose pixels count up.
    fn records(labels: &[u8]) -> Vec<u8> {
        let pixels = |label: u8| (0..IMAGE).map(move |i| (i as u8).wrapping_add(label));
        labels.iter().flat_map(|&label| std::iter::once(label).chain(pixels(label))).collect()
    }

    fn write(folder: &Path, name: &str, bytes: &[u8]) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for i in 1..=5 {
            write(folder, &format!("data_batch_{i}.bin"), &records(&[i, 9]));
        }
        let missing = read_cifar10_folder(folder).map(drop).unwrap_err().to_string();
        assert!(missing.contains("test_batch.bin: "), "{missing}");
        write(folder, "test_batch.bin", &records(&[0]));
        let (train, test) = read_cifar10_folder(folder).unwrap();
        assert_eq!(train.labels, [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
        assert_eq!(train.images.len(), 10 * IMAGE);
        assert_eq!(
            train.images[2 * IMAGE..],
            records(&[2, 9, 3, 9, 4, 9, 5, 9])
                .chunks(1 + IMAGE)
                .flat_map(|record| &record[1..])
                .copied()
                .collect::<Vec<u8>>()
        );
        assert_eq!((test.labels, test.images.len()), (vec![0], IMAGE));
    }

    #[test]
    fn errors_name_file_and_record() {
        let folder = tempfile::tempdir().unwrap();
        let error = |bytes: &[u8]| {
            write(folder.path(), "x.bin", bytes);
            read_cifar10(folder.path().join("x.bin")).unwrap_err().to_string()
        };
        let text = error(&records(&[1, 2, 10]));
        assert!(text.ends_with("x.bin: found label 10 in record 2, expected labels from 0 to 9"));
        let whole = records(&[1, 2]);
        for len in [0, 1, 2, 3071, 3072, 3074, 6145] {
            let (record, rest) = (len / 3073, len % 3073);
            let found = format!("found {rest} bytes in record {record}, expected records of 3073");
            let text = error(&whole[..len]);
            assert!(text.contains(&found), "{text}");
        }
    }
}

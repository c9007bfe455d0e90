//! MNIST, and data sets in the same format.

use crate::bytes::{ByteRows, scale_and_shift};
use crate::idx::IdxFile;
use crate::subset::Subset;
use crate::tensors::TensorDataset;
use adamant_files::FileError;
use std::path::{Path, PathBuf};

/// Images with their classes, as bytes in memory.
pub type LabeledImages = Subset<TensorDataset<ByteRows, Vec<usize>>>;

/// Handwritten digits: images of 28 × 28, classes 0 to 9.
///
/// A sample has shape `[784]`. A pixel's byte `b` becomes `(b / 255 − 0.1307) / 0.3081`, so that
/// MNIST's training images have mean 0 and variance 1, as in PyTorch's example.
#[derive(Clone, Debug)]
pub struct Mnist {
    /// The training set: 60,000 images.
    pub train: LabeledImages,
    /// The test set: 10,000 images.
    pub test: LabeledImages,
}

/// The mean and standard deviation of the training images' pixels.
const MEAN: f64 = 0.1307;
const STD: f64 = 0.3081;
const CLASSES: u8 = 10;

impl Mnist {
    /// The full MNIST set, which is part of this repository.
    ///
    /// # Errors
    /// If the files are not where they were when the program was compiled;
    /// [`open`](Mnist::open) reads them from anywhere.
    ///
    /// ```
    /// use adamant_data::Mnist;
    /// let mnist = Mnist::bundled().unwrap();
    /// assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    /// ```
    pub fn bundled() -> Result<Self, FileError> {
        Self::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/mnist"))
    }

    /// A data set in MNIST's four files, each plain or compressed with the ending `.gz`;
    /// Fashion-MNIST too.
    ///
    /// # Errors
    /// If a file is missing or damaged, the images are not 28 × 28, a label is above 9, or the
    /// numbers of images and labels differ.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = folder.as_ref();
        Ok(Mnist { train: open_part(folder, "train")?, test: open_part(folder, "t10k")? })
    }
}

fn open_part(folder: &Path, part: &str) -> Result<LabeledImages, FileError> {
    let images_path = find(folder, &format!("{part}-images-idx3-ubyte"))?;
    let labels_path = find(folder, &format!("{part}-labels-idx1-ubyte"))?;
    let (labels, images) = (IdxFile::open(&labels_path)?, IdxFile::open(&images_path)?);
    let &[count] = &labels.shape[..] else {
        return Err(labels.wrong_shape("labels: [N]"));
    };
    if images.shape != [count, 28, 28] {
        let labels = labels_path.display();
        let expected = format!("[{count}, 28, 28], one image for each label in {labels}");
        return Err(images.wrong_shape(expected));
    }
    let labels = labels.read()?.bytes;
    if let Some(i) = labels.iter().position(|&label| label >= CLASSES) {
        let found = format!("label {} for image {i}", labels[i]);
        return Err(FileError::format(&labels_path, found, "labels from 0 to 9"));
    }
    let images = images.read()?.bytes;
    let (scale, shift) = scale_and_shift(MEAN, STD);
    let images = ByteRows::new(images, [28 * 28]).expect("images of 784 bytes");
    let labels = labels.into_iter().map(usize::from).collect();
    let images = images.scale(scale, shift);
    Ok(Subset::all(TensorDataset::new(images, labels).expect("one image for each label")))
}

/// The path of the plain file if it exists, else of the compressed one.
fn find(folder: &Path, name: &str) -> Result<PathBuf, FileError> {
    let compressed = format!("{name}.gz");
    let present =
        [name, &compressed].into_iter().map(|name| folder.join(name)).find(|path| path.exists());
    present.ok_or_else(|| {
        let found = if folder.is_dir() { "neither file" } else { "no such folder" };
        FileError::format(folder, found, format!("a folder with {name} or {compressed}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Labeled};

    #[test]
    fn the_bundled_set_is_mnist() {
        let mnist = Mnist::bundled().unwrap();
        let mut counts = [0; 10];
        mnist.train.labels().iter().for_each(|&label| counts[label] += 1);
        assert_eq!(counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(mnist.test.labels()[..5], [7, 2, 1, 0, 4]);
        let pixels = mnist.train.batch(&(0..1000).collect::<Vec<_>>()).unwrap().inputs;
        assert!(pixels.mean().item().abs() < 0.05);
    }

    fn write(folder: &Path, name: &str, sizes: &[u32], bytes: &[u8]) {
        let mut file = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend(bytes);
        std::fs::write(folder.join(name), file).unwrap();
    }

    #[test]
    fn images_and_labels_must_match() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let open = || Mnist::open(folder).map(drop).unwrap_err().to_string();
        assert!(open().contains("found neither file, expected a folder with"), "{}", open());
        let missing = Mnist::open(folder.join("missing")).map(drop).unwrap_err().to_string();
        assert!(missing.contains("missing: found no such folder"), "{missing}");
        let images = vec![0; 2 * 784];
        write(folder, "train-images-idx3-ubyte", &[2, 28, 28], &images);
        write(folder, "train-labels-idx1-ubyte", &[3], &[1, 2, 3]);
        let text = open();
        assert!(text.contains("with shape [2, 28, 28], expected [3, 28, 28]"), "{text}");
        write(folder, "train-labels-idx1-ubyte", &[2], &[1, 10]);
        assert!(open().contains("label 10 for image 1"), "{}", open());
        write(folder, "train-images-idx3-ubyte", &[2, 784], &images);
        assert!(open().contains("with shape [2, 784]"), "{}", open());
    }
}

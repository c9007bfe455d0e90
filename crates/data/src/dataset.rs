//! Samples with targets.

use crate::error::DataError;
use adamant_kernels::convert_bytes;
use adamant_tensor::{Shape, Tensor};
use std::sync::Arc;

/// Samples of one shape, each with a target class.
///
/// `clone`, `filter` and `take` share the samples and copy only lists of indices.
#[derive(Clone, Debug)]
pub struct Dataset {
    samples: Samples,
    /// The shape of one sample.
    shape: Shape,
    targets: Arc<[usize]>,
    /// The indices of this set's samples, in its order.
    indices: Arc<[usize]>,
}

#[derive(Clone)]
enum Samples {
    // `Arc<Vec>`, since making an `Arc<[_]>` of a vector copies it.
    /// Bytes that become `byte · scale + shift` in a batch: a quarter of the memory of floats.
    Bytes {
        bytes: Arc<Vec<u8>>,
        scale: f32,
        shift: f32,
    },
    Floats(Arc<Vec<f32>>),
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Samples::Bytes { bytes, .. } => write!(f, "{} bytes", bytes.len()),
            Samples::Floats(floats) => write!(f, "{} floats", floats.len()),
        }
    }
}

/// Some samples of a [`Dataset`], ready for a model.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[batch, …]`: the samples, stacked.
    pub inputs: Tensor,
    /// The class of each sample.
    pub targets: Vec<usize>,
}

impl Dataset {
    /// A set of the rows of `inputs` (`[N, …]`) and their targets.
    ///
    /// PyTorch: `torch.utils.data.TensorDataset`.
    ///
    /// # Errors
    /// If the numbers of rows and targets differ.
    ///
    /// ```
    /// use adamant_data::Dataset;
    /// use adamant_tensor::Tensor;
    /// let inputs = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], [2, 2]).unwrap();
    /// let set = Dataset::new(&inputs, vec![0, 1]).unwrap();
    /// assert_eq!(set.batch(&[1]).inputs.to_vec(), [2.0, 3.0]);
    /// ```
    pub fn new(inputs: &Tensor, targets: Vec<usize>) -> Result<Self, DataError> {
        let samples = inputs.shape().first().copied().unwrap_or(0);
        let shape = Shape::from(inputs.shape().get(1..).unwrap_or(&[]));
        Self::from_samples(Samples::Floats(inputs.to_vec().into()), samples, shape, targets)
    }

    /// A set of samples of this shape, whose bytes become `byte · scale + shift` in a batch.
    ///
    /// # Errors
    /// If the bytes do not make one sample for each target.
    pub fn from_bytes(
        bytes: Vec<u8>,
        shape: impl Into<Shape>,
        scale: f32,
        shift: f32,
        targets: Vec<usize>,
    ) -> Result<Self, DataError> {
        let shape = shape.into();
        let needed = shape.checked_numel().and_then(|size| size.checked_mul(targets.len()));
        if needed != Some(bytes.len()) {
            return Err(DataError::Bytes { shape, bytes: bytes.len(), targets: targets.len() });
        }
        let bytes = Samples::Bytes { bytes: bytes.into(), scale, shift };
        Self::from_samples(bytes, targets.len(), shape, targets)
    }

    fn from_samples(
        samples: Samples,
        len: usize,
        shape: Shape,
        targets: Vec<usize>,
    ) -> Result<Self, DataError> {
        if targets.len() != len {
            return Err(DataError::Lengths { samples: len, targets: targets.len() });
        }
        Ok(Dataset { samples, shape, targets: targets.into(), indices: (0..len).collect() })
    }

    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The targets, in order.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = usize> {
        self.indices.iter().map(|&index| self.targets[index])
    }

    /// The samples for which `keep(position, target)`.
    ///
    /// ```
    /// use adamant_data::Dataset;
    /// use adamant_tensor::Tensor;
    /// let set = Dataset::new(&Tensor::ones([4, 2]), vec![0, 7, 1, 7]).unwrap();
    /// assert_eq!(set.filter(|_position, target| target < 5).len(), 2);
    /// ```
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(usize, usize) -> bool) -> Self {
        let kept = self.indices.iter().enumerate();
        let kept = kept.filter(|&(position, &index)| keep(position, self.targets[index]));
        Dataset { indices: kept.map(|(_, &index)| index).collect(), ..self.clone() }
    }

    /// The first `n` samples, or all of them if there are fewer.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        Dataset { indices: self.indices[..n.min(self.len())].into(), ..self.clone() }
    }

    /// The samples at these positions, stacked.
    ///
    /// # Panics
    /// If a position is not below the number of samples.
    #[must_use]
    #[track_caller]
    pub fn batch(&self, positions: &[usize]) -> Batch {
        let len = self.len();
        if let Some(position) = positions.iter().find(|&&position| position >= len) {
            panic!(
                "batch: position is {position}; expected less than {len}, the number of samples"
            );
        }
        let indices: Vec<usize> =
            positions.iter().map(|&position| self.indices[position]).collect();
        let width = self.shape.numel();
        let shape: Shape = [indices.len()].into_iter().chain(self.shape.iter().copied()).collect();
        let inputs = Tensor::build(shape, |out| {
            for (out, &index) in out.chunks_exact_mut(width.max(1)).zip(&indices) {
                let range = index * width..(index + 1) * width;
                match &self.samples {
                    Samples::Bytes { bytes, scale, shift } => {
                        convert_bytes(out, &bytes[range], *scale, *shift);
                    }
                    Samples::Floats(floats) => out.copy_from_slice(&floats[range]),
                }
            }
        });
        Batch { inputs, targets: indices.iter().map(|&index| self.targets[index]).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Dataset {
        Dataset::from_bytes((0..n as u8).collect(), [1], 2.0, 0.5, (0..n).collect()).unwrap()
    }

    #[test]
    fn subsets_of_subsets_keep_their_order() {
        let part = numbered(10).filter(|_, target| target % 2 == 1).filter(|i, _| i != 1).take(3);
        assert_eq!(part.targets().collect::<Vec<_>>(), [1, 5, 7]);
        let batch = part.batch(&[2, 0]);
        assert_eq!((batch.inputs.to_vec(), batch.targets), (vec![14.5, 2.5], vec![7, 1]));
        assert_eq!(numbered(3).take(100).len(), 3);
    }

    #[test]
    fn samples_without_targets_are_rejected() {
        let error = Dataset::new(&Tensor::ones([3, 2]), vec![0]).unwrap_err().to_string();
        assert_eq!(error, "Dataset: found 1 targets for 3 samples, expected one for each");
        let error = Dataset::from_bytes(vec![0; 5], [2, 2], 1.0, 0.0, vec![0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Dataset: found 5 bytes for 1 targets, expected [2, 2] for each"
        );
        let shape = [usize::MAX, 2]; // too large for any array
        let error = Dataset::from_bytes(vec![0; 5], shape, 1.0, 0.0, vec![0]).unwrap_err();
        assert!(
            error.to_string().starts_with("Dataset: found 5 bytes for 1 targets, expected [1844")
        );
    }
}

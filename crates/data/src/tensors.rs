//! Inputs with their targets, in memory.

use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;
use adamant_tensor::Tensor;
use std::sync::Arc;

/// Pairs of an input and a target: tensors, indices, class indices or any two data sets of the same
/// length.
///
/// A clone shares both.
///
/// PyTorch: `torch.utils.data.TensorDataset`.
///
/// ```
/// use adamant_data::{DataLoader, TensorDataset};
/// use adamant_tensor::Tensor;
/// let inputs = Tensor::from_vec(vec![0.0f32, 1.0, 2.0, 3.0], [2, 2]).unwrap();
/// let classes = TensorDataset::new(inputs.clone(), vec![0usize, 1]).unwrap();
/// assert_eq!(DataLoader::new(classes, 2).next_batch().targets, [0, 1]);
///
/// let prices = Tensor::from([1.5f32, 2.5]);
/// let regression = TensorDataset::new(inputs, prices).unwrap();
/// assert_eq!(DataLoader::new(regression, 2).next_batch().targets.to_vec(), [1.5, 2.5]);
/// ```
#[derive(Debug)]
pub struct TensorDataset<I = Tensor, T = Vec<usize>> {
    inputs: Arc<I>,
    targets: Arc<T>,
}

impl<I, T> Clone for TensorDataset<I, T> {
    fn clone(&self) -> Self {
        TensorDataset { inputs: self.inputs.clone(), targets: self.targets.clone() }
    }
}

impl<I: Dataset, T: Dataset> TensorDataset<I, T> {
    /// Pairs of the inputs and the targets.
    ///
    /// # Errors
    /// If their numbers differ.
    pub fn new(inputs: I, targets: T) -> Result<Self, DataError> {
        if inputs.len() != targets.len() {
            return Err(DataError::Lengths { inputs: inputs.len(), targets: targets.len() });
        }
        Ok(TensorDataset { inputs: inputs.into(), targets: targets.into() })
    }
}

impl<I, T> TensorDataset<I, T> {
    /// The inputs.
    #[must_use]
    pub fn inputs(&self) -> &I {
        &self.inputs
    }

    /// The targets.
    #[must_use]
    pub fn targets(&self) -> &T {
        &self.targets
    }
}

impl<I: Dataset, T: Dataset> Dataset for TensorDataset<I, T> {
    type Sample = (I::Sample, T::Sample);

    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn get(&self, index: usize) -> Result<Self::Sample, DataError> {
        Ok((self.inputs.get(index)?, self.targets.get(index)?))
    }
}

impl<I: Dataset, T: Labeled> Labeled for TensorDataset<I, T> {
    fn label(&self, index: usize) -> usize {
        self.targets.label(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_without_targets_are_rejected() {
        let error = TensorDataset::new(Tensor::<f32>::ones([3, 2]), vec![0usize]).unwrap_err();
        let expected = "TensorDataset: found 1 targets for 3 inputs, expected one for each";
        assert_eq!(error.to_string(), expected);
    }
}

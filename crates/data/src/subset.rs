//! Some samples of a data set.

use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;
use std::sync::Arc;

/// Samples of a data set, by a list of indices: [`Dataset::subset`].
///
/// A clone shares the samples and the list.
#[derive(Debug)]
pub struct Subset<D> {
    data: Arc<D>,
    /// The index in `data` of each sample of this set.
    indices: Arc<[usize]>,
}

impl<D> Clone for Subset<D> {
    fn clone(&self) -> Self {
        Subset { data: self.data.clone(), indices: self.indices.clone() }
    }
}

impl<D: Dataset> Subset<D> {
    /// # Panics
    /// If an index is not below the number of samples.
    #[track_caller]
    pub(crate) fn new(data: D, indices: Vec<usize>) -> Self {
        let len = data.len();
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            panic!("subset: index is {index}; expected less than {len}, the number of samples");
        }
        Subset { data: Arc::new(data), indices: indices.into() }
    }

    /// All samples of a data set.
    pub(crate) fn all(data: D) -> Self {
        Subset { indices: (0..data.len()).collect(), data: Arc::new(data) }
    }

    /// The samples at these indices of this set.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        let indices = indices.iter().map(|&index| self.indices[index]).collect();
        Subset { data: self.data.clone(), indices }
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

    /// For each sample, its index in the data set that this is a subset of.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The first `n` samples, or all of them if there are fewer.
    #[must_use]
    pub fn take(&self, n: usize) -> Self {
        Subset { data: self.data.clone(), indices: self.indices[..n.min(self.len())].into() }
    }
}

impl<D: Labeled> Subset<D> {
    /// The samples for which `keep(index, label)`.
    ///
    /// ```
    /// use adamant_data::{Dataset, TensorDataset};
    /// use adamant_tensor::Tensor;
    /// let set = TensorDataset::new(Tensor::<f32>::ones([4, 2]), vec![0, 7, 1, 7]).unwrap();
    /// let part = set.subset(vec![0, 1, 3]).filter(|_index, label| label == 7);
    /// assert_eq!(part.indices(), [1, 3]);
    /// ```
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(usize, usize) -> bool) -> Self {
        let kept: Vec<usize> =
            (0..self.len()).filter(|&index| keep(index, self.label(index))).collect();
        self.select(&kept)
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    type Sample = D::Sample;

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn get(&self, index: usize) -> Result<D::Sample, DataError> {
        self.data.get(self.indices[index])
    }
}

impl<D: Labeled> Labeled for Subset<D> {
    fn label(&self, index: usize) -> usize {
        self.data.label(self.indices[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::TensorDataset;
    use adamant_tensor::Tensor;

    #[test]
    fn subsets_of_subsets_keep_their_order() {
        let set =
            TensorDataset::new(Tensor::<f32>::arange(0.0, 10.0, 1.0), (0..10).collect::<Vec<_>>())
                .unwrap();
        let part = Subset::all(set).filter(|_, label| label % 2 == 1);
        let part = part.filter(|index, _| index != 1).take(3);
        assert_eq!((part.labels(), part.indices()), (vec![1, 5, 7], &[1, 5, 7][..]));
        let batch = part.batch(&[2, 0]).unwrap();
        assert_eq!((batch.inputs.to_vec(), batch.targets), (vec![7.0, 1.0], vec![7, 1]));
        assert_eq!(part.take(100).len(), 3);
    }

    #[test]
    #[should_panic(expected = "subset: index is 3; expected less than 3, the number of samples")]
    fn indices_are_checked() {
        let _ = vec![1, 2, 3].subset(vec![0, 3]);
    }
}

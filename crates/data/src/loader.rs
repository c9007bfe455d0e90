//! Batches in a seeded order.

use crate::dataset::{Batch, Dataset};
use adamant_tensor::Generator;

/// Batches of a data set, epoch after epoch.
///
/// PyTorch: `torch.utils.data.DataLoader`.
///
/// ```
/// use adamant_data::{DataLoader, Dataset};
/// use adamant_tensor::{Generator, Tensor};
/// let set = Dataset::new(&Tensor::ones([10, 2]), (0..10).collect()).unwrap();
/// let mut loader = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(0));
/// let sizes: Vec<usize> = loader.epoch().map(|batch| batch.targets.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct DataLoader<'d> {
    dataset: &'d Dataset,
    batch_size: usize,
    drop_last: bool,
    shuffle: Option<Generator>,
    /// The positions of this epoch, in its order.
    order: Vec<usize>,
    /// How many of them have been given out; all of them before the first epoch.
    given: usize,
}

impl<'d> DataLoader<'d> {
    /// Batches of `batch_size` samples, the last one smaller if need be, in the set's order.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(dataset: &'d Dataset, batch_size: usize) -> Self {
        assert!(batch_size > 0, "DataLoader: a batch size of 0; expected at least 1");
        let order: Vec<usize> = (0..dataset.len()).collect();
        DataLoader {
            dataset,
            batch_size,
            drop_last: false,
            shuffle: None,
            given: order.len(),
            order,
        }
    }

    /// A new random order for each epoch, from a generator forked from `rng`.
    #[must_use]
    pub fn shuffle(mut self, rng: &mut Generator) -> Self {
        self.shuffle = Some(rng.fork());
        self
    }

    /// Leaves out a last batch that is smaller than the others.
    #[must_use]
    pub fn drop_last(mut self, on: bool) -> Self {
        self.drop_last = on;
        self
    }

    /// The number of batches in an epoch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples_per_epoch().div_ceil(self.batch_size)
    }

    /// Whether an epoch has no batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn samples_per_epoch(&self) -> usize {
        let len = self.order.len();
        if self.drop_last { len - len % self.batch_size } else { len }
    }

    /// A new epoch, whatever is left of the one before: every batch once.
    #[must_use]
    pub fn epoch(&mut self) -> Epoch<'_, 'd> {
        self.start_epoch();
        Epoch { loader: self }
    }

    /// The next batch of this epoch, or the first one of a new epoch.
    ///
    /// # Panics
    /// If an epoch has no batch.
    #[must_use]
    #[track_caller]
    pub fn next_batch(&mut self) -> Batch {
        assert!(
            !self.is_empty(),
            "next_batch: {} samples make no batch of {}{}",
            self.order.len(),
            self.batch_size,
            if self.drop_last { " with drop_last" } else { "" }
        );
        if self.given >= self.samples_per_epoch() {
            self.start_epoch();
        }
        self.take().expect("an epoch has a batch")
    }

    fn start_epoch(&mut self) {
        self.given = 0;
        if let Some(rng) = &mut self.shuffle {
            // From the set's own order, so that an epoch follows from the generator alone.
            self.order.iter_mut().enumerate().for_each(|(i, position)| *position = i);
            rng.shuffle(&mut self.order);
        }
    }

    fn take(&mut self) -> Option<Batch> {
        let end = self.samples_per_epoch().min(self.given.saturating_add(self.batch_size));
        let positions =
            self.order.get(self.given..end).filter(|positions| !positions.is_empty())?;
        self.given = end;
        Some(self.dataset.batch(positions))
    }
}

/// The batches of one epoch.
#[derive(Debug)]
pub struct Epoch<'l, 'd> {
    loader: &'l mut DataLoader<'d>,
}

impl Iterator for Epoch<'_, '_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.loader.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.samples_per_epoch() - self.loader.given;
        let batches = left.div_ceil(self.loader.batch_size);
        (batches, Some(batches))
    }
}

impl ExactSizeIterator for Epoch<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(n: usize) -> Dataset {
        Dataset::from_bytes(vec![0; n], [1], 1.0, 0.0, (0..n).collect()).unwrap()
    }

    fn targets(batches: impl Iterator<Item = Batch>) -> Vec<usize> {
        batches.flat_map(|batch| batch.targets).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once_in_a_new_order() {
        let set = dataset(100);
        let mut loader = DataLoader::new(&set, 7).shuffle(&mut Generator::seed(0));
        let (first, second) = (targets(loader.epoch()), targets(loader.epoch()));
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            assert!(!epoch.is_sorted());
            epoch.sort_unstable();
            assert_eq!(epoch, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_last_batch_can_be_dropped() {
        let set = dataset(10);
        let sizes = |mut loader: DataLoader<'_>| -> Vec<usize> {
            assert_eq!(loader.epoch().len(), loader.len());
            loader.epoch().map(|batch| batch.targets.len()).collect()
        };
        assert_eq!(sizes(DataLoader::new(&set, 4)), [4, 4, 2]);
        assert_eq!(sizes(DataLoader::new(&set, 4).drop_last(true)), [4, 4]);
        assert_eq!(sizes(DataLoader::new(&set, 11).drop_last(true)), [0; 0]);
        assert_eq!(sizes(DataLoader::new(&set, usize::MAX)), [10]);
    }

    #[test]
    fn next_batch_goes_on_over_the_end_of_an_epoch() {
        let set = dataset(6);
        let mut by_epoch = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(0));
        let mut by_batch = by_epoch.clone();
        let expected = [targets(by_epoch.epoch()), targets(by_epoch.epoch())].concat();
        let found = targets((0..4).map(|_| by_batch.next_batch()));
        assert_eq!(found, expected);
    }

    #[test]
    #[should_panic(expected = "3 samples make no batch of 4 with drop_last")]
    fn a_loader_without_batches_says_so() {
        let set = dataset(3);
        let _ = DataLoader::new(&set, 4).drop_last(true).next_batch();
    }
}

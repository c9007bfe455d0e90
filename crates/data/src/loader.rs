//! Batches in a seeded order.

use crate::dataset::{Batch, Dataset};
use adamant_tensor::{Generator, Mismatch, StateDict, StateError, Stateful};

/// Batches of a data set, for any number of epochs.
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
    shuffle: Option<Shuffle>,
    /// The positions of this epoch's samples, in its order.
    order: Vec<usize>,
    /// The number of samples of this epoch that have been returned; before the first epoch, all.
    given: usize,
}

#[derive(Clone, Debug)]
struct Shuffle {
    rng: Generator,
    /// The generator before it drew the order of this epoch.
    before: Generator,
}

impl<'d> DataLoader<'d> {
    /// Batches of `batch_size` samples, in the set's order; the last one may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(dataset: &'d Dataset, batch_size: usize) -> Self {
        assert!(batch_size > 0, "DataLoader: batch_size is 0; expected at least 1");
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

    /// Draws a new random order for each epoch, from a generator forked from `rng`.
    #[must_use]
    pub fn shuffle(mut self, rng: &mut Generator) -> Self {
        let rng = rng.fork();
        self.shuffle = Some(Shuffle { before: rng.clone(), rng });
        self
    }

    /// Whether to drop a last batch that is smaller than the others; default: no.
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

    /// Whether an epoch has no batches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of batches left in this epoch: 0 at its end, and before the first epoch.
    ///
    /// ```
    /// use adamant_data::{DataLoader, Dataset};
    /// use adamant_tensor::Tensor;
    /// let set = Dataset::new(&Tensor::ones([10, 2]), (0..10).collect()).unwrap();
    /// let mut loader = DataLoader::new(&set, 4);
    /// let left: Vec<usize> = (0..4)
    ///     .map(|_| {
    ///         let _batch = loader.next_batch();
    ///         loader.batches_left()
    ///     })
    ///     .collect();
    /// assert_eq!(left, [2, 1, 0, 2]);
    /// ```
    #[must_use]
    pub fn batches_left(&self) -> usize {
        self.samples_per_epoch().saturating_sub(self.given).div_ceil(self.batch_size)
    }

    fn samples_per_epoch(&self) -> usize {
        let len = self.order.len();
        if self.drop_last { len - len % self.batch_size } else { len }
    }

    /// Starts a new epoch, and returns all its batches. The rest of the previous epoch is dropped.
    #[must_use]
    pub fn epoch(&mut self) -> Epoch<'_, 'd> {
        self.start_epoch();
        Epoch { loader: self }
    }

    /// The next batch of this epoch, or the first of a new epoch.
    ///
    /// # Panics
    /// If an epoch has no batches.
    #[must_use]
    #[track_caller]
    pub fn next_batch(&mut self) -> Batch {
        assert!(
            !self.is_empty(),
            "next_batch: {} samples; expected at least one batch of {}{}",
            self.order.len(),
            self.batch_size,
            if self.drop_last { " with drop_last" } else { "" }
        );
        if self.batches_left() == 0 {
            self.start_epoch();
        }
        self.take().expect("an epoch has a batch")
    }

    fn start_epoch(&mut self) {
        self.given = 0;
        if let Some(Shuffle { rng, before }) = &mut self.shuffle {
            before.clone_from(rng);
            // From the set's order, so that an epoch follows from the generator alone.
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

/// The position within the epoch, so that an interrupted run resumes with the next batch.
///
/// `samples`, `batch_size`, `drop_last` and `shuffle` must equal those of the loader that loads the
/// state. `given` is the number of samples of the epoch that have been returned: all of them
/// between epochs. `rng` is the generator before it drew the order of the epoch to resume.
impl Stateful for DataLoader<'_> {
    fn state_dict(&self) -> StateDict {
        let given = self.samples_per_epoch().min(self.given);
        let mut state = StateDict::new();
        state.insert("samples", self.order.len() as i64);
        state.insert("batch_size", saved_size(self.batch_size));
        state.insert("drop_last", self.drop_last);
        state.insert("shuffle", self.shuffle.is_some());
        state.insert("given", given as i64);
        if let Some(Shuffle { rng, before }) = &self.shuffle {
            let rng = if self.batches_left() == 0 { rng } else { before };
            state.insert_part("rng", rng.state_dict());
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let (given, rng) = self.read(state)?;
        if let Some(rng) = rng {
            self.shuffle = Some(Shuffle { before: rng.clone(), rng });
        }
        if given < self.samples_per_epoch() {
            self.start_epoch();
        }
        self.given = given;
        Ok(())
    }
}

/// A batch size can be as large as `usize::MAX`: all samples in one batch.
fn saved_size(batch_size: usize) -> i64 {
    i64::try_from(batch_size).unwrap_or(i64::MAX)
}

impl DataLoader<'_> {
    /// The number of returned samples, and the generator, from a state. Changes nothing.
    fn read(&self, state: &StateDict) -> Result<(usize, Option<Generator>), StateError> {
        let mut errors = StateError::new();
        let known = ["samples", "batch_size", "drop_last", "shuffle", "given"];
        let rng = |name: &&str| self.shuffle.is_some() && name.starts_with("rng.");
        let others = state.iter().map(|(name, _)| name).filter(rng);
        errors.check_names(state, known.into_iter().chain(others));
        fn same<V: PartialEq + ToString>(
            errors: &mut StateError,
            name: &str,
            found: Result<V, Mismatch>,
            expected: V,
        ) {
            if let Some(found) = errors.take(found)
                && found != expected
            {
                errors.push(Mismatch::wrong(name, found.to_string(), expected.to_string()));
            }
        }
        same(&mut errors, "samples", state.int("samples"), self.order.len() as i64);
        same(&mut errors, "batch_size", state.int("batch_size"), saved_size(self.batch_size));
        same(&mut errors, "drop_last", state.bool("drop_last"), self.drop_last);
        same(&mut errors, "shuffle", state.bool("shuffle"), self.shuffle.is_some());
        let all = self.samples_per_epoch();
        let given = errors.take(state.int("given")).unwrap_or(0);
        let position = usize::try_from(given).ok();
        let position =
            position.filter(|&n| n == all || n < all && n.is_multiple_of(self.batch_size));
        if position.is_none() {
            let expected = format!("a multiple of {} below {all}, or {all}", self.batch_size);
            errors.push(Mismatch::wrong("given", given.to_string(), expected));
        }
        let rng = self.shuffle.as_ref().map(|Shuffle { rng, .. }| {
            let mut rng = rng.clone();
            errors.extend("rng", rng.load_state_dict(&state.part("rng")));
            rng
        });
        errors.into_result()?;
        Ok((position.unwrap_or(all), rng))
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
        let batches = self.loader.batches_left();
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
    fn an_epoch_is_a_new_permutation_of_all_samples() {
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
    fn next_batch_continues_into_the_next_epoch() {
        let set = dataset(6);
        let mut by_epoch = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(0));
        let mut by_batch = by_epoch.clone();
        let expected = [targets(by_epoch.epoch()), targets(by_epoch.epoch())].concat();
        let found = targets((0..4).map(|_| by_batch.next_batch()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_loaded_state_resumes_at_any_batch() {
        let set = dataset(10);
        let plain = DataLoader::new(&set, 4);
        let shuffled = plain.clone().shuffle(&mut Generator::seed(0));
        for loader in [plain, shuffled.clone(), shuffled.drop_last(true)] {
            for steps in 0..8 {
                let mut straight = loader.clone();
                (0..steps).for_each(|_| drop(straight.next_batch()));
                let state = straight.state_dict();
                let mut other = loader.clone();
                if loader.shuffle.is_some() {
                    other = other.shuffle(&mut Generator::seed(9));
                }
                (0..2).for_each(|_| drop(other.next_batch()));
                other.load_state_dict(&state).unwrap();
                assert_eq!(other.state_dict(), state);
                assert_eq!(other.batches_left(), straight.batches_left());
                let next =
                    |mut loader: DataLoader<'_>| targets((0..9).map(|_| loader.next_batch()));
                assert_eq!(next(other), next(straight), "after {steps} batches");
            }
        }
    }

    #[test]
    fn an_epoch_without_a_returned_batch_is_resumed() {
        let set = dataset(10);
        let mut loader = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(0));
        let _ = loader.epoch();
        let mut other = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(1));
        other.load_state_dict(&loader.state_dict()).unwrap();
        let next = |loader: &mut DataLoader<'_>| targets((0..6).map(|_| loader.next_batch()));
        assert_eq!(next(&mut other), next(&mut loader));
    }

    #[test]
    fn a_state_of_another_loader_changes_nothing() {
        let (set, other) = (dataset(10), dataset(12));
        let saved = DataLoader::new(&other, 5).shuffle(&mut Generator::seed(0)).drop_last(true);
        let mut loader = DataLoader::new(&set, 4);
        let before = loader.state_dict();
        let error = loader.load_state_dict(&saved.state_dict()).unwrap_err().to_string();
        for line in [
            "`samples`: found 12, expected 10",
            "`batch_size`: found 5, expected 4",
            "`drop_last`: found true, expected false",
            "`shuffle`: found true, expected false",
            "`rng.seed`: found the string",
        ] {
            assert!(error.contains(line), "{line}: {error}");
        }
        assert_eq!(loader.state_dict(), before);

        let mut loader = DataLoader::new(&set, 4).shuffle(&mut Generator::seed(0));
        for (given, fits) in
            [(-4, false), (0, true), (3, false), (8, true), (10, true), (12, false)]
        {
            let mut state = loader.state_dict();
            state.insert("given", given);
            assert_eq!(loader.load_state_dict(&state).is_ok(), fits, "{given}");
        }
        let error = loader.load_state_dict(&StateDict::new()).unwrap_err();
        assert_eq!(error.mismatches().len(), 8, "{error}");
    }

    #[test]
    #[should_panic(expected = "3 samples; expected at least one batch of 4 with drop_last")]
    fn a_loader_without_batches_panics() {
        let set = dataset(3);
        let _ = DataLoader::new(&set, 4).drop_last(true).next_batch();
    }
}

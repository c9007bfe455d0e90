//! Batches in a seeded order.

use crate::collate::Batch;
use crate::epoch::{EpochPlan, Loaded, Shard, repeats};
use crate::error::DataError;
use crate::sampler::{RandomSampler, Sampler, SequentialSampler};
use crate::source::{EpochSeed, IntoSource, Source};
use crate::workers::Workers;
use adamant_tensor::{Generator, Mismatch, StateDict, StateError, Stateful};
use std::fmt;
use std::sync::Arc;

/// Batches of a data set, for any number of epochs.
///
/// The loader owns its data, or shares it with its clones. Its type names only what it yields: for
/// inputs and classes, `DataLoader`.
///
/// [`epoch`](DataLoader::epoch) and [`next_batch`](DataLoader::next_batch) are for data that is
/// known to be good, such as tensors in memory: they panic if a sample cannot be loaded.
/// [`try_epoch`](DataLoader::try_epoch) and [`try_next_batch`](DataLoader::try_next_batch) return
/// the error.
///
/// PyTorch: `torch.utils.data.DataLoader`.
///
/// ```
/// use adamant_data::{DataLoader, TensorDataset};
/// use adamant_tensor::{Generator, Tensor};
/// let set = TensorDataset::new(Tensor::<f32>::ones([10, 2]), (0..10).collect::<Vec<usize>>()).unwrap();
/// let mut loader = DataLoader::new(set, 4).shuffle(&mut Generator::seed(0));
/// let sizes: Vec<usize> = loader.epoch().map(|batch| batch.targets.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// ```
pub struct DataLoader<B = Batch> {
    source: Source<B>,
    batch_size: usize,
    drop_last: bool,
    shard: Shard,
    sampler: Arc<dyn Sampler>,
    /// The sampler's generator.
    rng: Generator,
    /// The generator before it drew the order of this epoch.
    before: Generator,
    /// The generator before the first epoch.
    initial: Generator,
    /// The origin of the random numbers of samples and batches; `None` before it is needed.
    seed: Option<u64>,
    /// The number of epochs that have been started.
    epochs: u64,
    /// The current epoch; `None` before the first one.
    plan: Option<Arc<EpochPlan<B>>>,
    /// The number of samples of this epoch that have been returned; before the first epoch, all.
    returned: usize,
    /// Whether a state was loaded in the middle of an epoch, which [`DataLoader::epoch`] resumes.
    resumes: bool,
    threads: usize,
    workers: Option<Workers<B>>,
    skip: Option<OnSkip>,
    skipped: u64,
}

type OnSkip = Arc<dyn Fn(&DataError) + Send + Sync>;

/// A clone shares the data, and is at the same position.
impl<B> Clone for DataLoader<B> {
    fn clone(&self) -> Self {
        DataLoader {
            source: self.source.clone(),
            sampler: self.sampler.clone(),
            rng: self.rng.clone(),
            before: self.before.clone(),
            initial: self.initial.clone(),
            plan: self.plan.clone(),
            workers: None,
            skip: self.skip.clone(),
            ..*self
        }
    }
}

impl<B> fmt::Debug for DataLoader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DataLoader { source, batch_size, sampler, returned, .. } = self;
        write!(f, "DataLoader({source:?}, batch_size {batch_size}, {sampler:?}, at {returned})")
    }
}

impl<B: Send + 'static> DataLoader<B> {
    /// Batches of `batch_size` samples, in the set's order; the last one may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(data: impl IntoSource<Batch = B>, batch_size: usize) -> Self {
        assert!(batch_size > 0, "DataLoader: batch_size is 0; expected at least 1");
        let source = data.into_source();
        DataLoader {
            returned: source.samples(),
            resumes: false,
            source,
            batch_size,
            drop_last: false,
            shard: Shard { rank: 0, ranks: 1 },
            sampler: Arc::new(SequentialSampler),
            rng: Generator::seed(0),
            before: Generator::seed(0),
            initial: Generator::seed(0),
            seed: None,
            epochs: 0,
            plan: None,
            threads: 0,
            workers: None,
            skip: None,
            skipped: 0,
        }
    }

    /// Draws a new random order for each epoch, from a generator forked from `rng`; default: the
    /// order of the set.
    #[must_use]
    pub fn shuffle(self, rng: &mut Generator) -> Self {
        self.sampler(RandomSampler, rng)
    }

    /// Takes the samples of each epoch from `sampler`, which draws from a generator forked from
    /// `rng`; default: [`SequentialSampler`].
    ///
    /// # Panics
    /// If the sampler is not for data of this number of samples.
    #[must_use]
    #[track_caller]
    pub fn sampler(mut self, sampler: impl Sampler + 'static, rng: &mut Generator) -> Self {
        if let Err(error) = sampler.check(self.source.samples()) {
            panic!("{error}");
        }
        self.sampler = Arc::new(sampler);
        self.initial = rng.fork();
        self.rewind()
    }

    /// The seed of random transforms, [`augment`](crate::Dataset::augment) and
    /// [`map`](DataLoader::map); default: from the generator of the [`sampler`](DataLoader::sampler)
    /// or of [`shuffle`](DataLoader::shuffle).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self.rewind()
    }

    /// Whether to drop a last batch that is smaller than the others; default: no.
    #[must_use]
    pub fn drop_last(mut self, on: bool) -> Self {
        self.drop_last = on;
        self.rewind()
    }

    /// Loads batches ahead, on this number of threads; default 0: when they are requested.
    ///
    /// The batches and their order do not depend on it. At most `2 · threads` batches are in memory
    /// that have not been returned. The threads end with the epoch.
    #[must_use]
    pub fn workers(mut self, threads: usize) -> Self {
        (self.threads, self.workers) = (threads, None);
        self
    }

    /// Loads only the part `rank` of `ranks` equal parts of each batch, for data-parallel training.
    ///
    /// `batch_size` is that of all ranks together. The order of the epoch is that of one process,
    /// and so is the [state](Stateful): it loads into a loader with another number of ranks.
    ///
    /// PyTorch: `torch.utils.data.distributed.DistributedSampler`.
    ///
    /// # Panics
    /// If `rank` is not below `ranks`, or there are more ranks than samples in a batch.
    #[must_use]
    #[track_caller]
    pub fn shard(mut self, rank: usize, ranks: usize) -> Self {
        assert!(rank < ranks, "shard: rank is {rank}; expected less than {ranks}");
        assert!(
            ranks <= self.batch_size,
            "shard: ranks is {ranks}; expected at most {}, the size of a batch",
            self.batch_size
        );
        self.shard = Shard { rank, ranks };
        self.rewind()
    }

    /// Leaves samples out of their batch that cannot be loaded, and calls `on_skip` with the error;
    /// default: returns the error. A batch without any good sample is an error nevertheless.
    ///
    /// ```
    /// use adamant_data::{DataLoader, Dataset};
    /// let files = (0..10).collect::<Vec<usize>>();
    /// let images = files.map(|i| if i == 3 { Err("damaged".into()) } else { Ok(i) });
    /// let mut loader = DataLoader::new(images, 5)
    ///     .skip_errors(|error| assert_eq!(error.to_string(), "sample 3: damaged"));
    /// assert_eq!(loader.next_batch(), [0, 1, 2, 4]);
    /// assert_eq!(loader.skipped(), 1);
    /// ```
    #[must_use]
    pub fn skip_errors(mut self, on_skip: impl Fn(&DataError) + Send + Sync + 'static) -> Self {
        self.skip = Some(Arc::new(on_skip));
        self.rewind()
    }

    /// The number of samples that have been left out, of all epochs.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Transforms each batch, on the threads that load it.
    ///
    /// The generator derives from the loader's seed, the epoch and the number of the batch.
    ///
    /// ```
    /// use adamant_data::{Batch, DataLoader, TensorDataset};
    /// use adamant_tensor::Tensor;
    /// let set = TensorDataset::new(Tensor::<f32>::ones([4, 2]), vec![0usize; 4]).unwrap();
    /// let mut loader = DataLoader::new(set, 2)
    ///     .map(|Batch { inputs, targets }, rng| Ok((&inputs + Tensor::randn([2, 2], rng), targets)));
    /// let (noisy, _targets) = loader.next_batch();
    /// assert_eq!(noisy.shape(), [2, 2]);
    /// ```
    #[must_use]
    pub fn map<C: Send + 'static>(
        self,
        f: impl Fn(B, &mut Generator) -> Result<C, DataError> + Send + Sync + 'static,
    ) -> DataLoader<C> {
        DataLoader {
            source: self.source.map(f),
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            shard: self.shard,
            sampler: self.sampler,
            rng: self.rng,
            before: self.before,
            initial: self.initial,
            seed: self.seed,
            epochs: 0,
            plan: None,
            returned: 0,
            resumes: false,
            threads: self.threads,
            workers: None,
            skip: self.skip,
            skipped: 0,
        }
        .rewind()
    }

    /// Before the first epoch: options change what an epoch is.
    fn rewind(mut self) -> Self {
        self.workers = None;
        self.plan = None;
        self.rng.clone_from(&self.initial);
        self.before.clone_from(&self.initial);
        (self.epochs, self.skipped, self.resumes) = (0, 0, false);
        self.returned = self.samples_per_epoch();
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
    /// use adamant_data::{DataLoader, TensorDataset};
    /// use adamant_tensor::Tensor;
    /// let set = TensorDataset::new(Tensor::<f32>::ones([10, 2]), (0..10).collect::<Vec<usize>>()).unwrap();
    /// let mut loader = DataLoader::new(set, 4);
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
        self.samples_per_epoch().saturating_sub(self.returned).div_ceil(self.batch_size)
    }

    fn samples_per_epoch(&self) -> usize {
        let len = self.sampler.len(self.source.samples());
        if self.drop_last { len - len % self.batch_size } else { len }
    }

    /// Starts a new epoch, and returns all its batches. The rest of the previous epoch is dropped.
    ///
    /// After a state was loaded that was saved in the middle of an epoch, the first call returns the
    /// rest of that epoch.
    ///
    /// # Panics
    /// If an epoch has no batches; if a sample cannot be loaded, when its batch is requested.
    #[must_use]
    #[track_caller]
    pub fn epoch(&mut self) -> Epoch<'_, B> {
        if let Some(error) = self.no_batches() {
            panic!("epoch: {error}");
        }
        self.start_or_resume();
        Epoch { loader: self }
    }

    /// [`epoch`](DataLoader::epoch) with the error of each batch that cannot be loaded; the next
    /// one follows it. If an epoch has no batches, the only item is an error.
    ///
    /// ```
    /// use adamant_data::{DataLoader, Dataset};
    /// let files = vec![0, 1, 2, 3].map(|i| if i == 1 { Err("damaged".into()) } else { Ok(i as i64) });
    /// let mut loader = DataLoader::new(files, 2);
    /// let batches: Vec<_> = loader.try_epoch().collect();
    /// assert_eq!(batches[0].as_ref().unwrap_err().to_string(), "sample 1: damaged");
    /// assert_eq!(batches[1].as_ref().unwrap(), &[2, 3]);
    /// ```
    #[must_use]
    pub fn try_epoch(&mut self) -> TryEpoch<'_, B> {
        let error = self.no_batches();
        self.start_or_resume();
        TryEpoch { loader: self, error }
    }

    /// The next batch of this epoch, or the first of a new epoch.
    ///
    /// # Panics
    /// If an epoch has no batches, or a sample cannot be loaded.
    #[must_use]
    #[track_caller]
    pub fn next_batch(&mut self) -> B {
        match self.try_next_batch() {
            Ok(batch) => batch,
            Err(error) => panic!("next_batch: {error}"),
        }
    }

    /// The next batch of this epoch, or the first of a new epoch. After an error, the next call
    /// returns the batch that follows.
    ///
    /// # Errors
    /// If an epoch has no batches, or a sample cannot be loaded.
    pub fn try_next_batch(&mut self) -> Result<B, DataError> {
        if let Some(error) = self.no_batches() {
            return Err(error);
        }
        self.resumes = false;
        if self.batches_left() == 0 {
            self.start_epoch();
        }
        self.take().expect("an epoch has a batch")
    }

    /// The error of a loader whose epochs have no batches.
    fn no_batches(&self) -> Option<DataError> {
        self.is_empty().then(|| DataError::Unfit {
            operation: "DataLoader",
            found: format!("{} samples", self.source.samples()),
            expected: format!(
                "at least one batch of {}{}",
                self.batch_size,
                if self.drop_last { " with drop_last" } else { "" }
            ),
        })
    }

    fn start_or_resume(&mut self) {
        if !std::mem::take(&mut self.resumes) {
            self.start_epoch();
        }
    }

    fn start_epoch(&mut self) {
        self.workers = None;
        self.before.clone_from(&self.rng);
        let samples = self.source.samples();
        let mut order = self.sampler.order(samples, self.batch_size, &mut self.rng);
        let (name, expected) = (self.sampler.name(), self.sampler.len(samples));
        assert!(
            order.len() == expected && order.iter().all(|&index| index < samples),
            "sampler `{name}`: an order of {} indices; expected {expected}, all below {samples}",
            order.len()
        );
        order.truncate(self.samples_per_epoch());
        let seed = *self.seed.get_or_insert_with(|| self.initial.clone().next_u64());
        let plan = EpochPlan {
            source: self.source.clone(),
            repeats: repeats(&order, samples),
            order,
            batch_size: self.batch_size,
            shard: self.shard,
            seed: EpochSeed { seed, epoch: self.epochs },
            skip_errors: self.skip.is_some(),
        };
        self.plan = Some(Arc::new(plan));
        self.epochs += 1;
        self.returned = 0;
    }

    /// The next batch of this epoch, or `None` at its end.
    fn take(&mut self) -> Option<Result<B, DataError>> {
        let plan = self.plan.as_ref()?;
        if self.returned >= plan.order.len() {
            return None;
        }
        let number = self.returned / self.batch_size;
        self.returned = plan.order.len().min(self.returned.saturating_add(self.batch_size));
        let Loaded { batch, skipped } = if self.threads == 0 {
            plan.load(number)
        } else {
            let start = || Workers::start(plan.clone(), number, self.threads);
            self.workers.get_or_insert_with(start).take(number)
        };
        if self.returned == plan.order.len() {
            self.workers = None;
        }
        self.skipped += skipped.len() as u64;
        if let Some(on_skip) = &self.skip {
            skipped.iter().for_each(|error| on_skip(error));
        }
        Some(batch)
    }
}

/// The position within the epoch, so that an interrupted run resumes with the next batch, to the
/// bit, with any number of workers.
///
/// `samples`, `batch_size`, `drop_last` and `sampler` must equal those of the loader that loads the
/// state. `returned` is the number of samples of the epoch that have been returned: all of them
/// between epochs. `epoch` is the number of the epoch to resume or to start next, from 0, and `rng`
/// the sampler's generator before it drew the order of that epoch.
impl<B: Send + 'static> Stateful for DataLoader<B> {
    fn state_dict(&self) -> StateDict {
        let between = self.batches_left() == 0;
        let returned = self.samples_per_epoch().min(self.returned);
        let mut state = StateDict::new();
        state.insert("samples", self.source.samples() as i64);
        state.insert("batch_size", saved_size(self.batch_size));
        state.insert("drop_last", self.drop_last);
        state.insert("sampler", self.sampler.name().to_string());
        state.insert("returned", returned as i64);
        let seed = self.seed.unwrap_or_else(|| self.initial.clone().next_u64());
        state.insert("seed", seed.cast_signed());
        let epoch = if between { self.epochs } else { self.epochs - 1 };
        state.insert("epoch", epoch.cast_signed());
        state.insert("skipped", self.skipped.cast_signed());
        let rng = if between { &self.rng } else { &self.before };
        state.insert_part("rng", rng.state_dict());
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let Position { returned, seed, epoch, skipped, rng } = self.read(state)?;
        (self.plan, self.workers) = (None, None);
        (self.seed, self.epochs, self.skipped) = (Some(seed), epoch, skipped);
        (self.before, self.rng) = (rng.clone(), rng);
        self.resumes = returned < self.samples_per_epoch();
        if self.resumes {
            self.start_epoch();
        }
        self.returned = returned;
        Ok(())
    }
}

/// What changes in a loader's state.
struct Position {
    returned: usize,
    seed: u64,
    epoch: u64,
    skipped: u64,
    rng: Generator,
}

/// A batch size can be as large as `usize::MAX`: all samples in one batch.
fn saved_size(batch_size: usize) -> i64 {
    i64::try_from(batch_size).unwrap_or(i64::MAX)
}

impl<B: Send + 'static> DataLoader<B> {
    /// The position in a state. Changes nothing.
    fn read(&self, state: &StateDict) -> Result<Position, StateError> {
        let mut errors = StateError::new();
        let names = [
            "samples",
            "batch_size",
            "drop_last",
            "sampler",
            "returned",
            "seed",
            "epoch",
            "skipped",
        ];
        let rng = |name: &&str| name.starts_with("rng.");
        let others = state.keys().filter(rng);
        errors.check_names(state, names.into_iter().chain(others));
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
        same(&mut errors, "samples", state.int("samples"), self.source.samples() as i64);
        same(&mut errors, "batch_size", state.int("batch_size"), saved_size(self.batch_size));
        same(&mut errors, "drop_last", state.bool("drop_last"), self.drop_last);
        same(&mut errors, "sampler", state.text("sampler"), self.sampler.name());
        let all = self.samples_per_epoch();
        let returned = errors.take(state.int("returned")).unwrap_or(0);
        let position = usize::try_from(returned).ok();
        let position =
            position.filter(|&n| n == all || n < all && n.is_multiple_of(self.batch_size));
        if position.is_none() {
            let expected = format!("a multiple of {} below {all}, or {all}", self.batch_size);
            errors.push(Mismatch::wrong("returned", returned.to_string(), expected));
        }
        let seed = errors.take(state.int("seed")).unwrap_or(0).cast_unsigned();
        let mut count = |name: &str| {
            let found = errors.take(state.int(name)).unwrap_or(0);
            if found < 0 {
                errors.push(Mismatch::wrong(name, found.to_string(), "a count"));
            }
            found.cast_unsigned()
        };
        let (epoch, skipped) = (count("epoch"), count("skipped"));
        let mut rng = self.rng.clone();
        errors.extend("rng", rng.load_state_dict(&state.part("rng")));
        errors.into_result()?;
        Ok(Position { returned: position.unwrap_or(all), seed, epoch, skipped, rng })
    }
}

/// The batches of one epoch: [`DataLoader::epoch`].
#[derive(Debug)]
pub struct Epoch<'l, B> {
    loader: &'l mut DataLoader<B>,
}

impl<B: Send + 'static> Iterator for Epoch<'_, B> {
    type Item = B;

    #[track_caller]
    fn next(&mut self) -> Option<B> {
        match self.loader.take()? {
            Ok(batch) => Some(batch),
            Err(error) => panic!("epoch: {error}"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let batches = self.loader.batches_left();
        (batches, Some(batches))
    }
}

impl<B: Send + 'static> ExactSizeIterator for Epoch<'_, B> {}

/// The batches of one epoch, or their errors: [`DataLoader::try_epoch`].
#[derive(Debug)]
pub struct TryEpoch<'l, B> {
    loader: &'l mut DataLoader<B>,
    /// The error of a loader whose epochs have no batches.
    error: Option<DataError>,
}

impl<B: Send + 'static> Iterator for TryEpoch<'_, B> {
    type Item = Result<B, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.error.take() {
            Some(error) => Some(Err(error)),
            None => self.loader.take(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let batches = self.loader.batches_left() + usize::from(self.error.is_some());
        (batches, Some(batches))
    }
}

impl<B: Send + 'static> ExactSizeIterator for TryEpoch<'_, B> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::sampler::WeightedRandomSampler;
    use adamant_tensor::Tensor;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The numbers below `n`: a batch is a vector of them.
    fn numbers(n: usize) -> Vec<usize> {
        (0..n).collect()
    }

    fn all(batches: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
        batches.flatten().collect()
    }

    #[test]
    fn an_epoch_is_a_new_permutation_of_all_samples() {
        let mut loader = DataLoader::new(numbers(100), 7).shuffle(&mut Generator::seed(0));
        let (first, second) = (all(loader.epoch()), all(loader.epoch()));
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            assert!(!epoch.is_sorted());
            epoch.sort_unstable();
            assert_eq!(epoch, numbers(100));
        }
    }

    #[test]
    fn the_last_batch_can_be_dropped() {
        let sizes = |mut loader: DataLoader<Vec<usize>>| -> Vec<usize> {
            assert_eq!(loader.epoch().len(), loader.len());
            loader.epoch().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(DataLoader::new(numbers(10), 4)), [4, 4, 2]);
        assert_eq!(sizes(DataLoader::new(numbers(10), 4).drop_last(true)), [4, 4]);
        assert_eq!(sizes(DataLoader::new(numbers(10), usize::MAX)), [10]);
    }

    #[test]
    fn next_batch_continues_into_the_next_epoch() {
        let mut by_epoch = DataLoader::new(numbers(6), 4).shuffle(&mut Generator::seed(0));
        let mut by_batch = by_epoch.clone();
        let expected = [all(by_epoch.epoch()), all(by_epoch.epoch())].concat();
        assert_eq!(all((0..4).map(|_| by_batch.next_batch())), expected);
    }

    /// A loader whose samples and batches draw random numbers.
    fn random(workers: usize) -> DataLoader<(Vec<i64>, u64)> {
        let noisy = numbers(10)
            .augment(|index, rng| Ok((index as i64) << 32 | (rng.next_u64() >> 33) as i64));
        DataLoader::new(noisy, 3)
            .shuffle(&mut Generator::seed(4))
            .seed(5)
            .workers(workers)
            .map(|batch, rng| Ok((batch, rng.next_u64())))
    }

    #[test]
    fn workers_change_nothing() {
        let mut plain = random(0);
        let expected: Vec<_> = (0..20).map(|_| plain.next_batch()).collect();
        assert!(expected[0] != expected[4] && expected[0].1 != expected[4].1);
        for workers in [1, 2, 4, 7] {
            let mut loader = random(workers);
            let found: Vec<_> = (0..20).map(|_| loader.next_batch()).collect();
            assert_eq!(found, expected, "{workers} workers");
        }
    }

    #[test]
    fn a_loaded_state_resumes_at_any_batch() {
        for workers in [0, 1, 4] {
            for steps in 0..10 {
                let mut straight = random(0);
                (0..steps).for_each(|_| drop(straight.next_batch()));
                let state = straight.state_dict();
                let mut other = random(workers).seed(77);
                (0..2).for_each(|_| drop(other.next_batch()));
                other.load_state_dict(&state).unwrap();
                assert_eq!(other.state_dict(), state);
                assert_eq!(other.batches_left(), straight.batches_left());
                for _ in 0..9 {
                    assert_eq!(other.next_batch(), straight.next_batch(), "after {steps} batches");
                }
            }
        }
    }

    #[test]
    fn an_epoch_without_a_returned_batch_is_resumed() {
        let mut loader = random(0);
        let _ = loader.epoch();
        let mut other = random(2);
        other.load_state_dict(&loader.state_dict()).unwrap();
        (0..6).for_each(|_| assert_eq!(other.next_batch(), loader.next_batch()));
    }

    #[test]
    fn epoch_resumes_the_epoch_of_a_loaded_state() {
        for workers in [0, 2] {
            let mut straight = random(0);
            (0..5).for_each(|_| drop(straight.next_batch()));
            let mut other = random(workers);
            other.load_state_dict(&straight.state_dict()).unwrap();
            let rest: Vec<_> = other.epoch().collect();
            assert_eq!(rest.len(), 3);
            assert_eq!(rest, (0..3).map(|_| straight.next_batch()).collect::<Vec<_>>());
            assert_eq!(other.epoch().len(), 4);
        }
    }

    #[test]
    fn transforms_draw_different_numbers() {
        let draw = |_: Vec<usize>, rng: &mut Generator| Ok(vec![rng.next_u64()]);
        let again = |mut numbers: Vec<u64>, rng: &mut Generator| {
            numbers.push(rng.next_u64());
            Ok(numbers)
        };
        let mut loader = DataLoader::new(numbers(4), 2).map(draw).map(again);
        let drawn: Vec<u64> = loader.epoch().flatten().collect();
        assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{drawn:?}");
    }

    #[test]
    fn a_sample_drawn_twice_is_transformed_twice() {
        let sampler = WeightedRandomSampler::new(vec![1.0], 4).unwrap();
        let noise = vec![0usize].augment(|_, rng| Ok(rng.next_u64() as i64));
        let mut loader = DataLoader::new(noise, 2).sampler(sampler, &mut Generator::seed(0));
        let drawn: Vec<i64> = loader.epoch().flatten().collect();
        assert_eq!(drawn.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{drawn:?}");
    }

    #[test]
    fn transforms_follow_the_generator_of_shuffle() {
        let first = |seed, explicit: Option<u64>| {
            let noise = vec![0usize].augment(|_, rng| Ok(rng.next_u64() as i64));
            let loader = DataLoader::new(noise, 1).shuffle(&mut Generator::seed(seed));
            explicit.into_iter().fold(loader, DataLoader::seed).next_batch()
        };
        assert_ne!(first(0, None), first(1, None));
        assert_eq!(first(0, Some(7)), first(1, Some(7)));
    }

    #[test]
    fn options_restart_a_used_loader() {
        let mut used = random(0);
        (0..6).for_each(|_| drop(used.next_batch()));
        let (mut used, mut fresh) = (used.drop_last(true), random(0).drop_last(true));
        assert_eq!(used.state_dict(), fresh.state_dict());
        (0..5).for_each(|_| assert_eq!(used.next_batch(), fresh.next_batch()));
    }

    #[test]
    fn ranks_share_the_batches_of_one_process() {
        let mut whole = DataLoader::new(numbers(11), 5).shuffle(&mut Generator::seed(0));
        for ranks in [1, 2, 3, 5] {
            let part = |rank| whole.clone().drop_last(true).shard(rank, ranks);
            let mut parts: Vec<_> = (0..ranks).map(part).collect();
            let mut one = whole.clone().drop_last(true);
            for _ in 0..5 {
                let joined: Vec<usize> =
                    parts.iter_mut().flat_map(|part| part.next_batch()).collect();
                assert_eq!(joined, one.next_batch(), "{ranks} ranks");
                assert_eq!(parts[0].state_dict(), one.state_dict());
            }
        }
        // A last batch of one sample cannot be shared.
        for rank in 0..2 {
            let mut part = DataLoader::new(numbers(11), 5).shard(rank, 2);
            let last = part.try_epoch().last().unwrap().unwrap_err().to_string();
            assert!(last.contains("found 1 samples in a batch for 2 ranks"), "{last}");
        }
        drop(whole.next_batch());
    }

    #[test]
    fn errors_and_panics_name_the_sample() {
        for workers in [0, 2] {
            let data = numbers(9).map(|i| match i {
                4 => Err(DataError::from("damaged")),
                7 => panic!("no more room for {i}"),
                i => Ok(i),
            });
            let mut loader = DataLoader::new(data, 3).workers(workers);
            let batches: Vec<_> = loader.try_epoch().collect();
            assert_eq!(batches[0].as_ref().unwrap(), &[0, 1, 2]);
            assert_eq!(batches[1].as_ref().unwrap_err().to_string(), "sample 4: damaged");
            let error = batches[2].as_ref().unwrap_err();
            assert_eq!(error.to_string(), "sample 7: panicked: no more room for 7");
            assert_eq!(error.index(), Some(7));
        }
    }

    #[test]
    #[should_panic(expected = "epoch: sample 2: damaged")]
    fn an_epoch_panics_with_the_sample() {
        let data = numbers(3).map(|i| if i == 2 { Err("damaged".into()) } else { Ok(i) });
        let _ = all(DataLoader::new(data, 3).epoch());
    }

    #[test]
    #[should_panic(expected = "in a transform")]
    fn panics_outside_a_sample_are_raised_again() {
        let loader = DataLoader::new(numbers(3), 3).workers(1);
        let _ = loader.map::<usize>(|_, _| panic!("in a transform")).next_batch();
    }

    #[test]
    fn errors_can_be_skipped() {
        for workers in [0, 3] {
            let data = numbers(12).map(|i| if i % 5 == 4 { Err("damaged".into()) } else { Ok(i) });
            let seen = Arc::new(AtomicUsize::new(0));
            let counted = seen.clone();
            let mut loader = DataLoader::new(data, 4).workers(workers).skip_errors(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(all(loader.epoch()), [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]);
            assert_eq!((loader.skipped(), seen.load(Ordering::Relaxed)), (2, 2));
        }
        let none = numbers(2).map::<usize, _>(|_| Err("damaged".into()));
        let mut loader = DataLoader::new(none, 2).skip_errors(|_| ());
        assert_eq!(loader.try_next_batch().unwrap_err().to_string(), "sample 1: damaged");
    }

    #[test]
    fn panics_are_not_skipped() {
        let data = numbers(4).map(|i| if i == 2 { panic!("a mistake") } else { Ok(i) });
        let mut loader = DataLoader::new(data, 4).skip_errors(|_| ());
        let error = loader.try_next_batch().unwrap_err().to_string();
        assert_eq!(error, "sample 2: panicked: a mistake");
    }

    #[test]
    fn samples_of_other_shapes_are_not_skipped() {
        let data = vec![1, 2, 1].map(|n: usize| Ok(Tensor::<f32>::ones([n])));
        let mut loader = DataLoader::new(data, 3).skip_errors(|_| ());
        let error = loader.try_next_batch().unwrap_err().to_string();
        assert!(error.starts_with("sample 1: found shape [2], expected [1]"), "{error}");
    }

    #[test]
    fn errors_of_transforms_name_the_batch() {
        let fail =
            |_: Vec<usize>, _: &mut Generator| -> Result<usize, _> { Err("too small".into()) };
        let mut loader = DataLoader::new(numbers(4), 2).map(fail);
        let error = loader.try_epoch().last().unwrap().unwrap_err().to_string();
        assert_eq!(error, "batch 1 of the epoch: too small");
    }

    #[test]
    fn few_batches_are_ahead_of_a_slow_caller() {
        let loaded = Arc::new(AtomicUsize::new(0));
        let counted = loaded.clone();
        let data = numbers(1000).map(move |i| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(i)
        });
        let mut loader = DataLoader::new(data, 1).workers(3);
        for taken in 1..20 {
            drop(loader.next_batch());
            std::thread::sleep(std::time::Duration::from_millis(2));
            assert!(loaded.load(Ordering::Relaxed) <= taken + 6);
        }
        drop(loader); // does not wait for the rest
        assert!(loaded.load(Ordering::Relaxed) < 30);
    }

    #[test]
    fn a_state_of_another_loader_changes_nothing() {
        let rng = &mut Generator::seed(0);
        let saved = DataLoader::new(numbers(12), 5).shuffle(rng).drop_last(true);
        let mut loader = DataLoader::new(numbers(10), 4);
        let before = loader.state_dict();
        let error = loader.load_state_dict(&saved.state_dict()).unwrap_err().to_string();
        for line in [
            "`samples`: found 12, expected 10",
            "`batch_size`: found 5, expected 4",
            "`drop_last`: found true, expected false",
            "`sampler`: found random, expected sequential",
        ] {
            assert!(error.contains(line), "{line}: {error}");
        }
        assert_eq!(loader.state_dict(), before);

        let mut loader = DataLoader::new(numbers(10), 4).shuffle(&mut Generator::seed(0));
        for (returned, fits) in
            [(-4, false), (0, true), (3, false), (8, true), (10, true), (12, false)]
        {
            let mut state = loader.state_dict();
            state.insert("returned", returned);
            assert_eq!(loader.load_state_dict(&state).is_ok(), fits, "{returned}");
        }
        let error = loader.load_state_dict(&StateDict::new()).unwrap_err();
        assert_eq!(error.mismatches().len(), 11, "{error}");
    }

    #[test]
    fn an_empty_set_is_an_error() {
        let mut loader = DataLoader::new(numbers(0), 4);
        let items: Vec<_> = loader.try_epoch().collect();
        let [Err(error)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(
            error.to_string(),
            "DataLoader: found 0 samples, expected at least one batch of 4"
        );
        let epoch = std::panic::AssertUnwindSafe(|| drop(loader.epoch()));
        assert!(std::panic::catch_unwind(epoch).is_err());
    }

    #[test]
    #[should_panic(
        expected = "StratifiedSampler: found 2 classes, expected one for each of 3 samples"
    )]
    fn a_sampler_is_checked_at_once() {
        let sampler = crate::StratifiedSampler::new(vec![0, 1]);
        let _ = DataLoader::new(numbers(3), 1).sampler(sampler, &mut Generator::seed(0));
    }

    #[test]
    #[should_panic(expected = "3 samples, expected at least one batch of 4 with drop_last")]
    fn a_loader_without_batches_panics() {
        let _ = DataLoader::new(numbers(3), 4).drop_last(true).next_batch();
    }
}

//! Batches in a seeded order.

mod cursor;
mod epoch;
mod plan;
mod shards;
mod state;
mod workers;

pub use epoch::{Epoch, TryEpoch};
pub use shards::{ShardBatch, Shards};

use crate::collate::Batch;
use crate::error::DataError;
use crate::sampler::{RandomSampler, Sampler, SequentialSampler};
use crate::source::{EpochSeed, IntoSource, Source};
use adamant_tensor::Generator;
use cursor::{Cursor, lock, next};
use plan::{EpochPlan, OnSkip, repeats};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

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
    sampler: Arc<dyn Sampler>,
    /// The sampler's generator before the first epoch.
    initial: Generator,
    /// The origin of the random numbers of samples and batches; `None` for one from `initial`.
    seed: Option<u64>,
    on_skip: Option<OnSkip>,
    cursor: Arc<Mutex<Cursor<B>>>,
}

/// A clone shares the data, and is at the same position; the two move independently.
impl<B> Clone for DataLoader<B> {
    fn clone(&self) -> Self {
        DataLoader {
            source: self.source.clone(),
            sampler: self.sampler.clone(),
            initial: self.initial.clone(),
            on_skip: self.on_skip.clone(),
            cursor: Arc::new(Mutex::new(lock(&self.cursor).clone())),
            ..*self
        }
    }
}

impl<B> fmt::Debug for DataLoader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DataLoader { source, batch_size, sampler, .. } = self;
        write!(f, "DataLoader({source:?}, batch_size {batch_size}, {sampler:?})")
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
        let initial = Generator::seed(0);
        DataLoader {
            source: data.into_source(),
            batch_size,
            drop_last: false,
            sampler: Arc::new(SequentialSampler),
            cursor: Arc::new(Mutex::new(Cursor::new(initial.clone()))),
            initial,
            seed: None,
            on_skip: None,
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
    pub fn workers(self, threads: usize) -> Self {
        let mut cursor = self.cursor();
        (cursor.threads, cursor.workers) = (threads, None);
        drop(cursor);
        self
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
        self.on_skip = Some(Arc::new(on_skip));
        self.rewind()
    }

    /// The number of samples that have been left out, of all epochs.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.cursor().skipped
    }

    /// Transforms each batch, on the threads that load it.
    ///
    /// The generator derives from the loader's seed, the epoch and the number of the batch, and that
    /// of the shard if the batch is one of [`shards`](DataLoader::shards) that come after.
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
        let source = self.source.clone().map(f);
        self.with_source(source)
    }

    /// The same loader of other batches, before the first epoch.
    fn with_source<C>(self, source: Source<C>) -> DataLoader<C> {
        let mut cursor = Cursor::new(self.initial.clone());
        cursor.threads = self.cursor().threads;
        DataLoader {
            source,
            batch_size: self.batch_size,
            drop_last: self.drop_last,
            sampler: self.sampler,
            initial: self.initial,
            seed: self.seed,
            on_skip: self.on_skip,
            cursor: Arc::new(Mutex::new(cursor)),
        }
    }

    /// Before the first epoch: options change what an epoch is.
    fn rewind(self) -> Self {
        self.cursor().reset(self.initial.clone());
        self
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor<B>> {
        lock(&self.cursor)
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
        self.cursor().batches_left()
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
    ///
    /// The iterator does not borrow the loader, so the loop's body can save the whole training:
    ///
    /// ```
    /// # use adamant_data::DataLoader;
    /// # use adamant_tensor::Stateful;
    /// struct Training {
    ///     loader: DataLoader<Vec<usize>>,
    ///     step: u64,
    /// }
    /// # fn save(training: &Training) {
    /// #     training.loader.state_dict();
    /// # }
    /// let mut now = Training { loader: DataLoader::new(vec![0usize; 10], 2), step: 0 };
    /// for batch in now.loader.epoch() {
    ///     now.step += batch.len() as u64;
    ///     save(&now);
    /// }
    /// assert_eq!(now.step, 10);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn epoch(&mut self) -> Epoch<B> {
        if let Some(error) = self.no_batches() {
            panic!("epoch: {error}");
        }
        self.start_or_resume()
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
    pub fn try_epoch(&mut self) -> TryEpoch<B> {
        let error = self.no_batches();
        TryEpoch::new(self.start_or_resume(), error)
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
        let mut cursor = self.cursor();
        cursor.resumes = false;
        if cursor.batches_left() == 0 {
            self.start_epoch(&mut cursor, self.transform_seed());
        }
        let epoch = cursor.epochs;
        drop(cursor);
        next(&self.cursor, epoch).expect("an epoch has a batch")
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

    fn start_or_resume(&mut self) -> Epoch<B> {
        let mut cursor = self.cursor();
        if !std::mem::take(&mut cursor.resumes) {
            self.start_epoch(&mut cursor, self.transform_seed());
        }
        Epoch::new(self.cursor.clone(), cursor.epochs)
    }

    /// A sampler that breaks its contract panics before anything has changed.
    fn start_epoch(&self, cursor: &mut Cursor<B>, seed: u64) {
        let samples = self.source.samples();
        let mut rng = cursor.rng.clone();
        let mut order = self.sampler.order(samples, self.batch_size, &mut rng);
        let (name, expected) = (self.sampler.name(), self.sampler.len(samples));
        assert!(
            order.len() == expected && order.iter().all(|&index| index < samples),
            "sampler `{name}`: an order of {} indices; expected {expected}, all below {samples}",
            order.len()
        );
        order.truncate(self.samples_per_epoch());
        cursor.before = std::mem::replace(&mut cursor.rng, rng);
        cursor.start(EpochPlan {
            source: self.source.clone(),
            repeats: repeats(&order, samples),
            order,
            batch_size: self.batch_size,
            seed: EpochSeed { seed, epoch: cursor.epochs },
            on_skip: self.on_skip.clone(),
        });
    }

    /// The seed of random transforms.
    fn transform_seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| self.initial.clone().next_u64())
    }
}

#[cfg(test)]
mod tests;

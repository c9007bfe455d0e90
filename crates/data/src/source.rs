//! Where a loader's batches come from.

use crate::collate::Collate;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::subset::Subset;
use crate::tensors::TensorDataset;
use adamant_tensor::Generator;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A function from indices to a batch: a data set with the transforms and the collation of its
/// samples, which are no longer part of its type.
///
/// [`Dataset::collate`] returns one; any data set becomes one in
/// [`DataLoader::new`](crate::DataLoader::new).
pub struct Source<B> {
    samples: usize,
    load: Load<B>,
}

type Load<B> = Arc<dyn Fn(&mut BatchRequest) -> Result<Option<B>, DataError> + Send + Sync>;

impl<B> Clone for Source<B> {
    fn clone(&self) -> Self {
        Source { samples: self.samples, load: self.load.clone() }
    }
}

impl<B> fmt::Debug for Source<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.samples)
    }
}

impl<B: 'static> Source<B> {
    pub(crate) fn new(
        samples: usize,
        load: impl Fn(&mut BatchRequest) -> Result<Option<B>, DataError> + Send + Sync + 'static,
    ) -> Self {
        Source { samples, load: Arc::new(load) }
    }

    pub(crate) fn map<C: 'static>(
        self,
        f: impl Fn(B, &mut Generator) -> Result<C, DataError> + Send + Sync + 'static,
    ) -> Source<C> {
        let Source { samples, load } = self;
        Source::new(samples, move |request| {
            load(request)?.map(|batch| f(batch, &mut request.rng)).transpose()
        })
    }

    /// The batch; `None` if every sample was left out.
    pub(crate) fn load(&self, request: &mut BatchRequest) -> Result<Option<B>, DataError> {
        (self.load)(request)
    }

    /// The number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }
}

/// A batch to load, or a shard of one.
pub(crate) struct BatchRequest {
    pub(crate) draws: Vec<Draw>,
    pub(crate) seed: EpochSeed,
    /// The number of the batch in the epoch.
    pub(crate) number: usize,
    /// The generator of the batch, from which its transforms draw one after another.
    pub(crate) rng: Generator,
    /// The errors of the samples that were left out; `None` if an error is to be returned.
    pub(crate) skipped: Option<Vec<DataError>>,
}

/// A sample of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) index: usize,
    /// The number of earlier draws of the same sample in the epoch.
    pub(crate) repeat: u32,
}

/// The origin of all random numbers of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochSeed {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
}

impl EpochSeed {
    // The last word of a key: its lowest byte names the use.
    const SAMPLE: u64 = 1;
    const BATCH: u64 = 2;

    /// The generator of a sample.
    pub(crate) fn sample(self, draw: Draw) -> Generator {
        let word = Self::SAMPLE | u64::from(draw.repeat) << 8;
        Generator::from_key([self.seed, self.epoch, draw.index as u64, word])
    }

    /// The generator of a shard of the batch of this number. A batch without shards is its shard 0.
    pub(crate) fn batch(self, number: usize, shard: usize) -> Generator {
        let word = Self::BATCH | (shard as u64) << 8;
        Generator::from_key([self.seed, self.epoch, number as u64, word])
    }
}

/// The sample at an index. An error or a panic of `get` becomes the error of the sample.
pub(crate) fn sample<S>(
    index: usize,
    get: impl FnOnce() -> Result<S, DataError>,
) -> Result<S, DataError> {
    // The samples of a batch that panicked are dropped: no code meets a half-made one.
    let sample = catch_unwind(AssertUnwindSafe(get)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DataError::Panic { message: message.unwrap_or("without a message").into() })
    });
    sample.map_err(|error| error.of_sample(index))
}

/// The samples of a request, collated. Samples that cannot be loaded are left out if the request
/// allows it; `None` if no sample is left.
pub(crate) fn load<S, B>(
    request: &mut BatchRequest,
    get: impl Fn(Draw) -> Result<S, DataError>,
    collate: impl Fn(Vec<S>) -> Result<B, DataError>,
) -> Result<Option<B>, DataError> {
    let (mut samples, mut indices) = (Vec::with_capacity(request.draws.len()), Vec::new());
    for &draw in &request.draws {
        match (sample(draw.index, || get(draw)), &mut request.skipped) {
            (Ok(sample), _) => {
                samples.push(sample);
                indices.push(draw.index);
            }
            // A panic is a mistake in the code, not a damaged sample.
            (Err(error), Some(skipped)) if !error.is_panic() => skipped.push(error),
            (Err(error), _) => return Err(error),
        }
    }
    if samples.is_empty() {
        return Ok(None);
    }
    collate(samples).map(Some).map_err(|error| error.of_batch(&indices))
}

/// Batches of samples that are transformed at random: [`Dataset::augment`].
#[derive(Clone, Debug)]
pub struct Augmented<D, F> {
    data: D,
    f: F,
}

impl<D, F> Augmented<D, F> {
    pub(crate) fn new(data: D, f: F) -> Self {
        Augmented { data, f }
    }
}

impl<D, S, F> Augmented<D, F>
where
    D: Dataset + Send + Sync + 'static,
    F: Fn(D::Sample, &mut Generator) -> Result<S, DataError> + Send + Sync + 'static,
{
    /// Batches made by `collate`, in place of [`Collate`].
    #[must_use]
    pub fn collate<B: Send + 'static>(
        self,
        collate: impl Fn(Vec<S>) -> Result<B, DataError> + Send + Sync + 'static,
    ) -> Source<B> {
        let Augmented { data, f } = self;
        Source::new(data.len(), move |request| {
            let seed = request.seed;
            let get = |draw: Draw| f(data.get(draw.index)?, &mut seed.sample(draw));
            load(request, get, &collate)
        })
    }
}

/// What a [`DataLoader`](crate::DataLoader) takes: any [`Dataset`] whose samples can be
/// [collated](Collate), by value or in an `Arc`; a reference to a [`Subset`] or a
/// [`TensorDataset`], which share their samples with their clones; and the results of
/// [`augment`](Dataset::augment) and [`collate`](Dataset::collate).
#[diagnostic::on_unimplemented(
    message = "a loader cannot make batches of `{Self}`",
    note = "a loader takes a `Dataset` by value or in an `Arc`, whose samples can be collated: see `Collate`"
)]
pub trait IntoSource {
    /// A batch.
    type Batch: Send + 'static;

    /// The source of its batches.
    fn into_source(self) -> Source<Self::Batch>;
}

impl<D> IntoSource for D
where
    D: Dataset + Send + Sync + 'static,
    D::Sample: Collate,
{
    type Batch = <D::Sample as Collate>::Batch;

    fn into_source(self) -> Source<Self::Batch> {
        Source::new(self.len(), move |request| {
            load(request, |draw| self.get(draw.index), Collate::collate)
        })
    }
}

impl<D> IntoSource for &Subset<D>
where
    D: Dataset + Send + Sync + 'static,
    D::Sample: Collate,
{
    type Batch = <D::Sample as Collate>::Batch;

    fn into_source(self) -> Source<Self::Batch> {
        self.clone().into_source()
    }
}

impl<I, T> IntoSource for &TensorDataset<I, T>
where
    I: Dataset<Sample: Collate> + Send + Sync + 'static,
    T: Dataset<Sample: Collate> + Send + Sync + 'static,
{
    type Batch = <(I::Sample, T::Sample) as Collate>::Batch;

    fn into_source(self) -> Source<Self::Batch> {
        self.clone().into_source()
    }
}

impl<D, S, F> IntoSource for Augmented<D, F>
where
    D: Dataset + Send + Sync + 'static,
    S: Collate + 'static,
    F: Fn(D::Sample, &mut Generator) -> Result<S, DataError> + Send + Sync + 'static,
{
    type Batch = S::Batch;

    fn into_source(self) -> Source<S::Batch> {
        self.collate(S::collate)
    }
}

impl<B: Send + 'static> IntoSource for Source<B> {
    type Batch = B;

    fn into_source(self) -> Source<B> {
        self
    }
}

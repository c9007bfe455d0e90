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
/// samples, which are a part of its type no longer.
///
/// [`Dataset::augment`] and [`Dataset::collate`] return one; any data set becomes one in
/// [`DataLoader::new`](crate::DataLoader::new).
pub struct Source<B> {
    samples: usize,
    load: Load<B>,
}

type Load<B> = Arc<dyn Fn(&mut BatchRequest) -> Result<B, DataError> + Send + Sync>;

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
        load: impl Fn(&mut BatchRequest) -> Result<B, DataError> + Send + Sync + 'static,
    ) -> Self {
        Source { samples, load: Arc::new(load) }
    }

    pub(crate) fn map<C: 'static>(
        self,
        f: impl Fn(B, &mut Generator) -> Result<C, DataError> + Send + Sync + 'static,
    ) -> Source<C> {
        let Source { samples, load } = self;
        Source::new(samples, move |request| f(load(request)?, &mut request.seed.batch()))
    }

    pub(crate) fn load(&self, request: &mut BatchRequest) -> Result<B, DataError> {
        (self.load)(request)
    }

    /// The number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }
}

/// A batch to load.
pub(crate) struct BatchRequest {
    /// The indices of its samples. Those that are skipped are removed.
    pub(crate) indices: Vec<usize>,
    pub(crate) seed: BatchSeed,
    /// The errors of the skipped samples; `None` if an error is to be returned.
    pub(crate) skipped: Option<Vec<DataError>>,
}

/// The origin of all random numbers of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSeed {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    /// The index of the batch within the epoch.
    pub(crate) batch: u64,
}

impl BatchSeed {
    const SAMPLE: u64 = 1;
    const BATCH: u64 = 2;

    /// The generator of the sample at `index`.
    pub(crate) fn sample(self, index: usize) -> Generator {
        Generator::from_key([self.seed, self.epoch, index as u64, Self::SAMPLE])
    }

    /// The generator of the batch.
    pub(crate) fn batch(self) -> Generator {
        Generator::from_key([self.seed, self.epoch, self.batch, Self::BATCH])
    }
}

/// The sample at an index. An error or a panic of `get` becomes the error of the sample.
fn sample<S>(index: usize, get: impl Fn(usize) -> Result<S, DataError>) -> Result<S, DataError> {
    // The samples of a batch that panicked are dropped: nobody sees a half-made one.
    let sample = catch_unwind(AssertUnwindSafe(|| get(index))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DataError::Panic { message: message.unwrap_or("without a message").into() })
    });
    sample.map_err(|error| error.of_sample(index))
}

/// The samples at these indices, collated.
pub(crate) fn batch<S: Collate>(
    indices: &[usize],
    get: impl Fn(usize) -> Result<S, DataError>,
) -> Result<S::Batch, DataError> {
    let samples = indices.iter().map(|&index| sample(index, &get)).collect::<Result<_, _>>()?;
    S::collate(samples).map_err(|error| error.of_batch(indices))
}

/// The samples of a request, collated. Samples with an error are skipped if the request allows it,
/// but not all of them.
pub(crate) fn load<S, B>(
    request: &mut BatchRequest,
    get: impl Fn(usize) -> Result<S, DataError>,
    collate: impl Fn(Vec<S>) -> Result<B, DataError>,
) -> Result<B, DataError> {
    let BatchRequest { indices, skipped, .. } = request;
    let (mut samples, mut kept) = (Vec::with_capacity(indices.len()), Vec::new());
    let mut last = None;
    for &index in &*indices {
        match (sample(index, &get), skipped.as_mut()) {
            (Ok(sample), _) => {
                samples.push(sample);
                kept.push(index);
            }
            (Err(error), Some(skipped)) => skipped.extend(last.replace(error)),
            (Err(error), None) => return Err(error),
        }
    }
    *indices = kept;
    match (last, skipped) {
        (Some(error), Some(skipped)) if !samples.is_empty() => skipped.push(error),
        (Some(error), _) => return Err(error),
        (None, _) => {}
    }
    collate(samples).map_err(|error| error.of_batch(indices))
}

/// What a [`DataLoader`](crate::DataLoader) takes: any [`Dataset`] whose samples can be
/// [collated](Collate), by value or in an `Arc`; a reference to a [`Subset`] or a
/// [`TensorDataset`], which share their samples with their clones; and a [`Source`].
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
            load(request, |index| self.get(index), Collate::collate)
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

impl<B: Send + 'static> IntoSource for Source<B> {
    type Batch = B;

    fn into_source(self) -> Source<B> {
        self
    }
}

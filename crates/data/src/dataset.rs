//! What a data set is, and what can be made of one.

use crate::chain::Chain;
use crate::collate::Collate;
use crate::error::DataError;
use crate::map::Map;
use crate::source::{Augmented, Source, load, sample};
use crate::subset::Subset;
use adamant_tensor::{Float, Generator, Indices, Tensor};
use std::sync::Arc;

/// Samples by index.
///
/// A data set is a function of the index: the same index is always the same sample. What changes
/// from epoch to epoch, the order and random transforms, belongs to the
/// [`DataLoader`](crate::DataLoader).
///
/// Tensors (their rows), [`Indices`], slices, vectors, and `Arc`s and `Box`es of data sets are data
/// sets too.
///
/// PyTorch: `torch.utils.data.Dataset`.
///
/// ```
/// use adamant_data::{DataError, DataLoader, Dataset};
///
/// /// The points of a parabola.
/// struct Parabola;
///
/// impl Dataset for Parabola {
///     type Sample = ([f32; 1], f32); // an input and its target
///
///     fn len(&self) -> usize {
///         100
///     }
///
///     fn get(&self, index: usize) -> Result<Self::Sample, DataError> {
///         let x = index as f32 / 100.0;
///         Ok(([x], x * x))
///     }
/// }
///
/// let mut loader = DataLoader::new(Parabola, 32);
/// let batch = loader.next_batch();
/// assert_eq!((batch.inputs.shape(), batch.targets.shape()), (&[32, 1][..], &[32][..]));
/// ```
pub trait Dataset {
    /// A sample. A [`DataLoader`](crate::DataLoader) needs samples that can be
    /// [collated](Collate); [`map`](Dataset::map) makes such samples of any others.
    type Sample;

    /// The number of samples.
    fn len(&self) -> usize;

    /// The sample at `index`.
    ///
    /// # Errors
    /// If it cannot be loaded.
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    fn get(&self, index: usize) -> Result<Self::Sample, DataError>;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at these indices, collated.
    ///
    /// # Errors
    /// If one cannot be loaded (or its code panics), or they cannot be collated: with the index.
    fn batch(&self, indices: &[usize]) -> Result<<Self::Sample as Collate>::Batch, DataError>
    where
        Self::Sample: Collate,
    {
        let samples = indices.iter().map(|&index| sample(index, || self.get(index)));
        let samples = samples.collect::<Result<_, _>>()?;
        Collate::collate(samples).map_err(|error: DataError| error.of_batch(indices))
    }

    /// The same samples, each transformed by `f`. Must not draw random numbers, see
    /// [`augment`](Dataset::augment).
    ///
    /// ```
    /// use adamant_data::Dataset;
    /// let squares = vec![1, 2, 3].map(|x| Ok(x * x));
    /// assert_eq!(squares.get(2).unwrap(), 9);
    /// ```
    #[must_use]
    fn map<S, F>(self, f: F) -> Map<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Sample) -> Result<S, DataError>,
    {
        Map::new(self, f)
    }

    /// The samples at these indices, in their order.
    ///
    /// PyTorch: `torch.utils.data.Subset`.
    ///
    /// # Panics
    /// If an index is not below the number of samples.
    #[must_use]
    #[track_caller]
    fn subset(self, indices: Vec<usize>) -> Subset<Self>
    where
        Self: Sized,
    {
        Subset::new(self, indices)
    }

    /// The samples of this set, then those of the other.
    ///
    /// PyTorch: `torch.utils.data.ConcatDataset`.
    #[must_use]
    fn chain<D>(self, other: D) -> Chain<Self, D>
    where
        Self: Sized,
        D: Dataset<Sample = Self::Sample>,
    {
        Chain::new(self, other)
    }

    /// Batches of samples that are transformed at random, differently in each epoch.
    ///
    /// The generator of a sample derives from the loader's seed, the epoch and the index of the
    /// sample alone (and from how often the epoch has drawn it before), so neither the number of
    /// workers nor a resumed run changes it. The result goes to
    /// [`DataLoader::new`](crate::DataLoader::new).
    ///
    /// ```
    /// use adamant_data::{DataLoader, Dataset, TensorDataset};
    /// use adamant_tensor::Tensor;
    /// let set = TensorDataset::new(Tensor::<f32>::zeros([10, 3]), vec![0usize; 10]).unwrap();
    /// let noisy = set.augment(|(x, class), rng| Ok((&x + Tensor::randn([3], rng) * 0.1, class)));
    /// let mut loader = DataLoader::new(noisy, 5).seed(1).workers(2);
    /// assert_ne!(loader.next_batch().inputs.to_vec(), loader.next_batch().inputs.to_vec());
    /// ```
    #[must_use]
    fn augment<S, F>(self, f: F) -> Augmented<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Sample, &mut Generator) -> Result<S, DataError>,
    {
        Augmented::new(self, f)
    }

    /// Batches made by `f` of their samples, in place of [`Collate`].
    ///
    /// PyTorch: the `collate_fn` of a `DataLoader`.
    ///
    /// ```
    /// use adamant_data::{DataLoader, Dataset, pad_indices};
    /// let lines = vec![vec![3, 1], vec![4, 1, 5]];
    /// let padded = lines.collate(|lines| Ok(pad_indices(&lines, 9)));
    /// assert_eq!(DataLoader::new(padded, 2).next_batch().values.to_vec(), [3, 1, 9, 4, 1, 5]);
    /// ```
    #[must_use]
    fn collate<B, F>(self, f: F) -> Source<B>
    where
        Self: Sized + Send + Sync + 'static,
        B: Send + 'static,
        F: Fn(Vec<Self::Sample>) -> Result<B, DataError> + Send + Sync + 'static,
    {
        Source::new(self.len(), move |request| load(request, |draw| self.get(draw.index), &f))
    }
}

/// The class of each sample, known without loading the sample.
pub trait Labeled: Dataset {
    /// The class of the sample at `index`.
    ///
    /// # Panics
    /// If `index` is not below the number of samples.
    fn label(&self, index: usize) -> usize;

    /// The classes of all samples, in order.
    fn labels(&self) -> Vec<usize> {
        (0..self.len()).map(|index| self.label(index)).collect()
    }
}

/// The rows of a tensor `[N, …]`: views that copy nothing.
impl<T: Float> Dataset for Tensor<T> {
    type Sample = Tensor<T>;

    fn len(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    fn get(&self, index: usize) -> Result<Tensor<T>, DataError> {
        Ok(self.select(0, index))
    }
}

/// The rows of indices `[N, …]`.
impl Dataset for Indices {
    type Sample = Indices;

    fn len(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    fn get(&self, index: usize) -> Result<Indices, DataError> {
        Ok(self.select(index))
    }
}

impl<S: Clone> Dataset for [S] {
    type Sample = S;

    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, index: usize) -> Result<S, DataError> {
        Ok(self[index].clone())
    }
}

impl<S: Clone> Dataset for Vec<S> {
    type Sample = S;

    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, index: usize) -> Result<S, DataError> {
        Ok(self[index].clone())
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    type Sample = D::Sample;

    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Result<D::Sample, DataError> {
        (**self).get(index)
    }
}

impl<D: Dataset + ?Sized> Dataset for Box<D> {
    type Sample = D::Sample;

    fn len(&self) -> usize {
        (**self).len()
    }

    fn get(&self, index: usize) -> Result<D::Sample, DataError> {
        (**self).get(index)
    }
}

/// Each element is a class.
impl Labeled for [usize] {
    fn label(&self, index: usize) -> usize {
        self[index]
    }
}

impl Labeled for Vec<usize> {
    fn label(&self, index: usize) -> usize {
        self[index]
    }
}

impl<D: Labeled + ?Sized> Labeled for Arc<D> {
    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }
}

impl<D: Labeled + ?Sized> Labeled for Box<D> {
    fn label(&self, index: usize) -> usize {
        (**self).label(index)
    }
}

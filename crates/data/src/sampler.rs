//! The order of an epoch's samples.

use crate::error::DataError;
use adamant_tensor::{Float, Generator};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Decides which samples an epoch consists of, and in which order.
///
/// A sampler has no state: its only source of random numbers is the loader's generator, whose state
/// the loader saves.
///
/// PyTorch: `torch.utils.data.Sampler`.
pub trait Sampler: Debug + Send + Sync {
    /// A short name, saved with the loader's state: a state loads into a loader whose sampler has
    /// the same name.
    fn name(&self) -> &'static str;

    /// The number of samples of an epoch of a data set of `samples`; default: all.
    fn len(&self, samples: usize) -> usize {
        samples
    }

    /// Checks that the sampler is for a data set of `samples`.
    ///
    /// # Errors
    /// If it is not.
    fn check(&self, samples: usize) -> Result<(), DataError> {
        let _ = samples;
        Ok(())
    }

    /// The indices of an epoch, [`len`](Sampler::len) of them. Batches of `batch_size` are cut from
    /// it in order.
    fn order(&self, samples: usize, batch_size: usize, rng: &mut Generator) -> Vec<usize>;
}

/// The order of the data set.
///
/// PyTorch: `torch.utils.data.SequentialSampler`.
#[derive(Clone, Debug, Default)]
pub struct SequentialSampler;

impl Sampler for SequentialSampler {
    fn name(&self) -> &'static str {
        "sequential"
    }

    fn order(&self, samples: usize, _: usize, _: &mut Generator) -> Vec<usize> {
        (0..samples).collect()
    }
}

/// A new random order in each epoch.
///
/// PyTorch: `torch.utils.data.RandomSampler`.
#[derive(Clone, Debug, Default)]
pub struct RandomSampler;

impl Sampler for RandomSampler {
    fn name(&self) -> &'static str {
        "random"
    }

    fn order(&self, samples: usize, _: usize, rng: &mut Generator) -> Vec<usize> {
        let mut order: Vec<usize> = (0..samples).collect();
        rng.shuffle(&mut order);
        order
    }
}

/// Samples drawn in proportion to weights, for classes of very different sizes.
///
/// PyTorch: `torch.utils.data.WeightedRandomSampler`.
///
/// ```
/// use adamant_data::{DataLoader, TensorDataset, WeightedRandomSampler};
/// use adamant_tensor::{Generator, Tensor};
/// let classes = vec![0, 0, 0, 0, 0, 0, 0, 1];
/// let weights = WeightedRandomSampler::balanced(&classes, 1000);
/// let set = TensorDataset::new(Tensor::<f32>::zeros([8]), classes).unwrap();
/// let mut loader = DataLoader::new(set, 100).sampler(weights, &mut Generator::seed(0));
/// let ones = loader.epoch().flat_map(|batch| batch.targets).filter(|&class| class == 1).count();
/// assert!((450..550).contains(&ones));
/// ```
#[derive(Clone, Debug)]
pub struct WeightedRandomSampler {
    weights: Vec<f64>,
    draws: usize,
    replacement: bool,
}

impl WeightedRandomSampler {
    /// `draws` samples in each epoch, drawn with replacement, each with a probability in proportion
    /// to its weight.
    ///
    /// # Errors
    /// If a weight is negative or not finite, or all are 0.
    pub fn new(weights: Vec<f64>, draws: usize) -> Result<Self, DataError> {
        let operation = "WeightedRandomSampler";
        let wrong = weights.iter().position(|&weight| !(0.0..f64::INFINITY).contains(&weight));
        if let Some(index) = wrong {
            let found = format!("weight {} of sample {index}", weights[index]);
            let expected = "finite weights of at least 0".into();
            return Err(DataError::Unfit { operation, found, expected });
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            let found = format!("{} weights, all of them 0", weights.len());
            let expected = "a weight above 0".into();
            return Err(DataError::Unfit { operation, found, expected });
        }
        Ok(WeightedRandomSampler { weights, draws, replacement: true })
    }

    /// `draws` samples in each epoch, all classes being equally likely.
    ///
    /// # Panics
    /// If there are no samples.
    #[must_use]
    #[track_caller]
    pub fn balanced(classes: &[usize], draws: usize) -> Self {
        let mut weights = vec![0.0; classes.len()];
        for members in by_class(classes) {
            members.iter().for_each(|&index| weights[index] = 1.0 / members.len() as f64);
        }
        match Self::new(weights, draws) {
            Ok(sampler) => sampler,
            Err(error) => panic!("{error}"),
        }
    }

    /// Draws each sample at most once in an epoch.
    ///
    /// # Panics
    /// If there are fewer samples with a weight above 0 than draws.
    #[must_use]
    #[track_caller]
    pub fn without_replacement(mut self) -> Self {
        let samples = self.weights.iter().filter(|&&weight| weight > 0.0).count();
        assert!(
            self.draws <= samples,
            "without_replacement: {} draws; expected at most {samples}, the samples with a weight above 0",
            self.draws
        );
        self.replacement = false;
        self
    }
}

impl Sampler for WeightedRandomSampler {
    fn check(&self, samples: usize) -> Result<(), DataError> {
        one_for_each("WeightedRandomSampler", "weights", self.weights.len(), samples)
    }

    fn name(&self) -> &'static str {
        "weighted random"
    }

    fn len(&self, _: usize) -> usize {
        self.draws
    }

    fn order(&self, samples: usize, _: usize, rng: &mut Generator) -> Vec<usize> {
        let weights = &self.weights;
        if !self.replacement {
            // The first arrivals of exponential clocks with these rates are such a draw.
            let mut arrivals: Vec<(f64, usize)> = weights
                .iter()
                .enumerate()
                .map(|(index, &weight)| (-Float::ln(1.0 - rng.uniform()) / weight, index))
                .collect();
            arrivals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            return arrivals.into_iter().take(self.draws).map(|(_, index)| index).collect();
        }
        let sums: Vec<f64> = weights
            .iter()
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(0.0);
        let draw = |_| {
            let at = rng.uniform() * total;
            // The last sum may be below `at` by rounding.
            sums.partition_point(|&sum| sum <= at).min(samples - 1)
        };
        (0..self.draws).map(draw).collect()
    }
}

/// Batches with the classes of the whole set, as nearly as their sizes allow.
///
/// ```
/// use adamant_data::{DataLoader, StratifiedSampler, TensorDataset};
/// use adamant_tensor::{Generator, Tensor};
/// let classes: Vec<usize> = (0..100).map(|i| usize::from(i < 20)).collect();
/// let sampler = StratifiedSampler::new(classes.clone());
/// let set = TensorDataset::new(Tensor::<f32>::zeros([100]), classes).unwrap();
/// let mut loader = DataLoader::new(set, 10).sampler(sampler, &mut Generator::seed(0));
/// assert!(loader.epoch().all(|batch| batch.targets.iter().sum::<usize>() == 2));
/// ```
#[derive(Clone, Debug)]
pub struct StratifiedSampler {
    classes: Vec<usize>,
}

impl StratifiedSampler {
    /// A sampler for samples of these classes.
    #[must_use]
    pub fn new(classes: Vec<usize>) -> Self {
        StratifiedSampler { classes }
    }
}

impl Sampler for StratifiedSampler {
    fn check(&self, samples: usize) -> Result<(), DataError> {
        one_for_each("StratifiedSampler", "classes", self.classes.len(), samples)
    }

    fn name(&self) -> &'static str {
        "stratified"
    }

    fn order(&self, samples: usize, _: usize, rng: &mut Generator) -> Vec<usize> {
        // The samples of each class, in random order, are spread evenly over the epoch.
        let mut order: Vec<(f64, usize)> = Vec::with_capacity(samples);
        for mut members in by_class(&self.classes) {
            rng.shuffle(&mut members);
            let (offset, count) = (rng.uniform(), members.len() as f64);
            let members = members.into_iter().enumerate();
            order.extend(members.map(|(i, index)| ((i as f64 + offset) / count, index)));
        }
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, index)| index).collect()
    }
}

/// The indices of each class, in order; the classes in ascending order.
pub(crate) fn by_class(classes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let mut members = BTreeMap::<usize, Vec<usize>>::new();
    for (index, &class) in classes.iter().enumerate() {
        members.entry(class).or_default().push(index);
    }
    members.into_values()
}

fn one_for_each(
    operation: &'static str,
    what: &str,
    found: usize,
    samples: usize,
) -> Result<(), DataError> {
    if found == samples {
        return Ok(());
    }
    let (found, expected) =
        (format!("{found} {what}"), format!("one for each of {samples} samples"));
    Err(DataError::Unfit { operation, found, expected })
}

/// Batches of sequences of similar length, which need little padding.
///
/// Each epoch shuffles the samples, sorts groups of 100 batches by length, and shuffles the batches.
///
/// ```
/// use adamant_data::{DataLoader, SimilarLengthSampler};
/// use adamant_tensor::Generator;
/// let lines: Vec<Vec<usize>> = (0..64).map(|i| vec![1; 1 + i * 7 % 64]).collect();
/// let sampler = SimilarLengthSampler::new(lines.iter().map(Vec::len).collect());
/// let mut loader = DataLoader::new(lines, 4).sampler(sampler, &mut Generator::seed(0));
/// assert!(loader.epoch().all(|batch| batch.lengths.iter().max().unwrap() - 3 <= batch.lengths[0]));
/// ```
#[derive(Clone, Debug)]
pub struct SimilarLengthSampler {
    lengths: Vec<usize>,
}

impl SimilarLengthSampler {
    /// The number of batches that are sorted together.
    const GROUP: usize = 100;

    /// A sampler for samples of these lengths.
    #[must_use]
    pub fn new(lengths: Vec<usize>) -> Self {
        SimilarLengthSampler { lengths }
    }
}

impl Sampler for SimilarLengthSampler {
    fn check(&self, samples: usize) -> Result<(), DataError> {
        one_for_each("SimilarLengthSampler", "lengths", self.lengths.len(), samples)
    }

    fn name(&self) -> &'static str {
        "similar length"
    }

    fn order(&self, samples: usize, batch_size: usize, rng: &mut Generator) -> Vec<usize> {
        let mut order: Vec<usize> = (0..samples).collect();
        rng.shuffle(&mut order);
        // A last batch that is smaller stays the last, since a loader cuts batches in order. Its
        // samples are random: with `drop_last`, no sample is dropped in every epoch.
        let full = samples - samples % batch_size;
        let groups = order[..full].chunks_mut(batch_size.saturating_mul(Self::GROUP));
        groups.for_each(|group| group.sort_by_key(|&index| self.lengths[index]));
        let mut batches: Vec<&[usize]> = order[..full].chunks(batch_size).collect();
        rng.shuffle(&mut batches);
        batches.into_iter().chain([&order[full..]]).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations() {
        let classes: Vec<usize> = (0..103).map(|i| i % 7).collect();
        let samplers: [&dyn Sampler; 4] = [
            &SequentialSampler,
            &RandomSampler,
            &StratifiedSampler::new(classes.clone()),
            &SimilarLengthSampler::new(classes.clone()),
        ];
        for sampler in samplers {
            let mut order = sampler.order(103, 10, &mut Generator::seed(3));
            assert_eq!(order.is_sorted(), sampler.name() == "sequential");
            order.sort_unstable();
            assert_eq!(order, (0..103).collect::<Vec<_>>(), "{}", sampler.name());
        }
    }

    #[test]
    fn weights_are_probabilities() {
        let sampler = WeightedRandomSampler::new(vec![1.0, 0.0, 3.0, 0.0], 4000).unwrap();
        let mut counts = [0; 4];
        sampler.order(4, 1, &mut Generator::seed(0)).iter().for_each(|&index| counts[index] += 1);
        assert_eq!((counts[1], counts[3]), (0, 0));
        assert!((2900..3100).contains(&counts[2]), "{counts:?}");
        // Without replacement: the first of two draws has the same probabilities.
        let sampler = WeightedRandomSampler::new(vec![1.0, 0.0, 3.0], 2).unwrap();
        let sampler = sampler.without_replacement();
        let mut rng = Generator::seed(0);
        let first = (0..4000).map(|_| sampler.order(3, 1, &mut rng)).filter(|order| {
            assert!(order == &[0, 2] || order == &[2, 0]);
            order[0] == 2
        });
        assert!((2900..3100).contains(&first.count()));
    }

    #[test]
    fn useless_weights_are_errors() {
        let error = |weights: &[f64]| {
            WeightedRandomSampler::new(weights.into(), 1).map(drop).unwrap_err().to_string()
        };
        assert!(error(&[1.0, f64::NAN]).contains("found weight NaN of sample 1, expected finite"));
        assert!(error(&[-1.0]).contains("found weight -1 of sample 0"));
        assert!(error(&[0.0, 0.0]).contains("found 2 weights, all of them 0"));
        assert!(error(&[]).contains("found 0 weights"));
    }
}

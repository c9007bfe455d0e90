//! The running statistics of batch normalizations, updated at once or later.

use crate::{Buffer, Counter, Leaf, Module, Path};
use adamant_tensor::{Float, Tensor, no_grad};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

/// Statistics of a batch, which a batch normalization takes into its running statistics.
///
/// Plain data: it can be sent to another process and [applied](RunningStatistics::apply) there.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct BatchStatistics<T: Float> {
    /// `[C]`, untracked.
    pub mean: Tensor<T>,
    /// The unbiased variance: `[C]`, untracked.
    pub var: Tensor<T>,
    /// The number of values of each channel. Of 0 there are no statistics: the batch only counts.
    pub values: usize,
    /// The weight of the batch in the running statistics, or `None` for the mean over all batches.
    pub momentum: Option<f64>,
}

impl<T: Float> BatchStatistics<T> {
    /// From the biased variance.
    pub(crate) fn new(
        mean: Tensor<T>,
        var: &Tensor<T>,
        values: usize,
        momentum: Option<f64>,
    ) -> Self {
        let correction = T::from_f64(values as f64 / (values as f64 - 1.0));
        let momentum = momentum.filter(|_| !CUMULATIVE.get());
        BatchStatistics { mean, var: no_grad(|| var * correction), values, momentum }
    }
}

/// The running statistics of a layer. Forward passes update and read them under one lock: passes on
/// several threads lose no update, and none reads the mean of one batch and the variance of another.
/// Saving, loading and cloning a model do not lock them.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct RunningStatistics<T: Float> {
    /// `[C]`.
    pub mean: Buffer<T>,
    /// `[C]`, of the unbiased variances.
    pub var: Buffer<T>,
    /// The number of batches.
    pub count: Option<Counter>,
}

impl<T: Float> RunningStatistics<T> {
    /// Those of all batch normalizations in a model, in the order of [`Module::visit`]; of a shared
    /// layer once. Models that are built alike yield the same order in every process.
    ///
    /// Found by name: `running_mean` and `running_var`, and perhaps `num_batches_tracked`, of one
    /// path are those of a layer.
    #[must_use]
    pub fn of(model: &(impl Module<T> + ?Sized)) -> Vec<Self> {
        let (mut means, mut vars, mut counts) = (Vec::new(), HashMap::new(), HashMap::new());
        model.visit(&mut Path::default(), &mut |path, leaf| {
            let (layer, name) = path.rsplit_once('.').unwrap_or(("", path));
            let layer = layer.to_string();
            match (leaf, name) {
                (Leaf::Buffer(mean), "running_mean") => means.push((layer, mean.clone())),
                (Leaf::Buffer(var), "running_var") => {
                    vars.insert(layer, var.clone());
                }
                (Leaf::Counter(count), "num_batches_tracked") => {
                    counts.insert(layer, count.clone());
                }
                _ => {}
            }
        });
        let mut seen = HashSet::new();
        means.retain(|(_, mean)| seen.insert(mean.id()));
        let layer = |(layer, mean)| {
            Some(RunningStatistics {
                mean,
                var: vars.remove(&layer)?,
                count: counts.remove(&layer),
            })
        };
        means.into_iter().filter_map(layer).collect()
    }

    /// An identifier of the layer, which is unique while its buffers live.
    #[must_use]
    pub fn id(&self) -> usize {
        self.mean.id()
    }

    /// Mean and variance of one moment.
    pub(crate) fn tensors(&self) -> (Tensor<T>, Tensor<T>) {
        let _lock = self.mean.lock();
        (self.mean.tensor(), self.var.tensor())
    }

    /// Takes in the statistics of a batch, now, or when [`record_statistics`] has returned them.
    pub(crate) fn update(&self, batch: BatchStatistics<T>) {
        if let Some(batch) = record(self.id(), batch) {
            self.apply(&batch);
        }
    }

    /// Takes in the statistics of a batch.
    ///
    /// # Panics
    /// If they are not of the layer's number of channels.
    #[track_caller]
    pub fn apply(&self, batch: &BatchStatistics<T>) {
        for found in [batch.mean.shape(), batch.var.shape()] {
            assert!(
                found == self.mean.shape(),
                "RunningStatistics: statistics of shape {found:?}; expected {:?}",
                self.mean.shape()
            );
        }
        let _lock = self.mean.lock();
        let count = self.count.as_ref().map_or(0, Counter::get).saturating_add(1);
        if let Some(counter) = &self.count {
            counter.set(count);
        }
        if batch.values == 0 {
            return;
        }
        let new = batch.momentum.unwrap_or(1.0 / count as f64);
        no_grad(|| {
            for (running, batch) in [(&self.mean, &batch.mean), (&self.var, &batch.var)] {
                let old = running.tensor() * T::from_f64(1.0 - new);
                running.set(&(old + batch * T::from_f64(new)));
            }
        });
    }
}

thread_local! {
    static CUMULATIVE: Cell<bool> = const { Cell::new(false) };
    /// A `Recorded<T>` during `record_statistics::<T>`.
    static RECORDED: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// The statistics of batches, each with the [`RunningStatistics::id`] of its layer.
type Recorded<T> = Vec<(usize, BatchStatistics<T>)>;

/// Runs `f`, during which batch normalizations in training mode on this thread behave as if their
/// momentum was `None`: their running statistics are the means over all batches.
///
/// For `update_bn` of the crate `train`.
#[doc(hidden)]
pub fn with_cumulative_statistics<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            CUMULATIVE.set(self.0);
        }
    }
    let _restore = Restore(CUMULATIVE.replace(true));
    f()
}

/// Runs `f`, during which batch normalizations of `T` in training mode on this thread leave their
/// running statistics as they are. Returns what they would have taken in, in that order, with the
/// [`RunningStatistics::id`] of the layer: applied in that order, the bits are those of updates at
/// once.
///
/// A backward pass through a [`checkpoint`](adamant_tensor::checkpoint()) runs layers again, so it
/// belongs into `f` too.
///
/// For the crate `parallel`.
#[doc(hidden)]
pub fn record_statistics<T: Float, R>(
    f: impl FnOnce() -> R,
) -> (R, Vec<(usize, BatchStatistics<T>)>) {
    /// The recording that is interrupted by this one.
    struct Restore(Option<Box<dyn Any>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDED.set(self.0.take());
        }
    }
    let _restore = Restore(RECORDED.replace(Some(Box::new(Recorded::<T>::new()))));
    let result = f();
    let recorded = RECORDED.take();
    let recorded = recorded.and_then(|recorded| recorded.downcast::<Recorded<T>>().ok());
    (result, recorded.map_or_else(Vec::new, |recorded| *recorded))
}

/// Records the statistics, or returns them if they are not recorded.
fn record<T: Float>(id: usize, batch: BatchStatistics<T>) -> Option<BatchStatistics<T>> {
    RECORDED.with_borrow_mut(|recorded| {
        match recorded.as_mut().and_then(|recorded| recorded.downcast_mut::<Recorded<T>>()) {
            Some(recorded) => {
                recorded.push((id, batch));
                None
            }
            None => Some(batch),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm1d, BatchNorm2d, BatchNormOptions, Forward, module_state};
    use adamant_tensor::Generator;

    type Net = (BatchNorm1d<f64>, Vec<BatchNorm2d<f64>>);

    fn net(momentum: Option<f64>) -> Net {
        let options = BatchNormOptions::default().momentum(momentum);
        let images = || BatchNorm2d::with_options(2, options);
        (BatchNorm1d::with_options(3, options), vec![images(), images()])
    }

    /// Two passes of the first layer, one with values for no sample, and one of another.
    fn forward(net: &Net) {
        let mut rng = Generator::seed(0);
        for samples in [4, 0, 7] {
            let _ = net.0.forward(&Tensor::randn([samples, 3], &mut rng));
        }
        let _ = net.1[1].forward(&Tensor::randn([2, 2, 3, 3], &mut rng));
        let _ = net.0.forward(&Tensor::randn([5, 3], &mut rng));
    }

    fn apply(net: &Net, recorded: &[(usize, BatchStatistics<f64>)], indices: &[usize]) {
        let layers = RunningStatistics::of(net);
        for ((_, batch), &index) in recorded.iter().zip(indices) {
            layers[index].apply(batch);
        }
    }

    #[test]
    fn recorded_statistics_applied_later_are_updates_at_once() {
        for (momentum, cumulative) in [(Some(0.1), false), (None, false), (Some(0.3), true)] {
            let pass = |net: &Net| match cumulative {
                true => with_cumulative_statistics(|| forward(net)),
                false => forward(net),
            };
            let (once, later, other) = (net(momentum), net(momentum), net(momentum));
            let before = module_state::<f64>(&later);
            pass(&once);
            let ((), recorded) = record_statistics(|| pass(&later));
            assert_eq!(module_state::<f64>(&later), before);

            let layers = RunningStatistics::<f64>::of(&later);
            let index = |id| layers.iter().position(|layer| layer.id() == id).unwrap();
            let indices: Vec<usize> = recorded.iter().map(|(id, _)| index(*id)).collect();
            assert_eq!(indices, [0, 0, 0, 2, 0]);
            let values: Vec<usize> = recorded.iter().map(|(_, batch)| batch.values).collect();
            assert_eq!(values, [4, 0, 7, 18, 5]);
            // A model that was built alike, in another process for example.
            for net in [&later, &other] {
                apply(net, &recorded, &indices);
                assert_eq!(module_state::<f64>(net), module_state::<f64>(&once), "{momentum:?}");
            }
        }
    }

    #[test]
    fn evaluation_and_layers_of_another_type_are_not_recorded() {
        let mut net = net(None);
        net.freeze_batch_norms();
        let single = BatchNorm1d::<f32>::new(1);
        let ((), recorded) = record_statistics::<f64, _>(|| {
            forward(&net);
            let _ = single.forward(&Tensor::from([[1.0], [3.0]]));
        });
        assert!(recorded.is_empty());
        assert_eq!(single.num_batches_tracked.unwrap().get(), 1);
    }

    #[test]
    fn recording_ends_with_the_call() {
        let net = net(None);
        let panics = || record_statistics::<f64, ()>(|| panic!("in a layer"));
        let ((), outer) = record_statistics::<f64, _>(|| {
            let (_, inner) = record_statistics::<f64, _>(|| forward(&net));
            assert_eq!(inner.len(), 5);
            assert!(std::panic::catch_unwind(panics).is_err());
            forward(&net);
        });
        assert_eq!(outer.len(), 5);
        forward(&net);
        assert_eq!(net.0.num_batches_tracked.unwrap().get(), 4);
    }

    #[test]
    fn a_shared_layer_is_found_once() {
        let (first, rest) = net(None);
        let mut tied = BatchNorm1d::<f64>::with_options(3, BatchNormOptions::default());
        tied.running_mean.clone_from(&first.running_mean);
        tied.running_var.clone_from(&first.running_var);
        let none = BatchNormOptions::default().track_running_stats(false);
        let without = BatchNorm1d::<f64>::with_options(3, none);
        let found = RunningStatistics::<f64>::of(&(without, first, tied, rest));
        let channels: Vec<usize> = found.iter().map(|layer| layer.mean.shape()[0]).collect();
        assert_eq!(channels, [3, 2, 2]);
    }
}

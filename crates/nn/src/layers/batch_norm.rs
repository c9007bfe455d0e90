//! Batch normalization.

use crate::layers::running_statistics::{BatchStatistics, RunningStatistics};
use crate::layers::sync_batch_norm::{Meet, meet, sync_batch_norm};
use crate::tree::observe::{is_observing, observe};
use crate::{Buffer, Counter, Forward, Module, Training, check};
use adamant_tensor::{Float, Parameter, Tensor};
use std::rc::Rc;

/// The options of [`BatchNorm1d`], [`BatchNorm2d`] and [`SyncBatchNorm`], with PyTorch's defaults.
///
/// ```
/// use adamant_nn::{BatchNorm2d, BatchNormOptions};
/// let options = BatchNormOptions::default().eps(1e-3).momentum(None);
/// let layer = BatchNorm2d::<f64>::with_options(8, options);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormOptions {
    eps: f64,
    momentum: Option<f64>,
    affine: bool,
    bias: bool,
    track_running_stats: bool,
}

impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions {
            eps: 1e-5,
            momentum: Some(0.1),
            affine: true,
            bias: true,
            track_running_stats: true,
        }
    }
}

impl BatchNormOptions {
    /// Added to the variance; default 1e-5.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        BatchNormOptions { eps, ..self }
    }

    /// The weight of a new batch in the running statistics, or `None` for the mean over all
    /// batches; default `Some(0.1)`.
    #[must_use]
    pub fn momentum(self, momentum: Option<f64>) -> Self {
        BatchNormOptions { momentum, ..self }
    }

    /// Whether there are a `weight` and a `bias`; default true.
    #[must_use]
    pub fn affine(self, affine: bool) -> Self {
        BatchNormOptions { affine, ..self }
    }

    /// Whether there is a `bias` beside the `weight`; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        BatchNormOptions { bias, ..self }
    }

    /// Whether there are running statistics; default true. Without them, evaluation uses the
    /// statistics of the batch too.
    #[must_use]
    pub fn track_running_stats(self, track_running_stats: bool) -> Self {
        BatchNormOptions { track_running_stats, ..self }
    }
}

/// The statistics of a batch.
pub(crate) struct Moments<T: Float> {
    /// `[C]`, untracked.
    pub(crate) mean: Tensor<T>,
    /// The biased variance: `[C]`, untracked.
    pub(crate) var: Tensor<T>,
    /// The number of values of each channel.
    pub(crate) values: usize,
}

/// `$meet` is how a batch meets its other shards in training, if there are any.
macro_rules! batch_norm {
    ($(#[$doc:meta])* $Name:ident, $dims:expr, $expected:literal, $meet:expr) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        #[module(crate = crate, float = T, clone)]
        pub struct $Name<T: Float = f32> {
            /// `[C]`, starts as 1.
            pub weight: Option<Parameter<T>>,
            /// `[C]`, starts as 0.
            pub bias: Option<Parameter<T>>,
            /// `[C]`, starts as 0.
            pub running_mean: Option<Buffer<T>>,
            /// `[C]`, starts as 1; of the unbiased variances.
            pub running_var: Option<Buffer<T>>,
            /// The number of batches that the running statistics are of.
            pub num_batches_tracked: Option<Counter>,
            training: Training,
            #[module(skip)]
            channels: usize,
            #[module(skip)]
            options: BatchNormOptions,
        }

        impl $Name {
            /// A layer for this number of channels, with PyTorch's defaults, in `f32`.
            ///
            /// # Panics
            /// If the parameters do not fit in memory.
            #[must_use]
            #[track_caller]
            pub fn new(channels: usize) -> Self {
                Self::with_options(channels, BatchNormOptions::default())
            }
        }

        impl<T: Float> $Name<T> {
            /// A layer for this number of channels with these options, of any type.
            ///
            /// # Panics
            /// If `eps` is negative or NaN, `momentum` is not from 0 to 1, or the parameters do not
            /// fit in memory.
            #[must_use]
            #[track_caller]
            pub fn with_options(channels: usize, options: BatchNormOptions) -> Self {
                let BatchNormOptions { eps, momentum, affine, bias, track_running_stats } = options;
                check::eps(stringify!($Name), "eps", eps);
                if let Some(momentum) = momentum {
                    check::probability(stringify!($Name), "momentum", momentum);
                }
                let sizes = format_args!("num_features = {channels}");
                check::fits::<T>(stringify!($Name), sizes, &[channels]);
                let (zeros, ones) = (|| Tensor::zeros([channels]), || Tensor::ones([channels]));
                $Name {
                    weight: affine.then(|| Parameter::new(ones())),
                    bias: (affine && bias).then(|| Parameter::new(zeros())),
                    running_mean: track_running_stats.then(|| Buffer::new(zeros())),
                    running_var: track_running_stats.then(|| Buffer::new(ones())),
                    num_batches_tracked: track_running_stats.then(Counter::default),
                    training: Training::with_statistics(),
                    channels,
                    options,
                }
            }

            fn running(&self) -> Option<RunningStatistics<T>> {
                let mean = self.running_mean.clone()?;
                let var = self.running_var.clone()?;
                Some(RunningStatistics { mean, var, count: self.num_batches_tracked.clone() })
            }

            /// The output without the report to a summary.
            #[track_caller]
            fn normalized(&self, x: &Tensor<T>) -> Tensor<T> {
                let (shape, c) = (x.shape(), self.channels);
                assert!(
                    $dims.contains(&shape.len()) && shape[1] == c,
                    concat!(stringify!($Name), ": an input of shape {:?}; expected ", $expected),
                    shape,
                    c = c
                );
                let weight = self.weight.as_ref().map(Parameter::tensor);
                let bias = self.bias.as_ref().map(Parameter::tensor);
                let (weight, bias, eps) = (weight.as_ref(), bias.as_ref(), self.options.eps);
                let (running, training) = (self.running(), self.training.on());
                if let (Some(running), false) = (&running, training) {
                    let (mean, var) = running.tensors();
                    return x.batch_norm_with(&mean, &var, weight, bias, eps);
                }
                let values = shape[0] * shape[2..].iter().product::<usize>();
                if values < 2 && is_observing() {
                    return x.clone(); // a summary needs only the shape
                }
                assert!(
                    eps > 0.0,
                    concat!(
                        stringify!($Name),
                        ": eps is {:?} with the statistics of a batch; expected more than 0"
                    ),
                    eps
                );
                let meet: Option<Rc<Meet>> = if training { $meet } else { None };
                let (y, batch) = if let Some(meet) = meet {
                    sync_batch_norm(x, [weight, bias], eps, &*meet)
                } else {
                    assert!(
                        values != 1,
                        concat!(
                            stringify!($Name),
                            ": an input of shape {:?} has 1 value for each channel; expected more \
                             in training: a single value has no variance"
                        ),
                        shape
                    );
                    let (y, mean, var) = x.batch_norm(weight, bias, eps);
                    (y, Some(Moments { mean, var, values }))
                };
                if let (Some(running), Some(batch), true) = (running, batch, training) {
                    let Moments { mean, var, values } = batch;
                    let momentum = self.options.momentum;
                    running.update(BatchStatistics::new(mean, &var, values, momentum));
                }
                y
            }
        }

        impl<T: Float> Forward<T> for $Name<T> {
            /// # Panics
            /// If the input does not have the layer's channels or number of dimensions, or, where
            /// the batch's own statistics are used, it has one value for each channel or `eps` is
            /// 0.
            #[track_caller]
            fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
                observe(self, self.normalized(x))
            }
        }
    };
}

batch_norm!(
    /// `(x − mean) / √(var + eps) · weight + bias` for each channel:
    /// `[N, C] → [N, C]` or `[N, C, L] → [N, C, L]`.
    ///
    /// In training, mean and variance are the batch's, and update the running statistics; in
    /// evaluation, they are the running statistics. [`Module::freeze_batch_norms`] keeps those in
    /// training too.
    ///
    /// PyTorch: `torch.nn.BatchNorm1d`.
    ///
    /// ```
    /// use adamant_nn::{BatchNorm1d, Forward, Module};
    /// use adamant_tensor::Tensor;
    /// let mut layer = BatchNorm1d::with_options(1, Default::default());
    /// let x = Tensor::from([[1.0f64], [3.0]]);
    /// assert!((layer.forward(&x).to_vec()[1] - 1.0).abs() < 1e-4);
    /// layer.eval(); // mean 0.2, variance 1.1
    /// assert!((layer.forward(&x).to_vec()[1] - 2.8 / 1.1f64.sqrt()).abs() < 1e-4);
    /// ```
    BatchNorm1d, 2..=3, "[batch, {c}] or [batch, {c}, length]", None
);
batch_norm!(
    /// [`BatchNorm1d`] for images: `[N, C, H, W] → [N, C, H, W]`.
    ///
    /// PyTorch: `torch.nn.BatchNorm2d`.
    ///
    /// ```
    /// use adamant_nn::{BatchNorm2d, Forward};
    /// use adamant_tensor::Tensor;
    /// let layer = BatchNorm2d::new(3);
    /// assert_eq!(layer.forward(&Tensor::ones([2, 3, 4, 4])).to_vec(), [0.0; 96]);
    /// ```
    BatchNorm2d, 4..=4, "[batch, {c}, height, width]", None
);
batch_norm!(
    /// [`BatchNorm1d`] with the statistics of all shards of a batch, in all processes:
    /// `[N, C, …] → [N, C, …]`.
    ///
    /// In training within `DataParallel::backward_synchronized` of the crate `parallel`, mean and
    /// variance are those of the whole batch: the result and its gradients are those of one process
    /// that has the batch in one piece, up to rounding, and have the same bits for any number of
    /// processes. Use it where a shard has few samples. In any other call, this is the batch
    /// normalization of its input.
    ///
    /// A layer has this type from the start, where PyTorch converts those of a model by
    /// `convert_sync_batchnorm`. The names in its state are those of [`BatchNorm1d`] and
    /// [`BatchNorm2d`], so that it loads theirs.
    ///
    /// Its gradient cannot be differentiated again.
    ///
    /// PyTorch: `torch.nn.SyncBatchNorm`.
    ///
    /// ```
    /// use adamant_nn::{Forward, SyncBatchNorm};
    /// use adamant_tensor::Tensor;
    /// let layer = SyncBatchNorm::new(3);
    /// assert_eq!(layer.forward(&Tensor::ones([2, 3, 4, 4])).to_vec(), [0.0; 96]);
    /// assert_eq!(layer.forward(&Tensor::ones([2, 3])).to_vec(), [0.0; 6]);
    /// ```
    SyncBatchNorm, 2.., "[batch, {c}, …]", meet()
);

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch: `torch.nn.BatchNorm1d(3)(torch.ones(0, 3))`.
    #[test]
    fn an_empty_batch_only_counts() {
        let layer = BatchNorm1d::new(3);
        assert_eq!(layer.forward(&Tensor::ones([0, 3])).shape(), [0, 3]);
        assert_eq!(layer.num_batches_tracked.as_ref().unwrap().get(), 1);
        assert_eq!(layer.running_mean.unwrap().tensor().to_vec(), [0.0; 3]);
        assert_eq!(layer.running_var.unwrap().tensor().to_vec(), [1.0; 3]);
    }

    #[test]
    #[should_panic(expected = "BatchNorm1d: an input of shape [1, 3] has 1 value for each channel")]
    fn one_value_for_a_channel_is_refused() {
        let _ = BatchNorm1d::new(3).forward(&Tensor::<f32>::ones([1, 3]));
    }

    #[test]
    fn the_count_saturates() {
        let layer = BatchNorm1d::new(1);
        let count = layer.num_batches_tracked.as_ref().unwrap();
        count.set(i64::MAX - 1);
        for _ in 0..2 {
            let _ = layer.forward(&Tensor::from([[1.0], [2.0]]));
            assert_eq!(count.get(), i64::MAX);
        }
    }

    #[test]
    fn a_summary_changes_nothing() {
        let layer = BatchNorm2d::new(3);
        let _ = crate::summary(&layer, [1, 3, 1, 1]);
        assert_eq!(layer.num_batches_tracked.as_ref().unwrap().get(), 0);
        assert_eq!(layer.running_mean.unwrap().tensor().to_vec(), [0.0; 3]);
    }

    #[test]
    fn frozen_statistics_stay_in_every_mode() {
        let state = |layer: &BatchNorm1d| crate::module_state::<f32>(layer);
        let x = Tensor::from([[1.0], [3.0]]);
        let dropout = crate::Dropout::new(0.5, &mut adamant_tensor::Generator::seed(0));
        let mut net = (BatchNorm1d::new(1), dropout);
        let before = state(&net.0);
        Module::<f32>::freeze_batch_norms(&mut net);
        Module::<f32>::train(&mut net);
        assert_ne!(net.1.forward(&x).to_vec(), x.to_vec(), "other layers train");
        for layer in [&net.0, &net.0.clone()] {
            assert!((layer.forward(&x).sum().item() - 4.0).abs() < 1e-4); // mean 0, variance 1
            assert_eq!(state(layer), before);
        }

        net.0.eval();
        net.0.unfreeze_batch_norms(); // the mode that was set last
        let _ = net.0.forward(&x);
        assert_eq!(state(&net.0), before);
        net.0.freeze_batch_norms();
        net.0.train();
        net.0.unfreeze_batch_norms();
        let _ = net.0.forward(&x);
        assert_ne!(state(&net.0), before);
    }

    #[test]
    fn concurrent_updates_follow_each_other() {
        let options = BatchNormOptions::default().momentum(None);
        let layer = BatchNorm1d::<f64>::with_options(1, options);
        let running = layer.running().unwrap();
        let count = running.count.as_ref().unwrap();
        let update = running.mean.lock(); // an update of another thread, not yet done
        std::thread::scope(|scope| {
            let pass = scope.spawn(|| layer.forward(&Tensor::from([[2.0], [4.0]])));
            std::thread::sleep(std::time::Duration::from_millis(50));
            count.set(1);
            running.mean.set(&Tensor::from([1.0]));
            running.var.set(&Tensor::from([4.0]));
            drop(update);
            pass.join().unwrap();
        });
        assert_eq!(count.get(), 2);
        assert_eq!(running.mean.tensor().to_vec(), [2.0]); // of 1 and 3
        assert_eq!(running.var.tensor().to_vec(), [3.0]); // of 4 and 2
    }

    #[test]
    fn mean_and_variance_are_read_together() {
        let mut layer = BatchNorm1d::<f64>::with_options(1, BatchNormOptions::default().eps(0.0));
        layer.eval();
        let running = layer.running().unwrap();
        let update = running.mean.lock(); // an update of another thread, half done
        running.mean.set(&Tensor::from([1000.0]));
        std::thread::scope(|scope| {
            let y = scope.spawn(|| layer.forward(&Tensor::from([[0.0]])).item());
            std::thread::sleep(std::time::Duration::from_millis(50));
            running.var.set(&Tensor::from([4.0]));
            drop(update);
            assert_eq!(y.join().unwrap(), -500.0); // not -1000
        });
    }
}

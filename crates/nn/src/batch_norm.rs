//! Batch normalisation.

use crate::norm::affine;
use crate::summary::observe;
use crate::{Buffer, Counter, Forward, Module, Training, check};
use adamant_tensor::{Float, Parameter, Tensor, no_grad};

/// The options of [`BatchNorm1d`] and [`BatchNorm2d`]; the defaults are PyTorch's.
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
    /// The number added to the variance; default 1e-5.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        BatchNormOptions { eps, ..self }
    }

    /// The weight of a new batch in the running statistics, or `None` for the mean of all
    /// batches; default 0.1.
    #[must_use]
    pub fn momentum(self, momentum: Option<f64>) -> Self {
        BatchNormOptions { momentum, ..self }
    }

    /// Whether there are `weight` and `bias`; default true.
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

macro_rules! batch_norm {
    ($(#[$doc:meta])* $Name:ident, $dims:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        #[module(crate = crate, float = T)]
        pub struct $Name<T: Float = f32> {
            /// `[C]`, starts as 1.
            pub weight: Option<Parameter<T>>,
            /// `[C]`, starts as 0.
            pub bias: Option<Parameter<T>>,
            /// `[C]`, starts as 0.
            pub running_mean: Option<Buffer<T>>,
            /// `[C]`, starts as 1; of the variances with n − 1.
            pub running_var: Option<Buffer<T>>,
            /// How many batches the running statistics are of.
            pub num_batches_tracked: Option<Counter>,
            training: Training,
            #[module(skip)]
            channels: usize,
            #[module(skip)]
            options: BatchNormOptions,
        }

        impl $Name {
            /// A layer for this many channels, in `f32` and with PyTorch's defaults. Others:
            #[doc = concat!("[`with_options`](", stringify!($Name), "::with_options).")]
            #[must_use]
            #[track_caller]
            pub fn new(channels: usize) -> Self {
                Self::with_options(channels, BatchNormOptions::default())
            }
        }

        impl<T: Float> $Name<T> {
            /// A layer for this many channels, of any type.
            ///
            /// # Panics
            /// If `eps` is negative or NaN, `momentum` is not from 0 to 1, or the parameters do not
            /// fit in memory.
            #[must_use]
            #[track_caller]
            pub fn with_options(channels: usize, options: BatchNormOptions) -> Self {
                check::eps(stringify!($Name), "eps", options.eps);
                if let Some(momentum) = options.momentum {
                    check::probability(stringify!($Name), "momentum", momentum);
                }
                let sizes = format_args!("num_features = {channels}");
                check::fits::<T>(stringify!($Name), sizes, &[channels]);
                let (weight, bias) = affine(&[channels].into(), options.affine, options.bias);
                let buffer = |value| Some(Buffer::new(value));
                let [running_mean, running_var] = match options.track_running_stats {
                    true => [Tensor::zeros([channels]), Tensor::ones([channels])].map(buffer),
                    false => [None, None],
                };
                $Name {
                    weight,
                    bias,
                    running_mean,
                    running_var,
                    num_batches_tracked: options.track_running_stats.then(Counter::default),
                    training: Training::default(),
                    channels,
                    options,
                }
            }
        }

        impl<T: Float> Forward<T> for $Name<T> {
            /// # Panics
            /// If the input has another number of channels or of dimensions, or, where the
            /// batch's own statistics are used, one value for each channel or an `eps` of 0.
            #[track_caller]
            fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
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
                let running = self.running_mean.as_ref().zip(self.running_var.as_ref());
                if let (Some((mean, var)), false) = (running, self.training.on()) {
                    let (mean, var) = (mean.tensor(), var.tensor());
                    return observe(self, x.batch_norm_with(&mean, &var, weight, bias, eps));
                }
                let values = shape[0] * shape[2..].iter().product::<usize>();
                // Of a summary's input only the shape is looked at.
                if values < 2 && crate::summary::is_observing() {
                    return observe(self, x.clone());
                }
                assert!(
                    values != 1,
                    concat!(
                        stringify!($Name),
                        ": an input of shape {:?} has 1 value for each channel; expected more in \
                         training: a single value has no variance"
                    ),
                    shape
                );
                assert!(
                    eps > 0.0,
                    concat!(
                        stringify!($Name),
                        ": eps = {:?} with the statistics of a batch; expected a number above 0"
                    ),
                    eps
                );
                let (y, mean, var) = x.batch_norm(weight, bias, eps);
                if let (Some((running_mean, running_var)), true) = (running, self.training.on()) {
                    let seen = self.num_batches_tracked.as_ref().map_or(0, Counter::get);
                    let seen = seen.saturating_add(1);
                    if let Some(counter) = &self.num_batches_tracked {
                        counter.set(seen);
                    }
                    if values == 0 {
                        return observe(self, y); // an empty batch has no statistics
                    }
                    let momentum = self.options.momentum.unwrap_or(1.0 / seen as f64);
                    let unbiased = var * T::from_f64(values as f64 / (values - 1) as f64);
                    let update = |running: &Buffer<T>, new: Tensor<T>| {
                        let (old, new) = (1.0 - momentum, new * T::from_f64(momentum));
                        running.set(&(running.tensor() * T::from_f64(old) + new));
                    };
                    no_grad(|| {
                        update(running_mean, mean);
                        update(running_var, unbiased);
                    });
                }
                observe(self, y)
            }
        }
    };
}

batch_norm!(
    /// `(x − mean) / √(var + eps) · weight + bias` for each channel:
    /// `[N, C] → [N, C]` or `[N, C, L] → [N, C, L]`.
    ///
    /// In training, mean and variance are the batch's, and go into the running statistics; in
    /// evaluation, these are used.
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
    BatchNorm1d, 2..=3, "[batch, {c}] or [batch, {c}, length]"
);
batch_norm!(
    /// As [`BatchNorm1d`], of images: `[N, C, H, W] → [N, C, H, W]`.
    ///
    /// PyTorch: `torch.nn.BatchNorm2d`.
    ///
    /// ```
    /// use adamant_nn::{BatchNorm2d, Forward};
    /// use adamant_tensor::Tensor;
    /// let layer = BatchNorm2d::new(3);
    /// assert_eq!(layer.forward(&Tensor::ones([2, 3, 4, 4])).to_vec(), [0.0; 96]);
    /// ```
    BatchNorm2d, 4..=4, "[batch, {c}, height, width]"
);

#[cfg(test)]
mod tests {
    use super::*;

    /// As `torch.nn.BatchNorm1d(3)(torch.ones(0, 3))`.
    #[test]
    fn an_empty_batch_counts_and_has_no_statistics() {
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
    fn the_count_of_batches_stops_at_its_largest() {
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
}

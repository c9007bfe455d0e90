//! The schedule that watches a metric.

use super::unwrap_or_panic;
use crate::count;
use crate::fields::{self, Fields};
use crate::learning_rates::LearningRates;
use crate::reader;
use crate::valid_range::ValidRange;
use adamant_tensor::{StateDict, StateError, Stateful};

/// Multiplies the rates by `factor` when a metric has stopped improving.
///
/// PyTorch: `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// ```
/// use adamant_optim::{
///     Adam, AdamOptions, PlateauMode, ReduceLrOnPlateau, ReduceLrOnPlateauOptions,
/// };
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let options = ReduceLrOnPlateauOptions::default().patience(1);
/// let mut schedule = ReduceLrOnPlateau::with_options(PlateauMode::Min, options);
/// for loss in [3.0, 2.0, 2.0, 2.0] {
///     schedule.step(&mut adam, loss);
/// }
/// assert_eq!(adam.param_groups()[0].lr, 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    mode: PlateauMode,
    options: ReduceLrOnPlateauOptions,
    best: f64,
    bad_epochs: u64,
    cooldown_left: u64,
    epoch: u64,
}

/// The options of [`ReduceLrOnPlateau`], with PyTorch's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLrOnPlateauOptions {
    factor: f64,
    patience: u64,
    threshold: f64,
    threshold_mode: ThresholdMode,
    cooldown: u64,
    min_lr: f64,
    eps: f64,
}

impl Default for ReduceLrOnPlateauOptions {
    fn default() -> Self {
        ReduceLrOnPlateauOptions {
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Relative,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
        }
    }
}

impl ReduceLrOnPlateauOptions {
    /// The factor by which rates are reduced, within `[0, 1)`; default 0.1.
    #[must_use]
    pub fn factor(self, factor: f64) -> Self {
        ReduceLrOnPlateauOptions { factor, ..self }
    }

    /// The number of epochs without improvement before a reduction; default 10.
    #[must_use]
    pub fn patience(self, patience: u64) -> Self {
        ReduceLrOnPlateauOptions { patience: patience.min(count::MOST), ..self }
    }

    /// How much better a metric must be to count as an improvement; default 10⁻⁴.
    #[must_use]
    pub fn threshold(self, threshold: f64) -> Self {
        ReduceLrOnPlateauOptions { threshold, ..self }
    }

    /// Whether the threshold is a fraction of the best metric or an amount; default
    /// [`ThresholdMode::Relative`].
    #[must_use]
    pub fn threshold_mode(self, threshold_mode: ThresholdMode) -> Self {
        ReduceLrOnPlateauOptions { threshold_mode, ..self }
    }

    /// The number of epochs after a reduction that do not count as bad; default 0.
    #[must_use]
    pub fn cooldown(self, cooldown: u64) -> Self {
        ReduceLrOnPlateauOptions { cooldown: cooldown.min(count::MOST), ..self }
    }

    /// The lowest rate; default 0.
    #[must_use]
    pub fn min_lr(self, min_lr: f64) -> Self {
        ReduceLrOnPlateauOptions { min_lr, ..self }
    }

    /// The smallest change of a rate that is made; default 10⁻⁸.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        ReduceLrOnPlateauOptions { eps, ..self }
    }
}

/// Whether a lower or a higher metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlateauMode {
    /// A loss: less is better.
    Min,
    /// An accuracy: more is better.
    Max,
}

/// How much better a metric must be to count as an improvement.
///
/// PyTorch: `threshold_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdMode {
    /// By a fraction of the best metric.
    Relative,
    /// By an amount.
    Absolute,
}

impl ReduceLrOnPlateau {
    /// The schedule with PyTorch's defaults.
    #[must_use]
    pub fn new(mode: PlateauMode) -> Self {
        Self::with_options(mode, ReduceLrOnPlateauOptions::default())
    }

    /// The schedule with these options.
    ///
    /// # Panics
    /// If `factor` is not within `[0, 1)`, or another option is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn with_options(mode: PlateauMode, options: ReduceLrOnPlateauOptions) -> Self {
        let best = match mode {
            PlateauMode::Min => f64::INFINITY,
            PlateauMode::Max => f64::NEG_INFINITY,
        };
        let (bad_epochs, cooldown_left, epoch) = (0, 0, 0);
        let mut schedule =
            ReduceLrOnPlateau { mode, options, best, bad_epochs, cooldown_left, epoch };
        unwrap_or_panic(fields::check("ReduceLrOnPlateau", |fields| schedule.fields(fields)));
        schedule
    }

    /// Compares the metric with the best one and reduces the rates if it is time.
    ///
    /// PyTorch: `scheduler.step(metric)`.
    ///
    /// # Panics
    /// If a rate becomes one that the optimizer does not accept. Nothing is changed then.
    #[track_caller]
    pub fn step(&mut self, optimizer: &mut dyn LearningRates, metric: f64) {
        let mut next = self.clone();
        next.epoch = count::next(self.epoch);
        if self.is_better(metric) {
            next.best = metric;
            next.bad_epochs = 0;
        } else {
            next.bad_epochs = count::next(self.bad_epochs);
        }
        if self.cooldown_left > 0 {
            next.cooldown_left -= 1;
            next.bad_epochs = 0;
        }
        if next.bad_epochs > self.options.patience {
            next.cooldown_left = self.options.cooldown;
            next.bad_epochs = 0;
            let groups = 0..optimizer.group_count();
            let lrs: Vec<f64> = groups.map(|group| self.reduced(optimizer.lr(group))).collect();
            unwrap_or_panic(optimizer.set_all(&lrs, None));
        }
        *self = next;
    }

    fn reduced(&self, lr: f64) -> f64 {
        let reduced = (lr * self.options.factor).max(self.options.min_lr);
        if lr - reduced > self.options.eps { reduced } else { lr }
    }

    fn is_better(&self, metric: f64) -> bool {
        let threshold = self.options.threshold;
        match (self.mode, self.options.threshold_mode) {
            (PlateauMode::Min, ThresholdMode::Relative) => metric < self.best * (1.0 - threshold),
            (PlateauMode::Min, ThresholdMode::Absolute) => metric < self.best - threshold,
            (PlateauMode::Max, ThresholdMode::Relative) => metric > self.best * (threshold + 1.0),
            (PlateauMode::Max, ThresholdMode::Absolute) => metric > self.best + threshold,
        }
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        const MODES: [(&str, PlateauMode); 2] =
            [("min", PlateauMode::Min), ("max", PlateauMode::Max)];
        let options = &mut self.options;
        fields.choice("mode", &mut self.mode, &MODES);
        fields.float("factor", &mut options.factor, ValidRange::BELOW_1);
        fields.count("patience", &mut options.patience, 0);
        fields.float("threshold", &mut options.threshold, ValidRange::AT_LEAST_0);
        let mut is_relative = options.threshold_mode == ThresholdMode::Relative;
        fields.flag("relative", &mut is_relative);
        options.threshold_mode =
            if is_relative { ThresholdMode::Relative } else { ThresholdMode::Absolute };
        fields.count("cooldown", &mut options.cooldown, 0);
        fields.float("min_lr", &mut options.min_lr, ValidRange::AT_LEAST_0);
        fields.float("eps", &mut options.eps, ValidRange::AT_LEAST_0);
        fields.float("best", &mut self.best, ValidRange::ANY);
        fields.count("bad_epochs", &mut self.bad_epochs, 0);
        fields.count("cooldown_left", &mut self.cooldown_left, 0);
        fields.count("epoch", &mut self.epoch, 0);
    }
}

impl Stateful for ReduceLrOnPlateau {
    fn state_dict(&self) -> StateDict {
        reader::saved(self, Self::fields)
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        reader::read(self, state, Self::fields).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = reader::read(self, state, Self::fields)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_without_end_is_saved_and_restored() {
        let options = ReduceLrOnPlateauOptions::default().patience(u64::MAX).cooldown(u64::MAX);
        let schedule = ReduceLrOnPlateau::with_options(PlateauMode::Min, options);
        let mut restored = ReduceLrOnPlateau::new(PlateauMode::Max);
        restored.load_state_dict(&schedule.state_dict()).unwrap();
        assert_eq!(restored, schedule);
    }
}

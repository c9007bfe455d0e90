//! The schedule that watches a metric.

use super::{Problem, at_least_0, problem, refuse, report, take_count};
use crate::count;
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError, Stateful};

/// Multiplies the rates by `factor` when a metric has stopped improving.
///
/// Every option starts at PyTorch's default.
///
/// PyTorch: `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, PlateauMode, ReduceLrOnPlateau};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let mut schedule = ReduceLrOnPlateau::new(PlateauMode::Min).patience(1);
/// for loss in [3.0, 2.0, 2.0, 2.0] {
///     schedule.step(&mut adam, loss);
/// }
/// assert_eq!(adam.param_groups()[0].lr, 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    mode: PlateauMode,
    factor: f64,
    patience: u64,
    threshold: f64,
    /// Whether the threshold is a fraction of the best metric.
    relative: bool,
    cooldown: u64,
    min_lr: f64,
    eps: f64,
    best: f64,
    bad_epochs: u64,
    cooldown_left: u64,
    epoch: u64,
}

/// Which way is better.
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
        let best = match mode {
            PlateauMode::Min => f64::INFINITY,
            PlateauMode::Max => f64::NEG_INFINITY,
        };
        ReduceLrOnPlateau {
            mode,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            relative: true,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            best,
            bad_epochs: 0,
            cooldown_left: 0,
            epoch: 0,
        }
    }

    /// Sets what the rates are multiplied by: 0.1.
    ///
    /// # Panics
    /// If it is not within `[0, 1)`.
    #[must_use]
    #[track_caller]
    pub fn factor(self, factor: f64) -> Self {
        ReduceLrOnPlateau { factor, ..self }.checked()
    }

    /// Sets how many epochs without improvement are allowed before a reduction: 10.
    #[must_use]
    pub fn patience(self, patience: u64) -> Self {
        ReduceLrOnPlateau { patience: patience.min(count::MOST), ..self }
    }

    /// Sets how much better a metric must be to count as an improvement: 10⁻⁴.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn threshold(self, threshold: f64) -> Self {
        ReduceLrOnPlateau { threshold, ..self }.checked()
    }

    /// Sets what the threshold is: a fraction of the best metric.
    #[must_use]
    pub fn threshold_mode(self, mode: ThresholdMode) -> Self {
        ReduceLrOnPlateau { relative: mode == ThresholdMode::Relative, ..self }
    }

    /// Sets for how many epochs after a reduction no epoch counts as bad: 0.
    #[must_use]
    pub fn cooldown(self, cooldown: u64) -> Self {
        ReduceLrOnPlateau { cooldown: cooldown.min(count::MOST), ..self }
    }

    /// Sets the lowest rate: 0.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn min_lr(self, min_lr: f64) -> Self {
        ReduceLrOnPlateau { min_lr, ..self }.checked()
    }

    /// Sets the smallest change of a rate that is made: 10⁻⁸.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn eps(self, eps: f64) -> Self {
        ReduceLrOnPlateau { eps, ..self }.checked()
    }

    /// Compares the metric with the best one and reduces the rates if it is time.
    pub fn step(&mut self, optimizer: &mut dyn Rates, metric: f64) {
        self.epoch = count::next(self.epoch);
        if self.is_better(metric) {
            self.best = metric;
            self.bad_epochs = 0;
        } else {
            self.bad_epochs = count::next(self.bad_epochs);
        }
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs > self.patience {
            self.cooldown_left = self.cooldown;
            self.bad_epochs = 0;
            for group in 0..optimizer.group_count() {
                let lr = optimizer.lr(group);
                let reduced = (lr * self.factor).max(self.min_lr);
                if lr - reduced > self.eps {
                    optimizer.set_scheduled_lr(group, reduced);
                }
            }
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let factor = self.factor;
        let problems = [
            problem("factor", factor, (0.0..1.0).contains(&factor), "0 to below 1"),
            at_least_0("threshold", self.threshold),
            at_least_0("min_lr", self.min_lr),
            at_least_0("eps", self.eps),
        ];
        problems.into_iter().flatten().collect()
    }

    /// Panics at the caller's line if a number is out of its range.
    #[track_caller]
    fn checked(self) -> Self {
        refuse("ReduceLrOnPlateau", self.problems());
        self
    }

    fn is_better(&self, metric: f64) -> bool {
        match (self.mode, self.relative) {
            (PlateauMode::Min, true) => metric < self.best * (1.0 - self.threshold),
            (PlateauMode::Min, false) => metric < self.best - self.threshold,
            (PlateauMode::Max, true) => metric > self.best * (self.threshold + 1.0),
            (PlateauMode::Max, false) => metric > self.best + self.threshold,
        }
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        errors.check_names(state, self.state_dict().iter().map(|(name, _)| name));
        let mut float = |name: &str| errors.take(state.float(name)).unwrap_or(0.0);
        let (factor, threshold, min_lr) = (float("factor"), float("threshold"), float("min_lr"));
        let (eps, best) = (float("eps"), float("best"));
        let mode = match errors.take(state.text("mode")) {
            Some("max") => PlateauMode::Max,
            Some("min") | None => PlateauMode::Min,
            Some(other) => {
                errors.push(format!("`mode`: found \"{other}\", expected \"min\" or \"max\""));
                self.mode
            }
        };
        let relative = errors.take(state.bool("relative")).unwrap_or(true);
        let mut count = |name| take_count(&mut errors, state, name);
        let (patience, cooldown) = (count("patience"), count("cooldown"));
        let (bad_epochs, cooldown_left) = (count("bad_epochs"), count("cooldown_left"));
        let epoch = count("epoch");
        let read = ReduceLrOnPlateau {
            mode,
            factor,
            patience,
            threshold,
            relative,
            cooldown,
            min_lr,
            eps,
            best,
            bad_epochs,
            cooldown_left,
            epoch,
        };
        if errors.mismatches().is_empty() {
            report(&read.problems(), &mut errors);
        }
        errors.into_result().map(|()| read)
    }
}

impl Stateful for ReduceLrOnPlateau {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("mode", if self.mode == PlateauMode::Min { "min" } else { "max" });
        state.insert("factor", self.factor);
        state.insert("patience", count::saved(self.patience));
        state.insert("threshold", self.threshold);
        state.insert("relative", self.relative);
        state.insert("cooldown", count::saved(self.cooldown));
        state.insert("min_lr", self.min_lr);
        state.insert("eps", self.eps);
        state.insert("best", self.best);
        state.insert("bad_epochs", count::saved(self.bad_epochs));
        state.insert("cooldown_left", count::saved(self.cooldown_left));
        state.insert("epoch", count::saved(self.epoch));
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = self.read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_without_end_is_saved_and_restored() {
        let new = || ReduceLrOnPlateau::new(PlateauMode::Min);
        let schedule = new().patience(u64::MAX).cooldown(u64::MAX);
        let mut restored = new();
        restored.load_state_dict(&schedule.state_dict()).unwrap();
        assert_eq!(restored, schedule);
    }
}

//! The schedule that watches a metric.

use super::{saved_count, take_count};
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError, Stateful};

/// Multiplies the rates by `factor` when a metric has stopped improving.
///
/// PyTorch: `torch.optim.lr_scheduler.ReduceLROnPlateau`; the fields are its
/// arguments, and start at its defaults.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, PlateauMode, ReduceLrOnPlateau};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let mut schedule = ReduceLrOnPlateau::new(PlateauMode::Min);
/// schedule.patience = 1;
/// for loss in [3.0, 2.0, 2.0, 2.0] {
///     schedule.step(&mut adam, loss);
/// }
/// assert_eq!(adam.param_groups()[0].lr, 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    /// Whether the metric should fall or rise.
    mode: PlateauMode,
    /// What the rates are multiplied by: 0.1.
    pub factor: f64,
    /// How many epochs without improvement are let pass: 10.
    pub patience: u64,
    /// What counts as an improvement: a part of the best, or an amount: 10⁻⁴.
    pub threshold: f64,
    /// Whether the threshold is a part of the best (PyTorch: `threshold_mode="rel"`).
    pub relative: bool,
    /// How many epochs are let pass after a reduction: 0.
    pub cooldown: u64,
    /// The lowest rate: 0.
    pub min_lr: f64,
    /// A change of the rate smaller than this is not made: 10⁻⁸.
    pub eps: f64,
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

    /// Takes note of the metric, and reduces the rates if it is time.
    ///
    /// # Panics
    /// If a field is out of its range.
    #[track_caller]
    pub fn step(&mut self, optimizer: &mut dyn Rates, metric: f64) {
        if let Some((name, found, expected)) = self.problem() {
            panic!("ReduceLrOnPlateau: {name} is {found}; expected {expected}");
        }
        self.epoch += 1;
        if self.is_better(metric) {
            self.best = metric;
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
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

    /// The first number that is out of its range.
    fn problem(&self) -> Option<(&'static str, f64, &'static str)> {
        let at_least_0 = |x: f64| x >= 0.0 && x.is_finite();
        if !(0.0..1.0).contains(&self.factor) {
            return Some(("factor", self.factor, "0 to below 1"));
        }
        let others = [("threshold", self.threshold), ("min_lr", self.min_lr), ("eps", self.eps)];
        let wrong = others.into_iter().find(|&(_, x)| !at_least_0(x));
        wrong.map(|(name, x)| (name, x, "a finite number of at least 0"))
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
        if let Some((name, found, expected)) = read.problem() {
            errors.push(format!("`{name}`: found {found}, expected {expected}"));
        }
        errors.into_result().map(|()| read)
    }
}

impl Stateful for ReduceLrOnPlateau {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("mode", if self.mode == PlateauMode::Min { "min" } else { "max" });
        state.insert("factor", self.factor);
        state.insert("patience", saved_count(self.patience));
        state.insert("threshold", self.threshold);
        state.insert("relative", self.relative);
        state.insert("cooldown", saved_count(self.cooldown));
        state.insert("min_lr", self.min_lr);
        state.insert("eps", self.eps);
        state.insert("best", self.best);
        state.insert("bad_epochs", saved_count(self.bad_epochs));
        state.insert("cooldown_left", saved_count(self.cooldown_left));
        state.insert("epoch", saved_count(self.epoch));
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
        let mut schedule = ReduceLrOnPlateau::new(PlateauMode::Min);
        (schedule.patience, schedule.cooldown) = (u64::MAX, u64::MAX);
        let mut restored = ReduceLrOnPlateau::new(PlateauMode::Min);
        restored.load_state_dict(&schedule.state_dict()).unwrap();
        assert_eq!(restored.patience, i64::MAX as u64);
        assert_eq!(restored.state_dict(), schedule.state_dict());
    }
}

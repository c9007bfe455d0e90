//! The schedules that are one formula.

use super::schedule::{Rule, Schedule};
use crate::count;
use crate::fields::Fields;
use crate::learning_rates::LearningRates;
use crate::valid_range::ValidRange;
use adamant_kernels::powi;
use libm::cos;
use std::f64::consts::PI;
use std::sync::Arc;

/// Multiplies the rates by `gamma` every `step_size` epochs.
///
/// PyTorch: `torch.optim.lr_scheduler.StepLR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Scheduler, StepLr};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let mut schedule = StepLr::new(&adam, 2, 0.5);
/// let mut rates = Vec::new();
/// for _ in 0..4 {
///     schedule.step(&mut adam);
///     rates.push(adam.param_groups()[0].lr);
/// }
/// assert_eq!(rates, [1.0, 0.5, 0.5, 0.25]);
/// ```
pub type StepLr = Schedule<Step>;

/// The rule of [`StepLr`].
#[derive(Clone, Debug)]
pub struct Step {
    step_size: u64,
    gamma: f64,
}

impl StepLr {
    /// The schedule, starting from the current rates.
    ///
    /// # Panics
    /// If `step_size` is 0, or `gamma` negative or not finite.
    #[track_caller]
    pub fn new(optimizer: &dyn LearningRates, step_size: u64, gamma: f64) -> Self {
        let step_size = step_size.min(count::MOST);
        Schedule::at_current_rates(optimizer, Step { step_size, gamma })
    }
}

impl Rule for Step {
    const NAME: &'static str = "StepLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.count("step_size", &mut self.step_size, 1);
        fields.float("gamma", &mut self.gamma, ValidRange::AT_LEAST_0);
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        if epoch.is_multiple_of(self.step_size) { lr * self.gamma } else { lr }
    }
}

/// Multiplies the rates by `gamma` at each of the milestones, twice at one
/// that appears twice.
///
/// PyTorch: `torch.optim.lr_scheduler.MultiStepLR`.
pub type MultiStepLr = Schedule<MultiStep>;

/// The rule of [`MultiStepLr`].
#[derive(Clone, Debug)]
pub struct MultiStep {
    milestones: Vec<u64>,
    gamma: f64,
}

impl MultiStepLr {
    /// The schedule; a milestone at 0 acts at once.
    ///
    /// # Panics
    /// If `gamma` is negative or not finite.
    #[track_caller]
    pub fn new(
        optimizer: &mut dyn LearningRates,
        milestones: impl Into<Vec<u64>>,
        gamma: f64,
    ) -> Self {
        let mut milestones = milestones.into();
        milestones.iter_mut().for_each(|milestone| *milestone = (*milestone).min(count::MOST));
        Schedule::with_rule(optimizer, MultiStep { milestones, gamma })
    }
}

impl MultiStep {
    fn count(&self, epoch: u64) -> u64 {
        self.milestones.iter().filter(|&&milestone| milestone == epoch).count() as u64
    }
}

impl Rule for MultiStep {
    const NAME: &'static str = "MultiStepLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.counts("milestones", &mut self.milestones);
        fields.float("gamma", &mut self.gamma, ValidRange::AT_LEAST_0);
    }

    fn first_rate(&self, lr: f64, base_lr: f64) -> f64 {
        self.rate(0, lr, base_lr)
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        match self.count(epoch) {
            0 => lr,
            count => lr * powi(self.gamma, count),
        }
    }
}

/// Multiplies the rates by `gamma` every epoch.
///
/// PyTorch: `torch.optim.lr_scheduler.ExponentialLR`.
pub type ExponentialLr = Schedule<Exponential>;

/// The rule of [`ExponentialLr`].
#[derive(Clone, Debug)]
pub struct Exponential {
    gamma: f64,
}

impl ExponentialLr {
    /// The schedule, starting from the current rates.
    ///
    /// # Panics
    /// If `gamma` is negative or not finite.
    #[track_caller]
    pub fn new(optimizer: &dyn LearningRates, gamma: f64) -> Self {
        Schedule::at_current_rates(optimizer, Exponential { gamma })
    }
}

impl Rule for Exponential {
    const NAME: &'static str = "ExponentialLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.float("gamma", &mut self.gamma, ValidRange::AT_LEAST_0);
    }

    fn rate(&self, _epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        lr * self.gamma
    }
}

/// Follows half a cosine from the base rate down to `eta_min` in `t_max` epochs, then up again,
/// and so on.
///
/// PyTorch: `torch.optim.lr_scheduler.CosineAnnealingLR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, CosineAnnealingLr, CosineAnnealingLrOptions, Scheduler};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let options = CosineAnnealingLrOptions::default().eta_min(0.5);
/// let mut schedule = CosineAnnealingLr::with_options(&adam, 2, options);
/// schedule.step(&mut adam);
/// assert!((adam.param_groups()[0].lr - 0.75).abs() < 1e-12);
/// ```
pub type CosineAnnealingLr = Schedule<CosineAnnealing>;

/// The rule of [`CosineAnnealingLr`].
#[derive(Clone, Debug)]
pub struct CosineAnnealing {
    t_max: u64,
    eta_min: f64,
}

/// The options of [`CosineAnnealingLr`], with PyTorch's defaults.
#[derive(Clone, Debug, Default)]
pub struct CosineAnnealingLrOptions {
    eta_min: f64,
}

impl CosineAnnealingLrOptions {
    /// The lowest rate; default 0.
    #[must_use]
    pub fn eta_min(self, eta_min: f64) -> Self {
        CosineAnnealingLrOptions { eta_min }
    }
}

impl CosineAnnealingLr {
    /// The schedule down to 0, starting from the current rates.
    ///
    /// # Panics
    /// If `t_max` is 0.
    #[track_caller]
    pub fn new(optimizer: &dyn LearningRates, t_max: u64) -> Self {
        Self::with_options(optimizer, t_max, CosineAnnealingLrOptions::default())
    }

    /// The schedule with these options, starting from the current rates.
    ///
    /// # Panics
    /// If `t_max` is 0, or `eta_min` negative or not finite.
    #[track_caller]
    pub fn with_options(
        optimizer: &dyn LearningRates,
        t_max: u64,
        options: CosineAnnealingLrOptions,
    ) -> Self {
        let (t_max, eta_min) = (t_max.min(count::MOST), options.eta_min);
        Schedule::at_current_rates(optimizer, CosineAnnealing { t_max, eta_min })
    }
}

impl Rule for CosineAnnealing {
    const NAME: &'static str = "CosineAnnealingLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.count("t_max", &mut self.t_max, 1);
        fields.float("eta_min", &mut self.eta_min, ValidRange::AT_LEAST_0);
    }

    fn rate(&self, epoch: u64, lr: f64, base_lr: f64) -> f64 {
        let (t, t_max, low) = (epoch as f64, self.t_max as f64, self.eta_min);
        let half_periods = (epoch - 1) / self.t_max;
        let was_lowest = (epoch - 1).is_multiple_of(self.t_max) && !half_periods.is_multiple_of(2);
        let before = 1.0 + cos(PI * (t - 1.0) / t_max);
        let rate = if was_lowest {
            lr + (base_lr - low) * (1.0 - cos(PI / t_max)) / 2.0
        } else if before == 0.0 {
            // Close to the lowest rate the recursion would divide by 0, as PyTorch's does.
            low + (base_lr - low) * (1.0 + cos(PI * t / t_max)) / 2.0
        } else {
            (1.0 + cos(PI * t / t_max)) / before * (lr - low) + low
        };
        rate.max(0.0) // rounding leads below 0 if the base rate is 0 and `low` is not
    }
}

/// Moves the rates linearly from `start_factor` to `end_factor` times the current
/// rates in `total_iters` epochs: a warm-up.
///
/// PyTorch: `torch.optim.lr_scheduler.LinearLR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, LinearLr, Scheduler};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let mut warm_up = LinearLr::new(&mut adam, 0.25, 1.0, 3);
/// assert_eq!(adam.param_groups()[0].lr, 0.25);
/// warm_up.step(&mut adam);
/// assert_eq!(adam.param_groups()[0].lr, 0.5);
/// ```
pub type LinearLr = Schedule<Linear>;

/// The rule of [`LinearLr`].
#[derive(Clone, Debug)]
pub struct Linear {
    start_factor: f64,
    end_factor: f64,
    total_iters: u64,
}

impl LinearLr {
    /// The schedule; the rates become those of epoch 0.
    ///
    /// # Panics
    /// If `start_factor` is not in `(0, 1]`, `end_factor` not in `[0, 1]`, or
    /// `total_iters` 0.
    #[track_caller]
    pub fn new(
        optimizer: &mut dyn LearningRates,
        start_factor: f64,
        end_factor: f64,
        total_iters: u64,
    ) -> Self {
        let total_iters = total_iters.min(count::MOST);
        Schedule::with_rule(optimizer, Linear { start_factor, end_factor, total_iters })
    }
}

impl Rule for Linear {
    const NAME: &'static str = "LinearLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        const START: ValidRange = ValidRange::new(|x| x > 0.0 && x <= 1.0, "above 0, at most 1");
        fields.float("start_factor", &mut self.start_factor, START);
        fields.float("end_factor", &mut self.end_factor, ValidRange::UNIT);
        fields.count("total_iters", &mut self.total_iters, 1);
    }

    fn first_rate(&self, lr: f64, _base_lr: f64) -> f64 {
        lr * self.start_factor
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        if epoch > self.total_iters {
            return lr;
        }
        let rise = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (epoch - 1) as f64 * rise;
        // The last factor of a schedule to 0 is 0. Rounding leads below, and PyTorch's rate is
        // negative then.
        lr * (1.0 + rise / before).max(0.0)
    }
}

/// Sets the rates to the base rate times a function of the epoch.
///
/// The function is not part of the state: a schedule keeps its own when a state is loaded.
///
/// PyTorch: `torch.optim.lr_scheduler.LambdaLR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, LambdaLr, Scheduler};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let mut schedule = LambdaLr::new(&mut adam, |epoch| 0.5f64.powi(epoch as i32));
/// (0..2).for_each(|_| schedule.step(&mut adam));
/// assert_eq!(adam.param_groups()[0].lr, 0.25);
/// ```
pub type LambdaLr = Schedule<Lambda>;

/// The rule of [`LambdaLr`].
#[derive(Clone)]
pub struct Lambda {
    factor: Arc<dyn Fn(u64) -> f64 + Send + Sync>,
}

impl LambdaLr {
    /// The schedule; the rates become those of epoch 0.
    ///
    /// # Panics
    /// Here and in [`step`](crate::Scheduler::step): if a rate becomes negative, infinite or NaN.
    #[track_caller]
    pub fn new(
        optimizer: &mut dyn LearningRates,
        factor: impl Fn(u64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Schedule::with_rule(optimizer, Lambda { factor: Arc::new(factor) })
    }
}

impl std::fmt::Debug for Lambda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lambda")
    }
}

impl Rule for Lambda {
    const NAME: &'static str = "LambdaLr";

    fn fields(&mut self, _fields: &mut Fields<'_>) {}

    fn first_rate(&self, lr: f64, base_lr: f64) -> f64 {
        self.rate(0, lr, base_lr)
    }

    fn rate(&self, epoch: u64, _lr: f64, base_lr: f64) -> f64 {
        base_lr * (self.factor)(epoch)
    }
}

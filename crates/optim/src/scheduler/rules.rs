//! The schedules that are one formula.

use super::{Problem, Rule, Schedule, at_least_0, problem, take_count, take_float};
use crate::count;
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError};
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
    /// The schedule, beginning with the present rates.
    ///
    /// # Panics
    /// If `step_size` is 0, or `gamma` negative or not finite.
    #[track_caller]
    pub fn new(optimizer: &dyn Rates, step_size: u64, gamma: f64) -> Self {
        let step_size = step_size.min(count::MOST);
        Schedule::at_present_rates(Step { step_size, gamma }, optimizer)
    }
}

impl Rule for Step {
    const NAME: &'static str = "StepLr";

    fn problems(&self) -> Vec<Problem> {
        let step_size = problem("step_size", self.step_size, self.step_size > 0, "at least 1");
        step_size.into_iter().chain(at_least_0("gamma", self.gamma)).collect()
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        if epoch.is_multiple_of(self.step_size) { lr * self.gamma } else { lr }
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("step_size", count::saved(self.step_size));
        state.insert("gamma", self.gamma);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.step_size = take_count(errors, state, "step_size");
        self.gamma = take_float(errors, state, "gamma");
    }
}

/// Multiplies the rates by `gamma` at each of the milestones, twice at one
/// that stands twice.
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
    pub fn new(optimizer: &mut dyn Rates, milestones: impl Into<Vec<u64>>, gamma: f64) -> Self {
        let mut milestones = milestones.into();
        milestones.iter_mut().for_each(|milestone| *milestone = (*milestone).min(count::MOST));
        Schedule::begun(MultiStep { milestones, gamma }, optimizer)
    }
}

impl MultiStep {
    fn count(&self, epoch: u64) -> i32 {
        self.milestones.iter().filter(|&&milestone| milestone == epoch).count() as i32
    }
}

impl Rule for MultiStep {
    const NAME: &'static str = "MultiStepLr";

    fn problems(&self) -> Vec<Problem> {
        at_least_0("gamma", self.gamma).into_iter().collect()
    }

    fn begin(&self, lr: f64, base_lr: f64) -> f64 {
        self.rate(0, lr, base_lr)
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        match self.count(epoch) {
            0 => lr,
            count => lr * self.gamma.powf(f64::from(count)),
        }
    }

    fn start(&self, base_lr: f64) -> f64 {
        base_lr * self.gamma.powf(f64::from(self.count(0)))
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("milestones", self.milestones.len() as i64);
        for (i, &milestone) in self.milestones.iter().enumerate() {
            state.insert(format!("milestones.{i}"), count::saved(milestone));
        }
        state.insert("gamma", self.gamma);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        // Those that are there, whatever the number of them claims.
        let names = (0..).map(|i| format!("milestones.{i}"));
        let names = names.take_while(|name| state.get(name).is_some());
        self.milestones = names.map(|name| take_count(errors, state, &name)).collect();
        let (claimed, found) = (take_count(errors, state, "milestones"), self.milestones.len());
        if claimed != found as u64 {
            errors.push(format!("`milestones`: found {found} of them, expected {claimed}"));
        }
        self.gamma = take_float(errors, state, "gamma");
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
    /// The schedule, beginning with the present rates.
    ///
    /// # Panics
    /// If `gamma` is negative or not finite.
    #[track_caller]
    pub fn new(optimizer: &dyn Rates, gamma: f64) -> Self {
        Schedule::at_present_rates(Exponential { gamma }, optimizer)
    }
}

impl Rule for Exponential {
    const NAME: &'static str = "ExponentialLr";

    fn problems(&self) -> Vec<Problem> {
        at_least_0("gamma", self.gamma).into_iter().collect()
    }

    fn rate(&self, _epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        lr * self.gamma
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("gamma", self.gamma);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.gamma = take_float(errors, state, "gamma");
    }
}

/// Follows half a cosine from the base rate down to a lowest rate in `t_max`
/// epochs (and up again, and so on).
///
/// PyTorch: `torch.optim.lr_scheduler.CosineAnnealingLR`.
pub type CosineAnnealingLr = Schedule<CosineAnnealing>;

/// The rule of [`CosineAnnealingLr`].
#[derive(Clone, Debug)]
pub struct CosineAnnealing {
    t_max: u64,
    eta_min: f64,
}

impl CosineAnnealingLr {
    /// The schedule down to 0, beginning with the present rates.
    ///
    /// # Panics
    /// If `t_max` is 0.
    #[track_caller]
    pub fn new(optimizer: &dyn Rates, t_max: u64) -> Self {
        let t_max = t_max.min(count::MOST);
        Schedule::at_present_rates(CosineAnnealing { t_max, eta_min: 0.0 }, optimizer)
    }

    /// This schedule down to another lowest rate.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn eta_min(mut self, eta_min: f64) -> Self {
        self.rule.eta_min = eta_min;
        self.checked()
    }
}

impl Rule for CosineAnnealing {
    const NAME: &'static str = "CosineAnnealingLr";

    fn problems(&self) -> Vec<Problem> {
        let t_max = problem("t_max", self.t_max, self.t_max > 0, "at least 1");
        t_max.into_iter().chain(at_least_0("eta_min", self.eta_min)).collect()
    }

    fn rate(&self, epoch: u64, lr: f64, base_lr: f64) -> f64 {
        let (t, t_max, low) = (epoch as f64, self.t_max as f64, self.eta_min);
        let half_periods = (epoch - 1) / self.t_max;
        let was_lowest = (epoch - 1).is_multiple_of(self.t_max) && !half_periods.is_multiple_of(2);
        let before = 1.0 + (PI * (t - 1.0) / t_max).cos();
        let rate = if was_lowest {
            lr + (base_lr - low) * (1.0 - (PI / t_max).cos()) / 2.0
        } else if before == 0.0 {
            // So close to the lowest that the recursion would divide by 0. PyTorch's does.
            low + (base_lr - low) * (1.0 + (PI * t / t_max).cos()) / 2.0
        } else {
            (1.0 + (PI * t / t_max).cos()) / before * (lr - low) + low
        };
        rate.max(0.0) // rounding leads below, where the base rate is 0 and `low` is not
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("t_max", count::saved(self.t_max));
        state.insert("eta_min", self.eta_min);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.t_max = take_count(errors, state, "t_max");
        self.eta_min = take_float(errors, state, "eta_min");
    }
}

/// Moves the rates linearly from `start_factor` to `end_factor` times the rates in
/// force in `total_iters` epochs: a warm-up.
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
        optimizer: &mut dyn Rates,
        start_factor: f64,
        end_factor: f64,
        total_iters: u64,
    ) -> Self {
        let total_iters = total_iters.min(count::MOST);
        Schedule::begun(Linear { start_factor, end_factor, total_iters }, optimizer)
    }
}

impl Rule for Linear {
    const NAME: &'static str = "LinearLr";

    fn problems(&self) -> Vec<Problem> {
        let (start, end) = (self.start_factor, self.end_factor);
        let problems = [
            problem("start_factor", start, start > 0.0 && start <= 1.0, "above 0, at most 1"),
            problem("end_factor", end, (0.0..=1.0).contains(&end), "0 to 1"),
            problem("total_iters", self.total_iters, self.total_iters > 0, "at least 1"),
        ];
        problems.into_iter().flatten().collect()
    }

    fn begin(&self, lr: f64, _base_lr: f64) -> f64 {
        lr * self.start_factor
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        if epoch > self.total_iters {
            return lr;
        }
        let rise = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (epoch - 1) as f64 * rise;
        // Down to 0 the last factor is 0; rounding leads below, and PyTorch's rate is negative then.
        lr * (1.0 + rise / before).max(0.0)
    }

    fn start(&self, base_lr: f64) -> f64 {
        base_lr * self.start_factor
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("start_factor", self.start_factor);
        state.insert("end_factor", self.end_factor);
        state.insert("total_iters", count::saved(self.total_iters));
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.start_factor = take_float(errors, state, "start_factor");
        self.end_factor = take_float(errors, state, "end_factor");
        self.total_iters = take_count(errors, state, "total_iters");
    }
}

/// Sets the rates to the base rate times a function of the epoch.
///
/// The function is no part of the state: a schedule that is loaded keeps its own.
///
/// PyTorch: `torch.optim.lr_scheduler.LambdaLR`.
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
    /// Here and in [`step`](super::Scheduler::step): if a rate becomes negative, infinite or NaN.
    #[track_caller]
    pub fn new(
        optimizer: &mut dyn Rates,
        factor: impl Fn(u64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Schedule::begun(Lambda { factor: Arc::new(factor) }, optimizer)
    }
}

impl std::fmt::Debug for Lambda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lambda")
    }
}

impl Rule for Lambda {
    const NAME: &'static str = "LambdaLr";

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn begin(&self, _lr: f64, base_lr: f64) -> f64 {
        self.start(base_lr)
    }

    fn rate(&self, epoch: u64, _lr: f64, base_lr: f64) -> f64 {
        base_lr * (self.factor)(epoch)
    }

    fn start(&self, base_lr: f64) -> f64 {
        base_lr * (self.factor)(0)
    }

    fn save(&self, _state: &mut StateDict) {}

    fn load(&mut self, _state: &StateDict, _errors: &mut StateError) {}
}

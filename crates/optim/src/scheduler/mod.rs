//! Schedules: how learning rates change from epoch to epoch, or step to step.
//!
//! A schedule gives the next rate from the one in force, as PyTorch's do. So
//! what changes a rate besides (another schedule, the user, a loaded state) is
//! kept, and a group that is added later is scheduled from its own rate. The
//! base rate lives in the group; a schedule's own state is its epoch.

mod one_cycle;
mod plateau;
mod rules;
mod sequential;

pub use one_cycle::{Anneal, OneCycle, OneCycleLr};
pub use plateau::{PlateauMode, ReduceLrOnPlateau, ThresholdMode};
pub use rules::{
    CosineAnnealing, CosineAnnealingLr, Exponential, ExponentialLr, Lambda, LambdaLr, Linear,
    LinearLr, MultiStep, MultiStepLr, Step, StepLr,
};
pub use sequential::SequentialLr;

use crate::count;
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError, Stateful};

/// A schedule of learning rates.
///
/// Constructors and methods that set a number of a schedule panic, at the caller's line, if it is
/// out of its range: unlike an optimizer's hyperparameters, the numbers of a schedule are part of
/// the program. A state comes from outside, so to load one returns an error.
///
/// PyTorch: `torch.optim.lr_scheduler.LRScheduler`.
pub trait Scheduler: Stateful {
    /// Advances by one epoch and sets the rates of every group: call it after the
    /// optimizer's step or steps.
    ///
    /// Epoch `i64::MAX` is the last one that a state can hold; a step from there changes nothing.
    ///
    /// # Panics
    /// If a rate becomes negative, infinite or NaN. Nothing is changed then. Of a schedule behind
    /// `dyn Scheduler` the panic cannot show the caller's line.
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn Rates);

    /// Returns to epoch 0 and sets the rates with which the schedule begins.
    ///
    /// # Panics
    /// As of [`step`](Scheduler::step).
    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn Rates);

    /// How often the schedule has stepped.
    fn epoch(&self) -> u64;
}

/// The formula of a schedule.
pub trait Rule: Send {
    /// The rate at `epoch`, which is at least 1, from the rate at the epoch before.
    fn rate(&self, epoch: u64, lr: f64, base_lr: f64) -> f64;

    /// The rate at epoch 0, from the rate in force when the schedule is made.
    fn begin(&self, lr: f64, _base_lr: f64) -> f64 {
        lr
    }

    /// The rate at epoch 0 when the schedule follows another.
    fn start(&self, base_lr: f64) -> f64 {
        base_lr
    }

    /// The momentum at `epoch`, for rules that move it too.
    fn momentum(&self, _epoch: u64) -> Option<f64> {
        None
    }

    /// The schedule's name, for errors.
    const NAME: &'static str;

    /// The numbers that are out of their range.
    fn problems(&self) -> Vec<Problem>;

    /// Adds the rule's numbers under their names.
    fn save(&self, state: &mut StateDict);

    /// Takes over the rule's numbers; an error for each that is missing. Those
    /// that are out of their range are [`problems`](Rule::problems).
    fn load(&mut self, state: &StateDict, errors: &mut StateError);
}

/// A number that is out of its range.
#[derive(Clone, Debug)]
pub struct Problem {
    name: &'static str,
    found: String,
    expected: &'static str,
}

/// `None` if it `fits`.
fn problem(
    name: &'static str,
    found: impl std::fmt::Display,
    fits: bool,
    expected: &'static str,
) -> Option<Problem> {
    (!fits).then(|| Problem { name, found: found.to_string(), expected })
}

/// For rates, and factors between them: a negative one would turn the descent around.
fn at_least_0(name: &'static str, found: f64) -> Option<Problem> {
    problem(name, found, found >= 0.0 && found.is_finite(), "a finite number of at least 0")
}

/// Panics at the caller's line with the first of the problems.
#[track_caller]
fn refuse(schedule: &str, problems: Vec<Problem>) {
    if let Some(Problem { name, found, expected }) = problems.into_iter().next() {
        panic!("{schedule}: {name} is {found}; expected {expected}");
    }
}

/// Adds the problems of a state.
fn report(problems: &[Problem], errors: &mut StateError) {
    for Problem { name, found, expected } in problems {
        errors.push(format!("`{name}`: found {found}, expected {expected}"));
    }
}

/// A rule, and how far it has been followed.
#[derive(Clone, Debug)]
pub struct Schedule<R> {
    rule: R,
    epoch: u64,
}

impl<R: Rule + Clone> Schedule<R> {
    /// A schedule whose rates at epoch 0 are those in force.
    #[track_caller]
    fn at_present_rates(rule: R, optimizer: &dyn Rates) -> Self {
        let schedule = Schedule { rule, epoch: 0 }.checked();
        for group in 0..optimizer.group_count() {
            optimizer.base_lr(group); // the present rate, if there was no schedule before
        }
        schedule
    }

    /// A schedule that sets the rates of epoch 0.
    #[track_caller]
    fn begun(rule: R, optimizer: &mut dyn Rates) -> Self {
        let mut schedule = Self::at_present_rates(rule, optimizer);
        schedule.enter(0, optimizer, |rule, lr, base_lr| rule.begin(lr, base_lr));
        schedule
    }

    /// Panics at the caller's line if a number is out of its range.
    #[track_caller]
    fn checked(self) -> Self {
        refuse(R::NAME, self.rule.problems());
        self
    }

    /// Sets the rates of `epoch`, all of them or none: `rate` computes each from the present rate
    /// and the base rate.
    #[track_caller]
    fn enter(&mut self, epoch: u64, optimizer: &mut dyn Rates, rate: impl Fn(&R, f64, f64) -> f64) {
        let rates: Vec<f64> = (0..optimizer.group_count())
            .map(|group| rate(&self.rule, optimizer.lr(group), optimizer.base_lr(group)))
            .collect();
        for (group, &lr) in rates.iter().enumerate() {
            assert!(
                lr >= 0.0 && lr.is_finite(),
                "{}: at epoch {epoch}, parameter group {group}: lr is {lr}; expected a finite \
                 number of at least 0",
                R::NAME
            );
        }
        for (group, lr) in rates.into_iter().enumerate() {
            optimizer.set_scheduled_lr(group, lr);
            if let Some(momentum) = self.rule.momentum(epoch) {
                optimizer.set_scheduled_momentum(group, momentum);
            }
        }
        self.epoch = epoch;
    }
}

impl<R: Rule + Clone> Scheduler for Schedule<R> {
    fn step(&mut self, optimizer: &mut dyn Rates) {
        if self.epoch == count::MOST {
            return;
        }
        let epoch = self.epoch + 1;
        self.enter(epoch, optimizer, |rule, lr, base_lr| rule.rate(epoch, lr, base_lr));
    }

    fn restart(&mut self, optimizer: &mut dyn Rates) {
        self.enter(0, optimizer, |rule, _, base_lr| rule.start(base_lr));
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<R: Rule + Clone> Schedule<R> {
    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        let mut read = self.clone();
        read.rule.load(state, &mut errors);
        if errors.mismatches().is_empty() {
            report(&read.rule.problems(), &mut errors);
        }
        read.epoch = take_count(&mut errors, state, "epoch");
        errors.check_names(state, read.state_dict().iter().map(|(name, _)| name));
        errors.into_result().map(|()| read)
    }
}

impl<R: Rule + Clone> Stateful for Schedule<R> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        self.rule.save(&mut state);
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

/// A count; 0 and an error if there is none.
fn take_count(errors: &mut StateError, state: &StateDict, name: &str) -> u64 {
    count::take(errors, state, name, 0).unwrap_or(0)
}

/// A number; 0 and an error if there is none.
fn take_float(errors: &mut StateError, state: &StateDict, name: &str) -> f64 {
    errors.take(state.float(name)).unwrap_or(0.0)
}

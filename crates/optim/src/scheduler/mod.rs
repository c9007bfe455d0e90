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
pub use plateau::{PlateauMode, ReduceLrOnPlateau};
pub use rules::{
    CosineAnnealing, CosineAnnealingLr, Exponential, ExponentialLr, Lambda, LambdaLr, Linear,
    LinearLr, MultiStep, MultiStepLr, Step, StepLr,
};
pub use sequential::SequentialLr;

use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError, Stateful};

/// A schedule of learning rates.
///
/// PyTorch: `torch.optim.lr_scheduler.LRScheduler`.
pub trait Scheduler: Stateful {
    /// Goes one epoch on, and sets the rates of every group: call it after the
    /// optimizer's step or steps.
    fn step(&mut self, optimizer: &mut dyn Rates);

    /// Goes to epoch 0, and sets the rates with which the schedule begins.
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

/// A factor between rates: one that is negative would turn the descent around.
fn factor(name: &'static str, found: f64) -> Option<Problem> {
    problem(name, found, found >= 0.0 && found.is_finite(), "a finite number of at least 0")
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
        let schedule = Self::at_present_rates(rule, optimizer);
        schedule.set(optimizer, |rule, lr, base_lr| rule.begin(lr, base_lr));
        schedule
    }

    /// Panics at the caller's line if a number is out of its range.
    #[track_caller]
    fn checked(self) -> Self {
        if let Some(Problem { name, found, expected }) = self.rule.problems().into_iter().next() {
            panic!("{}: {name} is {found}; expected {expected}", R::NAME);
        }
        self
    }

    fn set(&self, optimizer: &mut dyn Rates, rate: impl Fn(&R, f64, f64) -> f64) {
        for group in 0..optimizer.group_count() {
            let lr = rate(&self.rule, optimizer.lr(group), optimizer.base_lr(group));
            optimizer.set_scheduled_lr(group, lr);
            if let Some(momentum) = self.rule.momentum(self.epoch) {
                optimizer.set_scheduled_momentum(group, momentum);
            }
        }
    }
}

impl<R: Rule + Clone> Scheduler for Schedule<R> {
    fn step(&mut self, optimizer: &mut dyn Rates) {
        self.epoch += 1;
        self.set(optimizer, |rule, lr, base_lr| rule.rate(self.epoch, lr, base_lr));
    }

    fn restart(&mut self, optimizer: &mut dyn Rates) {
        self.epoch = 0;
        self.set(optimizer, |rule, _, base_lr| rule.start(base_lr));
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<R: Rule + Clone> Schedule<R> {
    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        let mut read = self.clone();
        errors.check_names(state, self.state_dict().iter().map(|(name, _)| name));
        let before = errors.mismatches().len();
        read.rule.load(state, &mut errors);
        if errors.mismatches().len() == before {
            for Problem { name, found, expected } in read.rule.problems() {
                errors.push(format!("`{name}`: found {found}, expected {expected}"));
            }
        }
        read.epoch = take_count(&mut errors, state, "epoch");
        errors.into_result().map(|()| read)
    }
}

impl<R: Rule + Clone> Stateful for Schedule<R> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        self.rule.save(&mut state);
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

/// As a state holds it: "never" is the largest number there is.
fn saved_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A whole number of at least 0; 0 and an error if there is none.
fn take_count(errors: &mut StateError, state: &StateDict, name: &str) -> u64 {
    let Some(found) = errors.take(state.int(name)) else { return 0 };
    u64::try_from(found).unwrap_or_else(|_| {
        errors.push(format!("`{name}`: found {found}, expected at least 0"));
        0
    })
}

/// A number; 0 and an error if there is none.
fn take_float(errors: &mut StateError, state: &StateDict, name: &str) -> f64 {
    errors.take(state.float(name)).unwrap_or(0.0)
}

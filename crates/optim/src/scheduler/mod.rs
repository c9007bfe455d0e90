//! Schedules: how learning rates change from epoch to epoch, or step to step.
//!
//! A schedule computes the next rate from the current one, as PyTorch's do. So other changes of
//! a rate (by another schedule, the user, a loaded state) are kept, and a group that is added
//! later is scheduled from its own rate. The base rate lives in the group; a schedule's own state
//! is its epoch.

mod one_cycle;
mod plateau;
mod rules;
mod schedule;
mod sequential;
mod swa;

pub use one_cycle::{AnnealStrategy, OneCycle, OneCycleLr, OneCycleLrOptions};
pub use plateau::{PlateauMode, ReduceLrOnPlateau, ReduceLrOnPlateauOptions, ThresholdMode};
pub use rules::{
    CosineAnnealing, CosineAnnealingLr, CosineAnnealingLrOptions, Exponential, ExponentialLr,
    Lambda, LambdaLr, Linear, LinearLr, MultiStep, MultiStepLr, Step, StepLr,
};
pub use schedule::{Rule, Schedule};
pub use sequential::SequentialLr;
pub use swa::{Swa, SwaLr, SwaLrOptions};

use crate::error::OptimError;
use crate::learning_rates::LearningRates;
use adamant_tensor::Stateful;

/// A schedule of learning rates.
///
/// A constructor of this crate's schedules panics, at the caller's line, if a value is out of its
/// range: the values are written in the program. An optimizer returns an error, since its
/// hyperparameters may be searched or read from files. Loading a state returns an error for both.
///
/// PyTorch: `torch.optim.lr_scheduler.LRScheduler`.
///
/// A schedule that is a function of the epoch is a [`LambdaLr`]. One that is a formula is a
/// [`Schedule`] of a [`Rule`]. Any other implements this trait, and works within a
/// [`SequentialLr`] and in a checkpoint.
pub trait Scheduler: Stateful {
    /// Advances by one epoch and sets the rates of every group: call it after the
    /// optimizer's step or steps.
    ///
    /// Epoch `i64::MAX` is the last one that a state can hold; a step from there changes nothing.
    ///
    /// # Panics
    /// If a rate becomes negative, infinite or NaN, or out of the range that the optimizer accepts.
    /// Nothing is changed then. For a schedule behind `dyn Scheduler` the panic cannot show the
    /// caller's line.
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn LearningRates);

    /// Returns to epoch 0 and sets its rates, computed from the base rates.
    ///
    /// # Panics
    /// As [`step`](Scheduler::step).
    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn LearningRates);

    /// The number of steps of the schedule.
    fn epoch(&self) -> u64;
}

impl<S: Scheduler + ?Sized> Scheduler for Box<S> {
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn LearningRates) {
        (**self).step(optimizer);
    }

    #[track_caller]
    fn restart(&mut self, optimizer: &mut dyn LearningRates) {
        (**self).restart(optimizer);
    }

    fn epoch(&self) -> u64 {
        (**self).epoch()
    }
}

/// Panics at the caller's line with the error.
#[track_caller]
fn unwrap_or_panic(result: Result<(), OptimError>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}

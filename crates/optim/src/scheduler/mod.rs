//! Schedules: how learning rates change from epoch to epoch, or step to step.
//!
//! A schedule computes the next rate from the rate in force, as PyTorch's do. So other changes of
//! a rate (by another schedule, the user, a loaded state) are kept, and a group that is added
//! later is scheduled from its own rate. The base rate lives in the group; a schedule's own state
//! is its epoch.

mod one_cycle;
mod plateau;
mod rules;
mod schedule;
mod sequential;

pub use one_cycle::{AnnealStrategy, OneCycleLr, OneCycleLrOptions};
pub use plateau::{PlateauMode, ReduceLrOnPlateau, ReduceLrOnPlateauOptions, ThresholdMode};
pub use rules::{
    CosineAnnealingLr, CosineAnnealingLrOptions, ExponentialLr, LambdaLr, LinearLr, MultiStepLr,
    StepLr,
};
pub use schedule::Schedule;
pub use sequential::SequentialLr;

use crate::error::OptimError;
use crate::learning_rates::LearningRates;
use adamant_tensor::Stateful;

/// A schedule of learning rates.
///
/// One rule for all schedules of this crate: a constructor panics, at the caller's line, if a
/// value is out of its range. An optimizer's hyperparameters are searched and read from files, so
/// it returns an error; a schedule's are written in the program. Loading a state returns an error
/// for both.
///
/// PyTorch: `torch.optim.lr_scheduler.LRScheduler`.
///
/// A schedule that is a function of the epoch is a [`LambdaLr`]. Any other implements this trait,
/// and works within a [`SequentialLr`] and in a checkpoint:
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, LearningRates, Scheduler, SequentialLr};
/// use adamant_tensor::{Parameter, StateDict, StateError, Stateful, Tensor};
///
/// /// Divides the base rate by the square root of the epoch.
/// struct InverseSqrt {
///     epoch: u64,
/// }
///
/// impl InverseSqrt {
///     fn enter(&mut self, epoch: u64, optimizer: &mut dyn LearningRates) {
///         for group in 0..optimizer.group_count() {
///             let lr = optimizer.base_lr(group) / (epoch.max(1) as f64).sqrt();
///             optimizer.set_lr(group, lr).unwrap();
///         }
///         self.epoch = epoch;
///     }
/// }
///
/// impl Scheduler for InverseSqrt {
///     fn step(&mut self, optimizer: &mut dyn LearningRates) {
///         self.enter(self.epoch + 1, optimizer);
///     }
///     fn restart(&mut self, optimizer: &mut dyn LearningRates) {
///         self.enter(0, optimizer);
///     }
///     fn epoch(&self) -> u64 {
///         self.epoch
///     }
/// }
///
/// impl Stateful for InverseSqrt {
///     fn state_dict(&self) -> StateDict {
///         let mut state = StateDict::new();
///         state.insert("epoch", self.epoch as i64);
///         state
///     }
///     fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
///         let mut errors = StateError::new();
///         errors.take(state.int("epoch"));
///         errors.into_result()
///     }
///     fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
///         self.check_state_dict(state)?;
///         self.epoch = state.int("epoch").unwrap() as u64;
///         Ok(())
///     }
/// }
///
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(0.5)).unwrap();
/// let mut schedule = SequentialLr::new(&mut adam, InverseSqrt { epoch: 0 });
/// (0..4).for_each(|_| schedule.step(&mut adam));
/// assert_eq!(adam.lr(0), 0.25);
/// ```
pub trait Scheduler: Stateful {
    /// Advances by one epoch and sets the rates of every group: call it after the
    /// optimizer's step or steps.
    ///
    /// Epoch `i64::MAX` is the last one that a state can hold; a step from there changes nothing.
    ///
    /// # Panics
    /// If a rate becomes negative, infinite or NaN. Nothing is changed then. For a schedule behind
    /// `dyn Scheduler` the panic cannot show the caller's line.
    #[track_caller]
    fn step(&mut self, optimizer: &mut dyn LearningRates);

    /// Returns to epoch 0 and sets the rates with which the schedule begins.
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
fn accept(result: Result<(), OptimError>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}

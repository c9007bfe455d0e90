//! The interface between a schedule and an optimizer.

use crate::error::OptimError;

/// The learning rates of an optimizer's groups.
///
/// A group's base rate is the rate that it had when its first schedule was made, or before the
/// first scheduled change of a group that is added later. It lives in the group, so groups may be
/// added, and optimizer and schedule loaded, in any order.
///
/// Every method that takes a group panics, at the caller's line, if there is no such group.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, LearningRates};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
/// adam.set_lr(0, 1e-4).unwrap();
/// assert_eq!(adam.lr(0), 1e-4);
/// assert!(adam.set_lr(0, f64::NAN).is_err());
/// ```
pub trait LearningRates {
    /// The number of groups.
    fn group_count(&self) -> usize;

    /// The current rate.
    #[track_caller]
    fn lr(&self, group: usize) -> f64;

    /// The rate that schedules start from: the current rate if no base rate is set.
    ///
    /// PyTorch: `group["initial_lr"]`.
    #[track_caller]
    fn base_lr(&self, group: usize) -> f64;

    /// Sets the current rate. A base rate that is set stays.
    ///
    /// PyTorch: `optimizer.param_groups[group]["lr"] = lr`, without a check.
    ///
    /// # Errors
    /// If the rate is negative, infinite or NaN, or out of the range that the optimizer accepts.
    #[track_caller]
    fn set_lr(&mut self, group: usize, lr: f64) -> Result<(), OptimError>;

    /// Sets the base rate: for schedules that have one of their own.
    ///
    /// PyTorch: `optimizer.param_groups[group]["initial_lr"] = lr`.
    ///
    /// # Errors
    /// If the rate is negative, infinite or NaN.
    #[track_caller]
    fn set_base_lr(&mut self, group: usize, lr: f64) -> Result<(), OptimError>;

    /// Sets the base rate to the current rate if it is not set, as a new schedule does.
    ///
    /// PyTorch: `group.setdefault("initial_lr", group["lr"])`.
    #[track_caller]
    fn set_default_base_lr(&self, group: usize);

    /// Sets the momentum, which for Adam is β₁.
    ///
    /// # Errors
    /// If it is out of the range that the optimizer accepts, or the optimizer has no momentum.
    #[track_caller]
    fn set_momentum(&mut self, group: usize, momentum: f64) -> Result<(), OptimError>;

    /// Sets the current rate of each group and, if there is one, the momentum of all: everything
    /// or, on an error, nothing.
    ///
    /// # Errors
    /// The first value that is out of the range that the optimizer accepts, or a momentum that it
    /// does not have.
    ///
    /// # Panics
    /// If there is not one rate for each group.
    #[track_caller]
    fn set_all(&mut self, lrs: &[f64], momentum: Option<f64>) -> Result<(), OptimError>;
}

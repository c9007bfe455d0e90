//! What a schedule sees of an optimizer.

/// The learning rates of an optimizer's groups.
///
/// A group's base rate is the rate that it had when a schedule first asked for
/// it: it lives in the group, so that groups may be added, and optimizer and
/// schedule loaded, in any order.
///
/// Every method that takes a group panics, at the caller's line, if there is no such group.
pub trait Rates {
    /// The number of groups.
    fn group_count(&self) -> usize;

    /// The rate in force.
    #[track_caller]
    fn lr(&self, group: usize) -> f64;

    /// The rate that schedules start from. PyTorch: `group["initial_lr"]`.
    #[track_caller]
    fn base_lr(&self, group: usize) -> f64;

    /// Sets the rate in force and keeps the base rate, if a schedule has asked for one.
    ///
    /// # Panics
    /// If the rate is negative, infinite or NaN.
    #[track_caller]
    fn set_scheduled_lr(&mut self, group: usize, lr: f64);

    /// Sets the base rate: for schedules that have one of their own.
    ///
    /// # Panics
    /// If the rate is negative, infinite or NaN.
    #[track_caller]
    fn set_base_lr(&mut self, group: usize, lr: f64);

    /// Sets the momentum, which for Adam is β₁.
    ///
    /// # Panics
    /// If it is out of the range that the optimizer accepts.
    #[track_caller]
    fn set_scheduled_momentum(&mut self, group: usize, momentum: f64);
}

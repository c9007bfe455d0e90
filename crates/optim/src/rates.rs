//! What a schedule sees of an optimizer.

/// The learning rates of an optimizer's groups.
///
/// A group's base rate is the rate that it had when a schedule first looked at
/// it: it lives in the group, so that groups may be added, and optimizer and
/// schedule loaded, in any order.
pub trait Rates {
    /// The number of groups.
    fn group_count(&self) -> usize;

    /// The rate in force.
    fn lr(&self, group: usize) -> f64;

    /// The rate that schedules start from. PyTorch: `group["initial_lr"]`.
    fn base_lr(&self, group: usize) -> f64;

    /// Sets the rate in force, and keeps the base rate.
    fn set_scheduled_lr(&mut self, group: usize, lr: f64);

    /// Sets the base rate: for schedules that have one of their own.
    fn set_base_lr(&mut self, group: usize, lr: f64);

    /// Sets the momentum, which for Adam is β₁.
    fn set_scheduled_momentum(&mut self, group: usize, momentum: f64);
}

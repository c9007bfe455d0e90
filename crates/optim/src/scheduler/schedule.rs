//! A schedule that is a formula: what all of them share.

use super::{Scheduler, unwrap_or_panic};
use crate::count;
use crate::fields::{self, Fields};
use crate::learning_rates::LearningRates;
use crate::reader;
use crate::valid_range::ValidRange;
use adamant_tensor::{StateDict, StateError, Stateful};

/// The formula of a schedule. [`Schedule::with_rule`] makes a schedule of it: the epoch, its state,
/// the checks of rates and states are the same for all.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Fields, LearningRates, Rule, Schedule, Scheduler};
/// use adamant_tensor::{Parameter, Tensor};
///
/// /// Divides the base rate by the square root of the epoch.
/// #[derive(Clone)]
/// struct InverseSqrt;
///
/// impl Rule for InverseSqrt {
///     const NAME: &'static str = "InverseSqrt";
///
///     fn fields(&mut self, _: &mut Fields<'_>) {}
///
///     fn rate(&self, epoch: u64, _lr: f64, base_lr: f64) -> f64 {
///         base_lr / (epoch as f64).sqrt()
///     }
/// }
///
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(0.5)).unwrap();
/// let mut schedule = Schedule::with_rule(&mut adam, InverseSqrt);
/// (0..4).for_each(|_| schedule.step(&mut adam));
/// assert_eq!(adam.lr(0), 0.25);
/// ```
pub trait Rule: Clone + Send {
    /// The schedule's name, for errors.
    const NAME: &'static str;

    /// Visits every value of the rule. See [`Fields`].
    ///
    /// Their names differ, and none is `epoch`, which is in the same state: a schedule's
    /// constructor checks this.
    fn fields(&mut self, fields: &mut Fields<'_>);

    /// The rate at `epoch`, which is at least 1, from the rate at the epoch before and the base
    /// rate.
    fn rate(&self, epoch: u64, lr: f64, base_lr: f64) -> f64;

    /// The rate at epoch 0, from the current rate, or from the base rate when the schedule is
    /// [restarted](Scheduler::restart). The default is that rate.
    fn first_rate(&self, lr: f64, _base_lr: f64) -> f64 {
        lr
    }

    /// The momentum of every group at `epoch`, for a rule that changes it too. The default is
    /// `None`.
    fn momentum(&self, _epoch: u64) -> Option<f64> {
        None
    }
}

/// A schedule that is a formula: a [`Rule`], and the epoch.
#[derive(Clone, Debug)]
pub struct Schedule<R> {
    rule: R,
    epoch: u64,
}

impl<R: Rule> Schedule<R> {
    /// The schedule of this rule; the rates become those of epoch 0.
    ///
    /// # Panics
    /// If a value of the rule is out of its range, its fields are not named as [`Rule::fields`]
    /// requires, or a rate or the momentum is out of the range that the optimizer accepts. Nothing
    /// is changed then.
    #[track_caller]
    pub fn with_rule(optimizer: &mut dyn LearningRates, rule: R) -> Self {
        let mut schedule = Schedule::checked(rule);
        schedule.enter(0, optimizer, R::first_rate);
        schedule
    }

    /// The schedule of a rule whose rates at epoch 0 are the current ones.
    #[track_caller]
    pub(super) fn at_current_rates(optimizer: &dyn LearningRates, rule: R) -> Self {
        let schedule = Schedule::checked(rule);
        (0..optimizer.group_count()).for_each(|group| optimizer.set_default_base_lr(group));
        schedule
    }

    #[track_caller]
    fn checked(mut rule: R) -> Self {
        fields::assert_distinct(R::NAME, &["epoch"], |fields| rule.fields(fields));
        unwrap_or_panic(fields::check(R::NAME, |fields| rule.fields(fields)));
        Schedule { rule, epoch: 0 }
    }

    /// Sets the rates of `epoch`, all of them or none: `rate` computes each from the current rate
    /// and the base rate.
    #[track_caller]
    fn enter(
        &mut self,
        epoch: u64,
        optimizer: &mut dyn LearningRates,
        rate: impl Fn(&R, f64, f64) -> f64,
    ) {
        let base_lrs: Vec<f64> =
            (0..optimizer.group_count()).map(|group| optimizer.base_lr(group)).collect();
        let mut lrs = Vec::with_capacity(base_lrs.len());
        for (group, &base_lr) in base_lrs.iter().enumerate() {
            let lr = rate(&self.rule, optimizer.lr(group), base_lr);
            let context = format!("{}: at epoch {epoch}, parameter group {group}", R::NAME);
            unwrap_or_panic(ValidRange::AT_LEAST_0.check(&context, "lr", lr));
            lrs.push(lr);
        }
        unwrap_or_panic(optimizer.set_all(&lrs, self.rule.momentum(epoch)));
        // A group that was added after the schedule was made has its base rate from now on.
        for (group, base_lr) in base_lrs.into_iter().enumerate() {
            unwrap_or_panic(optimizer.set_base_lr(group, base_lr));
        }
        self.epoch = epoch;
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        self.rule.fields(fields);
        fields.count("epoch", &mut self.epoch, 0);
    }
}

impl<R: Rule> Scheduler for Schedule<R> {
    fn step(&mut self, optimizer: &mut dyn LearningRates) {
        if self.epoch == count::MOST {
            return;
        }
        let epoch = self.epoch + 1;
        self.enter(epoch, optimizer, |rule, lr, base_lr| rule.rate(epoch, lr, base_lr));
    }

    fn restart(&mut self, optimizer: &mut dyn LearningRates) {
        self.enter(0, optimizer, |rule, _, base_lr| rule.first_rate(base_lr, base_lr));
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<R: Rule> Stateful for Schedule<R> {
    fn state_dict(&self) -> StateDict {
        reader::saved(self, Self::fields)
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        reader::read(self, state, Self::fields).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = reader::read(self, state, Self::fields)?;
        Ok(())
    }
}

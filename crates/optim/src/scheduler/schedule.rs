//! A schedule that is a formula: what all of them share.

use super::{Scheduler, accept};
use crate::count;
use crate::fields::{self, Fields, Range};
use crate::learning_rates::LearningRates;
use crate::reader::Reader;
use adamant_tensor::{StateDict, StateError, Stateful};

/// The formula of a schedule.
///
/// It cannot be named outside the crate: other schedules implement [`Scheduler`].
pub trait Rule: Clone + Send {
    /// The schedule's name, for errors.
    const NAME: &'static str;

    /// Visits every value of the rule.
    fn fields(&mut self, fields: &mut Fields<'_>);

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

    /// The momentum at `epoch`, for rules that change it too.
    fn momentum(&self, _epoch: u64) -> Option<f64> {
        None
    }
}

/// A schedule of this crate: a formula, and the epoch.
#[derive(Clone, Debug)]
pub struct Schedule<R> {
    rule: R,
    epoch: u64,
}

impl<R: Rule> Schedule<R> {
    /// A schedule whose rates at epoch 0 are those in force.
    #[track_caller]
    pub(super) fn at_present_rates(mut rule: R, optimizer: &dyn LearningRates) -> Self {
        accept(fields::check(R::NAME, |fields| rule.fields(fields)));
        for group in 0..optimizer.group_count() {
            optimizer.base_lr(group); // the present rate, if this is the first schedule
        }
        Schedule { rule, epoch: 0 }
    }

    /// A schedule that sets the rates of epoch 0.
    #[track_caller]
    pub(super) fn begun(rule: R, optimizer: &mut dyn LearningRates) -> Self {
        let mut schedule = Self::at_present_rates(rule, optimizer);
        schedule.enter(0, optimizer, |rule, lr, base_lr| rule.begin(lr, base_lr));
        schedule
    }

    /// Sets the rates of `epoch`, all of them or none: `rate` computes each from the present rate
    /// and the base rate.
    #[track_caller]
    fn enter(
        &mut self,
        epoch: u64,
        optimizer: &mut dyn LearningRates,
        rate: impl Fn(&R, f64, f64) -> f64,
    ) {
        let rates: Vec<f64> = (0..optimizer.group_count())
            .map(|group| rate(&self.rule, optimizer.lr(group), optimizer.base_lr(group)))
            .collect();
        for (group, &lr) in rates.iter().enumerate() {
            let context = format!("{}: at epoch {epoch}, parameter group {group}", R::NAME);
            accept(Range::AT_LEAST_0.check(&context, "lr", lr));
        }
        for (group, lr) in rates.into_iter().enumerate() {
            // First: only this fails, at the first group, if the optimizer has no momentum.
            if let Some(momentum) = self.rule.momentum(epoch) {
                accept(optimizer.set_momentum(group, momentum));
            }
            accept(optimizer.set_lr(group, lr));
        }
        self.epoch = epoch;
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        self.rule.fields(fields);
        fields.count("epoch", &mut self.epoch, 0);
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let (mut read, mut reader) = (self.clone(), Reader::new(state));
        reader.fields("", |fields| read.fields(fields));
        reader.finish().map(|()| read)
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
        self.enter(0, optimizer, |rule, _, base_lr| rule.start(base_lr));
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<R: Rule> Stateful for Schedule<R> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        fields::save("", &mut state, |fields| self.clone().fields(fields));
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

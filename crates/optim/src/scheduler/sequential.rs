//! Schedules in sequence.

use super::Scheduler;
use crate::count;
use crate::learning_rates::LearningRates;
use crate::reader::Reader;
use adamant_tensor::{StateDict, StateError, Stateful};

/// Follows schedules in sequence: at each milestone the next one starts.
///
/// PyTorch: `torch.optim.lr_scheduler.SequentialLR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, CosineAnnealingLr, LinearLr, Scheduler, SequentialLr};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let warm_up = LinearLr::new(&mut adam, 0.5, 1.0, 2);
/// let down = CosineAnnealingLr::new(&adam, 10);
/// let mut schedule = SequentialLr::new(&mut adam, warm_up).then(2, down);
/// let mut rates = vec![adam.param_groups()[0].lr];
/// for _ in 0..2 {
///     schedule.step(&mut adam);
///     rates.push(adam.param_groups()[0].lr);
/// }
/// assert_eq!(rates, [0.5, 0.75, 1.0]);
/// ```
pub struct SequentialLr {
    schedules: Vec<Box<dyn Scheduler>>,
    milestones: Vec<u64>,
    epoch: u64,
}

impl SequentialLr {
    /// The sequence of `first` alone, which is restarted.
    ///
    /// # Panics
    /// As [`restart`](Scheduler::restart).
    #[track_caller]
    pub fn new(optimizer: &mut dyn LearningRates, first: impl Scheduler + 'static) -> Self {
        let schedules: Vec<Box<dyn Scheduler>> = vec![Box::new(first)];
        let mut sequence = SequentialLr { schedules, milestones: Vec::new(), epoch: 0 };
        sequence.restart(optimizer);
        sequence
    }

    /// Appends `next`, from epoch `milestone` on.
    ///
    /// # Panics
    /// If the milestone is not after the previous one.
    #[must_use]
    #[track_caller]
    pub fn then(mut self, milestone: u64, next: impl Scheduler + 'static) -> Self {
        let milestone = milestone.min(count::MOST);
        let before = self.milestones.last().copied().unwrap_or(0);
        assert!(
            milestone > before,
            "SequentialLr: milestone is {milestone}; expected more than {before}"
        );
        self.milestones.push(milestone);
        self.schedules.push(Box::new(next));
        self
    }
}

impl SequentialLr {
    /// The epoch and the milestones of a state, whose schedules are checked too.
    fn read(&self, state: &StateDict) -> Result<(u64, Vec<u64>), StateError> {
        let (mut epoch, mut milestones) = (0, self.milestones.clone());
        let mut reader = Reader::new(state);
        reader.fields("", |fields| {
            fields.count("epoch", &mut epoch, 0);
            let mut before = 0;
            for (i, milestone) in (1..).zip(&mut milestones) {
                fields.count(&format!("milestones.{i}"), milestone, before + 1);
                before = *milestone;
            }
        });
        reader.length("schedules", self.schedules.len());
        reader.report("schedules.", 0..self.schedules.len());
        let mut errors = reader.finish().err().unwrap_or_default();
        for (i, schedule) in self.schedules.iter().enumerate() {
            let part = format!("schedules.{i}");
            errors.extend(&part, schedule.check_state_dict(&state.part(&part)));
        }
        errors.into_result().map(|()| (epoch, milestones))
    }
}

impl Scheduler for SequentialLr {
    fn step(&mut self, optimizer: &mut dyn LearningRates) {
        if self.epoch == count::MOST {
            return;
        }
        let epoch = self.epoch + 1;
        let current = self.milestones.partition_point(|&milestone| milestone <= epoch);
        let starts = current > 0 && self.milestones[current - 1] == epoch;
        let schedule = &mut self.schedules[current];
        if starts {
            schedule.restart(optimizer);
        } else {
            schedule.step(optimizer);
        }
        self.epoch = epoch;
    }

    fn restart(&mut self, optimizer: &mut dyn LearningRates) {
        self.schedules[0].restart(optimizer);
        self.epoch = 0;
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Stateful for SequentialLr {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("epoch", count::saved(self.epoch));
        state.insert("schedules", self.schedules.len() as i64);
        for (i, schedule) in self.schedules.iter().enumerate() {
            if let Some(milestone) = i.checked_sub(1).map(|before| self.milestones[before]) {
                state.insert(format!("milestones.{i}"), count::saved(milestone));
            }
            state.insert_part(&format!("schedules.{i}"), schedule.state_dict());
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        (self.epoch, self.milestones) = self.read(state)?;
        let mut errors = StateError::new(); // stays empty: all of it has been checked
        for (i, schedule) in self.schedules.iter_mut().enumerate() {
            let part = format!("schedules.{i}");
            errors.extend(&part, schedule.load_state_dict(&state.part(&part)));
        }
        errors.into_result()
    }
}

//! The one-cycle schedule (Smith and Topin, 2018).

use super::{Problem, Rule, Schedule, problem, take_count, take_float};
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError};
use std::f64::consts::PI;

/// Moves the rates up to `max_lr` and then far below where they began, along
/// cosines, in `total_steps` steps; and the momentum (Adam's β₁) the other way,
/// from 0.95 to 0.85 and back. Every group follows the same cycle.
///
/// The way up takes 30 % of the steps and begins at `max_lr / 25`; the way down
/// ends, at step `total_steps − 1`, at a ten-thousandth of that. One step more is
/// PyTorch's, a little up again; further ones stay at the end, where PyTorch
/// raises an error.
///
/// PyTorch: `torch.optim.lr_scheduler.OneCycleLR` with its defaults, which
/// [`pct_start`](OneCycleLr::pct_start) and the others change.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, OneCycleLr, Scheduler};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
/// let mut cycle = OneCycleLr::new(&mut adam, 0.1, 100);
/// let rate = |adam: &Adam| adam.param_groups()[0].lr;
/// assert!((rate(&adam) - 0.1 / 25.0).abs() < 1e-12);
/// (0..29).for_each(|_| cycle.step(&mut adam));
/// assert!((rate(&adam) - 0.1).abs() < 1e-12);
/// ```
pub type OneCycleLr = Schedule<OneCycle>;

/// The rule of [`OneCycleLr`].
#[derive(Clone, Debug)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: u64,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
    base_momentum: f64,
    max_momentum: f64,
}

impl OneCycleLr {
    /// The schedule; rates and momentum become those of the first step.
    ///
    /// # Panics
    /// If `max_lr` is not a finite number above 0, or `total_steps` is 0.
    #[track_caller]
    pub fn new(optimizer: &mut dyn Rates, max_lr: f64, total_steps: u64) -> Self {
        let rule = OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            base_momentum: 0.85,
            max_momentum: 0.95,
        };
        Self::cycle(rule, optimizer)
    }

    #[track_caller]
    fn cycle(rule: OneCycle, optimizer: &mut dyn Rates) -> Self {
        let rule = Schedule { rule, epoch: 0 }.checked().rule;
        for group in 0..optimizer.group_count() {
            optimizer.set_base_lr(group, rule.initial_lr());
        }
        Schedule::begun(rule, optimizer)
    }

    /// This schedule with another part of the steps for the way up.
    ///
    /// # Panics
    /// If it is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn pct_start(self, optimizer: &mut dyn Rates, pct_start: f64) -> Self {
        Self::cycle(OneCycle { pct_start, ..self.rule }, optimizer)
    }

    /// This schedule with other divisors: of `max_lr` for the first rate, and of
    /// that for the last.
    ///
    /// # Panics
    /// If one is not a finite number above 0.
    #[must_use]
    #[track_caller]
    pub fn div_factors(
        self,
        optimizer: &mut dyn Rates,
        div_factor: f64,
        final_div_factor: f64,
    ) -> Self {
        Self::cycle(OneCycle { div_factor, final_div_factor, ..self.rule }, optimizer)
    }

    /// This schedule with another range of the momentum.
    ///
    /// # Panics
    /// If an end is not within `[0, 1)`.
    #[must_use]
    #[track_caller]
    pub fn momentum_range(self, optimizer: &mut dyn Rates, base: f64, max: f64) -> Self {
        Self::cycle(OneCycle { base_momentum: base, max_momentum: max, ..self.rule }, optimizer)
    }
}

impl OneCycle {
    fn initial_lr(&self) -> f64 {
        self.max_lr / self.div_factor
    }

    /// From `outer` up or down to `peak`, then to `end`.
    fn at(&self, step: u64, outer: f64, peak: f64, end: f64) -> f64 {
        let last = (self.total_steps - 1) as f64;
        let step = if step > self.total_steps { last } else { step as f64 };
        let turn = self.pct_start * self.total_steps as f64 - 1.0;
        let cosine =
            |from: f64, to: f64, part: f64| to + (from - to) / 2.0 * ((PI * part).cos() + 1.0);
        // A way of no length has been gone.
        if step <= turn {
            cosine(outer, peak, if turn > 0.0 { step / turn } else { 1.0 })
        } else {
            let down = last - turn;
            cosine(peak, end, if down > 0.0 { (step - turn) / down } else { 1.0 })
        }
    }

    fn lr(&self, step: u64) -> f64 {
        let initial = self.initial_lr();
        self.at(step, initial, self.max_lr, initial / self.final_div_factor)
    }
}

impl Rule for OneCycle {
    const NAME: &'static str = "OneCycleLr";

    fn problems(&self) -> Vec<Problem> {
        let above_0 =
            |name, x: f64| problem(name, x, x > 0.0 && x.is_finite(), "a finite number above 0");
        let below_1 = |name, x: f64| problem(name, x, (0.0..1.0).contains(&x), "0 to below 1");
        let (steps, start) = (self.total_steps, self.pct_start);
        let problems = [
            above_0("max_lr", self.max_lr),
            problem("total_steps", steps, steps > 0, "at least 1"),
            problem("pct_start", start, (0.0..=1.0).contains(&start), "0 to 1"),
            above_0("div_factor", self.div_factor),
            above_0("final_div_factor", self.final_div_factor),
            below_1("base_momentum", self.base_momentum),
            below_1("max_momentum", self.max_momentum),
        ];
        problems.into_iter().flatten().collect()
    }

    fn begin(&self, _lr: f64, _base_lr: f64) -> f64 {
        self.lr(0)
    }

    fn rate(&self, epoch: u64, _lr: f64, _base_lr: f64) -> f64 {
        self.lr(epoch)
    }

    fn start(&self, _base_lr: f64) -> f64 {
        self.lr(0)
    }

    fn momentum(&self, epoch: u64) -> Option<f64> {
        Some(self.at(epoch, self.max_momentum, self.base_momentum, self.max_momentum))
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("max_lr", self.max_lr);
        state.insert("total_steps", self.total_steps as i64);
        state.insert("pct_start", self.pct_start);
        state.insert("div_factor", self.div_factor);
        state.insert("final_div_factor", self.final_div_factor);
        state.insert("base_momentum", self.base_momentum);
        state.insert("max_momentum", self.max_momentum);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.max_lr = take_float(errors, state, "max_lr");
        self.total_steps = take_count(errors, state, "total_steps");
        self.pct_start = take_float(errors, state, "pct_start");
        self.div_factor = take_float(errors, state, "div_factor");
        self.final_div_factor = take_float(errors, state, "final_div_factor");
        self.base_momentum = take_float(errors, state, "base_momentum");
        self.max_momentum = take_float(errors, state, "max_momentum");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adam, AdamOptions, Scheduler};
    use adamant_tensor::{Parameter, Tensor};

    #[test]
    fn no_cycle_gives_nan() {
        for pct_start in [0.0, 0.1, 0.5, 1.0] {
            for total in [1, 2, 10] {
                let p = Parameter::new(Tensor::<f32>::ones([1]));
                let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
                let mut cycle =
                    OneCycleLr::new(&mut adam, 0.1, total).pct_start(&mut adam, pct_start);
                for _ in 0..total + 3 {
                    let group = &adam.param_groups()[0];
                    assert!(
                        (0.0..=0.1001).contains(&group.lr),
                        "{pct_start} of {total}: {}",
                        group.lr
                    );
                    cycle.step(&mut adam);
                }
            }
        }
    }
}

//! The one-cycle schedule (Smith and Topin, 2018).

use super::{Problem, Rule, Schedule, problem, take_count, take_float};
use crate::count;
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError};
use std::f64::consts::PI;

/// Moves the rates up to `max_lr` and then far below where they began, along
/// cosines, in `total_steps` steps; and the momentum (Adam's β₁) the other way,
/// from 0.95 to 0.85 and back. Every group follows the same cycle (PyTorch takes a `max_lr` for
/// each, too), also one that is added on the way.
///
/// The way up takes 30 % of the steps and begins at `max_lr / 25`; the way down
/// ends, at step `total_steps − 1`, at a ten-thousandth of that. One step more is
/// PyTorch's, a little up again (along straight lines it stays, where PyTorch's rate
/// turns negative); further ones stay at the end, where PyTorch raises an error.
///
/// PyTorch: `torch.optim.lr_scheduler.OneCycleLR` with its defaults;
/// [`with_rule`](OneCycleLr::with_rule) takes others.
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

impl OneCycleLr {
    /// The schedule; rates and momentum become those of the first step.
    ///
    /// # Panics
    /// If `max_lr` is not a finite number above 0, or `total_steps` is 0.
    #[track_caller]
    pub fn new(optimizer: &mut dyn Rates, max_lr: f64, total_steps: u64) -> Self {
        Self::with_rule(optimizer, OneCycle::new(max_lr, total_steps))
    }

    /// The schedule of this rule; rates, and momentum if it cycles, become those of the
    /// first step.
    ///
    /// # Panics
    /// If a number of the rule is out of its range.
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions, Anneal, OneCycle, OneCycleLr};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
    /// let rule = OneCycle::new(0.1, 100).anneal(Anneal::Linear).cycle_momentum(false);
    /// let cycle = OneCycleLr::with_rule(&mut adam, rule.pct_start(0.1));
    /// assert_eq!(adam.param_groups()[0].betas.0, 0.9);
    /// ```
    #[track_caller]
    pub fn with_rule(optimizer: &mut dyn Rates, rule: OneCycle) -> Self {
        let rule = Schedule { rule, epoch: 0 }.checked().rule;
        for group in 0..optimizer.group_count() {
            optimizer.set_base_lr(group, rule.initial_lr());
        }
        Schedule::begun(rule, optimizer)
    }
}

/// The rule of [`OneCycleLr`], with PyTorch's options and defaults.
///
/// PyTorch: the keyword arguments of `OneCycleLR`.
///
/// ```
/// use adamant_optim::{Anneal, OneCycle};
/// let rule = OneCycle::new(0.1, 1000).pct_start(0.2).three_phase(true).anneal(Anneal::Linear);
/// ```
#[derive(Clone, Debug)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: u64,
    pct_start: f64,
    anneal: Anneal,
    three_phase: bool,
    div_factor: f64,
    final_div_factor: f64,
    cycle_momentum: bool,
    base_momentum: f64,
    max_momentum: f64,
}

/// The curve between two rates.
///
/// PyTorch: `anneal_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anneal {
    /// Half a cosine: slow at both ends.
    Cosine,
    /// A straight line.
    Linear,
}

impl Anneal {
    /// What lies this `part` of the way between two numbers.
    fn between(self, from: f64, to: f64, part: f64) -> f64 {
        match self {
            Anneal::Cosine => to + (from - to) / 2.0 * ((PI * part).cos() + 1.0),
            // Not further: a step more would make the rate negative.
            Anneal::Linear => (to - from) * part.min(1.0) + from,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Anneal::Cosine => "cos",
            Anneal::Linear => "linear",
        }
    }
}

impl OneCycle {
    /// A cycle up to `max_lr` in `total_steps` steps.
    #[must_use]
    pub fn new(max_lr: f64, total_steps: u64) -> Self {
        OneCycle {
            max_lr,
            total_steps: total_steps.min(count::MOST),
            pct_start: 0.3,
            anneal: Anneal::Cosine,
            three_phase: false,
            div_factor: 25.0,
            final_div_factor: 1e4,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
        }
    }

    /// The part of the steps for the way up, within `[0, 1]`; 0.3 unless set.
    #[must_use]
    pub fn pct_start(self, pct_start: f64) -> Self {
        OneCycle { pct_start, ..self }
    }

    /// The curve; cosines unless set.
    #[must_use]
    pub fn anneal(self, anneal: Anneal) -> Self {
        OneCycle { anneal, ..self }
    }

    /// Whether to go down as fast as up, and only then far below the beginning. `pct_start`
    /// should then be below 0.5.
    #[must_use]
    pub fn three_phase(self, on: bool) -> Self {
        OneCycle { three_phase: on, ..self }
    }

    /// The divisors, finite and above 0: of `max_lr` for the first rate (25 unless set), and of
    /// that for the last (10,000).
    #[must_use]
    pub fn div_factors(self, div_factor: f64, final_div_factor: f64) -> Self {
        OneCycle { div_factor, final_div_factor, ..self }
    }

    /// Whether the momentum (Adam's β₁) cycles too, against the rates; it does unless set.
    #[must_use]
    pub fn cycle_momentum(self, on: bool) -> Self {
        OneCycle { cycle_momentum: on, ..self }
    }

    /// The ends of the momentum's cycle, within `[0, 1)`; 0.85 and 0.95 unless set.
    #[must_use]
    pub fn momentum_range(self, base: f64, max: f64) -> Self {
        OneCycle { base_momentum: base, max_momentum: max, ..self }
    }

    fn initial_lr(&self) -> f64 {
        self.max_lr / self.div_factor
    }

    fn last_lr(&self) -> f64 {
        self.initial_lr() / self.final_div_factor
    }

    /// From `outer` to `peak`, with three phases back to `outer`, then to `end`.
    fn at(&self, step: u64, outer: f64, peak: f64, end: f64) -> f64 {
        let last = (self.total_steps - 1) as f64;
        let step = if step > self.total_steps { last } else { step as f64 };
        let top = self.pct_start * self.total_steps as f64 - 1.0;
        let (mut start, mut from) = (0.0, outer);
        let back = self.three_phase.then_some((2.0 * top, outer));
        for (turn, to) in [Some((top, peak)), back].into_iter().flatten() {
            if step <= turn {
                return self.along(step, start, turn, from, to);
            }
            (start, from) = (turn, to);
        }
        self.along(step, start, last, from, end)
    }

    fn along(&self, step: f64, start: f64, turn: f64, from: f64, to: f64) -> f64 {
        // A way of no length has been gone.
        let part = if turn > start { (step - start) / (turn - start) } else { 1.0 };
        self.anneal.between(from, to, part)
    }

    fn lr(&self, step: u64) -> f64 {
        self.at(step, self.initial_lr(), self.max_lr, self.last_lr())
    }
}

impl Rule for OneCycle {
    const NAME: &'static str = "OneCycleLr";

    fn problems(&self) -> Vec<Problem> {
        let above_0 =
            |name, x: f64| problem(name, x, x > 0.0 && x.is_finite(), "a finite number above 0");
        let divisor = |name, x: f64, rate: f64| {
            let fits = x > 0.0 && x.is_finite() && rate.is_finite();
            problem(name, x, fits, "a finite number above 0 that leaves a finite rate")
        };
        let below_1 = |name, x: f64| problem(name, x, (0.0..1.0).contains(&x), "0 to below 1");
        let (steps, start) = (self.total_steps, self.pct_start);
        let problems = [
            above_0("max_lr", self.max_lr),
            problem("total_steps", steps, steps > 0, "at least 1"),
            problem("pct_start", start, (0.0..=1.0).contains(&start), "0 to 1"),
            divisor("div_factor", self.div_factor, self.initial_lr()),
            divisor("final_div_factor", self.final_div_factor, self.last_lr()),
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
        let (base, max) = (self.base_momentum, self.max_momentum);
        self.cycle_momentum.then(|| self.at(epoch, max, base, max))
    }

    fn save(&self, state: &mut StateDict) {
        state.insert("max_lr", self.max_lr);
        state.insert("total_steps", count::saved(self.total_steps));
        state.insert("pct_start", self.pct_start);
        state.insert("anneal", self.anneal.name());
        state.insert("three_phase", self.three_phase);
        state.insert("div_factor", self.div_factor);
        state.insert("final_div_factor", self.final_div_factor);
        state.insert("cycle_momentum", self.cycle_momentum);
        state.insert("base_momentum", self.base_momentum);
        state.insert("max_momentum", self.max_momentum);
    }

    fn load(&mut self, state: &StateDict, errors: &mut StateError) {
        self.max_lr = take_float(errors, state, "max_lr");
        self.total_steps = take_count(errors, state, "total_steps");
        self.pct_start = take_float(errors, state, "pct_start");
        if let Some(name) = errors.take(state.text("anneal")) {
            match [Anneal::Cosine, Anneal::Linear].into_iter().find(|a| a.name() == name) {
                Some(anneal) => self.anneal = anneal,
                None => errors.push(format!("`anneal`: found {name:?}, expected cos or linear")),
            }
        }
        self.three_phase = errors.take(state.bool("three_phase")).unwrap_or(false);
        self.div_factor = take_float(errors, state, "div_factor");
        self.final_div_factor = take_float(errors, state, "final_div_factor");
        self.cycle_momentum = errors.take(state.bool("cycle_momentum")).unwrap_or(true);
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
            for (total, three_phase) in [(1, false), (2, false), (10, false), (1, true), (10, true)]
            {
                let p = Parameter::new(Tensor::<f32>::ones([1]));
                let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
                let anneal = if pct_start > 0.2 { Anneal::Linear } else { Anneal::Cosine };
                let rule = OneCycle::new(0.1, total).pct_start(pct_start).anneal(anneal);
                let mut cycle = OneCycleLr::with_rule(&mut adam, rule.three_phase(three_phase));
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

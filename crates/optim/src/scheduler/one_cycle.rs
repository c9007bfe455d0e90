//! The one-cycle schedule (Smith and Topin, 2018).

use super::schedule::{Rule, Schedule};
use super::unwrap_or_panic;
use crate::count;
use crate::fields::Fields;
use crate::learning_rates::LearningRates;
use crate::valid_range::ValidRange;
use std::f64::consts::PI;

/// Raises the rates to `max_lr`, then lowers them far below the initial rate, by cosine annealing,
/// over `total_steps` steps. The momentum (Adam's β₁) moves the other way, from 0.95 to 0.85 and
/// back. Every group follows the same cycle, also one that is added during it; PyTorch accepts a
/// `max_lr` for each, too.
///
/// The rates rise for 30 % of the steps, from `max_lr / 25`; at step `total_steps − 1` they are a
/// ten-thousandth of that. The next step is PyTorch's, a little up again (with linear annealing the
/// rates stay, where PyTorch's become negative). Further steps keep the last rates, where PyTorch
/// raises an error.
///
/// PyTorch: `torch.optim.lr_scheduler.OneCycleLR`.
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
    /// If `max_lr` is not a finite number above 0, `total_steps` is 0, or the optimizer has no
    /// momentum.
    #[track_caller]
    pub fn new(optimizer: &mut dyn LearningRates, max_lr: f64, total_steps: u64) -> Self {
        Self::with_options(optimizer, max_lr, total_steps, OneCycleLrOptions::default())
    }

    /// The schedule with these options; rates, and momentum if it cycles, become those of the
    /// first step.
    ///
    /// # Panics
    /// If a value is out of its range, or the momentum cycles and the optimizer has none.
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions, AnnealStrategy, OneCycleLr, OneCycleLrOptions};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
    /// let options = OneCycleLrOptions::default().pct_start(0.1).cycle_momentum(false);
    /// let cycle = OneCycleLr::with_options(&mut adam, 0.1, 100, options);
    /// assert_eq!(adam.param_groups()[0].betas.0, 0.9);
    /// ```
    #[track_caller]
    pub fn with_options(
        optimizer: &mut dyn LearningRates,
        max_lr: f64,
        total_steps: u64,
        options: OneCycleLrOptions,
    ) -> Self {
        let total_steps = total_steps.min(count::MOST);
        let rule = OneCycle { max_lr, total_steps, options };
        let schedule = Schedule::with_rule(optimizer, rule.clone());
        for group in 0..optimizer.group_count() {
            unwrap_or_panic(optimizer.set_base_lr(group, rule.initial_lr()));
        }
        schedule
    }
}

/// The rule of [`OneCycleLr`].
#[derive(Clone, Debug)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: u64,
    options: OneCycleLrOptions,
}

/// The options of [`OneCycleLr`], with PyTorch's defaults.
///
/// PyTorch: the keyword arguments of `OneCycleLR`.
///
/// ```
/// use adamant_optim::{AnnealStrategy, OneCycleLrOptions};
/// let options = OneCycleLrOptions::default().pct_start(0.2).three_phase(true);
/// let options = options.anneal_strategy(AnnealStrategy::Linear);
/// ```
#[derive(Clone, Debug)]
pub struct OneCycleLrOptions {
    pct_start: f64,
    anneal_strategy: AnnealStrategy,
    three_phase: bool,
    div_factor: f64,
    final_div_factor: f64,
    cycle_momentum: bool,
    base_momentum: f64,
    max_momentum: f64,
}

impl Default for OneCycleLrOptions {
    fn default() -> Self {
        OneCycleLrOptions {
            pct_start: 0.3,
            anneal_strategy: AnnealStrategy::Cosine,
            three_phase: false,
            div_factor: 25.0,
            final_div_factor: 1e4,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
        }
    }
}

/// The curve between two rates.
///
/// PyTorch: `anneal_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnealStrategy {
    /// Half a cosine: slow at both ends.
    Cosine,
    /// A straight line.
    Linear,
}

impl AnnealStrategy {
    /// The value at this `part` of the way between two others.
    pub(super) fn between(self, from: f64, to: f64, part: f64) -> f64 {
        match self {
            AnnealStrategy::Cosine => to + (from - to) / 2.0 * (libm::cos(PI * part) + 1.0),
            // No further: another step would make the rate negative.
            AnnealStrategy::Linear => (to - from) * part.min(1.0) + from,
        }
    }
}

impl OneCycleLrOptions {
    /// The fraction of the steps for the way up, within `[0, 1]`; default 0.3.
    #[must_use]
    pub fn pct_start(self, pct_start: f64) -> Self {
        OneCycleLrOptions { pct_start, ..self }
    }

    /// The curve; default [`AnnealStrategy::Cosine`].
    #[must_use]
    pub fn anneal_strategy(self, anneal_strategy: AnnealStrategy) -> Self {
        OneCycleLrOptions { anneal_strategy, ..self }
    }

    /// Whether to go down as fast as up, and only then far below the first rate; `pct_start`
    /// should then be below 0.5; default false.
    #[must_use]
    pub fn three_phase(self, on: bool) -> Self {
        OneCycleLrOptions { three_phase: on, ..self }
    }

    /// The divisor of `max_lr` for the first rate, finite and above 0; default 25.
    #[must_use]
    pub fn div_factor(self, div_factor: f64) -> Self {
        OneCycleLrOptions { div_factor, ..self }
    }

    /// The divisor of the first rate for the last one, finite and above 0; default 10,000.
    #[must_use]
    pub fn final_div_factor(self, final_div_factor: f64) -> Self {
        OneCycleLrOptions { final_div_factor, ..self }
    }

    /// Whether the momentum (Adam's β₁) cycles too, against the rates; default true.
    #[must_use]
    pub fn cycle_momentum(self, on: bool) -> Self {
        OneCycleLrOptions { cycle_momentum: on, ..self }
    }

    /// The momentum at `max_lr`, within `[0, 1)`; default 0.85.
    #[must_use]
    pub fn base_momentum(self, base_momentum: f64) -> Self {
        OneCycleLrOptions { base_momentum, ..self }
    }

    /// The momentum at both ends, within `[0, 1)`; default 0.95.
    #[must_use]
    pub fn max_momentum(self, max_momentum: f64) -> Self {
        OneCycleLrOptions { max_momentum, ..self }
    }
}

impl OneCycle {
    fn initial_lr(&self) -> f64 {
        self.max_lr / self.options.div_factor
    }

    fn last_lr(&self) -> f64 {
        self.initial_lr() / self.options.final_div_factor
    }

    /// From `outer` to `peak`, with three phases back to `outer`, then to `end`.
    fn at(&self, step: u64, outer: f64, peak: f64, end: f64) -> f64 {
        let last = (self.total_steps - 1) as f64;
        let step = if step > self.total_steps { last } else { step as f64 };
        let top = self.options.pct_start * self.total_steps as f64 - 1.0;
        let (mut start, mut from) = (0.0, outer);
        let back = self.options.three_phase.then_some((2.0 * top, outer));
        for (turn, to) in [Some((top, peak)), back].into_iter().flatten() {
            if step <= turn {
                return self.along(step, start, turn, from, to);
            }
            (start, from) = (turn, to);
        }
        self.along(step, start, last, from, end)
    }

    fn along(&self, step: f64, start: f64, turn: f64, from: f64, to: f64) -> f64 {
        // A phase of no length is over.
        let part = if turn > start { (step - start) / (turn - start) } else { 1.0 };
        self.options.anneal_strategy.between(from, to, part)
    }

    fn lr(&self, step: u64) -> f64 {
        self.at(step, self.initial_lr(), self.max_lr, self.last_lr())
    }
}

impl Rule for OneCycle {
    const NAME: &'static str = "OneCycleLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        const STRATEGIES: [(&str, AnnealStrategy); 2] =
            [("cos", AnnealStrategy::Cosine), ("linear", AnnealStrategy::Linear)];
        let options = &mut self.options;
        fields.float("max_lr", &mut self.max_lr, ValidRange::ABOVE_0);
        fields.count("total_steps", &mut self.total_steps, 1);
        fields.float("pct_start", &mut options.pct_start, ValidRange::UNIT);
        fields.choice("anneal", &mut options.anneal_strategy, &STRATEGIES);
        fields.flag("three_phase", &mut options.three_phase);
        fields.float("div_factor", &mut options.div_factor, ValidRange::ANY);
        fields.float("final_div_factor", &mut options.final_div_factor, ValidRange::ANY);
        fields.flag("cycle_momentum", &mut options.cycle_momentum);
        fields.float("base_momentum", &mut options.base_momentum, ValidRange::BELOW_1);
        fields.float("max_momentum", &mut options.max_momentum, ValidRange::BELOW_1);
        let (div_factor, final_div_factor) = (options.div_factor, options.final_div_factor);
        for (name, divisor, rate) in [
            ("div_factor", div_factor, self.initial_lr()),
            ("final_div_factor", final_div_factor, self.last_lr()),
        ] {
            let fits = divisor > 0.0 && divisor.is_finite() && rate.is_finite();
            let expected = "a finite number above 0 that leaves a finite rate";
            fields.require(fits, name, divisor, expected);
        }
    }

    fn first_rate(&self, _lr: f64, _base_lr: f64) -> f64 {
        self.lr(0)
    }

    fn rate(&self, epoch: u64, _lr: f64, _base_lr: f64) -> f64 {
        self.lr(epoch)
    }

    fn momentum(&self, epoch: u64) -> Option<f64> {
        let (base, max) = (self.options.base_momentum, self.options.max_momentum);
        self.options.cycle_momentum.then(|| self.at(epoch, max, base, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adam, AdamOptions, Scheduler};
    use adamant_tensor::{Parameter, Tensor};

    #[test]
    fn every_rate_of_a_cycle_is_in_range() {
        for pct_start in [0.0, 0.1, 0.5, 1.0] {
            for (total, three_phase) in [(1, false), (2, false), (10, false), (1, true), (10, true)]
            {
                let p = Parameter::new(Tensor::<f32>::ones([1]));
                let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
                let strategies = [AnnealStrategy::Cosine, AnnealStrategy::Linear];
                let options = OneCycleLrOptions::default()
                    .pct_start(pct_start)
                    .anneal_strategy(strategies[usize::from(pct_start > 0.2)])
                    .three_phase(three_phase);
                let mut cycle = OneCycleLr::with_options(&mut adam, 0.1, total, options);
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

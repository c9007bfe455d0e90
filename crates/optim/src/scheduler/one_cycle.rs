//! The one-cycle schedule (Smith and Topin, 2018).

use super::{Rule, Schedule, require, take_count, take_finite};
use crate::rates::Rates;
use adamant_tensor::{StateDict, StateError};
use std::f64::consts::PI;

/// Moves the rates up to `max_lr` and then far below where they began, along
/// cosines, in `total_steps` steps; and the momentum (Adam's β₁) the other way,
/// from 0.95 to 0.85 and back. Every group follows the same cycle.
///
/// The way up takes 30 % of the steps and begins at `max_lr / 25`; the way down
/// ends at a ten-thousandth of that. Stepping further stays there.
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
        let fits = max_lr > 0.0 && max_lr.is_finite();
        require("OneCycleLr", "max_lr", max_lr, fits, "a finite number above 0");
        require("OneCycleLr", "total_steps", total_steps, total_steps > 0, "at least 1");
        let rule = OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            base_momentum: 0.85,
            max_momentum: 0.95,
        };
        Self::begun(rule, optimizer)
    }

    fn begun(rule: OneCycle, optimizer: &mut dyn Rates) -> Self {
        for group in 0..optimizer.group_count() {
            optimizer.set_base_lr(group, rule.initial_lr());
        }
        Schedule::started(rule, optimizer)
    }

    /// This schedule with another part of the steps for the way up.
    ///
    /// # Panics
    /// If it is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn pct_start(self, optimizer: &mut dyn Rates, pct_start: f64) -> Self {
        let fits = (0.0..=1.0).contains(&pct_start);
        require("OneCycleLr", "pct_start", pct_start, fits, "0 to 1");
        Self::begun(OneCycle { pct_start, ..self.rule }, optimizer)
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
        for (name, x) in [("div_factor", div_factor), ("final_div_factor", final_div_factor)] {
            require("OneCycleLr", name, x, x > 0.0 && x.is_finite(), "a finite number above 0");
        }
        Self::begun(OneCycle { div_factor, final_div_factor, ..self.rule }, optimizer)
    }

    /// This schedule with another range of the momentum.
    ///
    /// # Panics
    /// If an end is not within `[0, 1)`.
    #[must_use]
    #[track_caller]
    pub fn momentum_range(self, optimizer: &mut dyn Rates, base: f64, max: f64) -> Self {
        for (name, x) in [("base_momentum", base), ("max_momentum", max)] {
            require("OneCycleLr", name, x, (0.0..1.0).contains(&x), "0 to below 1");
        }
        Self::begun(OneCycle { base_momentum: base, max_momentum: max, ..self.rule }, optimizer)
    }
}

impl OneCycle {
    fn initial_lr(&self) -> f64 {
        self.max_lr / self.div_factor
    }

    /// From `outer` up or down to `peak`, then to `end`.
    fn at(&self, step: u64, outer: f64, peak: f64, end: f64) -> f64 {
        let step = step.min(self.total_steps) as f64;
        let turn = self.pct_start * self.total_steps as f64 - 1.0;
        let cosine =
            |from: f64, to: f64, part: f64| to + (from - to) / 2.0 * ((PI * part).cos() + 1.0);
        if step <= turn {
            cosine(outer, peak, step / turn)
        } else {
            cosine(peak, end, (step - turn) / ((self.total_steps - 1) as f64 - turn))
        }
    }

    fn lr(&self, step: u64) -> f64 {
        let initial = self.initial_lr();
        self.at(step, initial, self.max_lr, initial / self.final_div_factor)
    }
}

impl Rule for OneCycle {
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
        self.max_lr = take_finite(errors, state, "max_lr");
        self.total_steps = take_count(errors, state, "total_steps");
        if self.total_steps == 0 {
            errors.push("`total_steps`: found 0, expected at least 1");
        }
        self.pct_start = take_finite(errors, state, "pct_start");
        self.div_factor = take_finite(errors, state, "div_factor");
        self.final_div_factor = take_finite(errors, state, "final_div_factor");
        self.base_momentum = take_finite(errors, state, "base_momentum");
        self.max_momentum = take_finite(errors, state, "max_momentum");
    }
}

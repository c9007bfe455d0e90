//! The schedule of stochastic weight averaging (Izmailov et al., 2018).

use super::one_cycle::AnnealStrategy;
use super::schedule::{Rule, Schedule};
use crate::count;
use crate::fields::Fields;
use crate::learning_rates::LearningRates;
use crate::valid_range::ValidRange;

/// Moves the rates from the current ones to `swa_lr`, where they stay: for the end of a training,
/// whose weights are averaged. Every group moves to the same rate; PyTorch accepts one for each,
/// too.
///
/// PyTorch: `torch.optim.swa_utils.SWALR`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Scheduler, SwaLr, SwaLrOptions};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// let mut adam = Adam::new([p], AdamOptions::default().lr(1.0)).unwrap();
/// let options = SwaLrOptions::default().anneal_epochs(2);
/// let mut schedule = SwaLr::with_options(&mut adam, 0.5, options);
/// let mut rates = Vec::new();
/// for _ in 0..3 {
///     schedule.step(&mut adam);
///     rates.push(adam.param_groups()[0].lr);
/// }
/// assert_eq!(rates, [0.75, 0.5, 0.5]);
/// ```
pub type SwaLr = Schedule<Swa>;

/// The rule of [`SwaLr`].
#[derive(Clone, Debug)]
pub struct Swa {
    swa_lr: f64,
    options: SwaLrOptions,
}

/// The options of [`SwaLr`], with PyTorch's defaults.
#[derive(Clone, Debug)]
pub struct SwaLrOptions {
    anneal_epochs: u64,
    anneal_strategy: AnnealStrategy,
}

impl Default for SwaLrOptions {
    fn default() -> Self {
        SwaLrOptions { anneal_epochs: 10, anneal_strategy: AnnealStrategy::Cosine }
    }
}

impl SwaLrOptions {
    /// The number of epochs until `swa_lr`, or 0 to begin with it; default 10.
    #[must_use]
    pub fn anneal_epochs(self, anneal_epochs: u64) -> Self {
        SwaLrOptions { anneal_epochs: anneal_epochs.min(count::MOST), ..self }
    }

    /// The curve; default [`AnnealStrategy::Cosine`].
    #[must_use]
    pub fn anneal_strategy(self, anneal_strategy: AnnealStrategy) -> Self {
        SwaLrOptions { anneal_strategy, ..self }
    }
}

impl SwaLr {
    /// The schedule with PyTorch's defaults, starting from the current rates.
    ///
    /// # Panics
    /// If `swa_lr` is negative or not finite.
    #[track_caller]
    pub fn new(optimizer: &mut dyn LearningRates, swa_lr: f64) -> Self {
        Self::with_options(optimizer, swa_lr, SwaLrOptions::default())
    }

    /// The schedule with these options, starting from the current rates.
    ///
    /// # Panics
    /// If `swa_lr` is negative or not finite.
    #[track_caller]
    pub fn with_options(
        optimizer: &mut dyn LearningRates,
        swa_lr: f64,
        options: SwaLrOptions,
    ) -> Self {
        Schedule::with_rule(optimizer, Swa { swa_lr, options })
    }
}

impl Swa {
    /// The weight of `swa_lr` in the rate at `epoch`.
    fn weight(&self, epoch: u64) -> f64 {
        let part = epoch as f64 / self.options.anneal_epochs.max(1) as f64;
        self.options.anneal_strategy.between(0.0, 1.0, part.min(1.0))
    }
}

impl Rule for Swa {
    const NAME: &'static str = "SwaLr";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        const STRATEGIES: [(&str, AnnealStrategy); 2] =
            [("cos", AnnealStrategy::Cosine), ("linear", AnnealStrategy::Linear)];
        fields.float("swa_lr", &mut self.swa_lr, ValidRange::AT_LEAST_0);
        fields.count("anneal_epochs", &mut self.options.anneal_epochs, 0);
        fields.choice("anneal", &mut self.options.anneal_strategy, &STRATEGIES);
    }

    fn first_rate(&self, lr: f64, _base_lr: f64) -> f64 {
        if self.options.anneal_epochs == 0 { self.swa_lr } else { lr }
    }

    fn rate(&self, epoch: u64, lr: f64, _base_lr: f64) -> f64 {
        let (before, after) = (self.weight(epoch - 1), self.weight(epoch));
        if before == 1.0 {
            return self.swa_lr;
        }
        // Of the way that is left. PyTorch computes the first rate from the current one, and the
        // next rate from that: the same, but for rounding.
        let part = (after - before) / (1.0 - before);
        lr * (1.0 - part) + self.swa_lr * part
    }
}

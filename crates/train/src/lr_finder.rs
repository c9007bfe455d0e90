//! The learning-rate range test (Smith, 2015).

use adamant_tensor::{Float, Stateful};

/// Finds a learning rate: trains for some steps with a rate that rises exponentially, and watches
/// the loss. Afterwards, everything is as it was.
///
/// The loss is smoothed by an exponential average with `beta`, corrected for its start. The test
/// stops early when it diverges: when the smoothed loss exceeds the best one by
/// `early_stop_threshold − 1` times its size, or is not finite.
///
/// Lightning: `Tuner.lr_find`; fastai: `Learner.lr_find`.
///
/// ```
/// use adamant_nn::{Forward, Linear, Module, mse_loss};
/// use adamant_optim::{Adam, AdamOptions, LearningRates, Optimizer};
/// use adamant_tensor::{Generator, Tensor};
/// use adamant_train::LrFinder;
/// let rng = &mut Generator::seed(0);
/// let mut model = Linear::new(4, 1, rng);
/// let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
/// let (x, y) = (Tensor::randn([32, 4], rng), Tensor::randn([32, 1], rng));
///
/// // Or one struct with `#[derive(Stateful)]`.
/// let mut run = (&mut model, &mut adam);
/// let curve = LrFinder::new().run(&mut run, |(model, adam), lr| {
///     adam.set_lr(0, lr).unwrap();
///     adam.zero_grad();
///     let loss = mse_loss(&model.forward(&x), &y);
///     loss.backward();
///     adam.step();
///     loss.item().into()
/// });
/// assert!((1e-4..1.0).contains(&curve.suggestion().unwrap()));
/// assert_eq!(adam.lr(0), 1e-3); // as before
/// ```
#[derive(Clone, Debug)]
pub struct LrFinder {
    min_lr: f64,
    max_lr: f64,
    num_training: usize,
    beta: f64,
    early_stop_threshold: f64,
}

/// The test with Lightning's defaults.
impl Default for LrFinder {
    fn default() -> Self {
        LrFinder {
            min_lr: 1e-8,
            max_lr: 1.0,
            num_training: 100,
            beta: 0.98,
            early_stop_threshold: 4.0,
        }
    }
}

impl LrFinder {
    /// The test with Lightning's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first and the last rate, `0 < min_lr < max_lr`; default 10⁻⁸ and 1.
    ///
    /// # Panics
    /// If they are not in this order, or not finite.
    #[must_use]
    #[track_caller]
    pub fn lr_range(self, min_lr: f64, max_lr: f64) -> Self {
        assert!(
            min_lr > 0.0 && max_lr > min_lr && max_lr.is_finite(),
            "LrFinder: rates from {min_lr:?} to {max_lr:?}; expected 0 < min_lr < max_lr"
        );
        LrFinder { min_lr, max_lr, ..self }
    }

    /// The number of steps, at least 2; default 100.
    ///
    /// # Panics
    /// If it is less.
    #[must_use]
    #[track_caller]
    pub fn num_training(self, num_training: usize) -> Self {
        assert!(num_training > 1, "LrFinder: num_training is {num_training}; expected at least 2");
        LrFinder { num_training, ..self }
    }

    /// The weight of earlier losses in the smoothed one, within `[0, 1)`; default 0.98.
    ///
    /// # Panics
    /// If it is not in this range.
    #[must_use]
    #[track_caller]
    pub fn beta(self, beta: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&beta),
            "LrFinder: beta is {beta:?}; expected at least 0 and below 1"
        );
        LrFinder { beta, ..self }
    }

    /// How many times the best smoothed loss ends the test, above 1; infinity never ends it;
    /// default 4.
    ///
    /// # Panics
    /// If it is not above 1.
    #[must_use]
    #[track_caller]
    pub fn early_stop_threshold(self, threshold: f64) -> Self {
        assert!(
            threshold > 1.0,
            "LrFinder: early_stop_threshold is {threshold:?}; expected more than 1"
        );
        LrFinder { early_stop_threshold: threshold, ..self }
    }

    /// Runs the test. `step` makes one step of training at the rate that it receives, and returns
    /// the loss. `state` is all that a step changes: model, optimizer, loader, generators. It is
    /// restored at the end, to the bit. (Gradients are no state: a step begins with `zero_grad`.)
    ///
    /// # Panics
    /// If `state` does not load its own state.
    #[track_caller]
    pub fn run<S: Stateful>(
        &self,
        state: &mut S,
        mut step: impl FnMut(&mut S, f64) -> f64,
    ) -> LrCurve {
        let before = state.state_dict();
        let mut curve = LrCurve { rates: Vec::new(), losses: Vec::new(), diverged: false };
        let (mut average, mut best) = (0.0, f64::INFINITY);
        let ratio = Float::ln(self.max_lr / self.min_lr);
        for i in 0..self.num_training {
            let lr = self.min_lr * Float::exp(ratio * i as f64 / (self.num_training - 1) as f64);
            let loss = step(state, lr);
            average = self.beta * average + (1.0 - self.beta) * loss;
            let smoothed = average / (1.0 - Float::powf(self.beta, (i + 1) as f64));
            let limit = best + (self.early_stop_threshold - 1.0) * best.abs();
            curve.diverged = !smoothed.is_finite() || smoothed > limit;
            if curve.diverged {
                break;
            }
            curve.rates.push(lr);
            curve.losses.push(smoothed);
            best = best.min(smoothed);
        }
        if let Err(error) = state.load_state_dict(&before) {
            panic!("LrFinder: the state from before the test does not load: {error}");
        }
        curve
    }
}

/// The loss at each learning rate, from [`LrFinder::run`].
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    /// The rates, in ascending order.
    pub rates: Vec<f64>,
    /// The smoothed loss after the step at each rate.
    pub losses: Vec<f64>,
    /// Whether the loss diverged, at the rate after the last one here.
    pub diverged: bool,
}

impl LrCurve {
    /// The first steps, whose losses are hardly smoothed yet, and the last one.
    const SKIP_BEGIN: usize = 10;
    const SKIP_END: usize = 1;

    /// The rate at which the loss falls most steeply, over the logarithm of the rate: the point of
    /// least central difference, without the first 10 steps and the last one. `None` if the loss
    /// falls nowhere, or there are fewer than two points.
    ///
    /// Lightning: `lr_finder.suggestion()`.
    #[must_use]
    pub fn suggestion(&self) -> Option<f64> {
        let end = self.losses.len().saturating_sub(Self::SKIP_END);
        let losses = self.losses.get(Self::SKIP_BEGIN..end)?;
        let last = losses.len().checked_sub(1).filter(|&last| last > 0)?;
        let slope = |i: usize| {
            let (from, to) = (i.saturating_sub(1), (i + 1).min(last));
            (losses[to] - losses[from]) / (to - from) as f64
        };
        let steepest = (0..=last).min_by(|&i, &j| slope(i).total_cmp(&slope(j)))?;
        (slope(steepest) < 0.0).then(|| self.rates[Self::SKIP_BEGIN + steepest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_derive::Stateful;
    use adamant_nn::{Dropout, Forward, Linear, Module, Sequential, mse_loss};
    use adamant_optim::{Adam, AdamOptions, ExponentialLr, LearningRates, Optimizer, Scheduler};
    use adamant_tensor::{Generator, StateDict, Tensor};

    /// A curve of losses that a step returns in order.
    fn curve(finder: &LrFinder, losses: impl Fn(usize) -> f64) -> LrCurve {
        finder.run(&mut 0u64, |step, _| {
            *step += 1;
            losses(*step as usize - 1)
        })
    }

    #[test]
    fn rates_rise_from_the_first_to_the_last() {
        let finder = LrFinder::new().lr_range(1e-4, 10.0).num_training(6);
        let rates = curve(&finder, |_| 1.0).rates;
        assert_eq!(rates.len(), 6);
        for (rate, power) in rates.iter().zip(-4..) {
            assert!((rate / 10f64.powi(power) - 1.0).abs() < 1e-12, "{rate}");
        }
    }

    #[test]
    fn a_constant_loss_stays_after_smoothing_and_has_no_suggestion() {
        let curve = curve(&LrFinder::new(), |_| 2.0);
        assert!(!curve.diverged && curve.losses.iter().all(|loss| (loss - 2.0).abs() < 1e-12));
        let flat = LrCurve { losses: vec![2.0; 100], ..curve };
        assert_eq!(flat.suggestion(), None);
    }

    #[test]
    fn the_suggestion_is_the_steepest_point() {
        let finder = LrFinder::new().beta(0.0);
        let curve = curve(&finder, |i| 3.0 - (0.2 * (i as f64 - 60.0)).tanh());
        assert_eq!(curve.suggestion(), Some(curve.rates[60]));
        // Nothing of the first 10 steps and the last one counts.
        let finder = finder.num_training(20);
        let drops = |at: usize| self::curve(&finder, |i| if i >= at { 1.0 } else { 2.0 });
        assert_eq!(drops(8).suggestion(), None);
        assert_eq!(drops(15).suggestion(), Some(drops(15).rates[14]));
        assert_eq!(drops(19).suggestion(), None);
        let few = LrCurve { rates: vec![1.0; 12], losses: vec![1.0; 12], diverged: false };
        assert_eq!(few.suggestion(), None);
        assert_eq!(LrCurve { losses: vec![], ..few }.suggestion(), None);
    }

    #[test]
    fn it_stops_when_the_loss_diverges() {
        let finder = LrFinder::new().beta(0.0);
        let found = curve(&finder, |i| if i == 30 { 4.01 } else { 1.0 });
        assert!(found.diverged);
        assert_eq!((found.losses.len(), found.rates.len()), (30, 30));
        let nan = curve(&finder, |i| if i == 12 { f64::NAN } else { 1.0 });
        assert_eq!(nan.losses.len(), 12);
        let negative = curve(&finder, |i| if i == 20 { 2.1 } else { -1.0 });
        assert_eq!(negative.losses.len(), 20);
        let patient = finder.early_stop_threshold(f64::INFINITY);
        assert!(!curve(&patient, |i| (i as f64).exp()).diverged);
    }

    #[derive(Stateful)]
    #[stateful(crate = adamant_tensor)]
    struct Run {
        model: Sequential,
        adam: Adam,
        schedule: ExponentialLr,
        rng: Generator,
        step: u64,
    }

    impl Run {
        fn new() -> Self {
            let rng = &mut Generator::seed(0);
            let model = Sequential::new()
                .add(Linear::new(3, 8, rng))
                .add(Dropout::new(0.5, rng))
                .add(Linear::new(8, 1, rng));
            let adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
            let schedule = ExponentialLr::new(&adam, 0.9);
            Run { model, adam, schedule, rng: Generator::seed(1), step: 0 }
        }

        fn step(&mut self) -> f64 {
            let x = Tensor::randn([4, 3], &mut self.rng);
            self.adam.zero_grad();
            let loss = mse_loss(&self.model.forward(&x), &x.narrow(1, 0, 1));
            loss.backward();
            self.adam.step();
            self.schedule.step(&mut self.adam);
            self.step += 1;
            loss.item().into()
        }
    }

    #[test]
    fn everything_is_restored_to_the_bit() {
        let (mut straight, mut tested) = (Run::new(), Run::new());
        (0..3).for_each(|_| assert_eq!(straight.step(), tested.step()));
        let before = tested.state_dict();
        let mut during = StateDict::new();
        let _ = LrFinder::new().run(&mut tested, |run, lr| {
            run.adam.set_lr(0, lr).unwrap();
            let loss = run.step();
            during = run.state_dict();
            loss
        });
        assert_ne!(during, before);
        assert_eq!(tested.state_dict(), before);
        (0..3).for_each(|_| assert_eq!(straight.step(), tested.step()));
        assert_eq!(tested.state_dict(), straight.state_dict());
    }

    #[test]
    #[should_panic(expected = "LrFinder: rates from 1.0 to 1.0; expected 0 < min_lr < max_lr")]
    fn rates_that_do_not_rise_are_refused() {
        let _ = LrFinder::new().lr_range(1.0, 1.0);
    }
}

//! Stopping when a metric no longer improves.

use adamant_derive::Stateful;
use adamant_optim::PlateauMode;
use adamant_tensor::{Mismatch, StateDict, StateError, Stateful};

/// Ends a training when a metric has stopped improving, and keeps the best weights.
///
/// The state includes the best weights: a resumed run stops at the same step, with the same weights,
/// to the bit. The options are the program's; a state of the other mode does not fit. A metric that
/// is NaN is never an improvement.
///
/// Lightning: `EarlyStopping`; Keras: `EarlyStopping(restore_best_weights=True)`.
///
/// ```
/// use adamant_nn::Linear;
/// use adamant_optim::PlateauMode;
/// use adamant_tensor::Generator;
/// use adamant_train::EarlyStopping;
/// let mut model = Linear::new(2, 1, &mut Generator::seed(0));
/// let mut stopping = EarlyStopping::new(PlateauMode::Min).patience(2);
/// let mut losses = [3.0, 2.0, 2.5, 2.0, 1.0].into_iter();
/// while !stopping.should_stop() {
///     let loss = losses.next().unwrap(); // of an epoch and its validation
///     stopping.step(loss, &model);
/// }
/// assert_eq!(losses.next(), Some(1.0)); // not seen
/// assert_eq!(stopping.restore_best(&mut model).unwrap(), Some(2.0));
/// ```
#[derive(Clone, Debug, Stateful)]
#[stateful(crate = adamant_tensor)]
pub struct EarlyStopping {
    mode: Mode,
    #[stateful(skip)]
    patience: u64,
    #[stateful(skip)]
    min_delta: f64,
    best: Option<f64>,
    bad_steps: u64,
    /// The state of the model at the best metric.
    weights: StateDict,
}

/// The mode, which a state names but does not change.
#[derive(Clone, Copy, Debug)]
struct Mode(PlateauMode);

impl Mode {
    fn name(self) -> &'static str {
        match self.0 {
            PlateauMode::Min => "min",
            PlateauMode::Max => "max",
        }
    }
}

impl Stateful for Mode {
    fn state_dict(&self) -> StateDict {
        StateDict::from_iter([("", self.name())])
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let mut saved = String::new();
        saved.load_state_dict(state)?;
        let mut errors = StateError::new();
        if saved != self.name() {
            let (found, expected) = (format!("`{saved}`"), format!("`{}`", self.name()));
            errors.push(Mismatch::wrong("", found, expected));
        }
        errors.into_result()
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.check_state_dict(state)
    }
}

impl EarlyStopping {
    /// Watches a loss ([`PlateauMode::Min`]) or an accuracy ([`PlateauMode::Max`]), with Lightning's
    /// defaults.
    #[must_use]
    pub fn new(mode: PlateauMode) -> Self {
        EarlyStopping {
            mode: Mode(mode),
            patience: 3,
            min_delta: 0.0,
            best: None,
            bad_steps: 0,
            weights: StateDict::new(),
        }
    }

    /// The number of steps in a row without improvement after which to stop, at least 1; default 3.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn patience(mut self, patience: u64) -> Self {
        assert!(patience > 0, "EarlyStopping: patience is 0; expected at least 1");
        self.patience = patience;
        self
    }

    /// By how much a metric must be better than the best one to count as an improvement; default 0.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[must_use]
    #[track_caller]
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        assert!(
            min_delta >= 0.0 && min_delta.is_finite(),
            "EarlyStopping: min_delta is {min_delta:?}; expected a finite number of at least 0"
        );
        self.min_delta = min_delta;
        self
    }

    /// Records a validation metric. If it is the best so far, the state of `model` is kept;
    /// this copies nothing until the model changes.
    pub fn step(&mut self, metric: f64, model: &impl Stateful) {
        if self.is_better(metric) {
            self.best = Some(metric);
            self.bad_steps = 0;
            self.weights = model.state_dict();
        } else {
            self.bad_steps = self.bad_steps.saturating_add(1);
        }
    }

    fn is_better(&self, metric: f64) -> bool {
        match self.best {
            None => !metric.is_nan(),
            Some(best) if self.mode.0 == PlateauMode::Max => metric > best + self.min_delta,
            Some(best) => metric < best - self.min_delta,
        }
    }

    /// Whether the last `patience` steps were all without improvement.
    #[must_use]
    pub fn should_stop(&self) -> bool {
        self.bad_steps >= self.patience
    }

    /// The best metric so far.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// The number of steps since the best metric.
    #[must_use]
    pub fn bad_steps(&self) -> u64 {
        self.bad_steps
    }

    /// Loads the best weights, with all else that belongs to the model's state, into `model`, and
    /// returns their metric. Without any metric yet, the model stays as it is.
    ///
    /// # Errors
    /// All mismatches, if it is another model. Nothing is changed then.
    pub fn restore_best(&self, model: &mut impl Stateful) -> Result<Option<f64>, StateError> {
        if self.best.is_some() {
            model.load_state_dict(&self.weights)?;
        }
        Ok(self.best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps with these metrics until it stops; a model is a single number. Returns the number of
    /// steps, and the model that is restored.
    fn steps(mut stopping: EarlyStopping, metrics: &[f64]) -> (usize, u64) {
        let mut model = 0u64;
        for &metric in metrics {
            if stopping.should_stop() {
                break;
            }
            model += 1;
            stopping.step(metric, &model);
        }
        let steps = model as usize;
        let _ = stopping.restore_best(&mut model).unwrap();
        (steps, model)
    }

    #[test]
    fn it_stops_after_its_patience_with_the_best_weights() {
        let min = || EarlyStopping::new(PlateauMode::Min);
        let metrics = [3.0, 2.0, 2.0, 2.1, 1.5, 1.5, 1.5, 1.5, 0.0];
        assert_eq!(steps(min(), &metrics), (8, 5));
        assert_eq!(steps(min().patience(2), &metrics), (4, 2));
        assert_eq!(steps(min().min_delta(0.5), &metrics), (5, 2));
        let max = EarlyStopping::new(PlateauMode::Max).patience(1).min_delta(0.1);
        assert_eq!(steps(max.clone(), &[1.0, 1.2, 1.25, 3.0]), (3, 2));
        assert_eq!(steps(max, &[f64::NEG_INFINITY, 1.0, 1.0]), (3, 2));
    }

    #[test]
    fn nan_is_never_an_improvement() {
        let min = || EarlyStopping::new(PlateauMode::Min);
        assert_eq!(steps(min(), &[f64::NAN; 9]), (3, 3)); // nothing to restore
        assert_eq!(steps(min(), &[f64::NAN, 2.0, f64::NAN, f64::NAN, 1.0]), (5, 5));
    }

    #[test]
    fn a_resumed_run_stops_at_the_same_step_with_the_same_weights() {
        let metrics = [3.0, 2.0, 2.0, 1.5, 1.6, 1.7, 1.8, 0.0];
        let new = || EarlyStopping::new(PlateauMode::Min);
        let straight = steps(new(), &metrics);
        for interrupted in 0..7 {
            let mut first = new();
            (1..)
                .zip(&metrics[..interrupted])
                .for_each(|(model, &m)| first.step(m, &(model as u64)));
            let mut resumed = EarlyStopping::new(PlateauMode::Min);
            resumed.step(7.0, &String::from("another model"));
            resumed.load_state_dict(&first.state_dict()).unwrap();
            assert_eq!(resumed.state_dict(), first.state_dict());
            let mut model = interrupted as u64;
            for &metric in &metrics[interrupted..] {
                if !resumed.should_stop() {
                    model += 1;
                    resumed.step(metric, &model);
                }
            }
            let stopped = model as usize;
            let _ = resumed.restore_best(&mut model).unwrap();
            assert_eq!((stopped, model), straight, "{interrupted}");
        }
    }

    #[test]
    fn options_are_those_of_the_program() {
        let mut first = EarlyStopping::new(PlateauMode::Min).patience(1);
        first.step(1.0, &1u64);
        first.step(2.0, &2u64);
        let mut resumed = EarlyStopping::new(PlateauMode::Min).patience(2);
        resumed.load_state_dict(&first.state_dict()).unwrap();
        assert!(first.should_stop() && !resumed.should_stop());
        let mut other = EarlyStopping::new(PlateauMode::Max);
        let error = other.load_state_dict(&first.state_dict()).unwrap_err();
        assert_eq!(error.mismatches(), ["`mode`: found `min`, expected `max`"]);
        assert_eq!(other.best(), None);
    }

    #[test]
    fn the_weights_of_another_model_are_refused() {
        let mut stopping = EarlyStopping::new(PlateauMode::Min);
        let mut other = String::from("another model");
        assert_eq!(stopping.restore_best(&mut other).unwrap(), None);
        stopping.step(1.0, &3u64);
        let error = stopping.restore_best(&mut other).unwrap_err();
        assert_eq!(error.mismatches(), ["found the integer 3, expected a string"]);
        assert_eq!(other, "another model");
    }
}

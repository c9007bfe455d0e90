//! The errors of regression, of one or several outputs.

use super::checks::elements;
use super::fields::{Fields, saved_floats};
use super::output_errors::OutputErrors;
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// The mean squared error, its root, the mean absolute error, and R².
///
/// For several outputs, each value is the mean over the outputs, as scikit-learn's default
/// `multioutput="uniform_average"`; [`per_output`](Self::per_output) has those of each.
///
/// PyTorch: `torchmetrics.MeanSquaredError`, `MeanAbsoluteError`, `R2Score`. scikit-learn:
/// `mean_squared_error`, `root_mean_squared_error`, `mean_absolute_error`, `r2_score`.
///
/// ```
/// use adamant_tensor::Tensor;
/// use adamant_train::RegressionErrors;
/// let mut errors = RegressionErrors::new();
/// errors.update(&Tensor::from([2.5f32, 0.0, 2.0, 8.0]), &Tensor::from([3.0f32, -0.5, 2.0, 7.0]));
/// assert_eq!((errors.mse(), errors.mae()), (0.375, 0.5));
/// assert_eq!(errors.rmse(), 0.375f64.sqrt());
/// assert!((errors.r2() - 0.948608).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RegressionErrors {
    outputs: Vec<OutputErrors>,
}

impl Default for RegressionErrors {
    fn default() -> Self {
        Self::new()
    }
}

impl RegressionErrors {
    /// The errors of no samples, for one output: each element of predictions and targets of any
    /// shape is a sample.
    #[must_use]
    pub fn new() -> Self {
        RegressionErrors { outputs: vec![OutputErrors::default()] }
    }

    /// The errors of no samples, for several outputs: the last dimension of predictions and targets.
    ///
    /// # Panics
    /// If `outputs` is 0.
    #[must_use]
    #[track_caller]
    pub fn with_outputs(outputs: usize) -> Self {
        assert!(outputs > 0, "RegressionErrors::with_outputs: outputs is 0; expected at least 1");
        RegressionErrors { outputs: vec![OutputErrors::default(); outputs] }
    }

    /// Adds the samples of a batch. The differences are computed in `f64`.
    ///
    /// # Panics
    /// If the shapes differ (nothing is broadcast), or if there are several outputs and the last
    /// dimension does not have their number.
    #[track_caller]
    pub fn update<T: Float>(&mut self, predictions: &Tensor<T>, targets: &Tensor<T>) {
        let (op, shape) = ("RegressionErrors::update", predictions.array().shape());
        let outputs = self.outputs.len();
        assert!(
            outputs == 1 || shape.last() == Some(&outputs),
            "{op}: predictions has shape {shape}; expected […, {outputs}]"
        );
        assert!(
            targets.shape() == predictions.shape(),
            "{op}: targets has shape {}; expected {shape}, as predictions",
            targets.array().shape()
        );
        let (predictions, targets) = (elements(predictions), elements(targets));
        for (output, errors) in self.outputs.iter_mut().enumerate() {
            let pairs = predictions.iter().zip(&*targets).skip(output).step_by(outputs);
            errors.merge(&OutputErrors::of(pairs.map(|(p, t)| (p.to_f64(), t.to_f64()))));
        }
    }

    /// The mean squared error.
    #[must_use]
    pub fn mse(&self) -> f64 {
        self.mean(OutputErrors::mse)
    }

    /// The root of the mean squared error; for several outputs the mean of their roots, as in
    /// scikit-learn.
    #[must_use]
    pub fn rmse(&self) -> f64 {
        self.mean(OutputErrors::rmse)
    }

    /// The mean absolute error.
    #[must_use]
    pub fn mae(&self) -> f64 {
        self.mean(OutputErrors::mae)
    }

    /// R², the coefficient of determination: see [`OutputErrors::r2`].
    #[must_use]
    pub fn r2(&self) -> f64 {
        self.mean(OutputErrors::r2)
    }

    /// The errors of each output.
    #[must_use]
    pub fn per_output(&self) -> &[OutputErrors] {
        &self.outputs
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.outputs[0].count
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.outputs.fill(OutputErrors::default());
    }

    /// Adds the samples of `other`. Metrics of shards become that of all samples, up to rounding.
    ///
    /// # Panics
    /// If `other` has another number of outputs.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (found, expected) = (other.outputs.len(), self.outputs.len());
        assert!(
            found == expected,
            "RegressionErrors::merge: outputs of other is {found}; expected {expected}"
        );
        self.outputs.iter_mut().zip(&other.outputs).for_each(|(own, other)| own.merge(other));
    }

    fn mean(&self, value: fn(&OutputErrors) -> f64) -> f64 {
        self.outputs.iter().map(value).sum::<f64>() / self.outputs.len() as f64
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let shape = [self.outputs.len()];
        let names = ["count", "absolute", "squared", "origin", "mean", "deviations"];
        let mut fields = Fields::new(state, &names);
        let count = fields.count("count");
        let mut floats = |name| fields.floats(name, &shape);
        let (absolute, squared) = (floats("absolute"), floats("squared"));
        let (origin, mean) = (floats("origin"), floats("mean"));
        let deviations = floats("deviations");
        let read = || {
            let count = count?;
            let (absolute, squared) = (absolute?, squared?);
            let (origin, mean, deviations) = (origin?, mean?, deviations?);
            let output = |i| OutputErrors {
                count,
                absolute: absolute[i],
                squared: squared[i],
                origin: origin[i],
                mean: mean[i],
                deviations: deviations[i],
            };
            Some(RegressionErrors { outputs: (0..shape[0]).map(output).collect() })
        };
        fields.finish(read())
    }
}

/// `count`, and for each output the sums `absolute` and `squared`, and the targets' `origin`, `mean`
/// (from it) and `deviations`.
impl Stateful for RegressionErrors {
    fn state_dict(&self) -> StateDict {
        let floats = |field: fn(&OutputErrors) -> f64| {
            let floats: Vec<f64> = self.outputs.iter().map(field).collect();
            saved_floats([floats.len()], &floats)
        };
        let mut state = StateDict::new();
        state.insert("count", self.count() as i64);
        state.insert("absolute", floats(|output| output.absolute));
        state.insert("squared", floats(|output| output.squared));
        state.insert("origin", floats(|output| output.origin));
        state.insert("mean", floats(|output| output.mean));
        state.insert("deviations", floats(|output| output.deviations));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of_batches(batches: &[(&[f64], &[f64])]) -> RegressionErrors {
        let mut errors = RegressionErrors::new();
        for (predictions, targets) in batches {
            let tensor = |x: &[f64]| Tensor::from_vec(x.to_vec(), [x.len()]).unwrap();
            errors.update(&tensor(predictions), &tensor(targets));
        }
        errors
    }

    #[test]
    fn equal_targets_have_no_deviation() {
        // scikit-learn's mean of three times 0.1 is not 0.1, and its R² here is −1.7e31.
        let errors = of_batches(&[(&[0.1, 0.2, 0.1], &[0.1; 3]), (&[0.1], &[0.1])]);
        assert_eq!(errors.r2(), 0.0);
        assert_eq!(of_batches(&[(&[0.1; 3], &[0.1; 3]), (&[0.1], &[0.1])]).r2(), 1.0);
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        let errors = of_batches(&[(&[], &[])]);
        assert!(errors.mse().is_nan() && errors.r2().is_nan());
        let errors = of_batches(&[(&[], &[]), (&[1.0, 2.0], &[1.0, 4.0]), (&[], &[])]);
        assert_eq!((errors.count(), errors.mse(), errors.mae()), (2, 2.0, 1.0));
        assert_eq!(errors.r2(), 1.0 - 4.0 / 4.5);
        // The difference of the origins would overflow.
        let huge = of_batches(&[(&[f64::INFINITY, 1.0], &[f64::INFINITY, 1.0])]);
        let mut merged = huge.clone();
        merged.merge(&RegressionErrors::new());
        assert_eq!(format!("{merged:?}"), format!("{huge:?}"));
    }

    #[test]
    fn nan_and_infinity_show() {
        let errors = of_batches(&[(&[f64::NAN, 1.0], &[1.0, 1.0])]);
        assert!(errors.mse().is_nan() && errors.mae().is_nan() && errors.r2().is_nan());
        let errors = of_batches(&[(&[f64::INFINITY, 1.0], &[1.0, 2.0])]);
        assert_eq!((errors.rmse(), errors.r2()), (f64::INFINITY, f64::NEG_INFINITY));
    }
}

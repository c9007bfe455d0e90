//! The errors of regression: MSE, RMSE, MAE and R².

use super::checks::elements;
use super::fields::{Fields, saved_floats};
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

/// The errors of one output of [`RegressionErrors`].
///
/// All values are NaN if there are no samples.
///
/// ```
/// use adamant_tensor::Tensor;
/// use adamant_train::RegressionErrors;
/// let mut errors = RegressionErrors::with_outputs(2);
/// let predictions = Tensor::from([[1.0f32, 10.0], [2.0, 20.0]]);
/// errors.update(&predictions, &Tensor::from([[1.0f32, 13.0], [2.0, 16.0]]));
/// assert_eq!(errors.per_output().iter().map(|output| output.mae()).collect::<Vec<_>>(), [0.0, 3.5]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputErrors {
    count: u64,
    /// Σ |prediction − target|
    absolute: f64,
    /// Σ (prediction − target)²
    squared: f64,
    /// The first target. The mean is kept as a difference from it: rounded to the targets' spread,
    /// not to their size, so R² stays exact far from 0, and for targets that are all equal.
    origin: f64,
    /// The mean of target − origin.
    mean: f64,
    /// Σ (target − origin − mean)². Kept instead of Σ target², from which it would be a difference
    /// of two large numbers.
    deviations: f64,
}

impl OutputErrors {
    /// `Σ (prediction − target)² / n`
    #[must_use]
    pub fn mse(&self) -> f64 {
        self.squared / self.count as f64
    }

    /// `√mse`
    #[must_use]
    pub fn rmse(&self) -> f64 {
        self.mse().sqrt()
    }

    /// `Σ |prediction − target| / n`
    #[must_use]
    pub fn mae(&self) -> f64 {
        self.absolute / self.count as f64
    }

    /// `1 − Σ (prediction − target)² / Σ (target − mean)²`: the fraction of the targets' variance
    /// that is explained; negative if the mean is a better prediction.
    ///
    /// As in scikit-learn: NaN for fewer than two samples; for equal targets, 1 if all predictions
    /// are exact, else 0.
    #[must_use]
    pub fn r2(&self) -> f64 {
        if self.count < 2 {
            f64::NAN
        } else if self.deviations == 0.0 && !self.squared.is_nan() {
            if self.squared == 0.0 { 1.0 } else { 0.0 }
        } else {
            1.0 - self.squared / self.deviations
        }
    }

    /// The errors of a batch of pairs of prediction and target.
    fn of(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let mut batch = OutputErrors::default();
        let Some((_, origin)) = pairs.clone().next() else { return batch };
        batch.origin = origin;
        let mut sum = 0.0;
        for (prediction, target) in pairs.clone() {
            let error = prediction - target;
            batch.count += 1;
            batch.absolute += error.abs();
            batch.squared += error * error;
            sum += target - origin;
        }
        let mean = sum / batch.count as f64;
        batch.mean = mean;
        batch.deviations = pairs.map(|(_, target)| (target - origin - mean).powi(2)).sum();
        batch
    }

    /// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances" (1979).
    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let difference = (other.origin - self.origin) + (other.mean - self.mean);
        self.mean += difference * m / (n + m);
        self.deviations += other.deviations + difference * difference * n * m / (n + m);
        self.count += other.count;
        self.absolute += other.absolute;
        self.squared += other.squared;
    }
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

    /// Adds the samples of `other`.
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
    }

    #[test]
    fn nan_and_infinity_show() {
        let errors = of_batches(&[(&[f64::NAN, 1.0], &[1.0, 1.0])]);
        assert!(errors.mse().is_nan() && errors.mae().is_nan() && errors.r2().is_nan());
        let errors = of_batches(&[(&[f64::INFINITY, 1.0], &[1.0, 2.0])]);
        assert_eq!((errors.rmse(), errors.r2()), (f64::INFINITY, f64::NEG_INFINITY));
    }
}

//! The errors of one output: MSE, RMSE, MAE and R².

/// The errors of one output of [`RegressionErrors`](crate::RegressionErrors).
///
/// All values are NaN if there are no samples.
///
/// ```
/// use adamant_tensor::Tensor;
/// use adamant_train::RegressionErrors;
/// let mut errors = RegressionErrors::with_outputs(2);
/// let predictions = Tensor::from([[1.0f32, 10.0], [2.0, 20.0]]);
/// errors.update(&predictions, &Tensor::from([[1.0f32, 13.0], [2.0, 16.0]]));
/// let [first, second] = errors.per_output() else { unreachable!() };
/// assert_eq!((first.mae(), second.mae()), (0.0, 3.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutputErrors {
    pub(super) count: u64,
    /// Σ |prediction − target|
    pub(super) absolute: f64,
    /// Σ (prediction − target)²
    pub(super) squared: f64,
    /// The first target. The mean is kept as a difference from it: rounded to the targets' spread,
    /// not to their size, so R² stays exact far from 0, and for targets that are all equal.
    pub(super) origin: f64,
    /// The mean of target − origin.
    pub(super) mean: f64,
    /// Σ (target − origin − mean)². Kept instead of Σ target², from which it would be a difference
    /// of two large numbers.
    pub(super) deviations: f64,
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
        } else if self.squared == 0.0 {
            1.0
        } else if self.deviations == 0.0 && self.squared > 0.0 {
            0.0
        } else {
            1.0 - self.squared / self.deviations
        }
    }

    /// The errors of a batch of pairs of prediction and target.
    pub(super) fn of(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
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

    /// Adds the samples of `other`.
    ///
    /// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances" (1979).
    pub(super) fn merge(&mut self, other: &Self) {
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

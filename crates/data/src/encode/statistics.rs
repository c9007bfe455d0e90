//! Means and standard deviations.

/// The mean and the scale of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) mean: f64,
    /// The standard deviation, or 1 if the feature is constant.
    pub(super) scale: f64,
}

impl Statistics {
    /// The statistics of finite values, or `None` if there are none, or their squares overflow.
    ///
    /// Two passes: squares of differences from the mean, since differences of squares cancel. The
    /// standard deviation is that of the population, and a feature is constant if its variance is
    /// within the error of its own computation: both as in scikit-learn's `StandardScaler`.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let count = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        let error = count * f64::EPSILON * variance + (count * mean * f64::EPSILON).powi(2);
        let scale = if variance <= error { 1.0 } else { variance.sqrt() };
        (mean.is_finite() && variance.is_finite()).then_some(Statistics { mean, scale })
    }

    /// Whether these can be the statistics of a feature: for values from a state.
    pub(super) fn is_valid(self) -> bool {
        self.mean.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Option<(f64, f64)> {
        Statistics::of(values.iter().copied()).map(|Statistics { mean, scale }| (mean, scale))
    }

    #[test]
    fn the_scale_is_the_standard_deviation_of_the_population() {
        assert_eq!(of(&[1.0, 3.0]), Some((2.0, 1.0)));
        assert_eq!(of(&[1e9 + 1.0, 1e9 + 3.0]), Some((1e9 + 2.0, 1.0)));
    }

    #[test]
    fn a_constant_feature_has_scale_1() {
        assert_eq!(of(&[5.0]), Some((5.0, 1.0)));
        // The sum of many 0.1 is inexact, and so is their mean.
        let (_, scale) = of(&[0.1; 1000]).unwrap();
        assert_eq!(scale, 1.0);
        assert_eq!(of(&[0.0, 1e-200]).map(|(_, scale)| scale), Some(1.0)); // squares underflow
    }

    #[test]
    fn no_values_and_overflow_have_no_statistics() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[f64::NAN, 1.0]), None);
        assert_eq!(of(&[1e200, -1e200]), None);
    }
}

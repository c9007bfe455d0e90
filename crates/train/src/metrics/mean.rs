//! The running mean.

use super::fields::{Fields, saved_floats};
use adamant_tensor::{StateDict, StateError, Stateful};

/// The mean of values that arrive as means of batches: `Σ value · count / Σ count`.
///
/// A value with a count of 0 changes nothing, even if it is NaN, as the loss of an empty batch is.
///
/// PyTorch: `torchmetrics.MeanMetric`, with `count` as `weight`.
///
/// ```
/// use adamant_train::Mean;
/// let mut loss = Mean::new();
/// loss.update(0.5f32, 3); // of a batch of 3 samples
/// loss.update(1.5f32, 1);
/// assert_eq!((loss.value(), loss.count()), (0.75, 4));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// The mean of no values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `count` values whose mean is `value`.
    pub fn update(&mut self, value: impl Into<f64>, count: usize) {
        if count > 0 {
            self.sum += value.into() * count as f64;
            self.count += count as u64;
        }
    }

    /// The mean; NaN if there are no values.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Forgets all values.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Adds the values of `other`. Metrics of shards become that of all values, up to rounding.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn read(state: &StateDict) -> Result<Self, StateError> {
        let mut fields = Fields::new(state, &["sum", "count"]);
        let (sum, count) = (fields.floats("sum", &[]), fields.count("count"));
        fields.finish(sum.zip(count).map(|(sum, count)| Mean { sum: sum[0], count }))
    }
}

/// `sum` and `count`.
impl Stateful for Mean {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("sum", saved_floats([], &[self.sum]));
        state.insert("count", self.count as i64);
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        Self::read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = Self::read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_batch_changes_nothing() {
        let mut mean = Mean::new();
        assert!(mean.value().is_nan());
        mean.update(2.0, 3);
        mean.update(f32::NAN, 0);
        assert_eq!((mean.value(), mean.count()), (2.0, 3));
    }

    #[test]
    fn small_values_are_not_lost() {
        // In `f32`, the sum stops at 2²⁴.
        let mut mean = Mean::new();
        mean.update(1.0f32, 1 << 24);
        (0..1 << 10).for_each(|_| mean.update(1.0f32, 1));
        assert_eq!(mean.value(), 1.0);
    }
}

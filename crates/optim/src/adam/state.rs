//! The state of a parameter under Adam.

use crate::algorithm::{ParameterState, zeros};
use crate::fields::Fields;
use adamant_tensor::{Array, Float};

/// The state of a parameter under [`Adam`](crate::Adam): its moments.
#[derive(Clone)]
pub struct AdamState<T: Float> {
    pub(super) exp_avg: Array<T>,
    pub(super) exp_avg_sq: Array<T>,
    pub(super) max_exp_avg_sq: Option<Array<T>>,
    /// Whether the maximum is that of bias-corrected moments.
    pub(super) max_is_corrected: bool,
}

impl<T: Float> AdamState<T> {
    /// The running mean of the gradient.
    #[must_use]
    pub fn exp_avg(&self) -> &Array<T> {
        &self.exp_avg
    }

    /// The running mean of the gradient's square.
    #[must_use]
    pub fn exp_avg_sq(&self) -> &Array<T> {
        &self.exp_avg_sq
    }

    /// The maximum that AMSGrad divides by; `None` until a step with AMSGrad.
    #[must_use]
    pub fn max_exp_avg_sq(&self) -> Option<&Array<T>> {
        self.max_exp_avg_sq.as_ref()
    }
}

impl<T: Float> ParameterState<T> for AdamState<T> {
    fn new(shape: &[usize]) -> Self {
        AdamState {
            exp_avg: zeros(shape),
            exp_avg_sq: zeros(shape),
            max_exp_avg_sq: None,
            max_is_corrected: false,
        }
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        // A gradient that overflows leaves infinity or NaN in a second moment: a run has such a
        // state, so it loads. No gradient leads below 0.
        let fits = |x: T| x >= T::ZERO || x.is_nan();
        let expected = "no element below 0";
        fields.array("exp_avg", &mut self.exp_avg);
        fields.array("exp_avg_sq", &mut self.exp_avg_sq);
        fields.require_elements("exp_avg_sq", &self.exp_avg_sq, fits, expected);
        let shape = self.exp_avg_sq.shape();
        fields.optional_array("max_exp_avg_sq", &mut self.max_exp_avg_sq, shape);
        if let Some(maximum) = &self.max_exp_avg_sq {
            fields.require_elements("max_exp_avg_sq", maximum, fits, expected);
            fields.flag_or_false("max_is_corrected", &mut self.max_is_corrected);
        }
    }
}

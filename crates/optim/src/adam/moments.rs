//! What Adam remembers of a parameter, and its place in a state.

use crate::algorithm::Memory;
use crate::count;
use adamant_tensor::{Array, Float, StateDict, StateError};
use std::borrow::Cow;

/// What Adam remembers of a parameter.
#[derive(Clone)]
pub struct Moments<T: Float> {
    pub(super) step: u64,
    pub(super) exp_avg: Array<T>,
    pub(super) exp_avg_sq: Array<T>,
    pub(super) max_exp_avg_sq: Option<Array<T>>,
    /// Whether the maximum is one of bias-corrected moments.
    pub(super) max_is_corrected: bool,
}

impl<T: Float> Moments<T> {
    /// How often the parameter has been moved.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

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

    /// With amsgrad: the largest that it has been.
    #[must_use]
    pub fn max_exp_avg_sq(&self) -> Option<&Array<T>> {
        self.max_exp_avg_sq.as_ref()
    }
}

impl<T: Float> Memory<T> for Moments<T> {
    const PARTS: &'static [&'static str] =
        &["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "max_is_corrected"];

    fn save(&self, prefix: &str, state: &mut StateDict) {
        state.insert(format!("{prefix}.step"), count::saved(self.step));
        state.insert(format!("{prefix}.exp_avg"), self.exp_avg.clone());
        state.insert(format!("{prefix}.exp_avg_sq"), self.exp_avg_sq.clone());
        if let Some(max_exp_avg_sq) = &self.max_exp_avg_sq {
            state.insert(format!("{prefix}.max_exp_avg_sq"), max_exp_avg_sq.clone());
            state.insert(format!("{prefix}.max_is_corrected"), self.max_is_corrected);
        }
    }

    fn load(
        prefix: &str,
        shape: &[usize],
        state: &StateDict,
        errors: &mut StateError,
    ) -> Option<Self> {
        let name = |part: &str| format!("{prefix}.{part}");
        let has = |part: &str| state.get(&name(part)).is_some();
        if !<Self as Memory<T>>::PARTS.iter().any(|part| has(part)) {
            return None; // never moved
        }
        let step = count::take(errors, state, &name("step"), 1);
        let exp_avg = errors.take(state.array(&name("exp_avg"), shape)).cloned();
        let mut second_moment = |part: &str| {
            let name = name(part);
            let array: &Array<T> = errors.take(state.array(&name, shape))?;
            // A gradient that overflows leaves infinity or NaN here: the run has such a state, so
            // it loads. No gradient leads below 0.
            let negative = |x: &T| *x < T::ZERO;
            let elements = match array.as_slice() {
                Some(elements) => Cow::Borrowed(elements),
                None => array.to_vec().into(),
            };
            if let Some((i, x)) = elements.iter().enumerate().find(|(_, x)| negative(x)) {
                errors.push(format!(
                    "`{name}`: found {x} at element {i}, expected no number below 0"
                ));
            }
            Some(array.clone())
        };
        let exp_avg_sq = second_moment("exp_avg_sq");
        let max_exp_avg_sq =
            if has("max_exp_avg_sq") { second_moment("max_exp_avg_sq") } else { None };
        let flag = name("max_is_corrected"); // missing from an older state
        let corrected =
            state.get(&flag).is_some() && errors.take(state.bool(&flag)).unwrap_or(false);
        Some(Moments {
            step: step?,
            exp_avg: exp_avg?,
            exp_avg_sq: exp_avg_sq?,
            max_exp_avg_sq,
            max_is_corrected: corrected,
        })
    }
}

//! What an optimizer refuses.

use std::fmt;
use thiserror::Error;

/// Why an optimizer, a group or a limit of gradients was refused; nothing was changed.
///
/// A schedule with a number out of its range panics instead: see [`Scheduler`](crate::Scheduler).
#[derive(Clone, PartialEq, Error)]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("{place}: {name} is {found}; expected {expected}")]
    Hyperparameter {
        /// Where: `parameter group 1`, `clip_grad_norm`.
        place: String,
        /// The hyperparameter.
        name: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// A hyperparameter that the optimizer does not have.
    #[error("parameter group {group}: {optimizer} has no {name}")]
    Unknown {
        /// The group's position.
        group: usize,
        /// The optimizer.
        optimizer: &'static str,
        /// The hyperparameter.
        name: &'static str,
    },
    /// A group without parameters, or no group.
    #[error("parameter group {group} has no parameters; expected at least one")]
    NoParameters {
        /// The group's position.
        group: usize,
    },
    /// The same parameter twice.
    #[error("parameter group {group}: {parameter} is also in group {other}; expected each once")]
    Duplicate {
        /// The group's position.
        group: usize,
        /// The parameter, by position, name and shape.
        parameter: String,
        /// The group that has it already.
        other: usize,
    },
    /// Names that do not tell parameters apart.
    #[error("parameter group {group}: {found}; expected a name of its own for each, or for none")]
    Names {
        /// The group's position.
        group: usize,
        /// What is there.
        found: String,
    },
    /// Gradients whose norm is infinite or NaN.
    #[error("clip_grad_norm: the norm of the gradients is {norm}; expected a finite number")]
    NonFiniteNorm {
        /// The norm.
        norm: f64,
    },
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for OptimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `Ok` if the value `fits`.
pub(crate) fn check(
    place: &str,
    name: &'static str,
    found: impl fmt::Display,
    fits: bool,
    expected: &'static str,
) -> Result<(), OptimError> {
    if fits {
        return Ok(());
    }
    Err(OptimError::Hyperparameter {
        place: place.into(),
        name,
        found: found.to_string(),
        expected,
    })
}

/// NaN is not at least 0, and infinity is no rate.
pub(crate) fn at_least_0(place: &str, name: &'static str, x: f64) -> Result<(), OptimError> {
    check(place, name, x, x >= 0.0 && x.is_finite(), "a finite number of at least 0")
}

pub(crate) fn below_1(place: &str, name: &'static str, x: f64) -> Result<(), OptimError> {
    check(place, name, x, (0.0..1.0).contains(&x), "a number from 0 to below 1")
}

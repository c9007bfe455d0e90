//! What an optimizer refuses.

use std::fmt;
use thiserror::Error;

/// Why an optimizer or a group was refused; nothing was changed.
#[derive(Clone, PartialEq, Error)]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("parameter group {group}: {name} is {found}; expected {expected}")]
    Hyperparameter {
        /// The group's position.
        group: usize,
        /// The hyperparameter.
        name: &'static str,
        /// Its value.
        found: f64,
        /// What would do.
        expected: &'static str,
    },
    /// A group without parameters.
    #[error("parameter group {group} has no parameters; expected at least one")]
    NoParameters {
        /// The group's position.
        group: usize,
    },
    /// The same parameter twice.
    #[error(
        "parameter {index} (shape {shape:?}) of parameter group {group} is also in group {other}; \
         expected each parameter once"
    )]
    Duplicate {
        /// The group's position.
        group: usize,
        /// The parameter's position in it.
        index: usize,
        /// The parameter's shape.
        shape: Vec<usize>,
        /// The group that has it already.
        other: usize,
    },
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for OptimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

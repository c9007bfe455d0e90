//! The errors of optimizers.

use thiserror::Error;

/// Why an optimizer, a group or gradients were refused; nothing was changed.
///
/// The hyperparameters of a schedule are part of the program: its constructors panic. See
/// [`Scheduler`](crate::Scheduler).
#[derive(Clone, PartialEq, Error)]
pub enum OptimError {
    /// A hyperparameter outside its range.
    #[error("{context}: {name} is {found}; expected {expected}")]
    Hyperparameter {
        /// The group or schedule: `parameter group 1`.
        context: String,
        /// The hyperparameter.
        name: String,
        /// Its value.
        found: String,
        /// The range, or the kind of value.
        expected: String,
    },
    /// A hyperparameter that the optimizer does not have.
    #[error("parameter group {group}: {optimizer} has no {name}")]
    Unknown {
        /// The group's index.
        group: usize,
        /// The optimizer.
        optimizer: &'static str,
        /// The hyperparameter.
        name: String,
    },
    /// No group.
    #[error("no parameter groups; expected at least one")]
    NoGroups,
    /// A group without parameters.
    #[error("parameter group {group} has no parameters; expected at least one")]
    NoParameters {
        /// The group's index.
        group: usize,
    },
    /// A parameter that appears twice.
    #[error("parameter group {group}: {parameter} is also in group {other}; expected each once")]
    Duplicate {
        /// The group's index.
        group: usize,
        /// The parameter, by index, name and shape.
        parameter: String,
        /// The group that has it already.
        other: usize,
    },
    /// Names that do not distinguish the parameters.
    #[error("parameter group {group}: {found}; expected distinct names for all, or for none")]
    Names {
        /// The group's index.
        group: usize,
        /// A description of the names.
        found: String,
    },
    /// Gradients whose norm is infinite or NaN.
    #[error(
        "clip_grad_norm_if_finite: the norm of the gradients is {norm}; expected a finite norm"
    )]
    NonFiniteNorm {
        /// The norm.
        norm: f64,
    },
}

adamant_tensor::debug_as_display!(OptimError);

impl OptimError {
    /// The group, as the context of an error.
    pub(crate) fn context(group: usize) -> String {
        format!("parameter group {group}")
    }
}

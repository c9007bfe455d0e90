//! The error of a value that was read but cannot be used.

use thiserror::Error;

/// Why a value of the data cannot be used: where it is, what was found and what was expected.
///
/// ```
/// use adamant_data::Table;
/// let table = Table::new().with_numbers("age", [Some(31.0), None]);
/// let error = table.floats("age").unwrap_err();
/// assert_eq!(error.to_string(), "row 1, column `age`: found no value, expected a number");
/// ```
#[derive(Error, Clone, PartialEq, Eq)]
#[error("{at}: found {found}, expected {expected}")]
pub struct ValueError {
    /// The file, line, row or column.
    pub at: String,
    /// A description of what was found.
    pub found: String,
    /// A description of what was expected.
    pub expected: String,
}

adamant_tensor::debug_as_display!(ValueError);

impl ValueError {
    pub(crate) fn new(
        at: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        ValueError { at: at.into(), found: found.into(), expected: expected.into() }
    }
}

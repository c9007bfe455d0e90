//! Why bytes are not a file of a format.

use crate::FileError;
use std::path::Path;

/// What was found and what was expected: a [`FileError::Format`] without the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// A description of what was found.
    pub found: String,
    /// A description of what was expected.
    pub expected: String,
}

impl FormatError {
    /// The error with these descriptions.
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        FormatError { found: found.into(), expected: expected.into() }
    }

    /// The error of a file.
    #[must_use]
    pub fn at(self, path: &Path) -> FileError {
        FileError::format(path, self.found, self.expected)
    }
}

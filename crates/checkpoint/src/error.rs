//! What is wrong with a file.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file could not be written or read.
#[derive(Error)]
pub enum FileError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The file is of a version of the format that is not known here; it may well be whole.
    #[error("{}: found version {found} of the format, expected {}, which this adamant knows", path.display(), crate::format::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        found: u32,
    },
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FileError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        FileError::Io { path: path.into(), source }
    }

    pub(crate) fn format(
        path: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        FileError::Format { path: path.into(), found: found.into(), expected: expected.into() }
    }
}

//! What is wrong with a file.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file could not be written or read.
#[derive(Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not what it should be, or what was to be written cannot be a file of its format.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// The file has a version of its format that this program does not know; it may be intact.
    #[error("{}: found version {found} of the format, expected {expected}, which this adamant knows", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        expected: u32,
    },
    /// The folder is locked by another user of it.
    #[error("{}: found a folder in use by {holder}, expected one that no other run uses", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who uses it, as far as it is known.
        holder: String,
    },
}

/// The same text as `Display`: Rust prints it when `main` returns an error, and in `unwrap`.
impl fmt::Debug for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FileError {
    /// An error of the system.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        FileError::Io { path: path.into(), source }
    }

    /// A file that is not what it should be.
    pub fn format(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        FileError::Format { path: path.into(), found: found.into(), expected: expected.into() }
    }
}

//! The error of every reader and writer.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file could not be written or read.
#[derive(Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is damaged or of another kind, or the format cannot hold the data to be written.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// A description of what was found.
        found: String,
        /// A description of what was expected.
        expected: String,
    },
    /// The file has a version of its format that this program does not support; it may be intact.
    #[error("{}: found version {found} of the format, expected {expected}, the newest that this adamant supports", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest supported version.
        expected: u32,
    },
    /// Another process, or another object of this process, has locked the folder.
    #[error("{}: found a folder in use by {holder}, expected one that no other run uses", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The holder of the lock, as far as known.
        holder: String,
    },
}

/// The same text as `Display`: `unwrap`, and a `main` that returns an error, print `Debug`.
impl fmt::Debug for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FileError {
    /// An error of the operating system.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        FileError::Io { path: path.into(), source }
    }

    /// A file whose contents are not as expected.
    pub fn format(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        FileError::Format { path: path.into(), found: found.into(), expected: expected.into() }
    }
}

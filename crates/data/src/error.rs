//! What is wrong with data from outside.

use adamant_tensor::Shape;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why data could not be used.
#[derive(Error)]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// Bytes that do not make a sample for each target.
    #[error("found {bytes} bytes for {targets} targets, expected {shape} for each")]
    Bytes {
        /// The shape of a sample.
        shape: Shape,
        /// The number of bytes.
        bytes: usize,
        /// The number of targets.
        targets: usize,
    },
    /// Samples and targets that do not belong together.
    #[error("found {targets} targets for {samples} samples, expected one for each")]
    Lengths {
        /// The number of samples.
        samples: usize,
        /// The number of targets.
        targets: usize,
    },
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl DataError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        DataError::Io { path: path.into(), source }
    }

    pub(crate) fn format(
        path: &Path,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        DataError::Format { path: path.into(), found: found.into(), expected: expected.into() }
    }
}

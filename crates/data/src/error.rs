//! Samples and targets that do not fit.

use adamant_tensor::Shape;
use std::fmt;
use thiserror::Error;

/// Why samples and targets are no data set.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataError {
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
    /// A number of targets that is not the number of samples.
    #[error("found {targets} targets for {samples} samples, expected one for each")]
    Lengths {
        /// The number of samples.
        samples: usize,
        /// The number of targets.
        targets: usize,
    },
}

/// The same text as `Display`: Rust prints it when `main` returns an error, and in `unwrap`.
impl fmt::Debug for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

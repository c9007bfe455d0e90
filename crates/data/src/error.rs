//! The error of samples and targets that do not match.

use adamant_tensor::Shape;
use thiserror::Error;

/// Why samples and targets do not make a data set.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataError {
    /// The bytes do not make one sample for each target.
    #[error("Dataset: found {bytes} bytes for {targets} targets, expected {shape} for each")]
    Bytes {
        /// The shape of a sample.
        shape: Shape,
        /// The number of bytes.
        bytes: usize,
        /// The number of targets.
        targets: usize,
    },
    /// The numbers of samples and targets differ.
    #[error("Dataset: found {targets} targets for {samples} samples, expected one for each")]
    Lengths {
        /// The number of samples.
        samples: usize,
        /// The number of targets.
        targets: usize,
    },
}

adamant_tensor::debug_as_display!(DataError);

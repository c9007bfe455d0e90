//! Why a sample or a batch could not be made.

use crate::value_error::ValueError;
use adamant_files::FileError;
use adamant_tensor::Shape;
use std::error::Error as StdError;
use thiserror::Error;

/// Why data could not be loaded.
///
/// A data set written elsewhere returns its own errors by [`DataError::other`], or by `?` from an
/// [`std::io::Error`], a [`FileError`], a [`ValueError`] or a string.
#[derive(Error)]
#[non_exhaustive]
pub enum DataError {
    /// The sample at this index could not be loaded.
    #[error("sample {index}: {source}")]
    Sample {
        /// Its index in the data set of the loader.
        index: usize,
        /// The reason.
        source: Box<DataError>,
    },
    /// The batch of this number could not be made of its samples.
    #[error("batch {number} of the epoch: {source}")]
    Batch {
        /// Its position in the epoch, from 0.
        number: usize,
        /// The reason.
        source: Box<DataError>,
    },
    /// A field of a sample could not be collated.
    #[error("field `{name}`: {source}")]
    Field {
        /// The field's name.
        name: &'static str,
        /// The reason.
        source: Box<DataError>,
    },
    /// A sample does not have the shape of the first sample of its batch.
    #[error("found shape {found}, expected {expected}, that of the first sample of its batch")]
    Shape {
        /// The position of the sample within the batch.
        position: usize,
        /// Its shape.
        found: Shape,
        /// The shape of the first sample.
        expected: Shape,
    },
    /// The bytes are not a multiple of the bytes of a sample.
    #[error("ByteRows: found {bytes} bytes, expected a multiple of {shape}")]
    Bytes {
        /// The shape of a sample.
        shape: Shape,
        /// The number of bytes.
        bytes: usize,
    },
    /// The numbers of inputs and targets differ.
    #[error("TensorDataset: found {targets} targets for {inputs} inputs, expected one for each")]
    Lengths {
        /// The number of inputs.
        inputs: usize,
        /// The number of targets.
        targets: usize,
    },
    /// The data set cannot be used as requested: it is empty, too small, or has other labels.
    #[error("{operation}: found {found}, expected {expected}")]
    Unfit {
        /// The function.
        operation: &'static str,
        /// A description of what was found.
        found: String,
        /// A description of what was expected.
        expected: String,
    },
    /// The code that loads a sample panicked with this message.
    #[error("panicked: {message}")]
    Panic {
        /// The message of the panic.
        message: String,
    },
    /// A value was read, but cannot be used.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An error of the code that loads a sample.
    #[error(transparent)]
    Other(Box<dyn StdError + Send + Sync>),
}

adamant_tensor::debug_as_display!(DataError);

impl DataError {
    /// Any error, or a message.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        DataError::Other(error.into())
    }

    /// The error of this field of a sample; used by `#[derive(Collate)]`.
    #[must_use]
    pub fn in_field(self, name: &'static str) -> Self {
        DataError::Field { name, source: self.into() }
    }

    /// The index of the sample that could not be loaded, if there is one.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        match self {
            DataError::Sample { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The error of this sample.
    pub(crate) fn of_sample(self, index: usize) -> Self {
        DataError::Sample { index, source: self.into() }
    }

    /// The error of collating the samples at these indices, which names the sample.
    pub(crate) fn of_batch(self, indices: &[usize]) -> Self {
        match self.position().and_then(|position| indices.get(position)) {
            Some(&index) => self.of_sample(index),
            None => self,
        }
    }

    /// The error of this batch, unless it is that of a sample.
    pub(crate) fn of_batch_number(self, number: usize) -> Self {
        match self {
            DataError::Sample { .. } => self,
            error => DataError::Batch { number, source: error.into() },
        }
    }

    /// Whether the code that loads a sample panicked.
    pub(crate) fn is_panic(&self) -> bool {
        match self {
            DataError::Panic { .. } => true,
            DataError::Sample { source, .. } => source.is_panic(),
            _ => false,
        }
    }

    /// The position within the batch of the sample that does not fit.
    fn position(&self) -> Option<usize> {
        match self {
            DataError::Shape { position, .. } => Some(*position),
            DataError::Field { source, .. } => source.position(),
            _ => None,
        }
    }
}

impl From<std::io::Error> for DataError {
    fn from(error: std::io::Error) -> Self {
        Self::other(error)
    }
}

impl From<String> for DataError {
    fn from(message: String) -> Self {
        Self::other(message)
    }
}

impl From<&str> for DataError {
    fn from(message: &str) -> Self {
        Self::other(message)
    }
}

//! The error of a reader that does not know the name of its file.

use adamant_files::{FileError, FormatError};
use std::io;
use std::path::Path;

/// A [`FileError`] without the file's name.
pub(crate) enum ReadError {
    Io(io::Error),
    Version { found: u32, expected: u32 },
    Format(FormatError),
}

impl ReadError {
    /// The error of a file.
    pub(crate) fn at(self, path: &Path) -> FileError {
        match self {
            ReadError::Io(source) => FileError::io(path, source),
            ReadError::Version { found, expected } => {
                FileError::Version { path: path.into(), found, expected }
            }
            ReadError::Format(error) => error.at(path),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<FormatError> for ReadError {
    fn from(error: FormatError) -> Self {
        ReadError::Format(error)
    }
}

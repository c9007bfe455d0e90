//! An error without the file's name.

use adamant_files::{FileError, FormatError};
use std::io;
use std::path::Path;

/// The kind of file, for messages.
pub(super) const EXPECTED: &str = "a state dict of torch.save";

pub(super) enum Fault {
    Io(io::Error),
    Format(FormatError),
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> FileError {
        match self {
            Fault::Io(source) => FileError::io(path, source),
            Fault::Format(error) => error.at(path),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        Fault::Format(error)
    }
}

/// The error of a file whose parts do not match.
pub(super) fn damaged(detail: impl std::fmt::Display) -> FormatError {
    FormatError::new(format!("damage ({detail})"), EXPECTED)
}

/// The start of an untrusted text, without control characters: for messages.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let shown: String = text.chars().take(LONGEST).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", shown.escape_debug())
}

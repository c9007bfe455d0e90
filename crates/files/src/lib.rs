//! The common parts of all readers and writers of files: the error type, opening regular files
//! only, and recognizing a file of another kind.
//!
//! This crate knows nothing about a file's contents beyond its first bytes.

#![forbid(unsafe_code)]

mod error;
mod format_error;
mod host;
mod kind;
mod open;

pub use crate::error::FileError;
pub use crate::format_error::FormatError;
pub use crate::host::host_name;
pub use crate::kind::{START, is_safetensors, other_kind};
pub use crate::open::{check_is_file, open};

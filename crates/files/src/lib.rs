//! The common parts of all readers and writers of files: the error type, opening regular files
//! only, recognizing a file of another kind, and replacing a file atomically.
//!
//! This crate knows nothing about a file's contents beyond its first bytes.

#![forbid(unsafe_code)]

mod atomic;
mod error;
mod faults;
mod format_error;
mod host;
mod kind;
mod open;

pub use crate::atomic::{create_folder, remove_stale, try_lock, write_atomically};
pub use crate::error::FileError;
#[doc(hidden)]
pub use crate::faults::call;
#[cfg(any(test, feature = "faults"))]
#[doc(hidden)]
pub use crate::faults::failing;
pub use crate::format_error::FormatError;
pub use crate::host::host_name;
pub use crate::kind::{Kind, Opened, START, other_kind};
pub use crate::open::{check_is_file, open};

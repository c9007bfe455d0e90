//! What all readers and writers of files share: one error type, opening a file without
//! surprises, and recognising a file of another kind.
//!
//! This crate refuses to know the contents of any file beyond its first bytes.

#![forbid(unsafe_code)]

mod error;
mod kind;
mod open;

pub use crate::error::FileError;
pub use crate::kind::{START, is_safetensors, other_kind};
pub use crate::open::{check_is_file, open};

//! State in files.
//!
//! What is saved is a [`StateDict`](adamant_tensor::StateDict); this crate
//! refuses to know whose it is. A file is written beside its target and then
//! renamed, so that there is a whole file at any moment.

#![forbid(unsafe_code)]

mod error;
mod safetensors;

pub use crate::error::FileError;
pub use crate::safetensors::{load_safetensors, save_safetensors};

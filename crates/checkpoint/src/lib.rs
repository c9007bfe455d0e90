//! State in files.
//!
//! * A [`Checkpoint`] is a whole run in one file: model, optimizer, schedule, loader, generators.
//! * A [`CheckpointManager`] keeps a folder of them while a run goes on.
//! * [`save_safetensors`] and [`load_safetensors`] exchange weights with PyTorch.
//!
//! What is saved is a [`StateDict`](adamant_tensor::StateDict); this crate
//! refuses to know whose it is. A file is written beside its target and then
//! renamed, so that there is a whole file at any moment. What is read is believed
//! in nothing: see `docs/checkpoint-format.md`.

#![forbid(unsafe_code)]

mod atomic;
mod container;
mod folder;
mod format;
mod limits;
mod lock;
mod manager;
mod payload;
mod read;
mod safetensors;
mod write;

pub use crate::container::{Checkpoint, PartialRestore};
pub use crate::manager::CheckpointManager;
pub use crate::safetensors::{load_safetensors, save_safetensors};
pub use adamant_files::FileError;

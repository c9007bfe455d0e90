//! State in files.
//!
//! * A [`Checkpoint`] is a whole run in one file: model, optimizer, schedule, loader, generators.
//! * A [`CheckpointManager`] maintains a folder of checkpoints during a run.
//! * [`write_atomically`] replaces any file: the complete new one, or the unchanged old one.
//! * [`save_safetensors`] and [`load_safetensors`] exchange weights with PyTorch.
//!
//! This crate saves any [`StateDict`](adamant_tensor::StateDict) and does not know whose it is. A
//! file is written next to its target and then renamed, so that the target is complete at any
//! moment. A reader trusts nothing in a file: see `docs/checkpoint-format.md`.

#![forbid(unsafe_code)]

mod container;
mod folder;
mod format;
mod limits;
mod lock;
mod manager;
mod payload;
mod read;
mod safetensors;
mod search;
mod write;

pub use crate::container::{Checkpoint, PartialRestore};
#[doc(hidden)]
pub use crate::lock::NAME as LOCK;
pub use crate::manager::CheckpointManager;
pub use crate::safetensors::{load_safetensors, save_safetensors};
pub use crate::search::{Order, find_checkpoint};
pub use adamant_files::{FileError, write_atomically};

//! State in files.
//!
//! * A [`Checkpoint`] is a whole run in one file: model, optimizer, schedule, loader, generators.
//! * A [`CheckpointManager`] maintains a folder of checkpoints during a run.
//! * [`write_atomically`] replaces any file: the complete new one, or the unchanged old one.
//! * [`Weights`] lists and reads the files of others: safetensors, PyTorch's, GGUF, and sharded models.
//! * [`save_safetensors`] and [`load_safetensors`], [`save_pt`] and [`load_pt`] exchange whole states
//!   with PyTorch.
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
mod read_error;
mod search;
mod weights;
mod write;

pub use crate::container::{Checkpoint, PartialRestore};
#[doc(hidden)]
pub use crate::lock::NAME as LOCK;
pub use crate::manager::CheckpointManager;
pub use crate::search::{Order, find_checkpoint};
pub use crate::weights::{
    MetadataArray, MetadataValue, SavedType, StoredType, TensorEntry, Weights, WeightsFormat,
    load_pt, load_safetensors, save_pt, save_safetensors, save_safetensors_as,
};
pub use adamant_files::{FileError, write_atomically};

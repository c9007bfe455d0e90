//! State in files.
//!
//! * A [`Checkpoint`] is a whole run in one file: model, optimizer, schedule, loader, generators.
//! * A [`CheckpointManager`] maintains a folder of checkpoints during a run.
//! * [`write_atomically`] replaces any file: the complete new one, or the unchanged old one.
//! * [`save_safetensors`] and [`load_safetensors`] exchange weights with PyTorch.
//! * [`load_pt`] and [`save_pt`] read and write the files of `torch.save`.
//!
//! This crate saves any [`StateDict`](adamant_tensor::StateDict) and does not know whose it is. A
//! file is written next to its target and then renamed, so that the target is complete at any
//! moment. A reader trusts nothing in a file: see `docs/checkpoint-format.md`.

#![forbid(unsafe_code)]

mod atomic;
mod container;
mod folder;
mod format;
mod limits;
mod lock;
mod manager;
mod payload;
mod pt;
mod read;
mod safetensors;
mod write;

pub use crate::atomic::write_atomically;
pub use crate::container::{Checkpoint, PartialRestore};
#[doc(hidden)]
pub use crate::lock::host_name;
pub use crate::manager::CheckpointManager;
pub use crate::pt::{load_pt, save_pt};
pub use crate::safetensors::{load_safetensors, save_safetensors};
pub use adamant_files::FileError;

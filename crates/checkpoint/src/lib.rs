//! State in files.
//!
//! * A [`Checkpoint`] is a whole run in one file: model, optimizer, schedule, loader, generators.
//! * A [`CheckpointManager`] maintains a folder of checkpoints during a run.
//! * [`write_atomically`] replaces any file: the complete new one, or the unchanged old one.
//! * [`save_safetensors`] and [`load_safetensors`] exchange weights with PyTorch; [`SafeTensors`] reads
//!   chosen tensors of a file or a sharded model.
//! * [`Gguf`] reads the files of llama.cpp.
//! * [`load_pt`] and [`save_pt`] read and write the files of `torch.save`.
//!
//! This crate saves any [`StateDict`](adamant_tensor::StateDict) and does not know whose it is. A
//! file is written next to its target and then renamed, so that the target is complete at any
//! moment. A reader trusts nothing in a file: see `docs/checkpoint-format.md`.

#![forbid(unsafe_code)]

mod blocks;
mod container;
mod decode;
mod folder;
mod format;
mod gguf;
mod half;
mod limits;
mod lock;
mod manager;
mod payload;
mod pt;
mod read;
mod read_error;
mod safetensors;
mod search;
mod stored;
mod tensor_files;
mod write;

pub use crate::container::{Checkpoint, PartialRestore};
pub use crate::gguf::{Gguf, GgufArray, GgufValue};
#[doc(hidden)]
pub use crate::lock::NAME as LOCK;
pub use crate::manager::CheckpointManager;
pub use crate::pt::{load_pt, save_pt};
pub use crate::safetensors::{
    SafeTensors, SavedType, load_safetensors, save_safetensors, save_safetensors_as,
};
pub use crate::search::{Order, find_checkpoint};
pub use crate::stored::StoredType;
pub use crate::tensor_files::TensorEntry;
pub use adamant_files::{FileError, write_atomically};

//! Data sets: from files to batches.
//!
//! [`Mnist`] reads IDX files, a [`Dataset`] is samples with targets, and a
//! [`DataLoader`] makes batches of it in a seeded order. This crate refuses to
//! know models and optimizers.

#![forbid(unsafe_code)]

mod dataset;
mod error;
mod idx;
mod loader;
mod mnist;

pub use adamant_files::FileError;
pub use dataset::{Batch, Dataset};
pub use error::DataError;
pub use idx::{Idx, read_idx};
pub use loader::{DataLoader, Epoch};
pub use mnist::Mnist;

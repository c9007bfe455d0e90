//! Data sets: from files to batches.
//!
//! [`Mnist`] reads IDX files, a [`Dataset`] holds samples with targets, and a [`DataLoader`] makes
//! batches of them in a seeded order. This crate does not know models or optimizers.

#![forbid(unsafe_code)]

mod dataset;
mod encode;
mod error;
mod idx;
mod input;
mod loader;
mod mnist;
mod table;
mod value_error;

pub use adamant_files::FileError;
pub use dataset::{Batch, Dataset};
pub use encode::{Standardize, TableEncoder};
pub use error::DataError;
pub use idx::{Idx, read_idx};
pub use loader::{DataLoader, Epoch};
pub use mnist::Mnist;
pub use table::{Classes, Csv, SkippedLines, Table};
pub use value_error::ValueError;

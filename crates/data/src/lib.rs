//! Data sets: from files to batches.
//!
//! [`Mnist`] reads IDX files, a [`Dataset`] holds samples with targets, and a [`DataLoader`] makes
//! batches of them in a seeded order. This crate does not know models or optimizers.

#![forbid(unsafe_code)]

mod cifar;
mod dataset;
mod encode;
mod error;
mod idx;
mod input;
mod loader;
mod mnist;
mod npy;
mod table;
mod text;
mod value_error;

pub use adamant_files::FileError;
pub use cifar::{CIFAR10_CLASSES, CifarImages, read_cifar10, read_cifar10_folder};
pub use dataset::{Batch, Dataset};
pub use encode::{Standardize, TableEncoder};
pub use error::DataError;
pub use idx::{Idx, read_idx};
pub use loader::{DataLoader, Epoch};
pub use mnist::Mnist;
pub use npy::{Npy, NpyElements, Npz};
pub use table::{Classes, Csv, SkippedLines, Table};
pub use text::{CharVocabulary, read_text};
pub use value_error::ValueError;

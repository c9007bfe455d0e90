//! From your own data to batches.
//!
//! * A [`Dataset`] is samples by index; anything can be one. [`TensorDataset`], [`ByteRows`],
//!   [`TokenWindows`] and [`Mnist`] are the ones here.
//! * [`map`](Dataset::map), [`subset`](Dataset::subset), [`chain`](Dataset::chain),
//!   [`random_split`], [`stratified_split`] and [`k_fold`] make others of them.
//! * [`Image`]s come from [`Cifar10`] or, with the feature `image`, from folders of PNG and JPEG
//!   files; [`RandomCrop`] and others transform them at random.
//! * [`Collate`] makes a batch of samples.
//! * A [`DataLoader`] yields the batches of each epoch in the order of a [`Sampler`], loaded by
//!   threads if requested.
//!
//! This crate does not know models or optimizers.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod bytes;
mod chain;
mod cifar10;
mod collate;
mod dataset;
mod encode;
mod error;
mod idx;
mod images;
mod input;
mod loader;
mod map;
mod messages;
mod mix_up;
mod mnist;
mod npy;
mod padding;
mod sampler;
mod source;
mod split;
mod subset;
mod table;
mod tensors;
mod text;
mod value_error;
mod windows;

pub use adamant_files::FileError;
pub use bytes::{ByteRow, ByteRows};
pub use chain::Chain;
pub use cifar10::Cifar10;
pub use collate::{Batch, Collate};
pub use dataset::{Dataset, Labeled};
pub use encode::{Standardize, TableEncoder};
pub use error::DataError;
pub use idx::{Idx, read_idx};
#[cfg(feature = "image")]
pub use images::ImageFolder;
pub use images::{
    ColorJitter, Image, PaddingMode, RandomCrop, RandomErasing, RandomHorizontalFlip,
    RandomResizedCrop,
};
pub use loader::{DataLoader, Epoch, ShardBatch, Shards, TryEpoch};
pub use map::Map;
pub use mix_up::MixUp;
pub use mnist::{LabeledImages, Mnist};
pub use npy::{Npy, NpyElements, Npz};
pub use padding::{Padded, pad_indices, pad_tensors};
pub use sampler::{
    RandomSampler, Sampler, SequentialSampler, SimilarLengthSampler, StratifiedSampler,
    WeightedRandomSampler,
};
pub use source::{Augmented, IntoSource, Source};
pub use split::{Fold, k_fold, random_split, stratified_split};
pub use subset::Subset;
pub use table::{Classes, Csv, SkippedLines, Table};
pub use tensors::TensorDataset;
pub use text::{CharVocabulary, read_text};
pub use value_error::ValueError;
pub use windows::{TokenWindow, TokenWindows};

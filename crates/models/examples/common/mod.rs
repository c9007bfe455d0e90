//! What the examples share, some of it with those of the whole repository.

#![allow(dead_code, unused_imports)] // each example uses a part of it

pub(crate) mod images;
pub(crate) mod language;
pub(crate) mod plays;
#[path = "../../../../examples/common/run_args.rs"]
pub(crate) mod run_args;
pub(crate) mod sentences;

pub(crate) use run_args::{RunArgs, count, rate};

/// The error of an example.
pub(crate) type Failure = Box<dyn std::error::Error>;

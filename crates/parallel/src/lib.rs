//! Data-parallel training: the same bits on any number of processes.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod coroutine;
mod data_parallel;
mod exchange;
mod generators;
mod gradients;
mod norm;
mod order;
mod statistics;
mod synchronized;
mod tree;

pub use adamant_transport::{Alone, Frame, Pending, Transport, TransportError, run_threads};
pub use data_parallel::DataParallel;

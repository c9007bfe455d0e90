//! Data-parallel training: the same bits on any number of processes.

#![forbid(unsafe_code)]

mod frame;
mod threads;
mod transport;

pub use frame::Frame;
pub use threads::run_threads;
pub use transport::{Alone, Pending, Transport, TransportError};

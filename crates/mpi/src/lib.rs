//! Processes that exchange bytes over MPI: a [`Transport`](adamant_transport::Transport) for training
//! on many machines.
//!
//! The crate is empty without its feature `mpi`, which needs an MPI library and libclang
//! (docs/distributed.md).

#![forbid(unsafe_code)]

#[cfg(feature = "mpi")]
mod engine;
#[cfg(feature = "mpi")]
mod operation;
#[cfg(feature = "mpi")]
mod transport;

#[cfg(feature = "mpi")]
pub use transport::Mpi;

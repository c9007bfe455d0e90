//! How processes that train one model exchange bytes, and which elements belong to which of them.

#![forbid(unsafe_code)]

mod frame;
mod partition;
mod threads;
mod transport;

pub use frame::Frame;
pub use partition::{BLOCK, CHUNK, Chunk, Partition, Segment, chunks};
pub use threads::run_threads;
pub use transport::{Alone, Pending, Transport, TransportError};

//! How processes exchange bytes.

use crate::frame::Frame;
use std::fmt;
use thiserror::Error;

/// A process of a group, and its connection to the others.
///
/// Every process calls the same functions in the same order: the *n*-th call of one belongs to the
/// *n*-th of the others. A call returns at once; the result is [waited for](Pending::wait), so that
/// several exchanges can be in progress while the process computes. Lengths are in bytes and agree
/// on all processes.
///
/// PyTorch: `torch.distributed` with a `ProcessGroup`.
pub trait Transport: Send + Sync {
    /// The index of this process, from 0 on.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn ranks(&self) -> usize;

    /// Sends the first `counts[0]` bytes of `frame` to rank 0, the next `counts[1]` to rank 1, and so
    /// on. The result contains the bytes for this rank, `lengths[r]` from each rank `r`, one after
    /// another.
    ///
    /// PyTorch: `torch.distributed.all_to_all_single`.
    fn all_to_all(&self, frame: Frame, counts: &[usize], lengths: &[usize]) -> Pending;

    /// The frames of all ranks, one after another: `lengths[r]` bytes from each rank `r`.
    ///
    /// PyTorch: `torch.distributed.all_gather`.
    fn all_gather(&self, frame: Frame, lengths: &[usize]) -> Pending;

    /// The frame of rank `root`. Those of the others have the same length, and are dropped.
    ///
    /// PyTorch: `torch.distributed.broadcast`.
    fn broadcast(&self, root: usize, frame: Frame) -> Pending;

    /// Ends all ranks, after an error of this one alone: the others would wait for its next call until
    /// the time limit. The default only prints the reason, for a transport from which the others learn
    /// that a rank has ended.
    ///
    /// MPI: `MPI_Abort`.
    fn abort(&self, reason: &str) {
        eprintln!("rank {}: {reason}", self.rank());
    }

    /// Ends when every rank has called it.
    ///
    /// PyTorch: `torch.distributed.barrier`.
    fn barrier(&self) -> Pending {
        self.all_gather(Frame::default(), &vec![0; self.ranks()])
    }
}

/// An exchange in progress.
#[must_use = "an exchange is complete only after `wait`"]
pub struct Pending(Box<dyn FnOnce() -> Result<Frame, TransportError> + Send>);

impl Pending {
    /// An exchange whose result `wait` waits for.
    pub fn new(wait: impl FnOnce() -> Result<Frame, TransportError> + Send + 'static) -> Self {
        Pending(Box::new(wait))
    }

    /// The result, once it is available.
    ///
    /// # Errors
    /// If another process has ended, does not answer in time, or called something else.
    pub fn wait(self) -> Result<Frame, TransportError> {
        self.0()
    }
}

/// Why processes could not exchange bytes. The state of a training is incomplete after it: it ends,
/// and resumes from its last checkpoint.
#[derive(Clone, Error)]
#[error("rank {rank}: {operation}: found {found}, expected {expected}")]
pub struct TransportError {
    /// The process that reports it.
    pub rank: usize,
    /// The function of [`Transport`].
    pub operation: &'static str,
    /// A description of what was found.
    pub found: String,
    /// A description of what was expected.
    pub expected: String,
}

/// The same text as `Display`: `unwrap`, and a `main` that returns an error, print `Debug`.
impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The only process of its group: the transport of a training without others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Transport for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn all_to_all(&self, frame: Frame, _counts: &[usize], _lengths: &[usize]) -> Pending {
        Pending::new(|| Ok(frame))
    }

    fn all_gather(&self, frame: Frame, _lengths: &[usize]) -> Pending {
        Pending::new(|| Ok(frame))
    }

    fn broadcast(&self, _root: usize, frame: Frame) -> Pending {
        Pending::new(|| Ok(frame))
    }
}

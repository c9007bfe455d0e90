//! The memory that tensors hold.

use crate::arrays::storage::{self, PoolStats};
use crate::tape::node::live_nodes;

/// The memory held by all tensors of the process, from [`memory_stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes of buffers held by tensors, parameters and saved values. Elements of 32 bytes or less
    /// in total have no buffer and are not counted.
    pub live_bytes: usize,
    /// The maximum of `live_bytes` since the start or the last [`reset_peak_memory_stats`].
    pub peak_bytes: usize,
    /// Bytes of free buffers, kept for reuse.
    pub free_bytes: usize,
    /// The number of nodes of the tape: leaves and recorded operations.
    pub live_nodes: usize,
}

/// The memory that all tensors of the process hold now.
///
/// PyTorch: `torch.cuda.memory_stats()`, for the CPU.
///
/// ```
/// use adamant_tensor::{Tensor, memory_stats};
/// let before = memory_stats().live_bytes;
/// let x = Tensor::<f32>::zeros([1024, 1024]);
/// assert!(memory_stats().live_bytes >= before + 4 * 1024 * 1024);
/// ```
#[must_use]
pub fn memory_stats() -> MemoryStats {
    let PoolStats { live_bytes, peak_bytes, free_bytes } = storage::stats();
    MemoryStats { live_bytes, peak_bytes, free_bytes, live_nodes: live_nodes() }
}

/// Resets `peak_bytes` to the current `live_bytes`, to measure the peak of a part of a program.
///
/// PyTorch: `torch.cuda.reset_peak_memory_stats()`, for the CPU.
///
/// ```standalone_crate
/// use adamant_tensor::{Tensor, memory_stats, reset_peak_memory_stats};
/// drop(Tensor::<f32>::zeros([1024, 1024]));
/// reset_peak_memory_stats();
/// assert!(memory_stats().peak_bytes < 4 * 1024 * 1024);
/// ```
pub fn reset_peak_memory_stats() {
    storage::reset_peak();
}

/// Returns the free buffers to the system.
///
/// PyTorch: `torch.cuda.empty_cache()`, for the CPU.
///
/// ```standalone_crate
/// use adamant_tensor::{Tensor, empty_cache, memory_stats};
/// drop(Tensor::<f32>::zeros([1024, 1024]));
/// empty_cache();
/// assert_eq!(memory_stats().free_bytes, 0);
/// ```
pub fn empty_cache() {
    storage::empty();
}

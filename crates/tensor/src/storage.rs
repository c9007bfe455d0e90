//! Buffers of numbers, recycled.
//!
//! A training step makes the same buffers as the step before it. What a step
//! drops is kept here, by size, and handed out again: no call to the system's
//! allocator, no page fault, a warm cache. Contents are never cleared: a buffer
//! is always initialised memory, and who takes one writes all of it.

use adamant_kernels::{CacheLine, Element};
use std::collections::{HashMap, TryReserveError};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// A fixed number of elements.
pub(crate) struct Storage<E> {
    buffer: Buffer,
    len: usize,
    element: PhantomData<E>,
}

enum Buffer {
    /// A scalar or a few numbers: not worth a buffer of their own.
    Inline([u64; INLINE_BYTES / 8]),
    /// Aligned to a cache line, from the pool.
    Lines(Vec<CacheLine>),
}

const INLINE_BYTES: usize = 32;

impl<E: Element> Storage<E> {
    /// A buffer with arbitrary contents, for a caller who writes all of it.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(crate) fn stale(len: usize) -> Result<Self, TryReserveError> {
        let bytes = len * size_of::<E>();
        let buffer = if bytes <= INLINE_BYTES {
            Buffer::Inline([0; INLINE_BYTES / 8])
        } else {
            let lines = take(bytes.div_ceil(CacheLine::BYTES))?;
            count(lines.len() * CacheLine::BYTES);
            Buffer::Lines(lines)
        };
        Ok(Storage { buffer, len, element: PhantomData })
    }

    pub(crate) fn as_slice(&self) -> &[E] {
        match &self.buffer {
            Buffer::Inline(words) => &bytemuck::cast_slice(words)[..self.len],
            Buffer::Lines(lines) => &bytemuck::cast_slice(lines)[..self.len],
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [E] {
        match &mut self.buffer {
            Buffer::Inline(words) => &mut bytemuck::cast_slice_mut(words)[..self.len],
            Buffer::Lines(lines) => &mut bytemuck::cast_slice_mut(lines)[..self.len],
        }
    }
}

impl<E> Drop for Storage<E> {
    fn drop(&mut self) {
        if let Buffer::Lines(lines) = &mut self.buffer {
            LIVE_BYTES.fetch_sub(lines.len() * CacheLine::BYTES, Ordering::Relaxed);
            give(std::mem::take(lines));
        }
    }
}

/// Counts a buffer that is in use from now on.
fn count(bytes: usize) {
    let live = LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
    for most in [&PEAK_BYTES, &MOST_BYTES] {
        if live > most.load(Ordering::Relaxed) {
            most.fetch_max(live, Ordering::Relaxed);
        }
    }
}

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The most that has been in use, since the user last asked to forget it.
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);
/// The most that has ever been in use: what the pool goes by.
static MOST_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Free buffers go back to the system where they and those in use would be more
/// bytes than this, and more than the most that has been in use at once.
const KEPT_BYTES: usize = 1 << 28;

#[derive(Default)]
struct Pool {
    /// Free buffers by their number of lines.
    free: HashMap<usize, Vec<Vec<CacheLine>>>,
    free_bytes: usize,
}

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing in this file panics while it holds the lock.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(lines: usize) -> Result<Vec<CacheLine>, TryReserveError> {
    let bytes = lines * CacheLine::BYTES;
    let mut surplus = HashMap::new();
    let mut pool = pool();
    let recycled = pool.free.get_mut(&lines).and_then(Vec::pop);
    if recycled.is_some() {
        pool.free_bytes -= bytes;
    } else if LIVE_BYTES.load(Ordering::Relaxed) + bytes + pool.free_bytes
        > KEPT_BYTES.max(MOST_BYTES.load(Ordering::Relaxed))
    {
        // The sizes in use have changed: start afresh rather than keep the old ones.
        surplus = std::mem::take(&mut pool.free);
        pool.free_bytes = 0;
    }
    drop(pool);
    drop(surplus); // freeing memory takes time: not under the lock
    if let Some(recycled) = recycled {
        return Ok(recycled);
    }
    let mut new = Vec::new();
    new.try_reserve_exact(lines)?;
    new.resize(lines, CacheLine::ZERO);
    Ok(new)
}

fn give(lines: Vec<CacheLine>) {
    let bytes = lines.len() * CacheLine::BYTES;
    let mut pool = pool();
    pool.free_bytes += bytes;
    pool.free.entry(lines.len()).or_default().push(lines);
}

/// What tensors hold, in bytes and nodes: see [`memory_stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// Bytes in buffers that some tensor, parameter or saved value holds. (32 bytes or less
    /// have no buffer: they lie in the tensor itself, and are not counted.)
    pub live_bytes: usize,
    /// The most that `live_bytes` has been since the start, or [`reset_peak_memory_stats`].
    pub peak_bytes: usize,
    /// Bytes in buffers kept for use again.
    pub free_bytes: usize,
    /// Nodes of the tape: leaves and recorded operations.
    pub live_nodes: usize,
}

/// What all tensors of the process hold at this moment.
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
    MemoryStats {
        live_bytes: LIVE_BYTES.load(Ordering::Relaxed),
        peak_bytes: PEAK_BYTES.load(Ordering::Relaxed),
        free_bytes: pool().free_bytes,
        live_nodes: crate::node::live_nodes(),
    }
}

/// Forgets the peak: it begins anew at the bytes that are live now. For the peak of a
/// part of a program.
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
    PEAK_BYTES.store(0, Ordering::Relaxed);
    PEAK_BYTES.fetch_max(LIVE_BYTES.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Returns the buffers that are kept for use again to the system.
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
    let mut pool = pool();
    let free = std::mem::take(&mut pool.free);
    pool.free_bytes = 0;
    drop(pool);
    drop(free); // freeing memory takes time: not under the lock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_handed_out_again() {
        const LEN: usize = 123_457; // a size that no other test uses
        let first = Storage::<f32>::stale(LEN).unwrap();
        let address = first.as_slice().as_ptr();
        assert!(address.addr().is_multiple_of(64));
        drop(first);
        assert_eq!(Storage::<f32>::stale(LEN).unwrap().as_slice().as_ptr(), address);
    }

    #[test]
    fn empty_buffers_are_fine() {
        assert!(Storage::<f64>::stale(0).unwrap().as_mut_slice().is_empty());
    }
}

//! Buffers of elements, recycled.
//!
//! A training step makes the same buffers as the step before it. What a step
//! drops is kept here and handed out again: no call to the system's
//! allocator, no page fault, a warm cache. Contents are never cleared: a buffer
//! is always initialised memory, and whoever takes one writes all of it.

use adamant_kernels::{CacheLine, Element};
use std::collections::TryReserveError;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
            Buffer::Lines(take(bytes.div_ceil(CacheLine::BYTES))?)
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
            give(std::mem::take(lines));
        }
    }
}

/// Free buffers, and how many bytes are in use.
struct Pool {
    /// Free buffers by [`class`]; within one, by the time they were freed.
    free: [Vec<FreeBuffer>; CLASSES],
    free_bytes: usize,
    live_bytes: usize,
    /// The most bytes in use at once since the user last reset it.
    peak_bytes: usize,
    /// The most bytes in use at once in this period and in the one before.
    recent_peaks: [usize; 2],
    /// The number of buffers handed out.
    taken: u64,
}

struct FreeBuffer {
    lines: Vec<CacheLine>,
    /// The value of `taken` when it was freed.
    since: u64,
}

/// A period is this many buffers handed out: more than a step of a large model takes, so that
/// the peak of a step is always in one of the last two.
const PERIOD: u64 = 1 << 13;

/// Free bytes that are kept in any case.
const SLACK: usize = 1 << 22;

/// The class of a size: sizes of one class differ by less than an eighth.
fn class(lines: usize) -> usize {
    if lines < 8 {
        return lines;
    }
    let exponent = lines.ilog2() as usize - 3;
    exponent * 8 + (lines >> exponent) // the first four bits: 8 to 15
}

const CLASSES: usize = usize::BITS as usize * 8;

impl Pool {
    /// The smallest free buffer of at least `lines` in its class.
    fn reuse(&mut self, lines: usize) -> Option<Vec<CacheLine>> {
        let free = &mut self.free[class(lines)];
        let mut best: Option<(usize, usize)> = None;
        for (i, buffer) in free.iter().enumerate().rev() {
            let len = buffer.lines.len();
            if len == lines {
                best = Some((i, len));
                break;
            }
            if len > lines && best.is_none_or(|(_, best)| len < best) {
                best = Some((i, len));
            }
        }
        let reused = free.remove(best?.0).lines;
        self.free_bytes -= bytes(&reused);
        Some(reused)
    }

    /// Counts a buffer that is in use from now on.
    fn count(&mut self, bytes: usize) {
        self.taken += 1;
        self.live_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
        if self.taken.is_multiple_of(PERIOD) {
            self.recent_peaks = [self.live_bytes, self.recent_peaks[0]];
        }
        self.recent_peaks[0] = self.recent_peaks[0].max(self.live_bytes);
    }

    /// Takes out the buffers that have been free longest, if those in use and free together are
    /// more bytes than one and a half times the most recently in use at once.
    fn surplus(&mut self) -> Vec<FreeBuffer> {
        let peak = self.recent_peaks[0].max(self.recent_peaks[1]);
        let limit = (peak + peak / 2 + SLACK).saturating_sub(self.live_bytes);
        if self.free_bytes <= limit {
            return Vec::new();
        }
        let mut since: Vec<_> =
            self.free.iter().flatten().map(|b| (b.since, b.lines.len())).collect();
        since.sort_unstable();
        // To three quarters: the next buffer freed does not come here again.
        let (mut excess, mut until) = (self.free_bytes - limit / 4 * 3, 0);
        for (time, lines) in since {
            until = time;
            excess = excess.saturating_sub(lines * CacheLine::BYTES);
            if excess == 0 {
                break;
            }
        }
        let mut surplus = Vec::new();
        for free in &mut self.free {
            surplus.extend(free.extract_if(.., |buffer| buffer.since <= until));
        }
        self.free_bytes -= surplus.iter().map(|buffer| bytes(&buffer.lines)).sum::<usize>();
        surplus
    }
}

fn bytes(lines: &[CacheLine]) -> usize {
    lines.len() * CacheLine::BYTES
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: [const { Vec::new() }; CLASSES],
    free_bytes: 0,
    live_bytes: 0,
    peak_bytes: 0,
    recent_peaks: [0; 2],
    taken: 0,
});

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing in this file panics while it holds the lock.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer of at least `lines` lines.
fn take(lines: usize) -> Result<Vec<CacheLine>, TryReserveError> {
    let mut pool = pool();
    if let Some(reused) = pool.reuse(lines) {
        pool.count(bytes(&reused));
        return Ok(reused);
    }
    drop(pool); // to allocate takes time: not under the lock
    let mut new = Vec::new();
    if new.try_reserve_exact(lines).is_err() {
        empty_cache();
        new.try_reserve_exact(lines)?;
    }
    new.resize(lines, CacheLine::ZERO);
    self::pool().count(bytes(&new));
    Ok(new)
}

fn give(lines: Vec<CacheLine>) {
    let mut pool = pool();
    pool.live_bytes -= bytes(&lines);
    pool.free_bytes += bytes(&lines);
    let since = pool.taken;
    pool.free[class(lines.len())].push(FreeBuffer { lines, since });
    let surplus = pool.surplus();
    drop(pool);
    drop(surplus); // to free memory takes time: not under the lock
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
    let pool = pool();
    MemoryStats {
        live_bytes: pool.live_bytes,
        peak_bytes: pool.peak_bytes,
        free_bytes: pool.free_bytes,
        live_nodes: crate::node::live_nodes(),
    }
}

/// Resets the peak to the bytes that are live now, to measure the peak of a part of a program.
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
    let mut pool = pool();
    pool.peak_bytes = pool.live_bytes;
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
    let free: Vec<_> = pool.free.iter_mut().flat_map(std::mem::take).collect();
    pool.free_bytes = 0;
    drop(pool);
    drop(free); // to free memory takes time: not under the lock
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
    fn sizes_of_a_class_differ_by_less_than_an_eighth() {
        let mut smallest = 0;
        for lines in 0..100_000 {
            if class(lines) != class(smallest) {
                assert_eq!(class(lines), class(smallest) + 1);
                smallest = lines;
            }
            assert!((lines - smallest) * 8 <= smallest);
        }
        assert!(class(usize::MAX) < CLASSES);
    }

    #[test]
    fn a_slightly_larger_buffer_is_handed_out() {
        const LEN: usize = 16 * 10_000; // of a class that no other test uses
        let first = Storage::<f32>::stale(LEN).unwrap();
        let address = first.as_slice().as_ptr();
        drop(first);
        let second = Storage::<f32>::stale(LEN - 3_000).unwrap();
        assert_eq!(second.as_slice().as_ptr(), address);
        assert_eq!(second.as_slice().len(), LEN - 3_000);
    }

    #[test]
    fn empty_buffers_are_fine() {
        assert!(Storage::<f64>::stale(0).unwrap().as_mut_slice().is_empty());
    }
}

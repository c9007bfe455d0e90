//! Storage: recycled buffers that hold the elements of arrays.
//!
//! Each training step needs buffers of the same sizes as the previous one. So dropped buffers go to
//! a pool and are reused, which saves calls of the system's allocator and page faults and keeps
//! caches warm. Buffers are initialized memory but are not cleared before reuse: whoever takes one
//! writes all of it.

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
    /// A few elements, which are not worth a buffer from the pool.
    Inline([u64; INLINE_BYTES / 8]),
    /// A buffer from the pool, aligned to cache lines.
    Lines(Vec<CacheLine>),
}

const INLINE_BYTES: usize = 32;

impl<E: Element> Storage<E> {
    /// Storage with arbitrary contents, for a caller that overwrites all of them. `len` comes from
    /// `Shape::numel`, which bounds its product with the size of an element.
    ///
    /// # Errors
    /// If there is not enough memory.
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

/// The free buffers, and counts of the bytes in use.
struct Pool {
    /// Free buffers by [`class`]; within a class, in the order in which they were freed.
    free: [Vec<FreeBuffer>; CLASSES],
    free_bytes: usize,
    live_bytes: usize,
    /// The maximum of `live_bytes` since the user last reset it.
    peak_bytes: usize,
    /// The maximum of `live_bytes` in the current [`PERIOD`] and in the previous one.
    recent_peaks: [usize; 2],
    /// The numbers of buffers handed out and freed so far.
    taken: u64,
    freed: u64,
}

struct FreeBuffer {
    lines: Vec<CacheLine>,
    /// The value of [`Pool::freed`] when the buffer was freed: of each buffer another one.
    since: u64,
}

/// The length of a period, in buffers handed out. A step of a large model takes fewer, so the last
/// two periods always contain the peak of a step.
const PERIOD: u64 = 1 << 13;

/// Free bytes that are always kept.
const SLACK: usize = 1 << 22;

/// The most bytes by which all buffers may exceed the recent peak, apart from [`SLACK`]. A large model's
/// step frees gradients in some sizes and takes activations in others; without this bound it would
/// keep both.
const MOST_ABOVE_PEAK: usize = 1 << 26;

/// The class of a buffer's size. Sizes of the same class differ by less than an eighth.
fn class(lines: usize) -> usize {
    if lines < 8 {
        return lines;
    }
    let exponent = lines.ilog2() as usize - 3;
    exponent * 8 + (lines >> exponent) // the four leading bits: 8 to 15
}

const CLASSES: usize = usize::BITS as usize * 8;

impl Pool {
    /// Takes out the smallest free buffer in the class of `lines` that has at least `lines` lines.
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

    /// Counts a buffer that is handed out.
    fn count(&mut self, bytes: usize) {
        self.taken += 1;
        self.live_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
        if self.taken.is_multiple_of(PERIOD) {
            self.recent_peaks = [self.live_bytes, self.recent_peaks[0]];
        }
        self.recent_peaks[0] = self.recent_peaks[0].max(self.live_bytes);
    }

    /// Takes out the buffers that have been free longest, if all buffers, live and free, together with
    /// `new` bytes exceed the recent peak by half or by [`MOST_ABOVE_PEAK`], and by [`SLACK`].
    fn surplus(&mut self, new: usize) -> Vec<FreeBuffer> {
        let live = self.live_bytes + new;
        let peak = self.recent_peaks[0].max(self.recent_peaks[1]).max(live);
        let limit = peak + (peak / 2).min(MOST_ABOVE_PEAK) + SLACK - live;
        if self.free_bytes <= limit {
            return Vec::new();
        }
        let mut since: Vec<_> =
            self.free.iter().flatten().map(|b| (b.since, b.lines.len())).collect();
        since.sort_unstable();
        // A little below the limit, so that not every freed buffer leads here again.
        let below = (limit / 4).min(MOST_ABOVE_PEAK / 4);
        let (mut excess, mut until) = (self.free_bytes - (limit - below), 0);
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
    freed: 0,
});

fn pool() -> MutexGuard<'static, Pool> {
    // Poisoning can be ignored: nothing panics while it holds this lock.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a buffer of at least `lines` lines from the pool, or allocates one.
fn take(lines: usize) -> Result<Vec<CacheLine>, TryReserveError> {
    let mut pool = pool();
    if let Some(reused) = pool.reuse(lines) {
        pool.count(bytes(&reused));
        return Ok(reused);
    }
    let surplus = pool.surplus(lines * CacheLine::BYTES);
    drop(pool); // freeing and allocating are slow: not under the lock
    drop(surplus); // first, so that the allocator can use it
    let mut new = Vec::new();
    if new.try_reserve_exact(lines).is_err() {
        empty();
        new.try_reserve_exact(lines)?;
    }
    new.resize(lines, CacheLine::ZERO);
    self::pool().count(bytes(&new));
    Ok(new)
}

/// Returns a buffer to the pool.
fn give(lines: Vec<CacheLine>) {
    let mut pool = pool();
    pool.live_bytes -= bytes(&lines);
    pool.free_bytes += bytes(&lines);
    pool.freed += 1;
    let since = pool.freed;
    pool.free[class(lines.len())].push(FreeBuffer { lines, since });
    let surplus = pool.surplus(0);
    drop(pool);
    drop(surplus); // freeing is slow: not under the lock
}

/// The bytes of all buffers.
pub(crate) struct PoolStats {
    pub(crate) live_bytes: usize,
    pub(crate) peak_bytes: usize,
    pub(crate) free_bytes: usize,
}

pub(crate) fn stats() -> PoolStats {
    let Pool { live_bytes, peak_bytes, free_bytes, .. } = *pool();
    PoolStats { live_bytes, peak_bytes, free_bytes }
}

pub(crate) fn reset_peak() {
    let mut pool = pool();
    pool.peak_bytes = pool.live_bytes;
}

/// Returns the free buffers to the system.
pub(crate) fn empty() {
    let mut pool = pool();
    let free: Vec<_> = pool.free.iter_mut().flat_map(std::mem::take).collect();
    pool.free_bytes = 0;
    drop(pool);
    drop(free); // freeing is slow: not under the lock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_reused() {
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
    fn a_slightly_larger_buffer_is_reused() {
        const LEN: usize = 16 * 10_000; // of a class that no other test uses
        let first = Storage::<f32>::stale(LEN).unwrap();
        let address = first.as_slice().as_ptr();
        drop(first);
        let second = Storage::<f32>::stale(LEN - 3_000).unwrap();
        assert_eq!(second.as_slice().as_ptr(), address);
        assert_eq!(second.as_slice().len(), LEN - 3_000);
    }

    #[test]
    fn storage_may_be_empty() {
        assert!(Storage::<f64>::stale(0).unwrap().as_mut_slice().is_empty());
    }
}

//! Whether work runs in parallel, and on how many threads.

use crate::team;
use rayon::ThreadPoolBuildError;
use std::sync::{Mutex, PoisonError};

/// Elements in a piece of elementwise work: 64 KiB of f32, so that a few operands of a piece fit
/// in the L2 cache.
pub const CHUNK: usize = 1 << 14;

/// Elements in a piece of elementwise work of `len` elements: longer pieces keep memory streaming,
/// but there must be enough of them for all threads.
pub(crate) fn piece(len: usize) -> usize {
    (len / 16).next_multiple_of(64).clamp(CHUNK, 4 * CHUNK)
}

/// Work below this many elementary operations stays on the caller's thread: it takes about 2 µs,
/// as long as sharing it would.
const GRAIN: usize = 1 << 15;

/// Runs `job` on every item of `work`, on several threads if `cost` (elementary operations in
/// total) makes that worthwhile.
///
/// The caller and rayon's threads each take the next item when they finish one, so a thread that
/// comes late costs nothing. Cut the work into items by its size, not by the number of threads:
/// then the results do not depend on the threads.
///
/// ```
/// let mut x = vec![1.0f32; 1 << 20];
/// let cost = x.len();
/// adamant_kernels::drain(x.chunks_mut(adamant_kernels::CHUNK), cost, |chunk| {
///     chunk.iter_mut().for_each(|x| *x += 1.0);
/// });
/// assert!(x.iter().all(|&x| x == 2.0));
/// ```
#[inline]
pub fn drain<W>(work: W, cost: usize, job: impl Fn(W::Item) + Sync)
where
    W: ExactSizeIterator + Send,
    W::Item: Send,
{
    run(work, cost, |work, _| work.next(), job);
}

/// [`drain`], in which the caller takes items from the front and the other threads from the back.
///
/// So from one operation to the next, two threads each meet the same half of the memory, which is in
/// their own caches. Threads that take every other item read each other's.
#[inline]
pub(crate) fn share<W>(work: W, cost: usize, job: impl Fn(W::Item) + Sync)
where
    W: ExactSizeIterator + DoubleEndedIterator + Send,
    W::Item: Send,
{
    let next = |work: &mut W, is_caller: bool| {
        if is_caller { work.next() } else { work.next_back() }
    };
    run(work, cost, next, job);
}

/// Runs `job` on the items that `next(work, is_caller)` takes.
#[inline]
fn run<W>(
    work: W,
    cost: usize,
    next: impl Fn(&mut W, bool) -> Option<W::Item> + Sync,
    job: impl Fn(W::Item) + Sync,
) where
    W: ExactSizeIterator + Send,
    W::Item: Send,
{
    if cost < GRAIN || work.len() < 2 {
        return work.for_each(job);
    }
    let threads = num_threads().min(work.len());
    if threads < 2 {
        return work.for_each(job);
    }
    let work = Mutex::new(work);
    let caller = std::thread::current().id();
    team::run(threads - 1, &|| {
        let is_caller = std::thread::current().id() == caller;
        let next = || next(&mut work.lock().unwrap_or_else(PoisonError::into_inner), is_caller);
        while let Some(item) = next() {
            job(item);
        }
    });
}

/// The number of threads for large operations: those of the caller's rayon pool, or of the global
/// pool (`RAYON_NUM_THREADS`, or one per core).
///
/// PyTorch: `torch.get_num_threads()`.
///
/// ```
/// assert!(adamant_kernels::num_threads() >= 1);
/// ```
#[must_use]
pub fn num_threads() -> usize {
    rayon::current_num_threads()
}

/// Sets the number of threads for the whole process.
///
/// PyTorch: `torch.set_num_threads(n)`.
///
/// # Errors
/// If the global thread pool has already started: call this first in `main`.
///
/// ```
/// adamant_kernels::set_num_threads(2).unwrap();
/// assert_eq!(adamant_kernels::num_threads(), 2);
/// ```
pub fn set_num_threads(n: usize) -> Result<(), ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(n).build_global()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_runs_once() {
        for cost in [1, GRAIN * 2] {
            let mut seen = vec![0; 1000];
            drain(seen.iter_mut(), cost, |x| *x += 1);
            assert!(seen.iter().all(|&x| x == 1));
            share(seen.iter_mut(), cost, |x| *x += 1);
            assert!(seen.iter().all(|&x| x == 2));
        }
    }

    #[test]
    fn nested_work_does_not_deadlock() {
        let total = AtomicUsize::new(0);
        drain(0..64, GRAIN, |_| {
            drain(0..64, GRAIN, |_| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 64 * 64);
    }
}

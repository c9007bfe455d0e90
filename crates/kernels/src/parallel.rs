//! The one place that decides when work goes parallel.

use crate::team;
use rayon::ThreadPoolBuildError;
use std::sync::{Mutex, PoisonError};

/// Elements in a piece of elementwise work: 64 KiB of f32, so that a few
/// operands of a piece stay in the second-level cache.
pub const CHUNK: usize = 1 << 14;

/// Work below this many elementary operations stays on the caller's thread: it
/// is done in some 2 µs, as long as it takes to share it.
const GRAIN: usize = 1 << 15;

/// Runs `job` on every item of `work`, on several threads if `cost`
/// (elementary operations in all) makes that worth while.
///
/// The items must be cut by the size of the work alone: then the results do
/// not depend on the number of threads, only on which thread computes what.
/// The caller works too and rayon's threads help, each taking the next item
/// when it is done with one, so a thread that comes late costs nothing.
///
/// ```
/// let mut x = vec![1.0f32; 1 << 20];
/// let cost = x.len();
/// adamant_kernels::drain(x.chunks_mut(adamant_kernels::CHUNK), cost, |chunk| {
///     chunk.iter_mut().for_each(|x| *x += 1.0);
/// });
/// assert!(x.iter().all(|&x| x == 2.0));
/// ```
pub fn drain<W>(work: W, cost: usize, job: impl Fn(W::Item) + Sync)
where
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
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    team::run(threads - 1, &|| {
        while let Some(item) = next() {
            job(item);
        }
    });
}

/// How many threads large operations are spread over: those of the rayon pool
/// that the caller is in, or of the global one (`RAYON_NUM_THREADS`, or one per
/// core). PyTorch: `torch.get_num_threads()`.
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
/// If the global thread pool is in use already: call this first in `main`.
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
    fn every_item_is_done_once() {
        for cost in [1, GRAIN * 2] {
            let mut seen = vec![0; 1000];
            drain(seen.iter_mut(), cost, |x| *x += 1);
            assert!(seen.iter().all(|&x| x == 1));
        }
    }

    #[test]
    fn nested_work_does_not_lock_up() {
        let total = AtomicUsize::new(0);
        drain(0..64, GRAIN, |_| {
            drain(0..64, GRAIN, |_| {
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 64 * 64);
    }
}

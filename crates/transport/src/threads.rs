//! Threads of one process as ranks.

use crate::frame::Frame;
use crate::transport::{Pending, Transport, TransportError};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Runs `rank` on this number of threads, each of which is a rank of one group; returns the results
/// in the order of ranks.
///
/// Each rank builds its own model. All use rayon's global pool, unless `rank` installs one of its own.
///
/// PyTorch: `torch.multiprocessing.spawn`.
///
/// # Panics
/// If `ranks` is 0, a thread cannot be started, or a rank panics; the others then receive an error
/// from their next exchange.
///
/// ```
/// use adamant_transport::{Frame, run_threads};
/// let sums = run_threads(3, |transport| {
///     let own = Frame::from_slice(&[transport.rank() as f32]);
///     let all = transport.all_gather(own, &[4, 4, 4]).wait().unwrap();
///     all.as_slice::<f32>().iter().sum::<f32>()
/// });
/// assert_eq!(sums, [3.0, 3.0, 3.0]);
/// ```
#[track_caller]
pub fn run_threads<R: Send>(ranks: usize, rank: impl Fn(Arc<dyn Transport>) -> R + Sync) -> Vec<R> {
    assert!(ranks > 0, "run_threads: ranks is 0; expected at least 1");
    let hub = Arc::new(Hub { ranks, ..Hub::default() });
    let run = &rank;
    thread::scope(|scope| {
        let start = |rank| {
            let hub = hub.clone();
            scope.spawn(move || {
                let _end = End { rank, hub: hub.clone() };
                run(Arc::new(Thread { rank, next: AtomicU64::new(0), hub }))
            })
        };
        let threads: Vec<_> = (0..ranks).map(start).collect();
        let mut results: Vec<_> = threads.into_iter().map(|thread| Some(thread.join())).collect();
        // Of several panics, the first one is the cause.
        for &rank in &hub.lock().ended {
            if let Some(Err(panic)) = results[rank].take_if(|result| result.is_err()) {
                resume_unwind(panic);
            }
        }
        let result = |result: Option<thread::Result<R>>| result.expect("taken once").ok();
        results.into_iter().filter_map(result).collect()
    })
}

/// Ends a rank when its thread ends, in any way: the others do not wait for it.
struct End {
    rank: usize,
    hub: Arc<Hub>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.hub.lock().ended.push(self.rank);
        self.hub.changed.notify_all();
    }
}

/// Where the ranks meet.
#[derive(Default)]
struct Hub {
    ranks: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The exchanges that not all ranks have finished, by number.
    exchanges: HashMap<u64, Exchange>,
    /// The ranks whose threads have ended, in that order.
    ended: Vec<usize>,
}

struct Exchange {
    operation: &'static str,
    /// What each rank sends, and how many bytes of it to each rank; `None` until it does.
    parts: Vec<Option<(Arc<Frame>, Vec<usize>)>>,
    /// The number of ranks that have taken their result.
    taken: usize,
}

/// A thread as a rank.
struct Thread {
    rank: usize,
    /// The number of the next exchange.
    next: AtomicU64,
    hub: Arc<Hub>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thread {
    /// Starts the next exchange: `counts[r]` bytes of `frame` are for rank `r`, from
    /// `offset(counts, r)` on, and `lengths[r]` bytes come from each.
    fn start(
        &self,
        operation: &'static str,
        frame: Frame,
        counts: Vec<usize>,
        lengths: Vec<usize>,
        offset: fn(&[usize], usize) -> usize,
    ) -> Pending {
        let (hub, rank) = (self.hub.clone(), self.rank);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let error = move |found: String, expected: &str| TransportError {
            rank,
            operation,
            found,
            expected: expected.into(),
        };
        let mut state = hub.lock();
        let exchange = state.exchanges.entry(number).or_insert_with(|| Exchange {
            operation,
            parts: vec![None; hub.ranks],
            taken: 0,
        });
        let found = exchange.operation;
        exchange.parts[rank] = Some((Arc::new(frame), counts));
        hub.changed.notify_all();
        drop(state);
        if found != operation {
            let found = format!("{found} of another rank");
            return Pending::new(move || Err(error(found, "the same function on all ranks")));
        }
        Pending::new(move || {
            let mut guard = hub.lock();
            let parts = loop {
                let state = &mut *guard;
                let exchange = state.exchanges.get_mut(&number).expect("until all have taken it");
                if exchange.parts.iter().all(Option::is_some) {
                    let parts: Vec<_> = exchange.parts.iter().flatten().cloned().collect();
                    exchange.taken += 1;
                    if exchange.taken == hub.ranks {
                        state.exchanges.remove(&number);
                    }
                    break parts;
                }
                let missing = |rank: usize| exchange.parts[rank].is_none();
                if let Some(ended) = state.ended.iter().find(|&&rank| missing(rank)) {
                    let found = format!("rank {ended} has ended");
                    return Err(error(found, "an answer from every rank"));
                }
                guard = hub.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            };
            drop(guard);
            let mut result = Frame::stale(lengths.iter().sum());
            let mut rest = result.as_mut_slice::<u8>();
            for (from, ((frame, counts), &length)) in parts.iter().zip(&lengths).enumerate() {
                let (part, others) = rest.split_at_mut(length);
                if counts[rank] != length {
                    let found = format!("{} bytes from rank {from}", counts[rank]);
                    return Err(error(found, &format!("{length}")));
                }
                let start = offset(counts, rank);
                part.copy_from_slice(&frame.as_slice::<u8>()[start..start + length]);
                rest = others;
            }
            Ok(result)
        })
    }
}

impl Transport for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.hub.ranks
    }

    fn all_to_all(&self, frame: Frame, counts: &[usize], lengths: &[usize]) -> Pending {
        let offset = |counts: &[usize], rank: usize| counts[..rank].iter().sum();
        self.start("all_to_all", frame, counts.to_vec(), lengths.to_vec(), offset)
    }

    fn all_gather(&self, frame: Frame, lengths: &[usize]) -> Pending {
        let counts = vec![frame.len(); self.ranks()];
        self.start("all_gather", frame, counts, lengths.to_vec(), |_, _| 0)
    }

    fn broadcast(&self, root: usize, frame: Frame) -> Pending {
        let mut lengths = vec![0; self.ranks()];
        lengths[root] = frame.len();
        // The others take part without a frame.
        let (frame, count) =
            if self.rank == root { (frame, lengths[root]) } else { (Frame::default(), 0) };
        self.start("broadcast", frame, vec![count; self.ranks()], lengths, |_, _| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn each_rank_receives_its_parts_in_the_order_of_ranks() {
        let received = run_threads(3, |transport| {
            let rank = transport.rank();
            // Rank r sends r + 1 bytes of value 10 r + to, to each.
            let bytes: Vec<u8> =
                (0..3).flat_map(|to| vec![(10 * rank + to) as u8; rank + 1]).collect();
            let sent = transport.all_to_all(Frame::from_slice(&bytes), &[rank + 1; 3], &[1, 2, 3]);
            let root = transport.broadcast(2, Frame::from_slice(&[rank as u8]));
            let _ = transport.barrier().wait().unwrap();
            // Results may be waited for in any order.
            assert_eq!(root.wait().unwrap().as_slice::<u8>(), [2]);
            sent.wait().unwrap().as_slice::<u8>().to_vec()
        });
        let expected = |to: u8| vec![to, 10 + to, 10 + to, 20 + to, 20 + to, 20 + to];
        assert_eq!(received, [expected(0), expected(1), expected(2)]);
    }

    #[test]
    fn a_rank_that_panics_ends_the_others() {
        let run = || {
            run_threads(3, |transport| {
                assert!(transport.rank() != 1, "out of luck");
                // Panics too, but later.
                transport.barrier().wait().unwrap();
            })
        };
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "out of luck");
    }

    #[test]
    fn different_calls_are_an_error() {
        let errors = run_threads(2, |transport| {
            if transport.rank() == 0 {
                let _ = transport.all_gather(Frame::zeros(4), &[4, 4]).wait();
                String::new()
            } else {
                transport.all_gather(Frame::zeros(8), &[8, 8]).wait().unwrap_err().to_string()
            }
        });
        assert_eq!(errors[1], "rank 1: all_gather: found 4 bytes from rank 0, expected 8");
    }
}

//! Threads that load batches ahead of the caller.

use super::plan::{EpochPlan, Loaded};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Loads the batches of an epoch on threads, and returns them in order.
///
/// At most two batches for each thread are loaded or being loaded that have not been returned.
/// Dropping it waits for the batches that are being loaded.
pub(crate) struct Workers<B> {
    shared: Arc<Shared<B>>,
    threads: Vec<JoinHandle<()>>,
}

/// How many batches a thread may be ahead, as in PyTorch (`prefetch_factor`).
const AHEAD: usize = 2;

struct Shared<B> {
    plan: Arc<EpochPlan<B>>,
    queue: Mutex<Queue<B>>,
    /// A batch has been loaded.
    loaded: Condvar,
    /// A batch has been returned, or the workers are to stop.
    room: Condvar,
    capacity: usize,
}

struct Queue<B> {
    /// The number of the next batch to load.
    next: usize,
    /// The number of the next batch to return.
    due: usize,
    /// Batches that have been loaded, by number. A panic is raised again in the caller.
    ready: BTreeMap<usize, thread::Result<Loaded<B>>>,
    stop: bool,
}

impl<B: Send + 'static> Workers<B> {
    /// Threads that load the batches from number `first` on.
    pub(crate) fn start(plan: Arc<EpochPlan<B>>, first: usize, threads: usize) -> Self {
        let queue = Queue { next: first, due: first, ready: BTreeMap::new(), stop: false };
        let shared = Arc::new(Shared {
            plan,
            queue: Mutex::new(queue),
            loaded: Condvar::new(),
            room: Condvar::new(),
            capacity: AHEAD * threads,
        });
        let start = |i| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("loader {i}")).spawn(move || shared.work())
        };
        // With fewer threads than requested, or none, loading is only slower.
        let threads = (0..threads).map_while(|i| start(i).ok()).collect();
        Workers { shared, threads }
    }

    /// The next batch, which is that of this number.
    pub(crate) fn take(&mut self, number: usize) -> Loaded<B> {
        if self.threads.is_empty() {
            return self.shared.plan.load(number);
        }
        let mut queue = self.shared.lock();
        debug_assert_eq!(queue.due, number, "batches are taken in order");
        let loaded = loop {
            match queue.ready.remove(&number) {
                Some(loaded) => break loaded,
                None => queue = wait(&self.shared.loaded, queue),
            }
        };
        queue.due += 1;
        drop(queue);
        self.shared.room.notify_one();
        loaded.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl<B: 'static> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, Queue<B>> {
        // No code of the user's runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let batches = self.plan.batches();
        loop {
            let mut queue = self.lock();
            while !queue.stop && queue.next < batches && queue.next >= queue.due + self.capacity {
                queue = wait(&self.room, queue);
            }
            if queue.stop || queue.next >= batches {
                return;
            }
            let number = queue.next;
            queue.next += 1;
            drop(queue);
            let loaded = catch_unwind(AssertUnwindSafe(|| self.plan.load(number)));
            self.lock().ready.insert(number, loaded);
            self.loaded.notify_one();
        }
    }
}

fn wait<'q, B>(condition: &Condvar, queue: MutexGuard<'q, Queue<B>>) -> MutexGuard<'q, Queue<B>> {
    condition.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

impl<B> Drop for Workers<B> {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.shared.room.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // its panics have been caught
        }
    }
}

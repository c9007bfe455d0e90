//! The threads that call MPI.

use crate::operation::Operation;
use adamant_transport::Frame;
use mpi::request::{Request, Scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use std::hint::spin_loop;
use std::mem::replace;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The number of operations that MPI works on at the same time.
const IN_FLIGHT: usize = 4;

/// How long a thread asks MPI without pause whether an operation is complete.
const SPIN: Duration = Duration::from_micros(50);

/// The longest pause between two tests of an operation.
const PAUSE: Duration = Duration::from_micros(500);

/// An operation of this rank.
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) frame: Frame,
    pub(crate) result: Sender<Frame>,
}

/// What the threads share.
///
/// A request borrows its buffers, so that the thread that starts an operation stays with it until it
/// is complete: there are as many threads as operations in progress. They call MPI one at a time.
/// Only the thread of the oldest operation tests it, by which MPI advances all of them.
pub(crate) struct Engine {
    queue: Mutex<Queue>,
    /// Locked during each call of MPI.
    mpi: Mutex<()>,
    /// Whether the group is to end instead of completing its operations.
    abort: AtomicBool,
}

struct Queue {
    /// The calls, in their order.
    calls: Receiver<Call>,
    /// Disconnected when the operation that started last is complete.
    last: Receiver<()>,
}

/// The right to start the next operation.
pub(crate) struct Turn<'e> {
    engine: &'e Engine,
    queue: MutexGuard<'e, Queue>,
    /// Disconnected when the operation before is complete.
    before: Receiver<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the locks is left halfway by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn new(calls: Receiver<Call>) -> Self {
        let queue = Mutex::new(Queue { calls, last: channel().1 });
        Engine { queue, mpi: Mutex::new(()), abort: AtomicBool::new(false) }
    }

    /// Ends the group of processes as soon as possible.
    pub(crate) fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
    }

    /// Carries out the calls until there are no more.
    pub(crate) fn run(&self) {
        thread::scope(|scope| {
            for _ in 0..IN_FLIGHT {
                scope.spawn(|| self.work());
            }
        });
    }

    fn work(&self) {
        loop {
            // The queue stays locked until the operation has started: operations start in the order
            // of the calls.
            let mut queue = lock(&self.queue);
            let Ok(Call { operation, frame, result }) = queue.calls.recv() else { return };
            self.check_abort();
            let (complete, last) = channel();
            let before = replace(&mut queue.last, last);
            let turn = Turn { engine: self, queue, before };
            // Nobody receives it if the `Pending` was dropped.
            let _ = result.send(operation.run(frame, turn));
            drop(complete);
        }
    }

    fn check_abort(&self) {
        if self.abort.load(Ordering::Relaxed) {
            let _mpi = lock(&self.mpi);
            SimpleCommunicator::world().abort(1);
        }
    }
}

impl Turn<'_> {
    /// Starts an operation, and returns when it is complete; other operations start and progress
    /// meanwhile.
    pub(crate) fn complete<'a, D, S>(self, start: impl FnOnce() -> Request<'a, D, S>)
    where
        D: ?Sized + 'a,
        S: Scope<'a>,
    {
        let Turn { engine, queue, before } = self;
        let mpi = lock(&engine.mpi);
        let mut request = start();
        drop((mpi, queue));
        let _ = before.recv();
        let start = Instant::now();
        loop {
            let mpi = lock(&engine.mpi);
            request = match request.test() {
                Ok(_) => return,
                Err(request) => request,
            };
            drop(mpi);
            engine.check_abort();
            pause(start.elapsed());
        }
    }
}

/// Waits before the next test of an operation that has been tested for this long.
///
/// Pauses grow with the time, so that a test is late by a small part of what the operation takes,
/// and an operation that waits for a rank that computes does not occupy a core.
fn pause(elapsed: Duration) {
    if elapsed < SPIN {
        spin_loop();
    } else {
        thread::sleep((elapsed / 16).min(PAUSE));
    }
}

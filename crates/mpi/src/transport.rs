//! The transport.

use crate::engine::{Call, Engine};
use crate::operation::{Operation, Parts};
use adamant_transport::{Frame, Pending, Transport, TransportError};
use mpi::Threading;
use mpi::environment::initialize_with_threading;
use mpi::traits::Communicator;
use std::fmt::Display;
use std::io::Write;
use std::process::exit;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The environment variable that sets the time limit, in seconds.
const TIME_LIMIT: &str = "ADAMANT_MPI_TIME_LIMIT";

const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(300);

/// How long the launcher may take to end the group.
const ABORT_LIMIT: Duration = Duration::from_secs(10);

/// A process that `mpirun` or `srun` started, as a rank.
///
/// Threads of its own call MPI, so that operations progress while the program computes. The
/// processes end together: dropping the last reference waits for the others; after an error, or
/// during a panic, it ends the whole group with status 1 instead.
///
/// PyTorch: `torch.distributed.init_process_group("mpi")`.
///
/// ```no_run
/// use adamant_mpi::Mpi;
/// use adamant_transport::{Frame, Transport};
/// let mpi = Mpi::start()?;
/// let own = Frame::from_slice(&[mpi.rank() as f32]);
/// let all = mpi.all_gather(own, &vec![4; mpi.ranks()]).wait()?;
/// assert_eq!(all.as_slice::<f32>()[mpi.rank()], mpi.rank() as f32);
/// let read = std::fs::read("labels.csv").unwrap_or_else(|error| mpi.abort(error));
/// # Ok::<(), adamant_transport::TransportError>(())
/// ```
pub struct Mpi {
    rank: usize,
    ranks: usize,
    limit: Duration,
    /// `None` when the transport ends.
    calls: Option<Sender<Call>>,
    engine: Arc<Engine>,
    /// Disconnected when MPI is finalized.
    ended: Mutex<Receiver<()>>,
    /// The first error of a [`Pending`].
    error: Arc<OnceLock<TransportError>>,
}

impl Mpi {
    /// Joins the group of processes that the launcher started; a program that was started without
    /// one is the only process of its group.
    ///
    /// # Errors
    /// If MPI is in use already, the launcher belongs to another MPI library, or
    /// `ADAMANT_MPI_TIME_LIMIT` is not a number of seconds.
    pub fn start() -> Result<Mpi, TransportError> {
        let limit = time_limit()?;
        let (calls, queue) = channel();
        let (ready, group) = channel();
        let (end, ended) = channel();
        let engine = Arc::new(Engine::new(queue));
        let running = engine.clone();
        thread::spawn(move || {
            let _end: Sender<()> = end;
            // Finalized by the thread that initialized it, as MPI demands.
            let Some((universe, threading)) = initialize_with_threading(Threading::Serialized)
            else {
                return;
            };
            let world = universe.world();
            let _ = ready.send((world.rank() as usize, world.size() as usize, threading));
            running.run();
        });
        let Ok((rank, ranks, threading)) = group.recv() else {
            return Err(start_error(0, "MPI in use already", "one start in a process"));
        };
        if threading < Threading::Serialized {
            let expected = "at least Serialized";
            return Err(start_error(rank, format!("threading level {threading:?}"), expected));
        }
        let launched = launched_ranks();
        if let Some(launched) = launched.filter(|&launched| launched != ranks) {
            // Each process would train alone.
            let found = format!("{ranks} of the {launched} ranks that the launcher started");
            return Err(start_error(rank, found, "a launcher of the MPI library in the program"));
        }
        let (ended, error) = (Mutex::new(ended), Arc::default());
        Ok(Mpi { rank, ranks, limit, calls: Some(calls), engine, ended, error })
    }

    /// How long [`Pending::wait`] waits for the other ranks before it returns an error. One rank may
    /// compute or save this much longer than the others; default the number of seconds in the
    /// environment variable `ADAMANT_MPI_TIME_LIMIT`, or else 5 minutes.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Prints the reason and ends the processes of all ranks, with status 1.
    ///
    /// For an error of this rank alone, such as a full disk: the other ranks would wait for its next
    /// call until the time limit.
    ///
    /// MPI: `MPI_Abort`.
    pub fn abort(&self, reason: impl Display) -> ! {
        report(format!("rank {}: {reason}", self.rank));
        self.end_group()
    }

    fn end_group(&self) -> ! {
        self.engine.abort();
        // A call for a thread to notice it, if all are idle.
        drop(self.barrier());
        thread::sleep(ABORT_LIMIT);
        exit(1)
    }

    fn call(&self, name: &'static str, frame: Frame, operation: Option<Operation>) -> Pending {
        let (rank, limit, failed) = (self.rank, self.limit, self.error.clone());
        let error = move |found: String, expected: &str| {
            let error = TransportError { rank, operation: name, found, expected: expected.into() };
            failed.get_or_init(|| error).clone()
        };
        let Some(operation) = operation else {
            let found = "more than 2147483647 bytes";
            return Pending::new(move || Err(error(found.into(), "at most as many as MPI counts")));
        };
        let (result, received) = channel();
        if let Some(calls) = &self.calls {
            // If the threads have ended, the result is disconnected.
            let _ = calls.send(Call { operation, frame, result });
        }
        let earlier = self.error.clone();
        Pending::new(move || {
            // After an error, nothing else arrives: each wait would take the whole time limit.
            if let Some(error) = earlier.get() {
                return Err(error.clone());
            }
            received.recv_timeout(limit).map_err(|failure| match failure {
                RecvTimeoutError::Timeout => {
                    let found = format!("no answer in {} s", limit.as_secs_f64());
                    error(found, "one from every rank (ADAMANT_MPI_TIME_LIMIT sets the limit)")
                }
                RecvTimeoutError::Disconnected => {
                    error("the end of MPI's thread".into(), "an answer from every rank")
                }
            })
        })
    }

    #[track_caller]
    fn check(&self, function: &str, name: &str, lengths: &[usize]) {
        let (found, expected) = (lengths.len(), self.ranks);
        assert!(found == expected, "{function}: {name} has {found} entries; expected {expected}");
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn all_to_all(&self, frame: Frame, counts: &[usize], lengths: &[usize]) -> Pending {
        self.check("all_to_all", "counts", counts);
        self.check("all_to_all", "lengths", lengths);
        let (rank, parts) = (self.rank, Parts::new(counts).zip(Parts::new(lengths)));
        let operation =
            parts.map(|(counts, lengths)| Operation::AllToAll { rank, counts, lengths });
        self.call("all_to_all", frame, operation)
    }

    fn all_gather(&self, frame: Frame, lengths: &[usize]) -> Pending {
        self.check("all_gather", "lengths", lengths);
        let (found, expected) = (frame.len(), lengths[self.rank]);
        assert!(found == expected, "all_gather: frame has {found} bytes; expected {expected}");
        let operation = Parts::new(lengths).map(|lengths| Operation::AllGather { lengths });
        self.call("all_gather", frame, operation)
    }

    fn broadcast(&self, root: usize, frame: Frame) -> Pending {
        let ranks = self.ranks;
        assert!(root < ranks, "broadcast: root is {root}; expected less than {ranks}");
        let countable = i32::try_from(frame.len()).is_ok();
        let operation = countable.then_some(Operation::Broadcast { root: root as i32 });
        self.call("broadcast", frame, operation)
    }

    fn barrier(&self) -> Pending {
        self.call("barrier", Frame::default(), Some(Operation::Barrier))
    }

    fn abort(&self, reason: &str) {
        Mpi::abort(self, reason)
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if let Some(error) = self.error.get() {
            // `main` would report it after this, which is too late.
            report(error.to_string());
            self.end_group();
        }
        if thread::panicking() {
            self.end_group();
        }
        self.calls = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(self.limit) == Err(RecvTimeoutError::Timeout) {
            let seconds = self.limit.as_secs_f64();
            report(format!("rank {}: found ranks that did not end in {seconds} s", self.rank));
            exit(1);
        }
    }
}

/// Prints a line. Launchers merge what ranks write: in one piece, it is not torn.
fn report(mut line: String) {
    line.push('\n');
    // Standard error may be closed.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn time_limit() -> Result<Duration, TransportError> {
    let Some(found) = std::env::var_os(TIME_LIMIT) else { return Ok(DEFAULT_TIME_LIMIT) };
    let seconds = found.to_str().and_then(|text| text.parse::<f64>().ok());
    let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.filter(|limit| !limit.is_zero()).ok_or_else(|| {
        let found = format!("{TIME_LIMIT}={}", found.display());
        start_error(0, found, "a positive number of seconds")
    })
}

/// The number of processes that the launcher started, if it is one of Open MPI or MPICH.
fn launched_ranks() -> Option<usize> {
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
}

fn start_error(rank: usize, found: impl Display, expected: impl Display) -> TransportError {
    let (found, expected) = (found.to_string(), expected.to_string());
    TransportError { rank, operation: "start", found, expected }
}

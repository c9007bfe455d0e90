//! Ctrl-C and SIGTERM.
//!
//! The handlers are installed with the first run of a process, once. Without an open run, a signal
//! ends the program at once. During a run, the first signal is a request, which the run reads after
//! its current step, and the second one ends the program at once.
//!
//! A signal that the parent process has set to be ignored stays ignored, as far as the system tells:
//! a shell does that with SIGINT for a command that a script starts in the background. SIGHUP, at the
//! end of a terminal, is left as it is: `nohup` works by having it ignored.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The usual exit status of a program that Ctrl-C ended.
pub(super) const STATUS: u8 = 130;

/// The shortest time between two signals that count as two.
const PAUSE: Duration = Duration::from_millis(100);

struct Signals {
    /// Whether a signal has arrived.
    requested: Arc<AtomicBool>,
    /// Whether the next signal ends the program at once.
    at_once: Arc<AtomicBool>,
    /// The number of open runs.
    runs: usize,
    /// Whether a run has read the request.
    delivered: bool,
}

static SIGNALS: Mutex<Option<Signals>> = Mutex::new(None);

fn signals() -> MutexGuard<'static, Option<Signals>> {
    SIGNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signals {
    fn install() -> io::Result<Self> {
        let (requested, at_once) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        for signal in [SIGINT, SIGTERM].into_iter().filter(|&signal| !is_ignored(signal)) {
            flag::register_conditional_shutdown(signal, STATUS.into(), at_once.clone())?;
            flag::register(signal, requested.clone())?;
        }
        thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(Signals { requested, at_once, runs: 0, delivered: false })
    }
}

/// Makes the next signal end the program at once, a moment after the first one: `timeout` sends each
/// signal twice, to the process and to its group.
fn watch() {
    loop {
        thread::sleep(PAUSE);
        let is_requested =
            || signals().as_ref().is_some_and(|signals| signals.requested.load(SeqCst));
        if is_requested() {
            thread::sleep(PAUSE);
            // Again, since the run that was asked to stop may be over.
            if let Some(signals) = &*signals()
                && signals.requested.load(SeqCst)
            {
                signals.at_once.store(true, SeqCst);
            }
        }
    }
}

/// Whether this process ignores the signal; known on Linux.
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// An open run. When the last one is dropped, a request that was read is forgotten: the next run of
/// the process starts without it.
pub(super) struct OpenRun {
    requested: Arc<AtomicBool>,
}

impl OpenRun {
    pub(super) fn new() -> io::Result<Self> {
        let mut installed = signals();
        let signals = match &mut *installed {
            Some(signals) => signals,
            none => none.insert(Signals::install()?),
        };
        signals.runs += 1;
        signals.at_once.store(signals.requested.load(SeqCst), SeqCst);
        Ok(OpenRun { requested: signals.requested.clone() })
    }

    /// Whether the run has to stop.
    pub(super) fn interrupted(&self) -> bool {
        let requested = self.requested.load(SeqCst);
        if requested && let Some(signals) = &mut *signals() {
            signals.delivered = true;
        }
        requested
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        let Some(signals) = &mut *signals() else { return };
        signals.runs -= 1;
        if signals.runs == 0 {
            if std::mem::take(&mut signals.delivered) {
                signals.requested.store(false, SeqCst);
            }
            signals.at_once.store(true, SeqCst);
        }
    }
}

//! The time in a run's files.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970, which never decrease within a run's files.
///
/// The system's clock is read once, at the start of a session; if it is behind the last time of
/// the session before, the new session continues from there. Within a session, time is measured
/// by the monotonic clock.
pub(super) struct Clock {
    start: f64,
    since: Instant,
}

impl Clock {
    /// Starts at `now`, by the system's clock, but not before `earliest`.
    pub(super) fn start(now: f64, earliest: f64) -> Self {
        Clock { start: now.max(earliest), since: Instant::now() }
    }

    pub(super) fn now(&self) -> f64 {
        self.start + self.since.elapsed().as_secs_f64()
    }
}

/// The system's clock, in seconds since 1970.
pub(super) fn system_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_continues_from_the_last_time() {
        let clock = Clock::start(1000.0, 5000.0);
        let first = clock.now();
        assert!((5000.0..5001.0).contains(&first), "{first}");
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(clock.now() > first);
        assert!((7000.0..7001.0).contains(&Clock::start(7000.0, 5000.0).now()));
    }
}

//! The time in a run's files.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, which never decrease within a run's files: the system's clock, or the time
/// of the last row while the system's clock is behind it.
pub(super) struct Clock {
    last: f64,
}

impl Clock {
    pub(super) fn after(last: f64) -> Self {
        Clock { last }
    }

    pub(super) fn now(&mut self) -> f64 {
        self.at(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()))
    }

    /// The time in milliseconds, as in the files, when the system's clock shows `system`.
    fn at(&mut self, system: f64) -> f64 {
        self.last = self.last.max((system * 1000.0).round() / 1000.0);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_follows_the_clock_but_never_decreases() {
        let mut clock = Clock::after(5000.0);
        let times = [1000.0, 6000.0, 5999.0, 6000.0004, 9000.5].map(|system| clock.at(system));
        assert_eq!(times, [5000.0, 6000.0, 6000.0, 6000.0, 9000.5]);
        assert!(clock.now() > 1.7e9);
    }
}

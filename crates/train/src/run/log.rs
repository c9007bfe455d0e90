//! What a run logs: rows in `metrics.jsonl`, and the same values in an event file.

use super::append::Appender;
use super::clock::{Clock, system_time};
use super::events;
use super::history::{self, Row, cut};
use adamant_files::FileError;
use std::path::Path;

pub(super) struct Log {
    clock: Clock,
    metrics: Appender,
    events: Appender,
}

impl Log {
    /// Continues the log of a run that resumes after step `resumed`, or starts from the beginning.
    /// Returns the number of later rows that were removed, too.
    pub(super) fn open(folder: &Path, resumed: Option<u64>) -> Result<(Self, usize), FileError> {
        let before = cut(folder, resumed)?;
        let clock = Clock::start(system_time(), before.time);
        let metrics = Appender::open(&history::path(folder))?;
        let events = events::create(folder, clock.now(), resumed)?;
        Ok((Log { clock, metrics, events }, before.removed))
    }

    /// The time at which the log was opened or later.
    pub(super) fn now(&self) -> f64 {
        (self.clock.now() * 1000.0).ceil() / 1000.0 // up: not before an earlier row
    }

    /// Logs the values. Returns messages for the user.
    pub(super) fn log(&mut self, step: u64, values: &[(&str, f64)]) -> Vec<String> {
        let time = self.now();
        let event = events::scalars(time, step, values);
        let values = values.iter().map(|&(name, value)| (name.to_string(), value)).collect();
        let row = Row { step, time, values };
        let messages = [self.metrics.append(row.line().as_bytes()), self.events.append(&event)];
        messages.into_iter().flatten().collect()
    }

    /// Waits until what was logged is on the disk. Returns messages for the user.
    pub(super) fn sync(&self) -> Vec<String> {
        let results = [self.metrics.sync(), self.events.sync()];
        results
            .into_iter()
            .filter_map(Result::err)
            .map(|error| format!("warning: {error}"))
            .collect()
    }

    /// Writes what waits in memory.
    ///
    /// # Errors
    /// If anything that was logged is not in the files.
    pub(super) fn close(&mut self) -> Result<(), FileError> {
        let results = [self.metrics.close(), self.events.close()];
        results.into_iter().collect()
    }
}

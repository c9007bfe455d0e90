//! What a run logs: rows in `metrics.jsonl`, and the same values in an event file.

use super::append::Appender;
use super::clock::Clock;
use super::events;
use super::history::{self, Row, cut};
use adamant_files::FileError;
use std::path::Path;

/// Prints a message for the user.
pub(super) type Note = Box<dyn Fn(&str) + Send>;

/// The log. Dropped without [`close`](Self::close), it writes what waits in memory, and warns if it
/// cannot.
pub(super) struct Log {
    clock: Clock,
    metrics: Appender,
    events: Appender,
    /// The number of rows at the start.
    before: u64,
    note: Note,
}

impl Log {
    /// Continues the log of a run that resumes with this number of rows, and removes later ones.
    /// Returns their number, too.
    pub(super) fn open(folder: &Path, rows: u64, note: Note) -> Result<(Self, usize), FileError> {
        let before = cut(folder, rows)?;
        if let Some(warning) = before.warning {
            note(&format!("warning: {warning}"));
        }
        let mut clock = Clock::after(before.time);
        let metrics = Appender::open(&history::path(folder))?;
        let (events, message) =
            events::create(folder, clock.now(), before.step.map_or(0, |step| step + 1))?;
        message.iter().for_each(|message| note(message));
        Ok((Log { clock, metrics, events, before: before.rows, note }, before.removed))
    }

    /// The time of a row that is logged now.
    pub(super) fn now(&mut self) -> f64 {
        self.clock.now()
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> u64 {
        self.before + self.metrics.records()
    }

    pub(super) fn log(&mut self, step: u64, values: &[(&str, f64)]) {
        let time = self.now();
        let event = events::scalars(time, step, values);
        let values = values.iter().map(|&(name, value)| (name.to_string(), value)).collect();
        let row = Row { step, time, values };
        let messages = [self.metrics.append(row.line().as_bytes()), self.events.append(&event)];
        self.print(messages);
    }

    /// Writes what waits in memory.
    pub(super) fn flush(&mut self) {
        let messages = [self.metrics.flush(), self.events.flush()];
        self.print(messages);
    }

    fn print(&self, messages: [Option<String>; 2]) {
        messages.iter().flatten().for_each(|message| (self.note)(message));
    }

    /// Waits, on any thread, until what was written is on the disk; returns failures.
    pub(super) fn sync(&self) -> impl Fn() -> Vec<FileError> + Send + Sync + 'static {
        let targets = [self.metrics.target(), self.events.target()];
        move || targets.iter().filter_map(|target| target.sync().err()).collect()
    }

    /// Writes what waits in memory, and waits until all is on the disk.
    ///
    /// # Errors
    /// If anything that was logged is not in the files.
    pub(super) fn close(&mut self) -> Result<(), FileError> {
        let results = [self.metrics.close(), self.events.close()];
        results.into_iter().collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        for result in [self.metrics.close(), self.events.close()] {
            if let Err(error) = result {
                (self.note)(&format!("warning: {error}"));
            }
        }
    }
}

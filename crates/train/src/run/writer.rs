//! What a run writes and shows: checkpoints, the log, the configuration, progress.

use super::config::{RunConfig, Session};
use super::error::RunError;
use super::folder::{Saved, checkpoint, contents};
use super::log::Log;
use super::progress::Progress;
use adamant_checkpoint::CheckpointManager;
use adamant_files::FileError;
use adamant_tensor::StateDict;
use std::io::{self, Write};
use std::path::PathBuf;

/// The number of failed saves in a row that ends the training.
const FAILURES: u32 = 3;

/// What rank 0 of a run writes and shows.
pub(super) struct Writer {
    path: PathBuf,
    checkpoints: CheckpointManager,
    log: Log,
    progress: Progress,
    resumed: Option<u64>,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
    /// The last finished step, and the number of rows then: those that the program does not log
    /// again if it resumes there.
    position: Option<(u64, u64)>,
    /// The number of saves in a row that have failed.
    failures: u32,
    /// Whether `config.json` states that the run is finished.
    finished: bool,
}

impl Writer {
    /// Starts, or resumes from what was saved. Removes later rows of the log, and adds a session to
    /// `config.json`.
    pub(super) fn start(
        path: PathBuf,
        checkpoints: CheckpointManager,
        progress: Progress,
        saved: Option<&Saved>,
        session: impl FnOnce(f64) -> Session,
    ) -> Result<Self, FileError> {
        let resumed = saved.map(|saved| saved.step);
        let mut config = RunConfig::read_or_new(&path)?;
        let rows = saved.map_or(0, |saved| saved.rows);
        let (mut log, removed) = Log::open(&path, rows, Box::new(progress.notes()))?;
        let checkpoints = checkpoints.before_save(log.sync());
        let mut session = session(log.now());
        if let Some(before) = config.sessions.last().filter(|_| resumed.is_some()) {
            for difference in session.differences(before) {
                progress.note(&format!("warning: {}: {difference}", path.display()));
            }
            session.finished = before.finished; // until it performs a further step
        }
        let finished = session.finished;
        config.sessions.push(session);
        config.write(&path)?;
        if resumed.is_none() && removed > 0 {
            progress.info("no checkpoint was saved: starts from the beginning");
        }
        let position = resumed.map(|step| (step, log.rows()));
        let (saved, failures) = (resumed, 0);
        Ok(Writer {
            path,
            checkpoints,
            log,
            progress,
            resumed,
            saved,
            position,
            failures,
            finished,
        })
    }

    /// Shows progress from here on.
    pub(super) fn show(&self) {
        self.progress.start(self.resumed);
    }

    pub(super) fn log(&mut self, step: u64, values: &[(&str, f64)]) {
        self.progress.log(step, values);
        self.log.log(step, values);
    }

    /// Reports that a step is finished.
    pub(super) fn step(&mut self, step: u64) {
        self.progress.step(step);
        self.position = Some((step, self.log.rows()));
        // A finished run is no longer finished at its first further step.
        if self.finished && self.resumed != Some(step) {
            self.finished = false;
            self.record(false);
        }
    }

    pub(super) fn is_due(&self, step: u64) -> bool {
        self.checkpoints.is_due(step)
    }

    /// Records whether the run is finished. A failure is a warning: only `adamant runs` reads it.
    fn record(&self, finished: bool) {
        if let Err(error) = RunConfig::record(&self.path, finished) {
            self.progress.note(&format!("warning: {error}"));
        }
    }

    /// Saves in the background. The failure of a save is a warning, the third in a row an error.
    pub(super) fn save(
        &mut self,
        step: u64,
        metric: Option<f64>,
        state: &StateDict,
    ) -> Result<(), RunError> {
        // What waits for a full disk would be lost if this checkpoint was resumed from.
        self.log.flush();
        match self.start_save(step, metric, state) {
            Ok(()) => self.failures = 0,
            Err(error) => {
                self.failures += 1;
                if self.failures == FAILURES {
                    self.failures = 0;
                    return Err(error.into());
                }
                self.progress.note(&format!("warning: {error}; training continues"));
            }
        }
        Ok(())
    }

    /// Saves in the background. Before that, the manager calls [`Log::sync`]: a resumed run must not
    /// miss rows before its step, even after a loss of power.
    ///
    /// # Errors
    /// If the save before this one failed, or this one cannot start.
    fn start_save(
        &mut self,
        step: u64,
        metric: Option<f64>,
        state: &StateDict,
    ) -> Result<(), FileError> {
        self.saved = Some(step);
        let checkpoint = checkpoint(state, self.rows(step));
        match metric {
            Some(metric) => self.checkpoints.save_with_metric(step, metric, checkpoint),
            None => self.checkpoints.save(step, checkpoint),
        }
    }

    /// Saves, and waits until the checkpoint is on the disk. The log is closed after it: if the disk
    /// is almost full, the room is for the checkpoint.
    pub(super) fn save_and_wait(
        &mut self,
        step: u64,
        metric: Option<f64>,
        state: &StateDict,
    ) -> Result<(), RunError> {
        // If the save before this one failed, this one makes up for it.
        if let Err(error) = self.checkpoints.finish() {
            self.progress.note(&format!("warning: {error}"));
        }
        self.start_save(step, metric, state)?;
        Ok(self.checkpoints.finish()?)
    }

    /// Saves after the last step, unless the newest checkpoint is the same.
    pub(super) fn save_last(&mut self, step: u64, state: &StateDict) -> Result<(), RunError> {
        if self.saved != Some(step) || !self.newest_is(step, state) {
            self.save_and_wait(step, None, state)?;
        }
        self.progress.finish(step);
        Ok(())
    }

    /// The number of rows that the program does not log again if it resumes after this step.
    fn rows(&self, step: u64) -> u64 {
        match self.position {
            Some((last, rows)) if last == step => rows,
            _ => self.log.rows(), // `finish` after steps that were not reported
        }
    }

    /// Whether the newest checkpoint is good and contains this state.
    fn newest_is(&mut self, step: u64, state: &StateDict) -> bool {
        let Ok(Some((_, saved))) = self.checkpoints.newest() else { return false };
        contents(&self.path, &saved)
            .is_ok_and(|(found, rows)| rows == self.rows(step) && found == state)
    }

    /// Closes the log of a run that is interrupted.
    pub(super) fn stop(&mut self) {
        if let Err(error) = self.log.close() {
            self.progress.note(&format!("warning: {error}"));
        }
    }

    /// Closes the log of a run that is finished.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        self.log.close()?;
        self.record(true);
        Ok(())
    }

    /// Prints a line to the standard output, above the progress bar.
    pub(super) fn println(&self, line: &str) {
        let _ = self.suspend(|| writeln!(io::stdout(), "{line}"));
    }

    /// Runs `f` without the progress bar on the screen.
    pub(super) fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.progress.suspend(f)
    }
}

//! A run's folder before its training resumes, and reading one.

use super::Run;
use super::config::{RunConfig, Session};
use super::error::RunError;
use super::exit;
use super::log::Log;
use super::names::{ROWS, TRAINING};
use super::progress::{Progress, print};
use super::signals::OpenRun;
use adamant_checkpoint::{Checkpoint, CheckpointManager, Order, find_checkpoint};
use adamant_files::{FileError, host_name};
use adamant_tensor::{StateDict, Stateful};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A checkpoint, made when this number of rows was logged.
pub(super) fn checkpoint<S: Stateful + ?Sized>(training: &S, rows: u64) -> Checkpoint {
    Checkpoint::new().with(TRAINING, training).note(ROWS, rows.to_string())
}

/// The parts of a run's checkpoint.
pub(super) fn contents<'c>(
    path: &Path,
    saved: &'c Checkpoint,
) -> Result<(&'c StateDict, u64), FileError> {
    let rows = saved.get_note(ROWS).and_then(|rows| rows.parse().ok());
    match (saved.part(TRAINING), rows) {
        (Some(state), Some(rows)) => Ok((state, rows)),
        _ => {
            let parts: Vec<&str> = saved.parts().map(|(name, _)| name).collect();
            let notes: Vec<&str> = saved.notes().map(|(key, _)| key).collect();
            let found = format!("a checkpoint of the parts {parts:?} and the notes {notes:?}");
            let expected =
                format!("one of a run, with the part `{TRAINING}` and the note `{ROWS}`");
            Err(FileError::format(path, found, expected))
        }
    }
}

/// The state of a checkpoint in the folder of a run, and its step. Only reads.
pub(super) fn read(folder: &Path, order: Order) -> Result<(u64, StateDict), FileError> {
    let warn = |error: &FileError| print(&format!("warning: {error}"));
    let Some((step, saved)) = find_checkpoint(folder, order, warn)? else {
        let (found, expected) = match order {
            Order::Newest => ("a folder without checkpoints", "the folder of a run that was saved"),
            _ => ("no checkpoint with a metric", "the folder of a run that was saved with one"),
        };
        return Err(FileError::format(folder, found, expected));
    };
    Ok((step, contents(folder, &saved)?.0.clone()))
}

/// The folder of a run, locked, with the run's options: see [`Run::open`].
///
/// [`resume`](Self::resume) makes it a [`Run`].
pub struct RunFolder {
    pub(super) path: PathBuf,
    pub(super) checkpoints: CheckpointManager,
    config: BTreeMap<String, String>,
    version: Option<String>,
    total_steps: Option<u64>,
    quiet: bool,
}

impl RunFolder {
    pub(super) fn open(path: PathBuf) -> Result<Self, FileError> {
        Ok(RunFolder {
            checkpoints: CheckpointManager::new(&path)?,
            path,
            config: BTreeMap::new(),
            version: None,
            total_steps: None,
            quiet: false,
        })
    }

    /// Saves at each multiple of `steps`; default never.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[must_use]
    #[track_caller]
    pub fn save_every_steps(mut self, steps: u64) -> Self {
        assert!(steps > 0, "Run: save_every_steps is 0; expected at least 1");
        self.checkpoints = self.checkpoints.every_steps(steps);
        self
    }

    /// Saves when this time has passed since the last save; default never.
    ///
    /// # Panics
    /// If `minutes` is negative, NaN, or more than a `Duration` holds.
    #[must_use]
    #[track_caller]
    pub fn save_every_minutes(mut self, minutes: f64) -> Self {
        assert!(
            Duration::try_from_secs_f64(minutes * 60.0).is_ok(),
            "Run: save_every_minutes is {minutes:?}; expected a number from 0 to 3e17"
        );
        self.checkpoints = self.checkpoints.every_minutes(minutes);
        self
    }

    /// Keeps the last `count` checkpoints and removes older ones; default all.
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    #[track_caller]
    pub fn keep_last(mut self, count: usize) -> Self {
        assert!(count > 0, "Run: keep_last is 0; expected at least 1");
        self.checkpoints = self.checkpoints.keep_last(count);
        self
    }

    /// Keeps the checkpoint with the lowest metric, such as a loss, beside the last ones; default
    /// none. [`Run::lowest`] reads it.
    #[must_use]
    pub fn keep_lowest(mut self) -> Self {
        self.checkpoints = self.checkpoints.keep_lowest();
        self
    }

    /// Keeps the checkpoint with the highest metric, such as an accuracy, beside the last ones;
    /// default none. [`Run::highest`] reads it.
    #[must_use]
    pub fn keep_highest(mut self) -> Self {
        self.checkpoints = self.checkpoints.keep_highest();
        self
    }

    /// Adds a value to the configuration in `config.json`; default none.
    ///
    /// A resumed run reports the values that differ from those before, as a warning.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.config.insert(name.into(), value.to_string());
        self
    }

    /// The program's version in `config.json`, such as `env!("CARGO_PKG_VERSION")`; default none.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The number of steps of the whole run, from which progress is a percentage and has a time
    /// left; default unknown.
    #[must_use]
    pub fn total_steps(mut self, steps: u64) -> Self {
        self.total_steps = Some(steps);
        self
    }

    /// Shows no progress, only warnings; default shown.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts or resumes the run: loads the newest good checkpoint into `training` if there is one,
    /// and removes what was logged after it, which the program logs again. From here on, Ctrl-C and
    /// SIGTERM are answered by [`Run::step`].
    ///
    /// If nothing was saved, `training` stays as it is, and the run starts from the beginning with
    /// an empty log.
    ///
    /// # Errors
    /// If a checkpoint does not fit `training` ([`RunError::State`]), or a file cannot be read or
    /// written. `training` is unchanged then.
    pub fn resume<S: Stateful + ?Sized>(mut self, training: &mut S) -> Result<Run, RunError> {
        let progress = Progress::new(self.total_steps, self.quiet);
        let note = progress.notes();
        self.checkpoints =
            self.checkpoints.on_warning(move |error| note(&format!("warning: {error}")));

        let saved = self.checkpoints.newest()?;
        let saved = match &saved {
            Some((step, saved)) => Some((*step, contents(&self.path, saved)?)),
            None => None,
        };
        if let Some((step, (state, _))) = saved
            && let Err(error) = training.check_state_dict(state)
        {
            return Err(RunError::State { folder: self.path, step, error });
        }
        let resumed = saved.map(|(step, _)| step);
        let mut config = RunConfig::read_or_new(&self.path)?;
        let rows = saved.map_or(0, |(_, (_, rows))| rows);
        let (mut log, removed) = Log::open(&self.path, rows, Box::new(progress.notes()))?;
        self.checkpoints = self.checkpoints.before_save(log.sync());
        let mut session = self.session(log.now(), resumed);
        if let Some(before) = config.sessions.last().filter(|_| resumed.is_some()) {
            for difference in session.differences(before) {
                progress.note(&format!("warning: {}: {difference}", self.path.display()));
            }
            session.finished = before.finished; // until it performs a further step
        }
        let finished = session.finished;
        config.sessions.push(session);
        config.write(&self.path)?;
        let signals = OpenRun::new().map_err(|error| FileError::io(&self.path, error))?;
        if let Some((_, (state, _))) = saved
            && let Err(error) = training.load_state_dict(state)
        {
            panic!("resume: `training` rejects a state that it accepted in its check: {error}");
        }
        if resumed.is_none() && removed > 0 {
            progress.info("no checkpoint was saved: starts from the beginning");
        }
        progress.start(resumed);
        Ok(Run::new(self, log, progress, signals, resumed, finished))
    }

    /// This start of the program.
    fn session(&self, started: f64, resumed: Option<u64>) -> Session {
        Session {
            started,
            step: resumed.unwrap_or(0),
            program: exit::program(),
            version: self.version.clone(),
            adamant: env!("CARGO_PKG_VERSION").into(),
            arguments: exit::arguments(),
            host: host_name(),
            process: std::process::id(),
            config: self.config.clone(),
            finished: false,
        }
    }
}

impl fmt::Debug for RunFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFolder").field("path", &self.path).finish_non_exhaustive()
    }
}

//! A run's folder before its training resumes, and reading one.

use super::Run;
use super::config::Session;
use super::error::RunError;
use super::exit;
use super::group::Group;
use super::names::{ROWS, TRAINING};
use super::progress::{Progress, print};
use super::signals::OpenRun;
use super::writer::Writer;
use adamant_checkpoint::{Checkpoint, CheckpointManager, Order, find_checkpoint};
use adamant_files::{FileError, host_name};
use adamant_tensor::{StateDict, Stateful};
use adamant_transport::Alone;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A checkpoint, made when this number of rows was logged.
pub(super) fn checkpoint(training: &StateDict, rows: u64) -> Checkpoint {
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

/// What a run resumes from.
pub(super) struct Saved {
    pub(super) step: u64,
    /// The number of rows that were logged before it.
    pub(super) rows: u64,
    pub(super) state: StateDict,
}

/// The folder of a run, locked, with the run's options: see [`Run::open`].
///
/// [`resume`](Self::resume) makes it a [`Run`].
pub struct RunFolder {
    path: PathBuf,
    group: Group,
    /// On rank 0.
    checkpoints: Option<CheckpointManager>,
    config: BTreeMap<String, String>,
    version: Option<String>,
    total_steps: Option<u64>,
    quiet: bool,
}

impl RunFolder {
    pub(super) fn open(path: PathBuf) -> Result<Self, FileError> {
        let checkpoints = CheckpointManager::new(&path)?;
        Ok(RunFolder::new(path, Group::new(Arc::new(Alone)), Some(checkpoints)))
    }

    pub(super) fn open_on(path: PathBuf, group: Group) -> Result<Self, RunError> {
        let checkpoints = (group.rank() == 0).then(|| CheckpointManager::new(&path)).transpose();
        let checkpoints = group.agree(checkpoints.map_err(RunError::from))?;
        Ok(RunFolder::new(path, group, checkpoints))
    }

    fn new(path: PathBuf, group: Group, checkpoints: Option<CheckpointManager>) -> Self {
        RunFolder {
            path,
            group,
            checkpoints,
            config: BTreeMap::new(),
            version: None,
            total_steps: None,
            quiet: false,
        }
    }

    fn with(mut self, option: impl FnOnce(CheckpointManager) -> CheckpointManager) -> Self {
        self.checkpoints = self.checkpoints.map(option);
        self
    }

    /// Saves at each multiple of `steps`; default never.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[must_use]
    #[track_caller]
    pub fn save_every_steps(self, steps: u64) -> Self {
        assert!(steps > 0, "Run: save_every_steps is 0; expected at least 1");
        self.with(|checkpoints| checkpoints.every_steps(steps))
    }

    /// Saves when this time has passed since the last save; default never.
    ///
    /// # Panics
    /// If `minutes` is negative, NaN, or more than a `Duration` holds.
    #[must_use]
    #[track_caller]
    pub fn save_every_minutes(self, minutes: f64) -> Self {
        assert!(
            Duration::try_from_secs_f64(minutes * 60.0).is_ok(),
            "Run: save_every_minutes is {minutes:?}; expected a number from 0 to 3e17"
        );
        self.with(|checkpoints| checkpoints.every_minutes(minutes))
    }

    /// Keeps the last `count` checkpoints and removes older ones; default all.
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    #[track_caller]
    pub fn keep_last(self, count: usize) -> Self {
        assert!(count > 0, "Run: keep_last is 0; expected at least 1");
        self.with(|checkpoints| checkpoints.keep_last(count))
    }

    /// Keeps the checkpoint with the lowest metric, such as a loss, beside the last ones; default
    /// none. [`Run::lowest`] reads it.
    #[must_use]
    pub fn keep_lowest(self) -> Self {
        self.with(|checkpoints| checkpoints.keep_lowest())
    }

    /// Keeps the checkpoint with the highest metric, such as an accuracy, beside the last ones;
    /// default none. [`Run::highest`] reads it.
    #[must_use]
    pub fn keep_highest(self) -> Self {
        self.with(|checkpoints| checkpoints.keep_highest())
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
    /// written. `training` is unchanged then. On several ranks, also if one of them has ended.
    pub fn resume<S: Stateful + ?Sized>(mut self, training: &mut S) -> Result<Run, RunError> {
        let progress = Progress::new(self.total_steps, self.quiet);
        let note = progress.notes();
        self = self.with(|checkpoints| {
            checkpoints.on_warning(move |error| note(&format!("warning: {error}")))
        });
        let newest = self.newest();
        let newest = self.group.agree(newest)?;
        let saved = self.group.share_saved(newest)?;
        let checked = match &saved {
            Some(Saved { step, state, .. }) => training
                .check_state_dict(state)
                .map_err(|error| RunError::State { folder: self.path.clone(), step: *step, error }),
            None => Ok(()),
        };
        self.group.agree(checked)?;
        let started = self.start(progress, saved.as_ref());
        let (writer, signals) = self.group.agree(started.map_err(RunError::from))?;
        if let Some(saved) = &saved
            && let Err(error) = training.load_state_dict(&saved.state)
        {
            panic!("resume: `training` rejects a state that it accepted in its check: {error}");
        }
        writer.iter().for_each(Writer::show);
        let resumed = saved.map(|saved| saved.step);
        Ok(Run { path: self.path, group: self.group, writer, signals, resumed })
    }

    /// The newest good checkpoint, on rank 0.
    fn newest(&mut self) -> Result<Option<Saved>, RunError> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(None) };
        let Some((step, saved)) = checkpoints.newest()? else { return Ok(None) };
        let (state, rows) = contents(&self.path, &saved)?;
        Ok(Some(Saved { step, rows, state: state.clone() }))
    }

    /// Starts to write, on rank 0, and to answer signals.
    fn start(
        &mut self,
        progress: Progress,
        saved: Option<&Saved>,
    ) -> Result<(Option<Writer>, OpenRun), FileError> {
        let checkpoints = self.checkpoints.take();
        let start = |checkpoints| {
            let session = |started| self.session(started, saved.map(|saved| saved.step));
            Writer::start(self.path.clone(), checkpoints, progress, saved, session)
        };
        let writer = checkpoints.map(start).transpose()?;
        let signals = OpenRun::new().map_err(|error| FileError::io(&self.path, error))?;
        Ok((writer, signals))
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

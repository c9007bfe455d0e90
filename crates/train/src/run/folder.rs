//! A run's folder before its training resumes, and after its end.

use super::Run;
use super::config::{RunConfig, Session};
use super::error::RunError;
use super::exit;
use super::log::Log;
use super::progress::Progress;
use super::signals::OpenRun;
use adamant_checkpoint::{Checkpoint, CheckpointManager, host_name};
use adamant_files::FileError;
use adamant_tensor::{StateDict, Stateful};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The part of a checkpoint that is the program's state.
const PART: &str = "training";

pub(super) fn checkpoint<S: Stateful + ?Sized>(training: &S) -> Checkpoint {
    Checkpoint::new().with(PART, training)
}

/// The folder of a run, locked, with the run's options: see [`Run::open`].
///
/// [`resume`](Self::resume) makes it a [`Run`]; [`Run::finish`] returns it.
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

    /// Saves at each multiple of `steps`; default: never.
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

    /// Saves when this time has passed since the last save; default: never.
    ///
    /// # Panics
    /// If `minutes` is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn save_every_minutes(mut self, minutes: f64) -> Self {
        let valid = minutes >= 0.0 && minutes.is_finite();
        assert!(
            valid,
            "Run: save_every_minutes is {minutes}; expected a finite value of at least 0"
        );
        self.checkpoints = self.checkpoints.every_minutes(minutes);
        self
    }

    /// Keeps the last `count` checkpoints and removes older ones; default: keeps all.
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

    /// The [best](Self::best) checkpoint is that with the lowest metric, such as a loss, and is
    /// kept beside the last ones; default: the lowest is the best, but is not kept.
    #[must_use]
    pub fn keep_lowest(mut self) -> Self {
        self.checkpoints = self.checkpoints.keep_lowest();
        self
    }

    /// The [best](Self::best) checkpoint is that with the highest metric, such as an accuracy, and
    /// is kept beside the last ones; default: see [`keep_lowest`](Self::keep_lowest).
    #[must_use]
    pub fn keep_highest(mut self) -> Self {
        self.checkpoints = self.checkpoints.keep_highest();
        self
    }

    /// Adds a value to the configuration in `config.json`; default: none.
    ///
    /// A resumed run reports the values that differ from those before, as a warning.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.config.insert(name.into(), value.to_string());
        self
    }

    /// The program's version in `config.json`, such as `env!("CARGO_PKG_VERSION")`; default: none.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The number of steps of the whole run, from which progress is a percentage and has a time
    /// left; default: unknown.
    #[must_use]
    pub fn total_steps(mut self, steps: u64) -> Self {
        self.total_steps = Some(steps);
        self
    }

    /// Shows no progress; warnings are still printed; default: shows progress.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts or resumes the run: loads the newest good checkpoint into `training` if there is one,
    /// and removes what was logged after its step. From here on, Ctrl-C and SIGTERM are answered
    /// by [`Run::step`].
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

        let saved = self.newest()?;
        let fits = |state: &StateDict| training.check_state_dict(state);
        if let Some((step, Err(error))) = saved.as_ref().map(|(step, state)| (*step, fits(state))) {
            return Err(RunError::State { folder: self.path, step, error });
        }
        let resumed = saved.as_ref().map(|(step, _)| *step);
        let mut config = RunConfig::read_or_new(&self.path)?;
        let (log, removed) = Log::open(&self.path, resumed)?;
        let session = self.session(log.now(), resumed);
        let before = config.sessions.last().filter(|_| resumed.is_some());
        for difference in before.map_or(Vec::new(), |before| session.differences(before)) {
            progress.note(&format!("warning: {}: {difference}", self.path.display()));
        }
        config.sessions.push(session);
        config.write(&self.path)?;
        let signals = OpenRun::new().map_err(|error| FileError::io(&self.path, error))?;
        if let Some((_, state)) = &saved
            && let Err(error) = training.load_state_dict(state)
        {
            panic!("resume: `training` rejects a state that it accepted in its check: {error}");
        }
        if resumed.is_none() && removed > 0 {
            progress.info("no checkpoint was saved: starts from the beginning");
        }
        progress.start(resumed);
        Ok(Run::new(self, log, progress, signals, resumed))
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

    /// The newest saved state, with its step; `None` if nothing was saved. Damaged checkpoints are
    /// skipped, with a warning.
    ///
    /// A program that uses a trained model loads it from here:
    ///
    /// ```
    /// use adamant_train::Run;
    /// use adamant_nn::Linear;
    /// use adamant_tensor::Stateful;
    /// # use adamant_tensor::Generator;
    /// # let runs = tempfile::tempdir().unwrap();
    /// # let folder = runs.path().join("digits");
    /// # let mut rng = Generator::seed(0);
    /// # let mut trained = Linear::new(2, 1, &mut rng);
    /// # Run::open(&folder)?.quiet().resume(&mut trained)?.finish(1, &trained)?;
    /// let mut model = Linear::new(2, 1, &mut rng);
    /// if let Some((_step, state)) = Run::open(&folder)?.newest()? {
    ///     model.load_state_dict(&state)?; // of a struct with a field `model`: &state.part("model")
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If all checkpoints are damaged, one cannot be read or has a later version of the format, or
    /// it was not saved by a run.
    pub fn newest(&mut self) -> Result<Option<(u64, StateDict)>, FileError> {
        self.checkpoints.newest()?.map(|saved| self.state(saved)).transpose()
    }

    /// The saved state with the best metric ([`Run::step_with_metric`]), with its step; `None` if
    /// none was saved with a metric. Damaged checkpoints are skipped, with a warning.
    ///
    /// # Errors
    /// Like [`newest`](Self::newest).
    pub fn best(&mut self) -> Result<Option<(u64, StateDict)>, FileError> {
        self.checkpoints.best()?.map(|saved| self.state(saved)).transpose()
    }

    fn state(&self, (step, saved): (u64, Checkpoint)) -> Result<(u64, StateDict), FileError> {
        match saved.part(PART) {
            Some(state) => Ok((step, state.clone())),
            None => {
                let parts: Vec<&str> = saved.parts().map(|(name, _)| name).collect();
                let found = format!("a checkpoint of the parts {parts:?}");
                Err(FileError::format(&self.path, found, format!("one of a run, with `{PART}`")))
            }
        }
    }
}

impl fmt::Debug for RunFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFolder").field("path", &self.path).finish_non_exhaustive()
    }
}

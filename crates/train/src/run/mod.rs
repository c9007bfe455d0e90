//! A folder per run: checkpoints, metrics, configuration; progress on the screen.

mod append;
mod clock;
mod config;
mod error;
mod events;
mod exit;
mod folder;
mod history;
mod log;
mod margin;
mod progress;
mod signals;

pub use config::{RunConfig, Session};
pub use error::{Interrupted, RunError};
pub use exit::exit;
pub use folder::RunFolder;
pub use history::{History, Row};

use adamant_files::FileError;
use adamant_tensor::Stateful;
use exit::command;
use folder::checkpoint;
use log::Log;
use progress::Progress;
use signals::OpenRun;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A training run that can be watched, killed and resumed. The loop stays the program's own.
///
/// ```
/// use adamant_tensor::{Generator, StateDict, StateError, Stateful};
/// use adamant_train::{History, Run};
///
/// // The whole state; `#[derive(Stateful)]` writes this impl.
/// struct Training {
///     step: u64,
///     rng: Generator,
/// }
/// # impl Stateful for Training {
/// #     fn state_dict(&self) -> StateDict {
/// #         let mut state = StateDict::from_iter([("step", self.step as i64)]);
/// #         state.insert_part("rng", self.rng.state_dict());
/// #         state
/// #     }
/// #     fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
/// #         self.rng.check_state_dict(&state.part("rng"))
/// #     }
/// #     fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
/// #         self.step = state.int("step").unwrap() as u64;
/// #         self.rng.load_state_dict(&state.part("rng"))
/// #     }
/// # }
///
/// # let runs = tempfile::tempdir().unwrap();
/// # let folder = runs.path().join("digits");
/// let mut training = Training { step: 0, rng: Generator::seed(0) };
/// let mut run = Run::open(&folder)?
///     .save_every_steps(500)
///     .save_every_minutes(5.0)
///     .keep_last(2)
///     .config("lr", 1e-3)
///     .total_steps(1000)
/// #   .quiet()
///     .resume(&mut training)?;
/// while training.step < 1000 {
///     let loss = training.rng.uniform(); // … a step of training …
///     training.step += 1;
///     if training.step % 10 == 0 {
///         run.log(training.step, &[("loss", loss)]);
///     }
///     run.step(training.step, &training)?;
/// }
/// run.finish(training.step, &training)?;
/// assert_eq!(History::read(&folder)?.series("loss").len(), 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The program that was killed continues when it is started again with the same command: with the
/// same bits, if `training` holds everything that changes. A run that is complete runs no step.
///
/// The folder contains:
///
/// | file | contents |
/// |---|---|
/// | `000012-step-500.ckpt` | a [checkpoint](adamant_checkpoint::Checkpoint) with the part `training` |
/// | `metrics.jsonl` | what was logged, a [row](crate::Row) in each line; read by [`History`](crate::History) |
/// | `events.out.tfevents.*` | the same for TensorBoard: `tensorboard --logdir runs` |
/// | `config.json` | when and with what the run was [started](crate::RunConfig) |
/// | `.lock` | keeps a second process out of the folder |
///
/// PyTorch: does not have it; Lightning's `Trainer` with its loggers and `ModelCheckpoint`.
pub struct Run {
    folder: RunFolder,
    log: Log,
    progress: Progress,
    signals: OpenRun,
    resumed: Option<u64>,
    /// The step of the newest checkpoint.
    saved: Option<u64>,
}

impl Run {
    /// Opens a run's folder, and creates it if it does not exist. No other process can open it
    /// until the run is over or its process ends in any way.
    ///
    /// Without options, a run is saved on Ctrl-C and at its end, and keeps all checkpoints.
    ///
    /// # Errors
    /// If the folder cannot be created, or another run uses it ([`FileError::InUse`]).
    pub fn open(folder: impl Into<PathBuf>) -> Result<RunFolder, FileError> {
        RunFolder::open(folder.into())
    }

    fn new(
        folder: RunFolder,
        log: Log,
        progress: Progress,
        signals: OpenRun,
        resumed: Option<u64>,
    ) -> Self {
        Run { folder, log, progress, signals, resumed, saved: resumed }
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The step after which the run resumed; `None` if it started from the beginning.
    #[must_use]
    pub fn resumed(&self) -> Option<u64> {
        self.resumed
    }

    /// Logs values, and shows them in the progress.
    ///
    /// Call it before [`step`](Self::step): what is logged after the save of a step is lost if the
    /// process is killed right then.
    ///
    /// A row that cannot be written, on a full disk for example, does not end the training: there
    /// is a warning, and rows wait in memory until the file can be written to.
    /// [`finish`](Self::finish) returns an error if it cannot in the end.
    ///
    /// # Panics
    /// If a name is `step` or `time`, or there are two equal names.
    #[track_caller]
    pub fn log(&mut self, step: u64, values: &[(&str, f64)]) {
        for (index, (name, _)) in values.iter().enumerate() {
            let reserved = *name == "step" || *name == "time";
            assert!(
                !reserved,
                "log: name is `{name}`; expected another one than `step` and `time`"
            );
            let twice = values[..index].iter().any(|(other, _)| other == name);
            assert!(!twice, "log: name is `{name}` twice; expected each name once");
        }
        self.progress.log(step, values);
        for message in self.log.log(step, values) {
            self.progress.note(&message);
        }
    }

    /// Reports that a step is finished. Saves `training` in the background if a save is due.
    ///
    /// After Ctrl-C or SIGTERM, saves, waits until the checkpoint is on the disk, and returns
    /// [`RunError::Interrupted`]: return it from `main` by [`exit`](crate::exit). A second signal
    /// ends the program at once, with status 130.
    ///
    /// A step is what the program counts: a batch, or an epoch, in which case a signal is answered
    /// at the end of the epoch.
    ///
    /// # Errors
    /// If a save failed, this one or the previous one in the background; or the run is interrupted.
    pub fn step<S: Stateful + ?Sized>(&mut self, step: u64, training: &S) -> Result<(), RunError> {
        self.advance(step, None, training)
    }

    /// [`step`](Self::step) after an evaluation: saves in any case, with the metric, which
    /// determines the [best](RunFolder::best) checkpoint.
    ///
    /// ```
    /// # use adamant_tensor::{Generator, Stateful};
    /// # use adamant_train::Run;
    /// # let runs = tempfile::tempdir().unwrap();
    /// # let folder = runs.path().join("digits");
    /// # let mut training = Generator::seed(0);
    /// let mut run = Run::open(&folder)?.keep_last(1).keep_lowest().quiet().resume(&mut training)?;
    /// for (epoch, loss) in [(1, 0.5), (2, 0.3), (3, 0.4)] {
    ///     // … an epoch of training, and an evaluation …
    ///     run.log(epoch, &[("validation loss", loss)]);
    ///     run.step_with_metric(epoch, loss, &training)?;
    /// }
    /// let mut folder = run.finish(3, &training)?;
    /// let (epoch, best) = folder.best()?.expect("three metrics");
    /// training.load_state_dict(&best)?; // only the model: training.model, &best.part("model")
    /// assert_eq!(epoch, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Like [`step`](Self::step).
    pub fn step_with_metric<S: Stateful + ?Sized>(
        &mut self,
        step: u64,
        metric: f64,
        training: &S,
    ) -> Result<(), RunError> {
        self.advance(step, Some(metric), training)
    }

    fn advance<S: Stateful + ?Sized>(
        &mut self,
        step: u64,
        metric: Option<f64>,
        training: &S,
    ) -> Result<(), RunError> {
        self.progress.step(step);
        if self.signals.interrupted() {
            self.save_and_wait(step, metric, training)?;
            return Err(self.interrupted(step));
        }
        if metric.is_some() || self.folder.checkpoints.is_due(step) {
            self.save(step, metric, training)?;
        }
        Ok(())
    }

    /// Saves in the background, after what was logged is on the disk: a resumed run must not miss
    /// rows before its step, even after a loss of power.
    fn save<S: Stateful + ?Sized>(
        &mut self,
        step: u64,
        metric: Option<f64>,
        training: &S,
    ) -> Result<(), FileError> {
        for message in self.log.sync() {
            self.progress.note(&message);
        }
        self.saved = Some(step);
        let checkpoint = checkpoint(training);
        match metric {
            Some(metric) => self.folder.checkpoints.save_with_metric(step, metric, checkpoint),
            None => self.folder.checkpoints.save(step, checkpoint),
        }
    }

    /// Saves, and waits until the checkpoint is on the disk.
    fn save_and_wait<S: Stateful + ?Sized>(
        &mut self,
        step: u64,
        metric: Option<f64>,
        training: &S,
    ) -> Result<(), FileError> {
        // If the save before this one failed, this one makes up for it.
        if let Err(error) = self.folder.checkpoints.finish() {
            self.progress.note(&format!("warning: {error}"));
        }
        self.save(step, metric, training)?;
        self.folder.checkpoints.finish()
    }

    /// Whether the newest checkpoint is good and contains the state of `training`.
    fn newest_is<S: Stateful + ?Sized>(&mut self, training: &S) -> bool {
        matches!(self.folder.newest(), Ok(Some((_, saved))) if saved == training.state_dict())
    }

    fn interrupted(&mut self, step: u64) -> RunError {
        if let Err(error) = self.log.close() {
            self.progress.note(&format!("warning: {error}"));
        }
        Interrupted { step, folder: self.folder.path.clone(), command: command() }.into()
    }

    /// Saves after the last step, unless the newest checkpoint is the same, and waits until it is on
    /// the disk.
    ///
    /// # Errors
    /// If the save failed; if something that was logged could not be written; or if the run was
    /// interrupted since the last step. In the latter two cases, the checkpoint is on the disk.
    pub fn finish<S: Stateful + ?Sized>(
        mut self,
        step: u64,
        training: &S,
    ) -> Result<RunFolder, RunError> {
        if self.saved != Some(step) || !self.newest_is(training) {
            self.save_and_wait(step, None, training)?;
        }
        self.progress.finish(step);
        if self.signals.interrupted() {
            return Err(self.interrupted(step));
        }
        self.log.close()?;
        RunConfig::finish(&self.folder.path)?;
        Ok(self.folder)
    }

    /// Prints a line to the standard output, above the progress bar.
    ///
    /// # Errors
    /// If it cannot be written, to a closed pipe for example; [`exit`](crate::exit) takes that for
    /// a success.
    pub fn println(&self, line: impl fmt::Display) -> io::Result<()> {
        self.suspend(|| writeln!(io::stdout(), "{line}"))
    }

    /// Runs `f` without the progress bar on the screen, so that it can print.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.progress.suspend(f)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.folder.path;
        f.debug_struct("Run")
            .field("folder", path)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

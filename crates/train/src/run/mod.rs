//! A folder per run: checkpoints, metrics, configuration; progress on the screen.

mod append;
mod clock;
mod config;
mod error;
mod events;
mod exit;
mod folder;
mod group;
mod history;
mod log;
mod margin;
pub mod names;
mod number;
mod progress;
mod signals;
mod writer;

pub use config::{RunConfig, Session};
pub use error::{Interrupted, RunError};
pub use exit::exit;
pub use folder::RunFolder;
pub use history::{History, Row};
pub use number::short;

use adamant_checkpoint::Order;
use adamant_files::FileError;
use adamant_tensor::{StateDict, Stateful};
use adamant_transport::Transport;
use exit::command;
use group::{Decision, Group};
use signals::OpenRun;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use writer::Writer;

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
/// same bits, if `training` holds everything that changes. A run that is complete performs no
/// further steps.
///
/// The folder contains:
///
/// | file | contents |
/// |---|---|
/// | `000012-step-500.ckpt` | a [checkpoint](adamant_checkpoint::Checkpoint) with the part `training` |
/// | `metrics.jsonl` | what was logged, a [row](crate::Row) per line; read by [`History`](crate::History) |
/// | `events.out.tfevents.*` | the same for TensorBoard: `tensorboard --logdir runs` |
/// | `config.json` | when and with what the run was [started](crate::RunConfig) |
/// | `.lock` | keeps a second process out of the folder |
///
/// PyTorch has no equivalent; in Lightning, `Trainer` with its loggers and `ModelCheckpoint`.
pub struct Run {
    path: PathBuf,
    group: Group,
    /// On rank 0.
    writer: Option<Writer>,
    signals: OpenRun,
    resumed: Option<u64>,
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

    /// [`open`](Self::open) for a training on several processes: each opens the run with its
    /// transport, and all call its functions at the same time.
    ///
    /// Rank 0 owns the folder, which need not be visible to the others: it writes checkpoints and
    /// logs, and shows the progress. On the others, [`log`](Self::log) and
    /// [`println`](Self::println) do nothing, and options of saving and showing have no effect. When
    /// the run resumes, rank 0 sends the state to all. It decides when to save and when to stop, by
    /// its own signals, and the others follow. For a save, `state_dict` of the training is called on
    /// all ranks, and the result of rank 0 is saved. The state loads with any number of processes.
    ///
    /// An error of one rank is an error of all: [`RunError::OtherRank`] on the others.
    ///
    /// ```
    /// use adamant_tensor::Generator;
    /// use adamant_train::Run;
    /// use adamant_transport::run_threads;
    /// # let runs = tempfile::tempdir().unwrap();
    /// # let folder = runs.path().join("digits");
    /// let resumed = run_threads(2, |transport| {
    ///     let mut training = Generator::seed(0);
    ///     let mut run = Run::open_on(&folder, transport)?.quiet().resume(&mut training)?;
    ///     run.log(1, &[("loss", training.uniform())]); // a row, of rank 0
    ///     run.step(1, &training)?;
    ///     run.finish(1, &training)
    /// });
    /// assert!(resumed.iter().all(Result::is_ok));
    /// assert_eq!(Run::newest(&folder).unwrap().0, 1);
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open), on all ranks; or if a process has ended ([`RunError::Transport`]).
    pub fn open_on(
        folder: impl Into<PathBuf>,
        transport: Arc<dyn Transport>,
    ) -> Result<RunFolder, RunError> {
        RunFolder::open_on(folder.into(), Group::new(transport))
    }

    /// The newest saved state in a run's folder, with its step. Damaged checkpoints are skipped, with
    /// a warning. It only reads, without the folder's lock: the run may be in progress.
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
    /// let (_step, state) = Run::newest(&folder)?;
    /// model.load_state_dict(&state)?; // of a struct with a field `model`: &state.part("model")
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the folder does not exist or has no checkpoints, all of them are damaged, or one cannot be
    /// read, has a later version of the format, or was not saved by a run.
    pub fn newest(folder: impl AsRef<Path>) -> Result<(u64, StateDict), FileError> {
        folder::read(folder.as_ref(), Order::Newest)
    }

    /// The saved state with the lowest metric ([`step_with_metric`](Self::step_with_metric)), such as
    /// a loss, with its step; otherwise like [`newest`](Self::newest).
    ///
    /// # Errors
    /// Like [`newest`](Self::newest); and if no checkpoint has a metric.
    pub fn lowest(folder: impl AsRef<Path>) -> Result<(u64, StateDict), FileError> {
        folder::read(folder.as_ref(), Order::Lowest)
    }

    /// The saved state with the highest metric ([`step_with_metric`](Self::step_with_metric)), such
    /// as an accuracy, with its step; otherwise like [`newest`](Self::newest).
    ///
    /// # Errors
    /// Like [`newest`](Self::newest); and if no checkpoint has a metric.
    pub fn highest(folder: impl AsRef<Path>) -> Result<(u64, StateDict), FileError> {
        folder::read(folder.as_ref(), Order::Highest)
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.path
    }

    /// The step after which the run resumed; `None` if it started from the beginning.
    #[must_use]
    pub fn resumed(&self) -> Option<u64> {
        self.resumed
    }

    /// Logs values, and shows them in the progress.
    ///
    /// A resumed run keeps the rows from before the call of [`step`](Self::step) that saved, and
    /// only these: the program logs later ones again. So log what a step yields before `step`; what
    /// is logged at the head of the loop, for the step to come, is as safe. After the last `step`,
    /// before [`finish`](Self::finish), a result can be logged: a program that is started again after
    /// its end logs it again.
    ///
    /// A row that cannot be written, on a full disk for example, does not end the training: there
    /// is a warning, and rows wait in memory until the file can be written to.
    /// [`finish`](Self::finish) returns an error if it cannot in the end, and a run that is dropped
    /// prints a warning.
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
        if let Some(writer) = &mut self.writer {
            writer.log(step, values);
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
    /// A save that fails in the background is reported by the next save, as a warning, and the
    /// training continues: an earlier checkpoint is still there, and the disk may have room again.
    /// [`finish`](Self::finish), a save after a signal, and the third failure in a row return the
    /// error.
    ///
    /// # Errors
    /// If three saves in a row failed, or the save after a signal; or the run is interrupted. On
    /// several ranks, also if one of them has ended.
    pub fn step<S: Stateful + ?Sized>(&mut self, step: u64, training: &S) -> Result<(), RunError> {
        self.advance(step, None, training)
    }

    /// [`step`](Self::step) after an evaluation: saves in any case, with the metric, by which
    /// [`lowest`](Self::lowest) and [`highest`](Self::highest) find the best checkpoint.
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
    /// run.finish(3, &training)?;
    /// let (epoch, best) = Run::lowest(&folder)?;
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
        let decision = self.decide(step, metric);
        let decision = self.group.follow(decision)?;
        if decision == Decision::Continue {
            return Ok(());
        }
        // On all ranks: an optimizer that they share gathers its state on rank 0.
        let state = training.state_dict();
        let saved = match &mut self.writer {
            Some(writer) if decision == Decision::Stop => {
                writer.save_and_wait(step, metric, &state)
            }
            Some(writer) => writer.save(step, metric, &state),
            None => Ok(()),
        };
        self.group.agree(saved)?;
        if decision == Decision::Stop {
            return Err(self.interrupted(step));
        }
        Ok(())
    }

    /// What rank 0 decides after a step.
    fn decide(&mut self, step: u64, metric: Option<f64>) -> Decision {
        let Some(writer) = &mut self.writer else { return Decision::Continue };
        writer.step(step);
        if self.signals.interrupted() {
            Decision::Stop
        } else if metric.is_some() || writer.is_due(step) {
            Decision::Save
        } else {
            Decision::Continue
        }
    }

    fn interrupted(&mut self, step: u64) -> RunError {
        // The other ranks have received the signal too, and leave it to rank 0.
        self.signals.interrupted();
        if let Some(writer) = &mut self.writer {
            writer.stop();
        }
        let (rank, folder) = (self.group.rank(), self.path.clone());
        Interrupted { step, folder, command: command(), rank }.into()
    }

    /// Saves after the last step, unless the newest checkpoint is the same, and waits until it is on
    /// the disk.
    ///
    /// # Errors
    /// If the save failed; if something that was logged could not be written; or if the run was
    /// interrupted since the last step. In the latter two cases, the checkpoint is on the disk. On
    /// several ranks, also if one of them has ended. None returns before the checkpoint is on the
    /// disk.
    pub fn finish<S: Stateful + ?Sized>(mut self, step: u64, training: &S) -> Result<(), RunError> {
        let state = training.state_dict();
        let saved = self.writer.as_mut().map_or(Ok(()), |writer| writer.save_last(step, &state));
        self.group.agree(saved)?;
        let stop = self.writer.is_some() && self.signals.interrupted();
        let decision = if stop { Decision::Stop } else { Decision::Continue };
        if self.group.follow(decision)? == Decision::Stop {
            return Err(self.interrupted(step));
        }
        let finished = self.writer.as_mut().map_or(Ok(()), Writer::finish);
        self.group.agree(finished)
    }

    /// Prints a line to the standard output, above the progress bar. A line that cannot be written,
    /// to a closed pipe for example, is dropped: training does not end because nobody reads.
    pub fn println(&self, line: impl fmt::Display) {
        if let Some(writer) = &self.writer {
            writer.println(&line.to_string());
        }
    }

    /// Runs `f` without the progress bar on the screen, so that it can print. On several ranks, `f`
    /// runs on each.
    pub fn suspend<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // `&mut`: the bar is locked, and `f` must not print by `println`.
        match &self.writer {
            Some(writer) => writer.suspend(f),
            None => f(),
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("folder", &self.path)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

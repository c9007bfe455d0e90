//! Saves a run to a file, at intervals and on Ctrl-C, and resumes it.

use super::{in_a_folder, in_build_folder};
use adamant::prelude::*;
use adamant::tensor::{Array, StateError, Value};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The flags of an example for saving and resuming.
#[derive(clap::Args)]
pub(crate) struct Saving {
    /// Save the run to this file at its end, on Ctrl-C and by --save-every [default:
    /// EXAMPLE.ckpt in Cargo's build folder, not at its end]
    #[arg(long, value_name = "FILE", value_parser = in_a_folder)]
    save: Option<PathBuf>,
    /// Also save after every STEPS steps
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    save_every: Option<u64>,
    /// Resume the run in this file; the other flags must be those that it started with
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

/// Everything that changes in a run, by name.
pub(crate) type Parts<'a> = [(&'static str, &'a mut dyn Stateful)];

/// Saves and resumes a run. Drop it when the run is over.
pub(crate) struct Saves {
    example: &'static str,
    path: PathBuf,
    at_end: bool,
    every: Option<u64>,
    resumed: Option<Checkpoint>,
}

/// Whether Ctrl-C was pressed. The current step finishes first.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether there is a [`Saves`]. If not, Ctrl-C ends the program at once.
static SAVING: AtomicBool = AtomicBool::new(false);

/// The flags in [`Saving`].
const FLAGS: [&str; 3] = ["--save", "--save-every", "--resume"];

/// The usual exit status of a program that Ctrl-C ended.
const INTERRUPTED_STATUS: i32 = 130;

impl Saves {
    /// Reads the file to resume from, if there is one, and starts to handle Ctrl-C.
    pub(crate) fn new(args: &Saving, example: &'static str) -> Result<Self, Box<dyn Error>> {
        let default = || in_build_folder(&format!("{example}.ckpt"));
        let path = args.save.clone().or_else(|| args.resume.clone()).unwrap_or_else(default);
        let resumed = args.resume.as_ref().map(Checkpoint::load).transpose()?;
        if let (Some(run), Some(file)) = (&resumed, &args.resume) {
            let (file, found) = (file.display(), run.get_note("example").unwrap_or("none"));
            if found != example {
                let error = format!("{file}: found a run of {found}, expected one of {example}");
                return Err(error.into());
            }
            let (now, then) = (arguments(&FLAGS), run.get_note("arguments").unwrap_or_default());
            if now != then {
                eprintln!("warning: the run in {file} started with `{then}`, not `{now}`");
            }
        }
        ctrlc::set_handler(|| {
            if !SAVING.load(Ordering::Relaxed) || INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED_STATUS); // at once if pressed twice
            }
        })?;
        SAVING.store(true, Ordering::Relaxed);
        Ok(Saves { example, path, at_end: args.save.is_some(), every: args.save_every, resumed })
    }

    /// Whether there is another step, after `step` of `steps`. To be called before each step.
    ///
    /// In a resumed run, the first call restores the parts and the step. Later calls save when a
    /// save is due, and end the program after Ctrl-C.
    pub(crate) fn another(
        &mut self,
        step: &mut u64,
        steps: u64,
        parts: &mut Parts<'_>,
    ) -> Result<bool, Box<dyn Error>> {
        self.another_of_stage(0, step, steps, parts)
    }

    /// [`another`](Self::another), for a run of several stages. A stage that a resumed run has
    /// finished has no steps left: its results are among the parts of a later one.
    pub(crate) fn another_of_stage(
        &mut self,
        stage: u64,
        step: &mut u64,
        steps: u64,
        parts: &mut Parts<'_>,
    ) -> Result<bool, Box<dyn Error>> {
        if let Some(run) = &self.resumed {
            let number = |name: &str| -> Result<u64, Box<dyn Error>> {
                let note = run.get_note(name).ok_or_else(|| format!("no note `{name}`"))?;
                Ok(note.parse()?)
            };
            if number("stage")? > stage {
                return Ok(false);
            }
            run.restore(parts)?;
            *step = number("step")?;
            eprintln!("resumed after step {step}");
            self.resumed = None;
            return Ok(*step < steps);
        }
        let interrupted = INTERRUPTED.load(Ordering::Relaxed);
        let due = self.every.is_some_and(|every| *step > 0 && step.is_multiple_of(every));
        if interrupted || due || (self.at_end && *step == steps) {
            let run = Checkpoint::new()
                .note("example", self.example)
                .note("arguments", arguments(&FLAGS))
                .note("stage", stage.to_string())
                .note("step", step.to_string());
            let run = parts.iter().fold(run, |run, (name, part)| run.with(*name, &**part));
            run.save(&self.path)?;
        }
        if interrupted {
            eprintln!("\nsaved after step {step}; to resume:\n  {}", self.command());
            std::process::exit(INTERRUPTED_STATUS);
        }
        Ok(*step < steps)
    }

    /// The command that resumes the run: the current one, with another --resume.
    fn command(&self) -> String {
        let (example, path) = (self.example, quoted(&self.path.display().to_string()));
        let arguments = arguments(&["--resume"]);
        let space = if arguments.is_empty() { "" } else { " " };
        format!("cargo run --release --example {example} --{space}{arguments} --resume {path}")
    }
}

/// From here on, Ctrl-C ends the program at once.
impl Drop for Saves {
    fn drop(&mut self) {
        SAVING.store(false, Ordering::Relaxed);
    }
}

/// The arguments of this program, without these flags and their values.
fn arguments(without: &[&str]) -> String {
    let mut all = std::env::args().skip(1);
    let mut kept = Vec::new();
    while let Some(argument) = all.next() {
        let flag = argument.split('=').next().unwrap_or_default();
        if !without.contains(&flag) {
            kept.push(quoted(&argument));
        } else if argument == flag {
            all.next(); // its value
        }
    }
    kept.join(" ")
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+,.:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Rows of values, such as the results of each epoch: a part of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows<const N: usize>(pub(crate) Vec<[f64; N]>);

impl<const N: usize> Rows<N> {
    fn read(state: &StateDict) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        errors.check_names(state, ["rows"]);
        let rows = state.get("rows").and_then(Value::array::<f64>);
        let rows = rows.filter(|rows| rows.shape().len() == 2 && rows.shape()[1] == N);
        if rows.is_none() {
            errors.push(format!("`rows`: expected an array of shape [any, {N}]"));
        }
        errors.into_result()?;
        let values = rows.map(Array::to_vec).unwrap_or_default();
        Ok(Rows(values.as_chunks().0.to_vec()))
    }
}

impl<const N: usize> Stateful for Rows<N> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("rows", Array::from_slice([self.0.len(), N].into(), self.0.as_flattened()));
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        Self::read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = Self::read(state)?;
        Ok(())
    }
}

/// A running mean: a part of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// Adds `count` values, whose mean is `value`.
    pub(crate) fn add(&mut self, value: f32, count: usize) {
        self.sum += f64::from(value) * count as f64;
        self.count += count as f64;
    }

    pub(crate) fn get(&self) -> f64 {
        self.sum / self.count
    }

    /// The number of values.
    pub(crate) fn count(&self) -> f64 {
        self.count
    }
}

impl Stateful for Mean {
    fn state_dict(&self) -> StateDict {
        Rows(vec![[self.sum, self.count]]).state_dict()
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let mut read = *self;
        read.load_state_dict(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        if let [[sum, count]] = Rows::read(state)?.0[..] {
            *self = Mean { sum, count };
        }
        Ok(())
    }
}

/// The duration of a part of a run, including the time before an interruption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    before: f64,
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Stopwatch { before: 0.0, since: Instant::now() }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.since.elapsed().as_secs_f64()
    }
}

impl Stateful for Stopwatch {
    fn state_dict(&self) -> StateDict {
        Rows(vec![[self.seconds()]]).state_dict()
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let mut read = *self;
        read.load_state_dict(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        if let [[before]] = Rows::read(state)?.0[..] {
            *self = Stopwatch { before, since: Instant::now() };
        }
        Ok(())
    }
}

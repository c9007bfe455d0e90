//! A run in a file: saved now and then and on Ctrl-C, and gone on with later.

use super::{in_a_folder, in_build_folder};
use adamant::prelude::*;
use adamant::tensor::{Array, StateError, Value};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The flags of an example that can be interrupted.
#[derive(clap::Args)]
pub(crate) struct Saving {
    /// Save the run to this file at its end, on Ctrl-C and by --save-every [default: to
    /// EXAMPLE.ckpt in Cargo's build folder; not at its end]
    #[arg(long, value_name = "FILE", value_parser = in_a_folder)]
    save: Option<PathBuf>,
    /// Save after every so many steps, too
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    save_every: Option<u64>,
    /// Go on with the run in this file; the other flags must be those that it began with
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
}

/// All that changes in a run, by name.
pub(crate) type Parts<'a> = [(&'static str, &'a mut dyn Stateful)];

/// Where a run is saved, and what it goes on from; to be dropped when the run is over.
pub(crate) struct Saves {
    example: &'static str,
    path: PathBuf,
    at_end: bool,
    every: Option<u64>,
    resumed: Option<Checkpoint>,
}

/// Ctrl-C has been pressed. The step in progress is finished before anything is done about it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// There is a [`Saves`]: else there is nothing to save, and Ctrl-C ends the program.
static SAVING: AtomicBool = AtomicBool::new(false);

/// The flags of the struct [`Saving`].
const FLAGS: [&str; 3] = ["--save", "--save-every", "--resume"];

/// What shells report of a program that Ctrl-C has ended.
const INTERRUPTED_STATUS: i32 = 130;

impl Saves {
    /// Reads the file to go on from, if there is one, and listens for Ctrl-C from now on.
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
                eprintln!("warning: {file} began with the arguments `{then}`, not `{now}`");
            }
        }
        ctrlc::set_handler(|| {
            if !SAVING.load(Ordering::Relaxed) || INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED_STATUS); // pressed twice: at once
            }
        })?;
        SAVING.store(true, Ordering::Relaxed);
        Ok(Saves { example, path, at_end: args.save.is_some(), every: args.save_every, resumed })
    }

    /// Before each step of a run, when so many have been made: whether there is another one.
    ///
    /// The first call of a run that is resumed takes over the parts and the steps. Later ones
    /// save where it is time to, and end the program after Ctrl-C.
    pub(crate) fn another(
        &mut self,
        step: &mut u64,
        steps: u64,
        parts: &mut Parts<'_>,
    ) -> Result<bool, Box<dyn Error>> {
        self.another_of_stage(0, step, steps, parts)
    }

    /// [`another`](Self::another), for a run of several stages. One that a resumed run has behind it
    /// has no steps left: what it came to is among the parts of a later one.
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
            eprintln!("going on after step {step}");
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
            eprintln!("\nsaved after step {step}; to go on:\n  {}", self.command());
            std::process::exit(INTERRUPTED_STATUS);
        }
        Ok(*step < steps)
    }

    /// The command that goes on: the present one, with another --resume.
    fn command(&self) -> String {
        let (example, path) = (self.example, quoted(&self.path.display().to_string()));
        let arguments = arguments(&["--resume"]);
        let space = if arguments.is_empty() { "" } else { " " };
        format!("cargo run --release --example {example} --{space}{arguments} --resume {path}")
    }
}

/// The run is over: what follows can be had again from its file.
impl Drop for Saves {
    fn drop(&mut self) {
        SAVING.store(false, Ordering::Relaxed);
    }
}

/// What this program was called with, but for these flags, each of which has a value.
fn arguments(but: &[&str]) -> String {
    let mut all = std::env::args().skip(1);
    let mut kept = Vec::new();
    while let Some(argument) = all.next() {
        let flag = argument.split('=').next().unwrap_or_default();
        if !but.contains(&flag) {
            kept.push(quoted(&argument));
        } else if argument == flag {
            all.next(); // its value
        }
    }
    kept.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+,.:/@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Rows of numbers, such as what each epoch came to: a part of a run.
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
        let numbers = rows.map(Array::to_vec).unwrap_or_default();
        Ok(Rows(numbers.as_chunks().0.to_vec()))
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

/// A mean of what has come so far: a part of a run too.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// `count` things more, whose mean is `value`.
    pub(crate) fn add(&mut self, value: f32, count: usize) {
        self.sum += f64::from(value) * count as f64;
        self.count += count as f64;
    }

    pub(crate) fn get(&self) -> f64 {
        self.sum / self.count
    }

    /// The number of things.
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

/// The seconds that a part of a run has taken, with those before it was interrupted.
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

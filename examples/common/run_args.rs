//! The flags of an example.

use adamant::data::FileError;
use adamant::prelude::*;
use adamant::train::RunError;
use std::path::PathBuf;

/// Where an example keeps its run, and its random numbers.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The folder of the run, which resumes if it was stopped [default: runs/EXAMPLE]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
}

impl RunArgs {
    /// Opens the folder, by default that of this example. Saves every ten seconds.
    pub(crate) fn open(&self, example: &str) -> Result<RunFolder, FileError> {
        open(self.path(example))
    }

    /// [`open`](RunArgs::open) with other processes: the first one writes and prints.
    pub(crate) fn open_on(
        &self,
        example: &str,
        parallel: &DataParallel,
    ) -> Result<RunFolder, RunError> {
        Ok(with_options(Run::open_on(self.path(example), parallel.transport().clone())?))
    }

    /// Opens a folder within that of this example, for a stage that is a run of its own.
    pub(crate) fn open_stage(&self, example: &str, stage: &str) -> Result<RunFolder, FileError> {
        open(self.path(example).join(stage))
    }

    fn path(&self, example: &str) -> PathBuf {
        self.run.clone().unwrap_or_else(|| PathBuf::from("runs").join(example))
    }
}

fn open(path: PathBuf) -> Result<RunFolder, FileError> {
    Ok(with_options(Run::open(path)?))
}

fn with_options(folder: RunFolder) -> RunFolder {
    // A run that resumes with other arguments warns of it.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = folder.save_every_minutes(1.0 / 6.0).keep_last(2);
    folder.config("arguments", arguments.join(" "))
}

/// Parses a learning rate.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate < f64::INFINITY => Ok(rate),
        _ => Err("expected a finite number above 0".into()),
    }
}

/// Parses a count of at least 1.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected an integer of at least 1".into()),
    }
}

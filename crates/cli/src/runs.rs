//! `adamant runs`: the runs below a folder.

use crate::saved_run::SavedRun;
use crate::table::Table;
use crate::text::{duration, grouped};
use crate::{Outcome, Status, report};
use adamant_checkpoint::FileError;
use adamant_train::short;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// List the runs below a folder, with their last metrics
///
/// A run is running if a process has locked its folder, and stopped if its program has not finished
/// it: the same command resumes it. `took` is the time from its first row of
/// metrics to the last one, `updated` the time since then.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folders to search
    #[arg(default_value = "runs")]
    folders: Vec<PathBuf>,
    /// Show these metrics only; default all
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let mut status = Status::Success;
    let mut table = Table::new().right(2).right(5);
    table.row(["run", "state", "step", "took", "updated", "checkpoints", "last metrics"]);
    let mut empty = true;
    for folder in &args.folders {
        let (runs, errors) = SavedRun::find(folder)?;
        for error in &errors {
            report(error);
            status = Status::Error;
        }
        if runs.is_empty() && errors.is_empty() {
            writeln!(out, "{}: no runs", folder.display())?;
        }
        for run in runs {
            match row(&run, &args.metrics) {
                Ok(row) => table.row(row),
                Err(error) => {
                    report(&error);
                    status = Status::Error;
                    continue;
                }
            }
            empty = false;
        }
    }
    if !empty {
        table.print(out)?;
    }
    Ok(status)
}

fn row(run: &SavedRun, metrics: &[String]) -> Result<[String; 7], FileError> {
    let history = run.history()?;
    let state = match run.is_running() {
        true => "running",
        false if run.is_finished() => "finished",
        false => "stopped",
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (step, took, updated) = match &history.rows[..] {
        [] => Default::default(),
        [first, .., last] => {
            (grouped(last.step), duration(last.time - first.time), ago(now - last.time))
        }
        [only] => (grouped(only.step), duration(0.0), ago(now - only.time)),
    };
    let shown = |name: &str| metrics.is_empty() || metrics.iter().any(|metric| metric == name);
    let names = history.names().into_iter().filter(|name| shown(name));
    let last = names.filter_map(|name| Some(format!("{name} {}", short(history.last(name)?))));
    let last: Vec<String> = last.collect();
    let checkpoints = run.checkpoints()?.to_string();
    let path = run.path.display().to_string();
    Ok([path, state.into(), step, took, updated, checkpoints, last.join(", ")])
}

fn ago(seconds: f64) -> String {
    format!("{} ago", duration(seconds))
}

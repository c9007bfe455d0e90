//! `adamant plot`: curves of runs.

mod curve;
mod figure;
mod ticks;

use crate::saved_run::SavedRun;
use crate::{Outcome, Status, warn};
use adamant_checkpoint::{FileError, write_atomically};
use adamant_train::{History, Row};
use curve::{Curve, Point};
use figure::{Figure, Panel};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Draw curves of one or several runs as SVG
///
/// One panel for each metric, with a curve for each run, in colors and dashes that color blindness
/// and gray print leave distinct. The picture is 86 mm wide, as a column of a two-column paper. NaN
/// and infinite values leave gaps.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folders of runs
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// A metric to draw; may be repeated
    #[arg(long = "metric", value_name = "NAME", default_value = "loss")]
    metrics: Vec<String>,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "curves.svg", value_parser = svg)]
    out: PathBuf,
    /// Draw means over a window of this many steps, and the values themselves faintly
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    smooth: Option<u64>,
    /// Use a logarithmic scale for the metrics; values of 0 or less leave gaps
    #[arg(long)]
    log_y: bool,
    /// What the curves are drawn over; the time includes pauses of the run
    #[arg(long, value_enum, default_value_t)]
    x: X,
}

/// What curves are drawn over.
#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
enum X {
    #[default]
    Step,
    Time,
}

fn svg(path: &str) -> Result<PathBuf, String> {
    match Path::new(path).extension() {
        Some(extension) if extension.eq_ignore_ascii_case("svg") => Ok(path.into()),
        _ => Err("found another extension, expected .svg".into()),
    }
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let read = |path: &PathBuf| {
        let history = SavedRun::open(path)?.history()?;
        match history.rows.is_empty() {
            true => Err(FileError::format(path, "a run without metrics", "at least one row")),
            false => Ok(history),
        }
    };
    let histories = args.runs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for metric in &args.metrics {
        check_known(metric, args, &histories)?;
    }
    let (unit, x) = match args.x {
        X::Step => (1.0, "step".into()),
        X::Time => {
            let (unit, name) = time_unit(&histories);
            (unit, format!("time ({name})"))
        }
    };
    let mut panels = Vec::new();
    for metric in &args.metrics {
        let mut curves = Vec::new();
        for (run, history) in args.runs.iter().zip(&histories) {
            let curve = Curve::new(&points(history, metric, args.x, unit), args.smooth);
            let curve = if args.log_y { curve.log10() } else { curve };
            warn_of_gaps(run, metric, &curve, args.log_y);
            curves.push(curve);
        }
        panels.push(Panel { metric: metric.replace('_', " "), curves });
    }
    let figure = Figure { x, runs: labels(&args.runs), panels, log_y: args.log_y };
    let svg = figure.to_svg();
    write_atomically(&args.out, |file| file.write_all(svg.as_bytes()))?;
    writeln!(out, "{}", args.out.display())?;
    Ok(Status::Success)
}

/// Checks that a run has the metric.
fn check_known(metric: &str, args: &Args, histories: &[History]) -> Result<(), FileError> {
    let mut known: Vec<&str> = Vec::new();
    for name in histories.iter().flat_map(History::names) {
        if name == metric {
            return Ok(());
        }
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let runs: Vec<String> = args.runs.iter().map(|run| run.display().to_string()).collect();
    let expected = format!("one of {}", known.join(", "));
    Err(FileError::format(Path::new(&runs.join(", ")), format!("no metric `{metric}`"), expected))
}

/// Warns of what a reader of the picture might miss.
fn warn_of_gaps(run: &Path, metric: &str, curve: &Curve, log_y: bool) {
    let run = run.display();
    if curve.is_empty() {
        warn(&format!("{run}: has no metric `{metric}`"));
    }
    let gaps = curve.gaps();
    if gaps > 0 {
        let kind = if log_y { "positive and finite" } else { "finite" };
        warn(&format!("{run}: {gaps} values of {metric} are not {kind}, and leave gaps"));
    }
}

/// The points of a metric; the time is measured from the first row.
fn points(history: &History, metric: &str, x: X, unit: f64) -> Vec<Point> {
    let start = history.rows.first().map_or(0.0, |row| row.time);
    let point = |row: &Row| {
        let x = match x {
            X::Step => row.step as f64,
            X::Time => (row.time - start) / unit,
        };
        Some(Point { step: row.step, x, y: row.get(metric)? })
    };
    history.rows.iter().filter_map(point).collect()
}

/// The unit of time for the longest run: its seconds and its name.
fn time_unit(histories: &[History]) -> (f64, &'static str) {
    let longest = histories.iter().filter_map(|history| {
        let [first, .., last] = &history.rows[..] else { return None };
        Some(last.time - first.time)
    });
    match longest.fold(0.0, f64::max) {
        ..300.0 => (1.0, "s"),
        ..18_000.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

/// The names of runs in the legend: their paths without the folders that all have in common.
fn labels(runs: &[PathBuf]) -> Vec<String> {
    let parts = |run: &PathBuf| -> Vec<String> {
        run.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let runs: Vec<Vec<String>> = runs.iter().map(parts).collect();
    let folders = runs.iter().map(|run| run.len().saturating_sub(1)).min().unwrap_or(0);
    let is_common = |index: usize| runs.iter().all(|run| run[index] == runs[0][index]);
    let common = (0..folders).take_while(|&index| is_common(index)).count();
    runs.iter().map(|run| run[common..].join("/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_omit_common_folders() {
        let labels = |runs: &[&str]| labels(&runs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(labels(&["runs/digits"]), ["digits"]);
        assert_eq!(labels(&["runs/a/1", "runs/b/1"]), ["a/1", "b/1"]);
        assert_eq!(labels(&["runs/a", "runs/b/"]), ["a", "b"]);
        assert_eq!(labels(&["runs/a", "runs/a"]), ["a", "a"]);
        assert_eq!(labels(&["a", "old/a"]), ["a", "old/a"]);
    }
}

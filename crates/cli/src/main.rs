//! The command `adamant`: inspects checkpoints, lists runs, draws curves.
//!
//! ```text
//! adamant inspect FILE            what is in a checkpoint or a file of weights
//! adamant verify FILES…           whether files are intact
//! adamant diff A B                what differs between two files
//! adamant runs [FOLDERS…]         the runs below a folder
//! adamant plot RUNS… --out FILE   curves of runs as SVG
//! ```
//!
//! As for `diff`, the exit status is 0 for success, 1 if two files differ, and 2 for an error.
//! `docs/command.md` shows the output of each.

#![forbid(unsafe_code)]

mod contents;
mod diff;
mod inspect;
mod plot;
mod runs;
mod saved_run;
mod table;
mod text;
mod values;
mod verify;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Inspect checkpoints, list runs, draw curves
#[derive(Parser)]
#[command(name = "adamant", version, after_help = STATUS)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const STATUS: &str = "Exit status: 0 for success, 1 if two files differ, 2 for an error.";

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Verify(verify::Args),
    Diff(diff::Args),
    Runs(runs::Args),
    Plot(plot::Args),
}

/// How a command ended, as an exit status.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Status {
    Success = 0,
    Different = 1,
    Error = 2,
}

/// An error is printed by `main`, and ends with [`Status::Error`].
type Outcome = Result<Status, Box<dyn Error>>;

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let mut out = io::stdout().lock();
    let ended = match &command {
        Command::Inspect(args) => inspect::run(args, &mut out),
        Command::Verify(args) => verify::run(args, &mut out),
        Command::Diff(args) => diff::run(args, &mut out),
        Command::Runs(args) => runs::run(args, &mut out),
        Command::Plot(args) => plot::run(args, &mut out),
    };
    let ended = ended.and_then(|status| Ok(out.flush().map(|()| status)?));
    let status = ended.unwrap_or_else(|error| match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == ErrorKind::BrokenPipe => Status::Success, // as in `… | head`
        _ => {
            report(&*error);
            Status::Error
        }
    });
    ExitCode::from(status as u8)
}

/// Prints an error to the standard error, as `clap` prints those of the arguments.
fn report(error: &dyn Error) {
    // There is nowhere to report a failure of this.
    let _ = writeln!(io::stderr(), "error: {error}");
}

fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "warning: {text}");
}

//! `adamant verify`: whether files are intact.

use crate::contents::Contents;
use crate::text::bytes;
use crate::{Outcome, Status, report};
use std::io::Write;
use std::path::PathBuf;

/// Report whether checkpoints and files of weights are intact
///
/// Each file is read whole, and its checksums are verified. The exit status is 2 if any is damaged
/// or cannot be read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Checkpoints, safetensors and GGUF files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let mut status = Status::Success;
    for path in &args.files {
        match Contents::read(path) {
            Ok(Contents { kind, len, .. }) => {
                let (kind, len) = (kind.name(), bytes(len));
                writeln!(out, "{}: {kind}, {len}, intact", path.display())?;
            }
            Err(error) => {
                report(&error);
                status = Status::Error;
            }
        }
    }
    Ok(status)
}

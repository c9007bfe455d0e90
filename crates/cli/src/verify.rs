//! `adamant verify`: whether files are intact.

use crate::contents::{Contents, Summary, open_weights};
use crate::{Outcome, Status, report};
use adamant_checkpoint::FileError;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Report whether checkpoints and files of weights are intact
///
/// Each file is read whole, and its checksums are verified. Safetensors, GGUF and old PyTorch files
/// do not have checksums, so changed elements are not noticed. The exit status is 2 if any file is
/// damaged or cannot be read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Checkpoints, safetensors, PyTorch and GGUF files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let mut status = Status::Success;
    for path in &args.files {
        match verified(path) {
            Ok(summary) => writeln!(out, "{}: {summary}", path.display())?,
            Err(error) => {
                report(&error);
                status = Status::Error;
            }
        }
    }
    Ok(status)
}

/// Reads a whole file, tensor by tensor if it is a file of weights. Tensors of a type that cannot be
/// read are skipped.
fn verified(path: &Path) -> Result<Summary, FileError> {
    let Some(weights) = open_weights(path)? else {
        return Ok(Contents::read_checkpoint(path)?.summary);
    };
    for (_, value) in weights.values() {
        value?;
    }
    Ok(Summary::of(&weights))
}

//! Runs that are started, stopped in every way, and resumed.

mod events;
mod files;
#[cfg(unix)]
mod killed;
mod ranks;
#[cfg(unix)]
mod signals;
mod training;
#[cfg(unix)]
mod trouble;

use std::path::{Path, PathBuf};
use std::process::Command;

/// This test binary as a child process, which runs one test with `work` as its order.
fn child(test: &str, work: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", test]).env(WORK, work).env(FOLDER, folder);
    command.env("RAYON_NUM_THREADS", "1");
    command
}

/// The work and the folder of this process, if it is a child.
fn order() -> Option<(String, PathBuf)> {
    Some((std::env::var(WORK).ok()?, std::env::var_os(FOLDER)?.into()))
}

const WORK: &str = "ADAMANT_TEST_WORK";
const FOLDER: &str = "ADAMANT_TEST_FOLDER";

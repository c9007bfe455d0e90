//! A run that is stopped at any moment resumes to the same bits.

mod fixture;
mod full_disk;
mod killed;
mod locked;
mod overflow;
mod resumed;
mod run;

use std::path::Path;
use std::process::Command;

/// This test binary as a child process, which runs one test with `work` as its order.
fn child(test: &str, work: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", test]).env(WORK, work).env(FOLDER, folder);
    command
}

/// The work and the folder of this process, if it is a child.
fn order() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(WORK).ok()?, std::env::var_os(FOLDER)?.into()))
}

const WORK: &str = "ADAMANT_TEST_WORK";
const FOLDER: &str = "ADAMANT_TEST_FOLDER";

//! A run that is stopped at any moment goes on in every bit.

mod fixture;
mod full_disk;
mod killed;
mod locked;
mod overflow;
mod resumed;
mod run;

use std::path::Path;
use std::process::Command;

/// This test binary again, as a process that runs one test with `work` as its order.
fn child(test: &str, work: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--nocapture", "--exact", test]).env(WORK, work).env(FOLDER, folder);
    command
}

/// What this process was told to do, and where, if it is a child.
fn order() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(WORK).ok()?, std::env::var_os(FOLDER)?.into()))
}

const WORK: &str = "ADAMANT_TEST_WORK";
const FOLDER: &str = "ADAMANT_TEST_FOLDER";

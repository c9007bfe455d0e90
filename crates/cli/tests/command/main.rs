//! The command `adamant`, run as a program.

mod files;
mod plot;
mod runs;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What the program printed, and its exit status.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn command(folder: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adamant"));
    command.current_dir(folder).args(args);
    command
}

/// Runs the program in a folder.
fn adamant(folder: &Path, args: &[impl AsRef<OsStr>]) -> Ran {
    let output = command(folder, args).output().unwrap();
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// The standard output of a success.
    #[track_caller]
    fn succeeds(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The standard error of a failure, which prints nothing else.
    #[track_caller]
    fn fails(self) -> String {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{}", self.err);
        self.err
    }
}

#[test]
fn help_names_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let text = adamant(folder.path(), &["--help"]).succeeds();
    for command in ["inspect", "verify", "diff", "runs", "plot"] {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
        let text = adamant(folder.path(), &[command, "--help"]).succeeds();
        assert!(text.contains(&format!("Usage: adamant {command}")), "{text}");
    }
    assert!(text.contains("Exit status: 0 for success"), "{text}");
    let error = adamant(folder.path(), &["inspct"]).fails();
    assert!(error.contains("a similar subcommand exists: 'inspect'"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_silent() {
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    let mut notes = adamant_checkpoint::Checkpoint::new();
    for i in 0..20_000 {
        notes = notes.note(format!("note {i}"), "more than a pipe holds");
    }
    notes.save(folder.path().join("run.ckpt")).unwrap();
    let mut command = command(folder.path(), &["inspect", "--all", "run.ckpt"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

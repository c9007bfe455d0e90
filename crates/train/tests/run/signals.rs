//! Ctrl-C and SIGTERM.

use crate::training::{Training, logged, open, saved_steps, straight};
use crate::{child, order};
use adamant_train::{Interrupted, Run, RunError, exit};
use adamant_transport::run_threads;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A time in which each signal arrives.
const LONG: Duration = Duration::from_secs(20);

/// Tells the parent where this child is.
fn report(what: &str) {
    println!("\n{what}");
}

/// Waits until the parent has sent its signal, and the handler has run, perhaps on another thread.
fn wait_for_parent() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
}

/// A child with its output.
struct Started(Child, BufReader<ChildStdout>);

impl Started {
    fn new(test: &str, work: &str, folder: &Path) -> Self {
        Started::spawn(child(test, work, folder))
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Started(child, out)
    }

    /// Waits until the child reports this.
    fn wait_for(&mut self, what: &str) {
        let found = self.1.by_ref().lines().map_while(Result::ok).any(|line| line == what);
        assert!(found, "the child has ended before `{what}`");
    }

    fn send(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// As `timeout` does: to the process, and to its group.
    fn send_twice(&self, signal: &str) {
        let kill = format!("kill {signal} {0}; kill {signal} {0}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ends [`wait_for_parent`] in the child.
    fn resume(&mut self) {
        drop(self.0.stdin.take());
    }

    /// Waits for the end: the status, the rest of the output, and the errors.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut errors) = (String::new(), String::new());
        self.1.read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.0.wait().unwrap().code(), out, errors)
    }
}

/// Ends a child as a program's `main` would.
fn end(result: Result<(), RunError>) -> ! {
    let status = if format!("{:?}", exit(result)).contains("130") { 130 } else { 0 };
    std::process::exit(status);
}

fn run(folder: &Path) -> Result<(), RunError> {
    let mut training = Training::new(8);
    let mut run = Run::open(folder)?.resume(&mut training)?;
    while training.step < 1_000_000 {
        training.train(&mut run, training.step + 1)?;
        if training.step == 10 {
            report("training");
        }
    }
    run.finish(training.step, &training)
}

#[test]
fn a_signal_saves_the_run_and_ends_it_with_status_130() {
    const TEST: &str = "signals::a_signal_saves_the_run_and_ends_it_with_status_130";
    if let Some((_, folder)) = order() {
        end(run(&folder));
    }
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Started::new(TEST, "train", folder.path());
        child.wait_for("training");
        child.send(signal);
        let (status, _, errors) = child.end();
        assert_eq!(status, Some(130), "{errors}");
        let step = *saved_steps(folder.path()).last().unwrap();
        let path = folder.path().display();
        let expected =
            format!("interrupted after step {step}, which is saved in {path}; to resume:\n  ");
        assert!(errors.contains(&expected), "{errors}");
        let command = errors.lines().last().unwrap().trim();
        assert!(command.ends_with(&format!("--nocapture --exact {TEST}")), "{command}");

        let (mut training, steps) = (Training::new(8), step + 10);
        let mut run = open(folder.path()).resume(&mut training).unwrap();
        assert_eq!(training.step, step);
        training.train(&mut run, steps).unwrap();
        run.finish(steps, &training).unwrap();
        let (state, log) = straight(steps);
        assert!(Run::newest(folder.path()).unwrap().1 == state, "other bits");
        assert_eq!(logged(folder.path()), log);
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    const TEST: &str = "signals::a_second_signal_ends_the_program_at_once";
    if let Some((_, folder)) = order() {
        let mut training = Training::new(8);
        let run = open(&folder).resume(&mut training).unwrap();
        report("in a long step");
        std::thread::sleep(LONG);
        return drop(run);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Started::new(TEST, "train", folder.path());
    child.wait_for("in a long step");
    child.send_twice("-INT");
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.0.try_wait().unwrap().is_none(), "ended after one request");
    child.send("-INT");
    assert_eq!(child.end().0, Some(130));
    assert!(saved_steps(folder.path()).is_empty());
}

#[test]
fn without_a_run_a_signal_ends_the_program_at_once() {
    const TEST: &str = "signals::without_a_run_a_signal_ends_the_program_at_once";
    if let Some((work, folder)) = order() {
        let mut training = Training::new(8);
        if work == "after" {
            let run = open(&folder).resume(&mut training).unwrap();
            run.finish(1, &training).unwrap();
        }
        report("no run");
        return std::thread::sleep(LONG);
    }
    for (work, status) in [("before", None), ("after", Some(130))] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Started::new(TEST, work, folder.path());
        child.wait_for("no run");
        child.send("-INT");
        assert_eq!(child.end().0, status); // `None`: ended by the signal itself
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    const TEST: &str = "signals::a_signal_that_the_parent_ignores_stays_ignored";
    if let Some((work, folder)) = order() {
        let mut training = Training::new(8);
        let mut run = open(&folder).resume(&mut training).unwrap();
        report("ready");
        wait_for_parent();
        end(training.train(&mut run, 5).map_err(|error| {
            println!("{work}: {error}");
            error
        }));
    }
    for (signal, status) in [("-INT", 0), ("-TERM", 130)] {
        let folder = tempfile::tempdir().unwrap();
        let program = child(TEST, signal, folder.path());
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]);
        shell.arg(program.get_program()).args(program.get_args());
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut child = Started::spawn(shell);
        child.wait_for("ready");
        child.send(signal);
        child.resume();
        assert_eq!(child.end().0, Some(status), "{signal}");
    }
}

#[test]
fn each_run_of_a_process_is_interrupted_by_its_own_signal() {
    const TEST: &str = "signals::each_run_of_a_process_is_interrupted_by_its_own_signal";
    if let Some((_, folder)) = order() {
        for name in ["a", "b", "c"] {
            let mut training = Training::new(8);
            let mut run = open(&folder.join(name)).resume(&mut training).unwrap();
            training.train(&mut run, 100).unwrap();
            report(name);
            let error = training.train(&mut run, u64::MAX).unwrap_err();
            assert!(matches!(error, RunError::Interrupted(_)), "{error}");
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Started::new(TEST, "train", folder.path());
    for name in ["a", "b", "c"] {
        child.wait_for(name);
        child.send("-INT");
    }
    let (status, _, errors) = child.end();
    assert_eq!(status, Some(0), "{errors}");
    for name in ["a", "b", "c"] {
        let saved = saved_steps(&folder.path().join(name));
        assert!(saved.len() == 1 && saved[0] > 100, "{saved:?}");
    }
}

#[test]
fn a_signal_during_the_end_of_a_run_is_not_lost() {
    const TEST: &str = "signals::a_signal_during_the_end_of_a_run_is_not_lost";
    if let Some((_, folder)) = order() {
        let mut training = Training::new(8);
        let mut run = open(&folder).resume(&mut training).unwrap();
        training.train(&mut run, 5).unwrap();
        report("last step");
        wait_for_parent();
        end(run.finish(5, &training));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Started::new(TEST, "train", folder.path());
    child.wait_for("last step");
    child.send("-TERM");
    child.resume();
    let (status, _, errors) = child.end();
    assert_eq!(status, Some(130), "{errors}");
    assert!(errors.contains("interrupted after step 5"), "{errors}");
    assert_eq!(saved_steps(folder.path()), [5]);
}

#[test]
fn a_run_that_cannot_be_saved_is_not_reported_as_saved() {
    const TEST: &str = "signals::a_run_that_cannot_be_saved_is_not_reported_as_saved";
    if let Some((_, folder)) = order() {
        let mut training = Training::new(8);
        let mut run = open(&folder).resume(&mut training).unwrap();
        training.train(&mut run, 5).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        report("ready");
        wait_for_parent();
        let error = training.train(&mut run, u64::MAX).unwrap_err();
        assert!(matches!(error, RunError::File(_)), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Started::new(TEST, "train", &folder.path().join("run"));
    child.wait_for("ready");
    child.send("-INT");
    child.resume();
    let (status, _, errors) = child.end();
    assert_eq!(status, Some(0), "{errors}");
}

#[test]
fn a_signal_ends_all_ranks_after_the_same_step() {
    const TEST: &str = "signals::a_signal_ends_all_ranks_after_the_same_step";
    if let Some((_, folder)) = order() {
        let results = run_threads(3, |transport| {
            let (rank, mut training) = (transport.rank(), Training::new(8));
            let mut run = Run::open_on(&folder, transport)?.resume(&mut training)?;
            run.println("printed once");
            training.train(&mut run, 10)?;
            if rank == 0 {
                report("training");
            }
            training.train(&mut run, u64::MAX)
        });
        for (rank, result) in results.into_iter().enumerate() {
            let Err(RunError::Interrupted(interrupted)) = &result else { panic!("{result:?}") };
            let Interrupted { step, folder: path, rank: of, .. } = interrupted;
            assert_eq!((saved_steps(&folder), path, *of), (vec![*step], &folder, rank));
            let _ = exit(result);
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Started::new(TEST, "train", folder.path());
    child.wait_for("printed once");
    child.wait_for("training");
    child.send("-INT");
    let (status, out, errors) = child.end();
    assert_eq!(status, Some(0), "{errors}");
    assert!(!out.contains("printed once"), "{out}");
    assert_eq!(errors.matches("interrupted after step").count(), 1, "{errors}");
    assert_eq!(errors.matches("step 1: loss").count(), 1, "{errors}");
}

//! Disks and folders in trouble.

use crate::training::{Training, logged, open};
use crate::{child, order};
use adamant_train::Run;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A small disk in memory.
struct Mount<'p>(&'p Path);

impl<'p> Mount<'p> {
    /// `None` without the right to mount one.
    fn new(folder: &'p Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(folder);
        mount.output().is_ok_and(|out| out.status.success()).then_some(Mount(folder))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_delays_the_log_and_loses_nothing_silently() {
    const TEST: &str = "trouble::a_full_disk_delays_the_log_and_loses_nothing_silently";
    const STEPS: u64 = 1000;
    if let Some((work, folder)) = order() {
        let mut training = Training::new(8);
        let mut run = open(&folder).resume(&mut training).unwrap();
        training.train(&mut run, 5).unwrap();
        let ballast = folder.join("ballast");
        fs::write(&ballast, vec![0; 1 << 20]).unwrap_err(); // fills the disk
        training.train(&mut run, STEPS).unwrap();
        assert!(logged(&folder).len() < STEPS as usize);
        let file = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
        let used = file.metadata().unwrap().len();
        match work.as_str() {
            "enough room for all" => file.set_len(0).unwrap(),
            "room for the checkpoint" => file.set_len(used - (32 << 10)).unwrap(),
            _ => {}
        }
        match run.finish(STEPS, &training) {
            Ok(()) => println!("complete"),
            Err(error) => println!("error: {error}"),
        }
        return;
    }
    for (work, saved, message) in [
        ("enough room for all", true, "complete"),
        ("room for the checkpoint", true, " bytes are lost"),
        ("no room", false, "step-1000.ckpt: No space left on device (os error 28)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Some(_mount) = Mount::new(folder.path()) else {
            return println!("skipped: only root can mount a small disk");
        };
        let out = child(TEST, work, folder.path()).output().unwrap();
        let errors = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.success(), "{errors}");
        // One warning for each of the two files.
        let warning = "No space left on device (os error 28); training continues";
        assert_eq!(errors.matches(warning).count(), 2, "{errors}");
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.lines().any(|line| line.ends_with(message)), "{work}: {text}");
        assert_eq!(Run::newest(folder.path()).is_ok(), saved, "{work}");
        let steps: Vec<u64> = logged(folder.path()).iter().map(|(step, _)| *step).collect();
        let all = if message == "complete" { STEPS } else { steps.len() as u64 };
        assert_eq!(steps, (1..=all).collect::<Vec<_>>(), "{work}");
    }
}

#[test]
fn rows_that_wait_are_written_before_a_checkpoint_and_when_the_run_is_dropped() {
    const TEST: &str =
        "trouble::rows_that_wait_are_written_before_a_checkpoint_and_when_the_run_is_dropped";
    const STEPS: u64 = 1000;
    if let Some((work, folder)) = order() {
        let mut training = Training::new(8);
        let mut run = open(&folder).resume(&mut training).unwrap();
        let ballast = folder.join("ballast");
        fs::write(&ballast, vec![0; 1 << 20]).unwrap_err(); // fills the disk
        training.train(&mut run, STEPS).unwrap();
        assert!(logged(&folder).len() < STEPS as usize);
        if work != "dropped on a full disk" {
            fs::write(&ballast, "").unwrap();
        }
        if work == "killed" {
            run.step_with_metric(STEPS, 0.5, &training).unwrap();
            while Run::newest(&folder).is_err() {
                std::thread::yield_now();
            }
            std::process::exit(0); // drops nothing
        }
        return;
    }
    for (work, complete) in [("killed", true), ("dropped", true), ("dropped on a full disk", false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let Some(_mount) = Mount::new(folder.path()) else {
            return println!("skipped: only root can mount a small disk");
        };
        let out = child(TEST, work, folder.path()).output().unwrap();
        let errors = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.success(), "{errors}");
        assert_eq!(logged(folder.path()).len() == STEPS as usize, complete, "{work}");
        assert_eq!(errors.contains(" bytes are lost"), !complete, "{work}: {errors}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Mount::new(folder.path());
    if mount.is_some() {
        let mut remount = Command::new("mount");
        remount.args(["-o", "remount,ro"]).arg(folder.path());
        assert!(remount.status().unwrap().success());
    } else {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    }
    for path in [folder.path().to_path_buf(), folder.path().join("new")] {
        let start = || Run::open(&path)?.quiet().resume(&mut Training::new(8)).map(drop);
        let error = start().unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        let reason = ["Read-only file system", "Permission denied"];
        assert!(reason.iter().any(|reason| error.contains(reason)), "{error}");
    }
}

#[test]
fn a_second_process_is_refused() {
    const TEST: &str = "trouble::a_second_process_is_refused";
    if let Some((_, folder)) = order() {
        let run = open(&folder).resume(&mut Training::new(8)).unwrap();
        println!("\nready");
        std::thread::sleep(std::time::Duration::from_secs(60));
        drop(run);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = child(TEST, "hold", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"));
    let error = Run::open(folder.path()).unwrap_err().to_string();
    let holder = format!("found a folder in use by process {} on ", child.id());
    assert!(error.contains(&holder), "{error}");
    assert!(logged(folder.path()).is_empty()); // reading needs no lock
    child.kill().unwrap();
    child.wait().unwrap();
    let run = open(folder.path()).resume(&mut Training::new(8)).unwrap();
    let error = Run::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("in use by this process itself"), "{error}");
    drop(run);
    drop(open(folder.path()));
}

#[test]
fn warnings_and_progress_go_to_the_standard_error() {
    const TEST: &str = "trouble::warnings_and_progress_go_to_the_standard_error";
    if let Some((work, folder)) = order() {
        let mut training = Training::new(8);
        let folder = Run::open(folder).unwrap().total_steps(40).save_every_steps(10);
        let mut run = folder.config("lr", work).resume(&mut training).unwrap();
        run.println("\nmine");
        training.train(&mut run, training.step + 15).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = |lr: &str| {
        let out = child(TEST, lr, folder.path()).output().unwrap();
        assert!(out.status.success());
        let own = String::from_utf8(out.stdout).unwrap();
        assert!(own.lines().any(|line| line == "mine") && !own.contains("step"), "{own}");
        String::from_utf8(out.stderr).unwrap()
    };
    let first = start("0.1");
    let [line] = first.lines().collect::<Vec<_>>()[..] else { panic!("{first}") };
    assert!(line.starts_with("step 1/40: loss ") && line.contains(", lr 0.01"), "{line}");
    let second = start("0.2");
    let lines: Vec<&str> = second.lines().collect();
    let expected = format!("warning: {}: lr was 0.1, is 0.2", folder.path().display());
    assert_eq!(lines[..2], [expected.as_str(), "resumed after step 10"], "{second}");
    assert!(lines[2].starts_with("step 11/40: loss "), "{second}");
    assert_eq!(lines.len(), 3, "{second}");
}

//! Full disks: a file cannot grow beyond a limit, or the disk has no space.

#![cfg(unix)]

use crate::{child, order};
use adamant::prelude::*;
use std::path::Path;
use std::process::Command;

const TEST: &str = "full_disk::a_file_size_limit_keeps_the_old_checkpoint";

fn net(width: usize) -> Sequential {
    Sequential::new().add(Linear::new(64, width, &mut Generator::seed(0)))
}

#[test]
fn a_file_size_limit_keeps_the_old_checkpoint() {
    if let Some((_, folder)) = order() {
        let error = Checkpoint::new().with("model", &net(4096)).save(folder.join("x.ckpt"));
        println!("error: {}", error.unwrap_err());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let old = Checkpoint::new().with("model", &net(2)).note("step", "1");
    old.save(folder.path().join("x.ckpt")).unwrap();
    // The limit for the child's files: 64 blocks of 512 or 1,024 bytes.
    let child = child(TEST, "save", folder.path());
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]).arg(child.get_program());
    let variables = child.get_envs().filter_map(|(key, value)| Some((key, value?)));
    let out = shell.args(child.get_args()).envs(variables).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("x.ckpt: File too large"), "{text}");
    assert_eq!(Checkpoint::load(folder.path().join("x.ckpt")).unwrap(), old);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A small disk in memory.
struct Mount<'p>(&'p Path);

impl<'p> Mount<'p> {
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
fn a_full_disk_keeps_the_old_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(folder.path()) else {
        return println!("skipped: only root can mount a small disk");
    };
    let path = folder.path().join("x.ckpt");
    let old = Checkpoint::new().with("model", &net(2)).note("step", "1");
    old.save(&path).unwrap();
    let error = Checkpoint::new().with("model", &net(4096)).save(&path).unwrap_err().to_string();
    assert!(error.contains("x.ckpt: No space left"), "{error}");
    assert_eq!(Checkpoint::load(&path).unwrap(), old);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_manager_makes_room_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(folder.path()) else {
        return println!("skipped: only root can mount a small disk");
    };
    // A file takes 68 of 256 KiB: there is room for three.
    let snapshot = |step: u64| {
        let note = step.to_string();
        Checkpoint::new().with("model", &net(256)).note("step", note)
    };
    let mut checkpoints = CheckpointManager::new(folder.path()).unwrap().keep_last(3);
    for step in 1..=6 {
        checkpoints.save(step, snapshot(step)).unwrap();
        checkpoints.finish().unwrap();
        assert_eq!(checkpoints.newest().unwrap(), Some((step, snapshot(step))));
    }
    let saved = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let saved = saved.filter(|path| path.extension().is_some_and(|ending| ending == "ckpt"));
    assert_eq!(saved.count(), 3);
}

//! Two processes that use one folder or one path.

use crate::{child, order};
use adamant::checkpoint::FileError;
use adamant::prelude::*;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

fn snapshot(step: u64) -> Checkpoint {
    Checkpoint::new().with("rng", &Generator::seed(step))
}

/// A child that runs this test until it is killed. Waits until it is ready.
fn started(test: &str, folder: &Path) -> Child {
    let mut child = child(test, "hold", folder).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.ends_with("ready"));
    assert!(ready, "the child has ended");
    child
}

/// Reports that this child is ready, and waits until it is killed.
fn hold() {
    println!("\nready");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_folder_is_locked_until_its_process_is_killed() {
    const TEST: &str = "locked::a_folder_is_locked_until_its_process_is_killed";
    if let Some((_, folder)) = order() {
        let mut checkpoints = CheckpointManager::new(folder).unwrap();
        checkpoints.save(1, snapshot(1)).unwrap();
        checkpoints.finish().unwrap();
        return hold();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = started(TEST, folder.path());
    for _ in 0..2 {
        let error = CheckpointManager::new(folder.path()).unwrap_err();
        assert!(matches!(error, FileError::InUse { .. }), "{error}");
        let holder = format!("in use by process {} on ", child.id());
        assert!(error.to_string().contains(&holder), "{error}");
    }
    let saved = folder.path().join("000000-step-1.ckpt");
    assert_eq!(Checkpoint::load(&saved).unwrap(), snapshot(1)); // reading needs no lock
    child.kill().unwrap();
    child.wait().unwrap();
    let mut checkpoints = CheckpointManager::new(folder.path()).unwrap();
    assert_eq!(checkpoints.newest().unwrap(), Some((1, snapshot(1))));
    checkpoints.save(2, snapshot(2)).unwrap();
    checkpoints.finish().unwrap();
    assert_eq!(checkpoints.newest().unwrap(), Some((2, snapshot(2))));
}

/// The number of temporary files, of saves in progress or killed ones.
fn temporaries(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().is_some_and(|name| name.ends_with(".tmp"))).count()
}

fn large(seed: u64) -> Checkpoint {
    Checkpoint::new().with("model", &Linear::new(1000, 1000, &mut Generator::seed(seed)))
}

#[test]
fn only_temporaries_of_killed_saves_are_removed() {
    const TEST: &str = "locked::only_temporaries_of_killed_saves_are_removed";
    if let Some((_, folder)) = order() {
        let checkpoint = large(1);
        println!("\nready");
        loop {
            checkpoint.save(folder.join("x.ckpt")).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ckpt");
    let (mut saves, mut left) = (0, 0);
    while saves < 20 || left == 0 {
        let mut child = started(TEST, folder.path());
        for step in 0..5 {
            snapshot(step).save(&path).unwrap();
            saves += 1;
        }
        while temporaries(folder.path()) == 0 {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(text.is_empty(), "{text}"); // no save of the child has failed
        child.wait().unwrap();
        left = left.max(temporaries(folder.path()));
        large(2).save(&path).unwrap();
        assert_eq!(temporaries(folder.path()), 0);
        assert_eq!(Checkpoint::load(&path).unwrap(), large(2));
    }
}

//! A run that is killed many times: 200, or `ADAMANT_KILLS`.

use crate::run::{NETS, PLANS, Run, images};
use crate::{child, order};
use adamant::prelude::*;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const TEST: &str = "killed::a_run_killed_at_any_moment_ends_in_the_same_bits";
const STEPS: u64 = 150;

fn new(data: &TensorDataset<ByteRows>, seed: u64) -> Run {
    Run::new(data, NETS[1].1, PLANS[3].1, seed)
}

/// Resumes the run, and trains it to its end with a save after every step.
fn train(folder: &Path) {
    let data = images();
    let mut run = new(&data, u64::from(std::process::id()));
    let mut checkpoints = CheckpointManager::new(folder).unwrap().every_steps(1).keep_last(2);
    println!("\nready");
    let mut step = 0;
    if let Some((at, saved)) = checkpoints.newest().unwrap() {
        run.restore(&saved);
        step = at;
    } else {
        run = new(&data, 1);
    }
    while step < STEPS {
        run.advance(1);
        step += 1;
        if checkpoints.is_due(step) {
            checkpoints.save(step, run.checkpoint()).unwrap();
        }
    }
    checkpoints.finish().unwrap();
}

/// Waits until the child starts to look for its checkpoint.
fn wait_until_ready(child: &mut Child) {
    // The pipe stays open: the child may write to it later.
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    lines.map_while(Result::ok).find(|line| line == "ready");
}

/// The time of a save on this machine's disk, the unit of a run's time until it is killed.
fn time_of_a_save(checkpoint: &Checkpoint) -> Duration {
    const SAVES: u32 = 10;
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    (0..SAVES).for_each(|_| checkpoint.save(folder.path().join("x.ckpt")).unwrap());
    (start.elapsed() / SAVES).max(Duration::from_millis(1))
}

/// Whether the process was killed.
fn was_killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    #[cfg(not(unix))]
    return !status.success(); // a killed process has an ordinary code
}

/// The temporary files of unfinished saves.
fn temporaries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() }; // not created yet
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "tmp")).collect()
}

#[test]
fn a_run_killed_at_any_moment_ends_in_the_same_bits() {
    if let Some((_, folder)) = order() {
        return train(&folder);
    }
    let kills = std::env::var("ADAMANT_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let data = images();
    let mut straight = new(&data, 1);
    straight.advance(STEPS as usize);
    let straight = straight.checkpoint();
    let whole = tempfile::tempdir().unwrap();
    let mut rng = Generator::seed(6);
    let (mut killed, mut runs, mut before) = (0, 0, 0);
    let mut broken_off = HashSet::new();
    let save = time_of_a_save(&straight);
    let mut folder = whole.path().join("0");
    while killed < kills || before > 0 {
        let mut child = child(TEST, "train", &folder);
        child.env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // Mostly killed while it trains and saves, sometimes while it starts.
        if rng.below(8) > 0 {
            wait_until_ready(&mut child);
        }
        let ended = if killed < kills {
            std::thread::sleep(save.mul_f64(rng.uniform() * 30.0));
            let _ = child.kill(); // it may have ended
            let status = child.wait().unwrap();
            (!was_killed(status)).then_some(status)
        } else {
            Some(child.wait().unwrap())
        };
        killed += u64::from(ended.is_none());
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        broken_off.extend(temporaries(&folder));
        // Every checkpoint is intact, and none is lost.
        let warn = |error: &_| panic!("{error}");
        let mut checkpoints = CheckpointManager::new(&folder).unwrap().on_warning(warn);
        let newest = checkpoints.newest().unwrap();
        let step = newest.as_ref().map_or(0, |(step, _)| *step);
        assert!(step >= before, "step {step} after step {before}");
        before = step;
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let saved = files.filter(|path| path.extension().is_some_and(|ending| ending == "ckpt"));
        saved.for_each(|path| drop(Checkpoint::load(path).unwrap()));
        if ended.is_some() {
            assert_eq!(step, STEPS);
            assert!(newest.unwrap().1 == straight, "run {runs} ended in other bits");
            runs += 1;
            before = 0;
            folder = whole.path().join(runs.to_string());
        }
    }
    let within = broken_off.len();
    println!("{killed} kills, {within} of them within a save, in {runs} runs of {STEPS} steps");
    assert!(runs > 0);
    assert!(within > 0, "no kill fell within a save");
}

//! A run that is killed again and again.

use crate::run::{NETS, PLANS, Run, images};
use crate::{child, order};
use adamant::prelude::*;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const TEST: &str = "killed::a_run_that_is_killed_at_any_moment_goes_on_and_ends_in_the_same_bits";
const STEPS: u64 = 150;

fn new(data: &Dataset, seed: u64) -> Run<'_> {
    Run::new(data, NETS[0].1, PLANS[3].1, seed)
}

/// Goes on from where it is, saving after every step, to the end.
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

/// Waits until the child has begun to look for its checkpoint.
fn wait_until_ready(child: &mut Child) {
    // The pipe stays open: the child may write to it later.
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    lines.map_while(Result::ok).find(|line| line == "ready");
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_and_ends_in_the_same_bits() {
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
    let mut folder = whole.path().join("0");
    while killed < kills || before > 0 {
        let mut child = child(TEST, "train", &folder);
        child.env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // Mostly while it trains and saves, at times while it starts.
        if rng.below(8) > 0 {
            wait_until_ready(&mut child);
        }
        let ended = if killed < kills {
            std::thread::sleep(Duration::from_secs_f64(rng.uniform() * 0.03));
            let ended = child.try_wait().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            ended
        } else {
            Some(child.wait().unwrap())
        };
        killed += u64::from(ended.is_none());
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        // Whatever is there is whole: not one is damaged, and none is lost.
        let warn = |error: &_| panic!("{error}");
        let mut checkpoints = CheckpointManager::new(&folder).unwrap().on_warning(warn);
        let newest = checkpoints.newest().unwrap();
        let step = newest.as_ref().map_or(0, |(step, _)| *step);
        assert!(step >= before, "step {step} after step {before}");
        before = step;
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files.for_each(|path| drop(Checkpoint::load(path).unwrap()));
        if ended.is_some() {
            assert_eq!(step, STEPS);
            assert!(newest.unwrap().1 == straight, "run {runs} ended in other bits");
            runs += 1;
            before = 0;
            folder = whole.path().join(runs.to_string());
        }
    }
    println!("{killed} kills in {runs} runs of {STEPS} steps");
    assert!(runs > 0);
}

//! A run that is killed at random moments.

use crate::training::{Training, logged, open, saved_steps, straight};
use crate::{child, order};
use adamant_tensor::Generator;
use adamant_train::Run;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const TEST: &str = "killed::a_run_killed_at_any_moment_ends_in_the_same_bits_and_the_same_log";
const STEPS: u64 = 400;
const KILLS: u64 = 12;

fn train(folder: &Path) {
    let mut training = Training::new(8);
    let run = open(folder).save_every_steps(7).keep_last(2).resume(&mut training);
    let mut run = run.unwrap();
    println!("\nready");
    while training.step < STEPS {
        training.train(&mut run, training.step + 1).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    run.finish(training.step, &training).unwrap();
}

#[test]
fn a_run_killed_at_any_moment_ends_in_the_same_bits_and_the_same_log() {
    if let Some((_, folder)) = order() {
        return train(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Generator::seed(3);
    let (mut killed, mut saves) = (0, HashSet::new());
    while killed < KILLS || saves.len() < 4 {
        let mut child = child(TEST, "train", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        // Mostly killed while it trains and saves, sometimes while it starts.
        if rng.below(4) > 0 {
            let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
            lines.map_while(Result::ok).find(|line| line == "ready");
        }
        std::thread::sleep(Duration::from_secs_f64(0.05 * rng.uniform()));
        let _ = child.kill(); // it may have ended
        let status = child.wait().unwrap();
        assert!(status.signal() == Some(9) || status.success(), "{status}");
        killed += u64::from(status.signal() == Some(9));
        if status.success() {
            break;
        }
        saves.extend(saved_steps(folder.path()));
    }
    assert!(killed > 3 && saves.len() > 3, "{killed} kills, {saves:?} saved");
    assert!(child(TEST, "train", folder.path()).status().unwrap().success());
    let (state, log) = straight(STEPS);
    let (step, found) = Run::newest(folder.path()).unwrap();
    assert_eq!(step, STEPS);
    assert!(found == state, "other bits");
    assert_eq!(logged(folder.path()), log);
}

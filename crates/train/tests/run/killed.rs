//! A run that is killed at random moments, with a loader that augments on any number of threads.

use crate::training::{Logged, logged, open, saved_steps};
use crate::{child, order};
use adamant_data::{DataLoader, Dataset, Image, RandomCrop, RandomHorizontalFlip, TensorDataset};
use adamant_derive::Stateful;
use adamant_nn::{
    Conv2d, Dropout, Flatten, Forward, Linear, Module, Relu, Sequential, cross_entropy,
};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Generator, StateDict};
use adamant_train::{Mean, Run};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const TEST: &str = "killed::a_run_killed_at_any_moment_ends_in_the_same_bits_and_the_same_log";

/// The number of kills for each number of workers.
fn kills() -> u64 {
    std::env::var("ADAMANT_KILLS").map_or(12, |kills| kills.parse().unwrap())
}

/// Enough for all kills: between two of them, there are about 25 steps.
fn steps() -> u64 {
    35 * kills()
}

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Training {
    model: Sequential,
    adam: Adam,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

impl Training {
    fn new(workers: usize) -> Self {
        let mut rng = Generator::seed(5);
        let mut image = |_| {
            let bytes = (0..64).map(|_| rng.below(256) as u8).collect();
            Image::new(bytes, [8, 8, 1]).unwrap()
        };
        let images: Vec<Image> = (0..50).map(&mut image).collect();
        let classes: Vec<usize> = (0..50).map(|index| index % 3).collect();
        let (flip, crop) = (RandomHorizontalFlip::new(), RandomCrop::new(8, 8).padding(2));
        let set = TensorDataset::new(images, classes).unwrap();
        let set = set.augment(move |(image, class): (Image, usize), rng| {
            Ok((crop.apply(flip.apply(image, rng), rng)?.to_tensor(), class))
        });
        let loader = DataLoader::new(set, 8).shuffle(&mut rng).workers(workers);
        let model = Sequential::new()
            .add(Conv2d::new(1, 4, 3, &mut rng))
            .add(Relu)
            .add(Flatten::default())
            .add(Dropout::new(0.1, &mut rng))
            .add(Linear::new(4 * 6 * 6, 3, &mut rng));
        let adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
        Training { model, adam, loader, loss: Mean::new(), step: 0 }
    }

    fn advance(&mut self, run: &mut Run) {
        let batch = self.loader.next_batch();
        self.adam.zero_grad();
        let loss = cross_entropy(&self.model.forward(&batch.inputs), &batch.targets);
        loss.backward();
        self.adam.step();
        self.step += 1;
        self.loss.update(loss.item(), batch.targets.len());
        if self.step.is_multiple_of(3) {
            run.log(self.step, &[("loss", self.loss.value())]);
            self.loss.reset();
        }
        run.step(self.step, self).unwrap();
    }
}

/// Trains to the end. `pause` leaves time for a kill after each step.
fn train(folder: &Path, workers: usize, pause: Duration) {
    let mut training = Training::new(workers);
    let run = open(folder).save_every_steps(7).keep_last(2).resume(&mut training);
    let mut run = run.unwrap();
    println!("\nready");
    while training.step < steps() {
        training.advance(&mut run);
        std::thread::sleep(pause);
    }
    run.finish(training.step, &training).unwrap();
}

/// What is left of a run that has ended: its state and its log.
fn ended(folder: &Path) -> (StateDict, Vec<Logged>) {
    let (step, state) = Run::newest(folder).unwrap();
    assert_eq!(step, steps());
    (state, logged(folder))
}

#[test]
fn a_run_killed_at_any_moment_ends_in_the_same_bits_and_the_same_log() {
    if let Some((workers, folder)) = order() {
        return train(&folder, workers.parse().unwrap(), Duration::from_millis(1));
    }
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), 0, Duration::ZERO);
    let straight = ended(folder.path());
    assert_eq!(straight.1.len() as u64, steps() / 3);
    let mut rng = Generator::seed(3);
    for workers in [0, 1, 4] {
        let folder = tempfile::tempdir().unwrap();
        kill(folder.path(), workers, &mut rng);
        let (state, log) = ended(folder.path());
        assert!(state == straight.0, "other bits with {workers} workers");
        assert_eq!(log, straight.1, "{workers} workers");
    }
}

/// Starts a run, kills and resumes it, and lets it end.
fn kill(folder: &Path, workers: usize, rng: &mut Generator) {
    let work = workers.to_string();
    let (mut killed, mut saves) = (0, HashSet::new());
    while killed < kills() {
        let mut child = child(TEST, &work, folder).stdout(Stdio::piped()).spawn().unwrap();
        // Mostly killed while it trains and saves, sometimes while it starts.
        if rng.below(4) > 0 {
            let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
            lines.map_while(Result::ok).find(|line| line == "ready");
        }
        std::thread::sleep(Duration::from_secs_f64(0.05 * rng.uniform()));
        let _ = child.kill(); // it may have ended
        let status = child.wait().unwrap();
        assert!(status.signal() == Some(9) || status.success(), "{status}");
        if status.success() {
            break;
        }
        killed += 1;
        saves.extend(saved_steps(folder));
    }
    assert!(killed > kills() / 3 && saves.len() > 3, "{killed} kills, {saves:?} saved");
    assert!(child(TEST, &work, folder).status().unwrap().success());
}

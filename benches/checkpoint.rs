//! The time to save and load 10 million parameters with Adam's state: 120 MB.
//!
//! ```text
//! cargo bench --bench checkpoint
//! ```
//!
//! A save is compared with writing and syncing the same number of plain bytes, a load with reading
//! them and computing their checksum. They alternate on the disk of the temporary folder (`TMPDIR`),
//! so that other work on the disk affects both. For a save in the background, it measures the time
//! that it adds to training steps.

use adamant::prelude::*;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 15;

struct Run {
    net: Sequential,
    adam: Adam,
    inputs: Tensor,
    targets: Vec<usize>,
}

impl Run {
    fn new() -> Self {
        let mut rng = Generator::seed(0);
        let net = Sequential::new()
            .add(Linear::new(784, 2048, &mut rng))
            .add(Relu)
            .add(Linear::new(2048, 2048, &mut rng))
            .add(Relu)
            .add(Linear::new(2048, 2048, &mut rng))
            .add(Relu)
            .add(Linear::new(2048, 10, &mut rng));
        let adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
        let inputs = Tensor::randn([64, 784], &mut rng);
        Run { net, adam, inputs, targets: (0..64).map(|i| i % 10).collect() }
    }

    fn step(&mut self) {
        self.adam.zero_grad();
        cross_entropy(&self.net.forward(&self.inputs), &self.targets).backward();
        self.adam.step();
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new().with("model", &self.net).with("optimizer", &self.adam)
    }
}

fn ms(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The medians of both, which alternate, and the median of their ratios.
fn compare(what: &str, than: &str, mut ours: impl FnMut() -> f64, mut plain: impl FnMut() -> f64) {
    let _warm = (ours(), plain());
    let (ours, plain): (Vec<f64>, Vec<f64>) = (0..ROUNDS).map(|_| (ours(), plain())).unzip();
    let ratio = median(ours.iter().zip(&plain).map(|(ours, plain)| ours / plain).collect());
    let (ours, plain) = (median(ours), median(plain));
    println!("{what:24} {ours:7.1} ms, {than} {plain:7.1} ms: {ratio:.2} times");
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut run = Run::new();
    run.step();

    // New files, so that syncing an earlier write is not measured.
    let new = |path: &Path, write: &mut dyn FnMut()| {
        let _ = fs::remove_file(path);
        ms(write)
    };
    let checkpoint = run.checkpoint();
    checkpoint.save(path("a.ckpt")).unwrap();
    let mut bytes = fs::read(path("a.ckpt")).unwrap();
    println!(
        "{} parameters, a file of {:.1} MB",
        run.net.num_parameters(),
        bytes.len() as f64 / 1e6
    );
    compare(
        "save",
        "write and sync",
        || new(&path("a.ckpt"), &mut || checkpoint.save(path("a.ckpt")).unwrap()),
        || {
            new(&path("plain"), &mut || {
                let mut file = File::create(path("plain")).unwrap();
                file.write_all(&bytes).unwrap();
                file.sync_all().unwrap();
            })
        },
    );
    drop(checkpoint);
    compare(
        "load",
        "read and checksum",
        || ms(|| drop(black_box(Checkpoint::load(path("a.ckpt")).unwrap()))),
        || {
            // Into memory that was used before, as for the arrays of a checkpoint.
            ms(|| {
                bytes.clear();
                File::open(path("plain")).unwrap().read_to_end(&mut bytes).unwrap();
                black_box(crc32fast::hash(&bytes));
            })
        },
    );

    let mut checkpoints = CheckpointManager::new(path("run")).unwrap().keep_last(1);
    let mut times = |steps: usize, save: bool| -> (f64, Vec<f64>) {
        let call = ms(|| {
            if save {
                checkpoints.save(0, run.checkpoint()).unwrap();
            }
        });
        let times = (0..steps).map(|_| ms(|| run.step())).collect();
        checkpoints.finish().unwrap();
        (call, times)
    };
    times(5, true);
    let (mut calls, mut steps, mut longest, mut late) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let step = median(times(15, false).1);
        let (call, with) = times(15, true);
        steps.push(step);
        calls.push(call / step);
        longest.push(with.iter().copied().fold(0.0, f64::max) / step - 1.0);
        late.push((call + with.iter().sum::<f64>()) / step - with.len() as f64);
    }
    println!("save in the background, in training steps of {:.1} ms:", median(steps));
    println!("{:24} {:7.4}", "the call", median(calls));
    println!("{:24} {:7.2}", "the longest step, more", median(longest));
    println!("{:24} {:7.2}", "all steps, later", median(late));
}

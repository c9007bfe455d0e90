//! The time that saving in the background adds to training steps, for 10 million parameters with
//! Adam's state: 120 MB, on the disk of the temporary folder (`TMPDIR`).
//!
//! ```text
//! cargo bench --bench background_save
//! ```
//!
//! The limits of `benches/compare` include saving and loading by themselves.

use adamant::prelude::*;
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

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new();
    run.step();
    let mut checkpoints = CheckpointManager::new(folder.path()).unwrap().keep_last(1);
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

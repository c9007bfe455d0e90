//! The time of a training step by several processes, beside PyTorch's `DistributedDataParallel`:
//!
//! ```text
//! cargo bench --features mpi --bench distributed --no-run
//! RAYON_NUM_THREADS=1 mpirun -n 2 target/release/deps/distributed-… gpt 8 2 20
//! OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 benches/distributed.py gpt 8 20
//! ```
//!
//! Arguments: the model, samples in a batch, shards, steps.

#[path = "compare/models.rs"]
#[allow(dead_code)]
mod models;

use adamant::mpi::Mpi;
use adamant::prelude::*;
use models::{Gpt, perceptron};
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [model, numbers @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let &[batch, shards, steps] = &numbers[..] else { return Err(USAGE.into()) };
    let parallel = DataParallel::new(Arc::new(Mpi::start()?), shards);
    let rng = &mut Generator::seed(0);
    match &model[..] {
        "gpt" => {
            let net = Gpt::new([6, 6, 384], [65, 128], rng);
            let shard = |samples: usize| {
                let inputs = Indices::from_vec(classes(samples * 128, 65), [samples, 128]).unwrap();
                (inputs, classes(samples * 128, 65))
            };
            let loss = |(x, y): &(Indices, Vec<usize>)| cross_entropy(&net.forward(x), y);
            time(&parallel, &net, batch, steps, shard, loss)
        }
        "mlp" => {
            let net = perceptron(&[784, 256, 128, 10], rng);
            let shard = |samples: usize| (Tensor::ones([samples, 784]), classes(samples, 10));
            let loss = |(x, y): &(Tensor, Vec<usize>)| cross_entropy(&net.forward(x), y);
            time(&parallel, &net, batch, steps, shard, loss)
        }
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "arguments: gpt|mlp BATCH SHARDS STEPS";

fn classes(n: usize, classes: usize) -> Vec<usize> {
    (0..n).map(|i| i * 7 % classes).collect()
}

/// Prints the median time of a step, the highest resident memory, and the memory of the moments.
fn time<B: Clone>(
    parallel: &DataParallel,
    net: &impl Module,
    samples: usize,
    steps: usize,
    data: impl Fn(usize) -> B,
    loss: impl Fn(&B) -> Tensor,
) -> Result<(), Box<dyn Error>> {
    let mut adam = Adam::new(net.parameters(), AdamOptions::adamw())?;
    parallel.share(&mut adam);
    let shards = parallel.shards();
    let bound = |shard: usize| samples * shard / shards.total;
    let sizes = shards.local.map(|shard| (shard, bound(shard + 1) - bound(shard)));
    let batch: Vec<ShardBatch<B>> = sizes
        .filter(|&(_, n)| n > 0)
        .map(|(shard, n)| ShardBatch { shard, samples: n, of: samples, batch: data(n) })
        .collect();
    let mut times = Vec::new();
    for _ in 0..steps + 3 {
        let _ = parallel.transport().barrier().wait()?;
        let start = Instant::now();
        adam.zero_grad();
        parallel.backward(net, &adam, batch.clone(), |batch| loss(&batch))?;
        adam.step();
        times.push(start.elapsed().as_secs_f64());
    }
    let times = &mut times[3..]; // the first steps allocate
    times.sort_by(f64::total_cmp);
    let states =
        net.parameters().into_iter().filter_map(|p| Some(adam.state(&p)?.exp_avg().to_vec().len()));
    let moments = 2 * 4 * states.sum::<usize>();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?");
    println!(
        "rank {} of {}: {:.2} ms a step, moments {:.1} MB, peak {}",
        parallel.transport().rank(),
        parallel.transport().ranks(),
        times[times.len() / 2] * 1e3,
        moments as f64 / 1e6,
        peak.trim()
    );
    Ok(())
}

//! The memory of training, in these cases:
//!
//! * `training`: the growth of the process in a step of a 12-layer, 512-wide perceptron with ReLUs at
//!   batch 256, and in later steps;
//! * `varying`: a small perceptron, batches of 1 to 512 samples;
//! * `after-large`: the same perceptron, one batch of 65,536 samples and then batches of 32;
//! * `kept-losses`: the same perceptron, batches of 32, keeping every loss.
//!
//! ```text
//! cargo bench --bench memory                              training, 20 steps
//! cargo bench --bench memory -- --case varying --steps 20000
//! python benches/memory.py                                all cases, side by side with PyTorch
//! ```
//!
//! Linux only: it reads `/proc/self/status`.

use adamant::memory_stats;
use adamant::prelude::*;
use std::error::Error;

const WIDTH: usize = 512;
const BATCH: usize = 256;
const LAYERS: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let value = |flag: &str| args.iter().position(|arg| arg == flag).map(|i| args[i + 1].as_str());
    let steps: usize = value("--steps").unwrap_or("20").parse()?;
    match value("--case").unwrap_or("training") {
        "training" => training(steps),
        case => small(case, steps),
    }
}

fn training(steps: usize) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(0);
    let mut model = Sequential::new();
    for _ in 0..LAYERS - 1 {
        model = model.add(Linear::new(WIDTH, WIDTH, &mut rng)).add(Relu);
    }
    model = model.add(Linear::new(WIDTH, WIDTH, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default())?;
    let inputs = Tensor::randn([BATCH, WIDTH], &mut rng);
    let targets: Vec<usize> = (0..BATCH).collect();

    let before = resident("VmRSS")?;
    let mut after_warm_up = None;
    for step in 1..=steps {
        adam.zero_grad();
        cross_entropy(&model.forward(&inputs), &targets).backward();
        adam.step();
        if step == 10 {
            after_warm_up = Some((resident("VmRSS")?, memory_stats()));
        }
    }
    println!("growth of the peak over {steps} steps: {:.1} MiB", resident("VmHWM")? - before);
    if let Some((resident_then, then)) = after_warm_up {
        println!(
            "resident, from step 10 to step {steps}: {:+.1} MiB",
            resident("VmRSS")? - resident_then
        );
        let now = memory_stats();
        let bytes = |stats: adamant::tensor::MemoryStats| stats.live_bytes + stats.free_bytes;
        println!(
            "live and free bytes: {:+}, nodes: {:+}",
            bytes(now) as i64 - bytes(then) as i64,
            now.live_nodes as i64 - then.live_nodes as i64
        );
    }
    Ok(())
}

fn small(case: &str, steps: usize) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(0);
    let model = Sequential::new()
        .add(Linear::new(64, 128, &mut rng))
        .add(Relu)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default())?;
    let mut step = |batch: usize| {
        let inputs = Tensor::<f32>::randn([batch, 64], &mut rng);
        let targets: Vec<usize> = (0..batch).map(|i| i % 10).collect();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&inputs), &targets);
        loss.backward();
        adam.step();
        loss
    };
    step(4);
    let before = resident("VmRSS")?;
    let mut kept = Vec::new();
    match case {
        "varying" => (0..steps).for_each(|i| drop(step(1 + i * 7919 % 512))),
        "after-large" => {
            step(65_536);
            (0..steps).for_each(|_| drop(step(32)));
        }
        "kept-losses" => kept.extend((0..steps).map(|_| step(32))),
        other => return Err(format!("`{other}` is not a case").into()),
    }
    println!("{case}: resident after {steps} steps: {:+.1} MiB", resident("VmRSS")? - before);
    Ok(())
}

/// A line of `/proc/self/status`, in MiB.
fn resident(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kib = line.trim_matches(|c: char| !c.is_ascii_digit());
    Ok(kib.parse::<f64>()? / 1024.0)
}

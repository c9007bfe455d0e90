//! The memory of training: by how much a step of a 12-layer, 512-wide perceptron with ReLUs
//! at batch 256 makes the process grow, and whether it goes on growing.
//!
//! ```text
//! cargo bench --bench memory                  20 steps; `-- --steps 10000` for more
//! python benches/memory.py                    side by side with PyTorch
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
    let asked = args.iter().position(|arg| arg == "--steps").map(|i| args[i + 1].parse::<usize>());
    let steps = asked.transpose()?.unwrap_or(20);

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
        adam.zero_grad(true);
        cross_entropy(&model.forward(&inputs), &targets).backward();
        adam.step();
        if step == 10 {
            after_warm_up = Some((resident("VmRSS")?, memory_stats()));
        }
    }
    println!("growth of the peak over {steps} steps: {:.1} MiB", resident("VmHWM")? - before);
    if let Some((resident_then, stats)) = after_warm_up {
        println!(
            "resident, from step 10 to step {steps}: {:+.1} MiB",
            resident("VmRSS")? - resident_then
        );
        let (now, then) = (memory_stats(), stats);
        let bytes = |stats: adamant::tensor::MemoryStats| stats.live_bytes + stats.free_bytes;
        println!(
            "live and free bytes: {:+}, nodes: {:+}",
            bytes(now) as i64 - bytes(then) as i64,
            now.live_nodes as i64 - then.live_nodes as i64
        );
    }
    Ok(())
}

/// A line of `/proc/self/status`, in MiB.
fn resident(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kib = line.trim_matches(|c: char| !c.is_ascii_digit());
    Ok(kib.parse::<f64>()? / 1024.0)
}

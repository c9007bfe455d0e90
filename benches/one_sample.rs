//! Microseconds for one image through a trained perceptron, 784-256-128-10, without recording.
//!
//! ```text
//! cargo bench --bench one_sample              the median of 2,000 runs
//! python benches/one_sample.py                side by side with PyTorch
//! ```

use adamant::prelude::*;
use std::time::Instant;

fn main() {
    let rng = &mut Generator::seed(0);
    let model = Sequential::new()
        .add(Linear::new(784, 256, rng))
        .add(Relu)
        .add(Linear::new(256, 128, rng))
        .add(Relu)
        .add(Linear::new(128, 10, rng));
    let image = Tensor::rand([1, 784], rng);
    let run = || {
        let start = Instant::now();
        std::hint::black_box(no_grad(|| model.forward(&image)));
        start.elapsed().as_secs_f64() * 1e6
    };
    for _ in 0..1000 {
        run();
    }
    let mut micros: Vec<f64> = (0..2000).map(|_| run()).collect();
    micros.sort_by(f64::total_cmp);
    println!("one sample: {:.1} µs (median of 2000; at least {:.1})", micros[1000], micros[0]);
}

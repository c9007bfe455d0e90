//! Microseconds for forward and backward of `(a * b + c).tanh().sum()` on 4 elements: the overhead
//! of an operation.
//!
//! ```text
//! cargo bench --bench overhead                the median of nine runs
//! python benches/overhead.py                  side by side with PyTorch
//! ```

use adamant::prelude::*;
use std::time::Instant;

fn main() {
    const ROUNDS: usize = 100_000;
    let leaf = || Tensor::from([0.1f32, 0.2, 0.3, 0.4]).requires_grad();
    let leaves = [leaf(), leaf(), leaf()];
    let [a, b, c] = &leaves;
    let run = || {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            (a * b + c).tanh().sum().backward();
            leaves.iter().for_each(|leaf| leaf.zero_grad());
        }
        start.elapsed().as_secs_f64() / ROUNDS as f64 * 1e6
    };
    run();
    let mut micros: Vec<f64> = (0..9).map(|_| run()).collect();
    micros.sort_by(f64::total_cmp);
    println!("a round: {:.3} µs (median of 9; {:.3} to {:.3})", micros[4], micros[0], micros[8]);
}

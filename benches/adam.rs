//! Milliseconds for a step of Adam, and the memory bandwidth that it reaches.
//!
//! ```text
//! cargo bench --bench adam                    a table
//! python benches/adam.py                      side by side with PyTorch
//! ```
//!
//! With `--json` it prints only medians, in milliseconds. A step reads and writes the parameter and
//! the moments and reads the gradient: 28 bytes for each element. For comparison, the triad
//! `a[i] ← b[i] + s c[i]`, in pieces of equal size on the same threads, moves 16 (a cache line is
//! read before it is written). Reading the four buffers is a lower bound for any Adam.

use adamant::prelude::*;
use adamant_kernels::{drain, simd};
use std::time::Instant;

const CASES: [(&str, usize, usize); 3] =
    [("1 × 10 M", 1, 10_000_000), ("200 × 50 k", 200, 50_000), ("1,000 × 1 k", 1_000, 1_000)];

/// The piece size of Adam's sweep.
const PIECE: usize = 1 << 17;

fn median_ms(mut f: impl FnMut()) -> f64 {
    (0..5).for_each(|_| f());
    let mut times: Vec<f64> = (0..41)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn adam_ms(tensors: usize, elements: usize, amsgrad: bool) -> f64 {
    let mut rng = Generator::seed(0);
    let params: Vec<Parameter> = (0..tensors)
        .map(|_| {
            let parameter = Parameter::new(Tensor::uniform([elements], -1.0, 1.0, &mut rng));
            parameter.set_grad(Some(Tensor::uniform([elements], -1.0, 1.0, &mut rng)));
            parameter
        })
        .collect();
    let mut adam = Adam::new(params, AdamOptions::default().amsgrad(amsgrad)).unwrap();
    median_ms(|| adam.step())
}

fn triad_ms(elements: usize) -> f64 {
    let (mut a, b, c) = (vec![0f32; elements], vec![1f32; elements], vec![2f32; elements]);
    median_ms(|| {
        let pieces = a.chunks_mut(PIECE).zip(b.chunks(PIECE).zip(c.chunks(PIECE)));
        drain(pieces, elements, |(a, (b, c))| {
            simd!(|| {
                for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c)) {
                    *a = *b + 3.0 * *c;
                }
            });
        });
        std::hint::black_box(&mut a);
    })
}

/// Milliseconds to read the bytes that a step reads for `elements` elements.
fn read_ms(elements: usize) -> f64 {
    let buffers = [1u32, 2, 3, 4].map(|bits| vec![bits; elements]);
    median_ms(|| {
        let [p, g, m, v] = buffers.each_ref().map(|buffer| buffer.chunks(PIECE));
        drain(p.zip(g).zip(m.zip(v)), elements, |((p, g), (m, v))| {
            let sum = simd!(|| {
                let elements = p.iter().zip(g).zip(m.iter().zip(v));
                elements
                    .fold(0u32, |sum, ((p, g), (m, v))| sum.wrapping_add(p ^ g).wrapping_add(m ^ v))
            });
            std::hint::black_box(sum);
        });
    })
}

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let mut entries = Vec::new();
    for (name, tensors, elements) in CASES {
        for amsgrad in [false, true] {
            entries.push((name, amsgrad, tensors * elements, adam_ms(tensors, elements, amsgrad)));
        }
    }
    // The same number of bytes as Adam's at 10 M, so that both use the caches alike.
    let triad = triad_ms(10_000_000 * 28 / 16);
    let read = read_ms(10_000_000);
    let rate = |bytes: usize, ms: f64| bytes as f64 / ms / 1e6;
    if json {
        let ms: Vec<String> = entries.iter().map(|(.., ms)| format!("{ms:.4}")).collect();
        println!("{{\"adam\": [{}], \"triad\": {triad:.4}, \"read\": {read:.4}}}", ms.join(", "));
        return;
    }
    for (name, amsgrad, elements, ms) in entries {
        let bytes = elements * if amsgrad { 36 } else { 28 };
        let variant = if amsgrad { "amsgrad" } else { "" };
        println!("{name:12} {variant:8} {ms:7.3} ms  {:5.1} GB/s", rate(bytes, ms));
    }
    println!("{:12} {:8} {triad:7.3} ms  {:5.1} GB/s", "triad", "", rate(280_000_000, triad));
    println!("{:12} {:8} {read:7.3} ms  {:5.1} GB/s", "reading only", "", rate(160_000_000, read));
}

//! What the machine allows, and the work that is held against it: products against a loop of
//! multiply-adds in registers, kernels against a triad's bandwidth, checkpoints against the same
//! bytes written and read plainly.

use crate::{Sizes, Work, timed};
use adamant::prelude::*;
use adamant_kernels::{drain, simd};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

pub(crate) fn prepare(kind: &str, sizes: &Sizes<'_>) -> Option<Work> {
    let rng = &mut Generator::seed(0);
    let mut random = |shape: &[usize]| Tensor::<f32>::uniform(shape, -1.0, 1.0, rng);
    Some(match kind {
        "multiply_adds" => multiply_adds(sizes.number("count")),
        "product" => {
            let n = sizes.number("n");
            let (a, b) = (random(&[n, n]), random(&[n, n]));
            timed(move || a.matmul(&b))
        }
        "triad" => triad(sizes.number("bytes")),
        "add" => {
            let (x, y) = (random(&[sizes.number("elements")]), random(&[sizes.number("elements")]));
            timed(move || &x + &y)
        }
        "relu" => {
            let x = random(&[sizes.number("elements")]);
            timed(move || x.relu())
        }
        "save" => save(),
        "load" => load(),
        "dd" => dd(),
        "read_and_checksum" => read_and_checksum(),
        _ => return None,
    })
}

/// `count` multiply-adds of `f32`, in registers, on all threads.
fn multiply_adds(count: usize) -> Work {
    // 12 vectors of AVX-512: enough to hide the latency of a multiply-add, and they stay in registers.
    const SUMS: usize = 192;
    let threads = adamant::num_threads();
    let rounds = count / (SUMS * threads);
    timed(move || {
        drain(0..threads, count, |_| {
            let (scale, term) = black_box((0.999f32, 0.001f32));
            let sums = simd!(|| {
                let mut sums = [0.5f32; SUMS];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = sum.mul_add(scale, term);
                    }
                }
                sums
            });
            black_box(sums);
        });
    })
}

/// `a[i] ← b[i] + s c[i]`, in the pieces of Adam's sweep. It moves 16 bytes for each element: a
/// cache line is read before it is written.
fn triad(bytes: usize) -> Work {
    const PIECE: usize = 1 << 17;
    let elements = bytes / 16;
    let (mut a, b, c) = (vec![0f32; elements], vec![1f32; elements], vec![2f32; elements]);
    timed(move || {
        let pieces = a.chunks_mut(PIECE).zip(b.chunks(PIECE).zip(c.chunks(PIECE)));
        drain(pieces, elements, |(a, (b, c))| {
            simd!(|| {
                for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c)) {
                    *a = *b + 3.0 * *c;
                }
            });
        });
        black_box(&mut a);
    })
}

/// 10 million parameters with Adam's state: 120 MB.
fn checkpoint() -> Checkpoint {
    let rng = &mut Generator::seed(0);
    let net = crate::models::perceptron(&[784, 2048, 2048, 2048, 10], rng);
    let mut adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
    net.forward(&Tensor::randn([4, 784], rng)).sum().backward();
    adam.step();
    Checkpoint::new().with("model", &net).with("optimizer", &adam)
}

/// A work on files of their own in the temporary folder (`TMPDIR`). A file is removed before it is
/// written again, so that syncing an earlier write is not measured.
fn on_a_file(mut work: impl FnMut(&Path) + 'static, is_new: bool) -> Work {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    checkpoint().save(&path).unwrap();
    Box::new(move || {
        let _kept = &folder;
        if is_new {
            let _ = fs::remove_file(&path);
        }
        let start = Instant::now();
        work(&path);
        start.elapsed()
    })
}

fn save() -> Work {
    let checkpoint = checkpoint();
    on_a_file(move |path| checkpoint.save(path).unwrap(), true)
}

/// The bytes of a checkpoint, written and synced by `dd`. Starting the process takes about 1 ms.
fn dd() -> Work {
    let folder = tempfile::tempdir().unwrap();
    let [source, output] = ["source", "output"].map(|name| folder.path().join(name));
    checkpoint().save(&source).unwrap();
    let argument = |flag: &str, path: &Path| format!("{flag}={}", path.display());
    let mut dd = Command::new("dd");
    dd.args([argument("if", &source), argument("of", &output)]);
    dd.args(["bs=1M", "conv=fsync", "status=none"]);
    Box::new(move || {
        let _kept = &folder;
        let _ = fs::remove_file(&output);
        let start = Instant::now();
        assert!(dd.status().expect("dd is installed").success());
        start.elapsed()
    })
}

fn load() -> Work {
    on_a_file(|path| drop(black_box(Checkpoint::load(path).unwrap())), false)
}

/// Into memory that was used before, as for the arrays of a checkpoint.
fn read_and_checksum() -> Work {
    let mut bytes = Vec::new();
    on_a_file(
        move |path| {
            bytes.clear();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            black_box(crc32fast::hash(&bytes));
        },
        false,
    )
}

//! The memory of training: it does not grow, weights are updated in place, and operations save no
//! more than they must.

use crate::alone;
use adamant::prelude::*;
use adamant::tensor::{AttentionOptions, MemoryStats, scaled_dot_product_attention};
use adamant::{empty_cache, memory_stats, reset_peak_memory_stats};
use std::sync::{Arc, Mutex};

#[test]
fn ten_thousand_steps_do_not_change_memory() {
    let _alone = alone();
    empty_cache();
    let mut rng = Generator::seed(0);
    let model = Sequential::new()
        .add(Linear::new(20, 30, &mut rng))
        .add(Relu)
        .add(Dropout::new(0.1, &mut rng))
        .add(Linear::new(30, 5, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let data = TensorDataset::new(
        Tensor::<f32>::randn([200, 20], &mut rng),
        (0..200usize).map(|i| i % 5).collect::<Vec<_>>(),
    );
    let data = data.unwrap();
    let mut loader = DataLoader::new(&data, 8).shuffle(&mut rng);
    let addresses = || -> Vec<usize> {
        let address = |p: Parameter| p.tensor().array().as_slice().unwrap().as_ptr().addr();
        model.parameters().into_iter().map(address).collect()
    };
    let mut step = || {
        let batch = loader.next_batch();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&batch.inputs), &batch.targets);
        loss.backward();
        adam.step(); // while `loss` is alive
    };

    (0..3).for_each(|_| step());
    let (before, weights) = (memory_stats(), addresses());
    for _ in 0..10_000 {
        step();
        assert_eq!(memory_stats(), before);
    }
    assert_eq!(addresses(), weights);
}

const LEN: usize = 1 << 16;
const BYTES: usize = 4 * LEN;

/// The memory that the result of `f` keeps alive, in units of a tensor of [`LEN`] elements.
fn held(f: impl FnOnce() -> Tensor) -> f64 {
    let before = memory_stats().live_bytes;
    let result = f();
    let bytes = memory_stats().live_bytes - before;
    drop(result);
    bytes as f64 / BYTES as f64
}

fn transposed_batch(x: &Tensor) -> Tensor {
    x.reshape([4, 64, 256]).transpose(1, 2).matmul(&x.narrow(0, 0, 64).narrow(1, 0, 64))
}

#[test]
fn an_operation_saves_no_more_than_it_must() {
    let _alone = alone();
    type Op = fn(&Tensor) -> Tensor;
    let x = Tensor::<f32>::full([256, 256], 0.5).requires_grad();
    // The result and the saved values, without the input.
    let ops: [(&str, Op, f64); 22] = [
        ("add", |x| x + x, 1.0),
        ("mul", |x| x * x, 1.0),
        ("relu", |x| x.relu(), 1.0),
        ("tanh", |x| x.tanh(), 1.0),
        ("exp", |x| x.exp(), 1.0),
        ("gelu", |x| x.gelu(), 1.0),
        ("swiglu", |x| swiglu(x, x), 1.0),
        ("softmax", |x| x.softmax(1), 1.0),
        ("matmul", |x| x.matmul(x), 1.0),
        ("sum_dim", |x| x.sum_dim(0), 0.0),
        ("transpose", |x| x.transpose(0, 1), 0.0),
        ("narrow", |x| x.narrow(0, 3, 200), 0.0),
        ("reshape", |x| x.reshape([LEN]), 0.0),
        ("where_", |x| x.where_(&x.gt(0.0), 1.0), 1.25), // a mask, a byte an element
        ("sort", |x| x.sort(0).0, 3.0),                  // indices, eight bytes each
        // The piece of each element, in a byte.
        ("abs", |x| x.abs(), 1.25),
        ("clamp", |x| x.clamp(0.0, 1.0), 1.25),
        ("hardtanh", |x| x.hardtanh(-1.0, 1.0), 1.25),
        ("leaky_relu", |x| x.leaky_relu(0.1), 1.25),
        ("maximum", |x| x.maximum(0.7), 1.25),
        ("norm", |x| x.norm(1.0), 0.25),
        // A transposed batch of matrices times a matrix, read in place.
        ("matmul of a batch", transposed_batch, 1.0),
    ];
    for (name, op, expected) in ops {
        let found = held(|| op(&x));
        assert!((found - expected).abs() < 0.01, "{name} holds {found} tensors, not {expected}");
        let plain = x.detach();
        let untracked = held(|| op(&plain));
        let result = expected.min(1.0).floor();
        assert!((untracked - result).abs() < 0.01, "{name} of an untracked tensor: {untracked}");
    }
}

#[test]
fn the_sum_of_a_broadcast_view_does_not_copy() {
    let _alone = alone();
    const SIZE: usize = 1 << 24;
    let x = Tensor::<f32>::from([0.5, 1.5, 2.0]).requires_grad();
    let rows = x.reshape([3, 1]).broadcast_to([3, SIZE]);
    let columns = x.broadcast_to([SIZE / 4, 2, 2, 3]);
    reset_peak_memory_stats();
    let before = memory_stats().live_bytes;
    let n = SIZE as f32;
    assert_eq!(rows.sum().item(), 4.0 * n);
    assert_eq!(rows.mean().item(), 4.0 / 3.0);
    assert_eq!(rows.sum_dim(1).to_vec(), [0.5 * n, 1.5 * n, 2.0 * n]);
    assert_eq!(columns.sum_dim([0, 2]).to_vec(), [0.25, 0.75, 1.0, 0.25, 0.75, 1.0].map(|x| x * n));
    assert_eq!(columns.mean_dim(keepdim([0, 1, 2])).to_vec(), [0.5, 1.5, 2.0]);
    rows.sum().backward();
    assert_eq!(x.grad().unwrap().to_vec(), [n; 3]);
    assert!(memory_stats().peak_bytes < before + 4096);
}

#[test]
fn backward_frees_nodes_as_it_goes() {
    let _alone = alone();
    let x = Tensor::<f32>::full([LEN], 1e-3).requires_grad();
    let mut y = x.clone();
    for _ in 0..50 {
        y = y.tanh(); // saves its result
    }
    let loss = y.sum();
    drop(y);
    let before = memory_stats();
    assert!(before.live_bytes >= 50 * BYTES);
    let seen = Arc::new(Mutex::new(0));
    let half_way = seen.clone();
    // A hook at the input runs after all later nodes.
    x.register_hook(move |_| {
        *half_way.lock().unwrap() = memory_stats().live_bytes;
        None
    });
    loss.backward();
    assert!(*seen.lock().unwrap() <= before.live_bytes - 49 * BYTES);
    // It never held more than a few gradients in addition.
    assert!(memory_stats().peak_bytes <= before.peak_bytes.max(before.live_bytes + 4 * BYTES));
}

#[test]
fn a_checkpointed_dropout_repeats_its_mask() {
    let _alone = alone();
    let run = |checkpointed: bool| {
        let dropout = Arc::new(Dropout::new(0.5, &mut Generator::seed(3)));
        let x = Tensor::<f32>::randn([1 << 20], &mut Generator::seed(4)).requires_grad();
        let (layer, input) = (dropout.clone(), x.clone());
        let segment = move || (0..8).fold(input.clone(), |x, _| layer.forward(&x).tanh());
        let before = memory_stats().live_bytes;
        let y = if checkpointed { checkpoint(segment) } else { segment() };
        let held = memory_stats().live_bytes - before;
        y.sum().backward();
        // The generator continues as if the segment had run once.
        let after = dropout.forward(&Tensor::<f32>::ones([64])).to_vec();
        ((y.to_vec(), x.grad().unwrap().to_vec(), after), held)
    };
    let ((plain, plain_bytes), (again, again_bytes)) = (run(false), run(true));
    assert!(plain == again);
    // 8 masks and 8 results, compared with one result, of 4 MiB each.
    assert_eq!((plain_bytes, again_bytes), (16 << 22, 1 << 22));
}

/// A function that trains a small perceptron with a batch of this size, and returns the loss.
fn small_step() -> impl FnMut(usize) -> Tensor {
    let mut rng = Generator::seed(0);
    let model = Sequential::new()
        .add(Linear::new(64, 128, &mut rng))
        .add(Relu)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    move |batch| {
        let targets: Vec<usize> = (0..batch).map(|i| i % 10).collect();
        adam.zero_grad();
        let inputs = Tensor::randn([batch, 64], &mut rng);
        let loss = cross_entropy(&model.forward(&inputs), &targets);
        loss.backward();
        adam.step();
        loss
    }
}

const MIB: usize = 1 << 20;

#[test]
fn free_buffers_are_bounded_by_recent_use() {
    let _alone = alone();
    let mut step = small_step();
    (0..1000).for_each(|_| drop(step(32))); // longer than other tests count as recent
    reset_peak_memory_stats();
    for i in 0..3000 {
        step(1 + i * 7919 % 512); // varying sizes
        let MemoryStats { peak_bytes, free_bytes, .. } = memory_stats();
        assert!(free_bytes < peak_bytes * 3 / 2 + 4 * MIB, "{:?}", memory_stats());
    }
    step(1 << 15);
    assert!(memory_stats().free_bytes > 16 * MIB);
    (0..1000).for_each(|_| drop(step(32)));
    assert!(memory_stats().free_bytes < 8 * MIB, "{:?}", memory_stats());
}

/// As in a step of a large model, whose gradients and activations differ in size.
#[test]
fn large_buffers_of_other_sizes_are_not_kept() {
    let _alone = alone();
    let full = |mib: usize| Tensor::<f32>::full([mib * MIB / 4], 0.0);
    for sizes in [[64, 64, 64, 64], [50, 50, 50, 106], [80, 80, 40, 56]] {
        reset_peak_memory_stats();
        let buffers = sizes.map(full);
        let MemoryStats { live_bytes, peak_bytes, free_bytes, .. } = memory_stats();
        assert!(live_bytes + free_bytes <= peak_bytes + 68 * MIB, "{:?}", memory_stats());
        drop(buffers);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_kept_loss_holds_little_memory() {
    const CHILD: &str = "ADAMANT_TEST_KEPT_LOSSES";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: what other tests left in the heap is resident too.
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "memory::a_kept_loss_holds_little_memory"]).env(CHILD, "1");
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    };
    let mut step = small_step();
    (0..100).for_each(|_| drop(step(32)));
    let before = resident();
    let losses: Vec<Tensor> = (0..8000).map(|_| step(32)).collect();
    let growth = resident().saturating_sub(before);
    assert!(growth < 16 * MIB, "{} bytes for each loss", growth / losses.len());
}

#[test]
fn linear_cross_entropy_does_not_store_its_logits() {
    let _alone = alone();
    let (rows, classes, inner) = (512, 49152, 16);
    let x = Tensor::<f32>::full([rows, inner], 0.1).requires_grad();
    let weight = Tensor::<f32>::full([classes, inner], 0.1).requires_grad();
    let targets: Vec<usize> = (0..rows).collect();
    reset_peak_memory_stats();
    let before = memory_stats().live_bytes;
    let loss = linear_cross_entropy(&x, &weight, None, &targets);
    loss.backward();
    assert!((loss.item() - (classes as f32).ln()).abs() < 1e-4);
    let results = (rows + classes) * inner * 4;
    let more = memory_stats().peak_bytes - before - results;
    let logits = rows * classes * 4;
    assert!(more < 4 * MIB, "{more} bytes; the logits would be {logits} bytes");
}

#[test]
fn attention_does_not_store_its_scores() {
    let _alone = alone();
    let x = Tensor::<f32>::ones([1, 4096, 4]).requires_grad();
    for p in [0.0, 0.5] {
        reset_peak_memory_stats();
        let before = memory_stats().live_bytes;
        let mut rng = Generator::seed(0);
        let options = AttentionOptions::default().dropout(p, &mut rng);
        let y = scaled_dot_product_attention(&x, &x, &x, options);
        y.sum().backward();
        let most = memory_stats().peak_bytes - before;
        assert!(most < 4 * MIB, "{most} bytes; the scores would be {} bytes", 4 << 24);
        // A mean of ones; dropout removes about half and doubles the others.
        assert!((y.to_vec()[0] - 1.0).abs() < if p > 0.0 { 0.1 } else { 1e-5 });
    }
}

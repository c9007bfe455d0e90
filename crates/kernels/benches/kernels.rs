//! The time of each main kernel on large slices, so that a regression is visible:
//!
//! ```text
//! cargo bench -p adamant-kernels                        all, on all cores
//! cargo bench -p adamant-kernels -- conv                those whose names contain `conv`
//! RAYON_NUM_THREADS=1 cargo bench -p adamant-kernels    on one thread
//! ```
//!
//! `benches/compare` of the workspace compares whole operations with PyTorch.

use adamant_kernels::{
    AdamScalars, Attention, AttentionGradients, Conv, Matrix, SweepSize, View, Windows, adam,
    attention, attention_backward, contiguous_strides, conv, conv_input, conv_weight, gemm,
    log_softmax_rows, map_dense, max_pool, moments, scan, softmax_rows, softmax_rows_backward, sum,
    sweep, zip_dense,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

fn main() {
    divan::main();
}

/// `len` values between −1 and 1 in an order without a pattern.
fn values(len: usize) -> Vec<f32> {
    let value = |i: usize| (i.wrapping_mul(2_654_435_761) % 2001) as f32 / 1000.0 - 1.0;
    (0..len).map(value).collect()
}

const LEN: usize = 1 << 22;
const ROW: usize = 1024;

/// The bytes that a function of one array reads and writes.
fn map_bytes() -> BytesCount {
    BytesCount::new(8 * LEN)
}

/// Counts multiply-adds.
#[divan::bench(args = [64, 256, 1024, 2048])]
fn product(bencher: Bencher<'_, '_>, n: usize) {
    let (a, b, mut c) = (values(n * n), values(n * n), vec![0.0; n * n]);
    bencher.counter(ItemsCount::new(n * n * n)).bench_local(|| {
        gemm(Matrix::row_major(&a, n, n), Matrix::row_major(&b, n, n), 0.0, &mut c);
    });
}

/// A kernel on 64 images of 16 × 16.
fn sizes(channels: usize, kernel: usize, groups: usize) -> Conv {
    let each = channels / groups;
    let padding = [kernel / 2; 2];
    let windows = Windows {
        input: [16, 16],
        output: [16, 16],
        kernel: [kernel; 2],
        stride: [1, 1],
        padding,
        dilation: [1, 1],
    };
    Conv { images: 64, groups, in_channels: each, out_channels: each, windows }
}

/// Channels, kernel, groups.
const CONVOLUTIONS: [(usize, usize, usize); 4] =
    [(64, 3, 1), (128, 3, 1), (128, 1, 1), (128, 3, 128)];

/// The lengths of image and weight, and the number of multiply-adds.
fn lengths(sizes: &Conv) -> (usize, usize, ItemsCount) {
    let weight = sizes.groups * sizes.out_channels * sizes.in_channels * sizes.windows.kernel_len();
    let image = 64 * sizes.groups * sizes.in_channels * sizes.windows.input_len();
    (image, weight, ItemsCount::new(64 * weight * sizes.windows.output_len()))
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution(bencher: Bencher<'_, '_>, (channels, kernel, groups): (usize, usize, usize)) {
    let sizes = sizes(channels, kernel, groups);
    let (image, weight, count) = lengths(&sizes);
    let (x, w, mut y) = (values(image), values(weight), vec![0.0; image]);
    bencher.counter(count).bench_local(|| conv(&mut y, &x, &w, None, &sizes));
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_input(bencher: Bencher<'_, '_>, (channels, kernel, groups): (usize, usize, usize)) {
    let sizes = sizes(channels, kernel, groups);
    let (image, weight, count) = lengths(&sizes);
    let (g, w, mut x) = (values(image), values(weight), vec![0.0; image]);
    bencher.counter(count).bench_local(|| conv_input(&mut x, &g, &w, None, &sizes));
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_weight(bencher: Bencher<'_, '_>, (channels, kernel, groups): (usize, usize, usize)) {
    let sizes = sizes(channels, kernel, groups);
    let (image, weight, count) = lengths(&sizes);
    let (x, g, mut w) = (values(image), values(image), vec![0.0; weight]);
    bencher.counter(count).bench_local(|| conv_weight(&mut w, &x, &g, &sizes));
}

#[divan::bench]
fn max_pooling(bencher: Bencher<'_, '_>) {
    let windows = Windows {
        input: [32, 32],
        output: [16, 16],
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        dilation: [1, 1],
    };
    let (x, mut at) = (values(LEN), vec![0; LEN / 4]);
    bencher.bench_local(|| max_pool(&mut at, &x, &windows));
}

#[divan::bench]
fn softmax(bencher: Bencher<'_, '_>) {
    let (x, mut y) = (values(LEN), vec![0.0; LEN]);
    bencher.counter(map_bytes()).bench_local(|| softmax_rows(&mut y, &x, ROW));
}

#[divan::bench]
fn softmax_backward(bencher: Bencher<'_, '_>) {
    let (g, mut y, mut dx) = (values(LEN), vec![0.0; LEN], vec![0.0; LEN]);
    softmax_rows(&mut y, &g, ROW);
    bencher.bench_local(|| softmax_rows_backward(&mut dx, &y, &g, ROW));
}

#[divan::bench]
fn log_softmax(bencher: Bencher<'_, '_>) {
    let (x, mut y) = (values(LEN), vec![0.0; LEN]);
    bencher.counter(map_bytes()).bench_local(|| log_softmax_rows(&mut y, &x, ROW));
}

/// Mean and variance for a norm: of rows, or of columns.
#[divan::bench(args = [ROW, 1])]
fn norm_moments(bencher: Bencher<'_, '_>, segment: usize) {
    let groups = if segment == 1 { ROW } else { LEN / segment };
    let (x, mut out) = (values(LEN), vec![(0.0, 0.0); groups]);
    bencher.counter(BytesCount::new(4 * LEN)).bench_local(|| moments(&mut out, &x, segment, true));
}

/// Outer, reduced and inner sizes.
#[divan::bench(args = [(1, LEN, 1), (LEN / ROW, ROW, 1), (LEN / 64, 64, 1), (1, LEN / ROW, ROW)])]
fn reduction(bencher: Bencher<'_, '_>, (outer, reduce, inner): (usize, usize, usize)) {
    let (x, mut out) = (values(LEN), vec![0.0; outer * inner]);
    let bytes = BytesCount::new(4 * LEN);
    bencher.counter(bytes).bench_local(|| sum(&mut out, &x, [outer, reduce, inner]));
}

#[divan::bench]
fn running_sum(bencher: Bencher<'_, '_>) {
    let (x, mut y) = (values(LEN), vec![0.0; LEN]);
    bencher
        .counter(map_bytes())
        .bench_local(|| scan(&mut y, &x, [LEN / ROW, ROW, 1], false, 0.0, |a, b| a + b));
}

#[divan::bench]
fn elementwise_relu(bencher: Bencher<'_, '_>) {
    let (x, mut y) = (values(LEN), vec![0.0; LEN]);
    bencher.counter(map_bytes()).bench_local(|| map_dense(&mut y, &x, |x: f32| x.max(0.0)));
}

#[divan::bench]
fn elementwise_add(bencher: Bencher<'_, '_>) {
    let (a, b, mut c) = (values(LEN), values(LEN), vec![0.0; LEN]);
    let bytes = BytesCount::new(12 * LEN);
    bencher.counter(bytes).bench_local(|| zip_dense(&mut c, &a, &b, |a: f32, b: f32| a + b));
}

/// A step on parameters of these lengths in all, each of this length.
#[divan::bench(args = [(10_000_000, 10_000_000), (1_000_000, 1000)])]
fn adam_step(bencher: Bencher<'_, '_>, (total, each): (usize, usize)) {
    let (mut p, g) = (values(total), values(total));
    let (mut m, mut v) = (vec![0.0; total], vec![0.0; total]);
    let scalars = AdamScalars {
        sign: 1.0,
        weight_decay: 0.0,
        shrink: 1.0,
        one_minus_beta1: 0.1,
        from_gradient: false,
        minus_beta1: -0.9,
        beta2: 0.999,
        one_minus_beta2: 0.001,
        bias_correction2_sqrt: 0.03,
        corrected_maximum: None,
        negative_step_size: -1e-3,
        eps: 1e-8,
    };
    let mut size = SweepSize::default();
    (0..total / each).for_each(|_| size.add(each));
    bencher.counter(BytesCount::new(28 * total)).bench_local(|| {
        let moments = m.chunks_mut(each).zip(v.chunks_mut(each));
        let buffers = p.chunks_mut(each).zip(g.chunks(each)).zip(moments);
        sweep(buffers.map(|((p, g), (m, v))| (p, g, m, v)), size, |(p, g, m, v)| {
            adam(p, g, m, v, None, scalars);
        });
    });
}

/// The sizes of attention: 8 samples of 6 heads, 128 queries and keys of 64 elements.
const HEADS: usize = 48;
const LENGTH: usize = 128;
const WIDTH: usize = 64;

/// Calls `f` with a causal attention.
fn with_attention(f: impl FnOnce(&Attention<'_, f32>)) {
    let strides = contiguous_strides(&[HEADS, LENGTH, WIDTH]);
    let data = [(); 3].map(|()| values(HEADS * LENGTH * WIDTH));
    let inputs = data.each_ref().map(|data| View { data, strides: &strides });
    f(&Attention {
        batch: &[HEADS],
        key_dims: 1,
        sizes: [LENGTH, LENGTH, WIDTH, WIDTH],
        inputs,
        scale: 0.125,
        causal: Some(0),
        mask: None,
        bias: None,
        dropout: None,
    });
}

#[divan::bench]
fn causal_attention(bencher: Bencher<'_, '_>) {
    with_attention(|problem| {
        let mut out = vec![0.0; HEADS * LENGTH * WIDTH];
        let mut stats = vec![[0.0; 2]; HEADS * LENGTH];
        bencher.bench_local(|| attention(&mut out, &mut stats, problem));
    });
}

#[divan::bench]
fn causal_attention_backward(bencher: Bencher<'_, '_>) {
    with_attention(|problem| {
        let len = HEADS * LENGTH * WIDTH;
        let (mut out, mut stats) = (vec![0.0; len], vec![[0.0; 2]; HEADS * LENGTH]);
        attention(&mut out, &mut stats, problem);
        let (g, mut q, mut k, mut v) =
            (values(len), vec![0.0; len], vec![0.0; len], vec![0.0; len]);
        bencher.bench_local(|| {
            let gradients = AttentionGradients { q: &mut q, k: &mut k, v: &mut v, bias: &mut [] };
            attention_backward(gradients, &g, &out, &stats, problem);
        });
    });
}

//! Convolutions as matrix products.
//!
//! For one image and group, `im2col(X)` is the matrix `[C · kH · kW, oH · oW]` of the elements that
//! each tap (row) of each window (column) reads. `col2im` is its adjoint: it adds each element of
//! the matrix to the position that it was read from. The three maps are
//!
//! * `Y ← W · im2col(X)`, the convolution;
//! * `X ← col2im(Wᵀ · G)`, its adjoint in the input;
//! * `W ← Σ G · im2col(X)ᵀ` over the images, its adjoint in the weight.
//!
//! Threads share the images; each holds the columns of one image at a time.

use crate::float::Float;
use crate::gemm::{Matrix, gemm};
use crate::parallel::drain;
use crate::reduce::sum;
use crate::simd::simd;
use crate::windows::Windows;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The sizes of a convolution.
///
/// Its slices are row-major: the input `[images, groups · in_channels, input]`, the weight
/// `[groups · out_channels, in_channels, kernel]` and the output `[images, groups · out_channels,
/// output]`.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// The number of images.
    pub images: usize,
    /// The number of groups; each reads its own channels only.
    pub groups: usize,
    /// The number of input channels of a group.
    pub in_channels: usize,
    /// The number of output channels of a group.
    pub out_channels: usize,
    /// The kernel's windows on an image.
    pub windows: Windows,
}

impl Conv {
    /// The lengths of a group's part of one image: in the input, and in the output.
    fn group_len(&self) -> (usize, usize) {
        (self.in_channels * self.windows.input_len(), self.out_channels * self.windows.output_len())
    }

    /// The number of weights of one output channel, and of rows of `im2col(X)`.
    fn taps(&self) -> usize {
        self.in_channels * self.windows.kernel_len()
    }

    /// The number of weights of one group.
    fn weight_len(&self) -> usize {
        self.out_channels * self.taps()
    }

    fn check(&self, input: usize, weight: usize, output: usize) {
        let (group_in, group_out) = self.group_len();
        let parts = self.images * self.groups;
        assert_eq!(input, parts * group_in, "the input has its shape");
        assert_eq!(output, parts * group_out, "the output has its shape");
        assert_eq!(weight, self.groups * self.weight_len(), "the weight has its shape");
    }

    /// The cost for `drain`, as for a matrix product.
    fn cost(&self) -> usize {
        let products = self.weight_len().saturating_mul(self.windows.output_len());
        products.saturating_mul(self.images * self.groups) / 8
    }

    /// Buffers for the columns of an image, empty if the columns are the image itself.
    fn scratch<T: Float>(&self) -> Scratch<T> {
        let len = if self.windows.is_identity() { 0 } else { self.taps() };
        Scratch { spare: Mutex::new(Vec::new()), len: len * self.windows.output_len() }
    }

    /// `im2col(x)`: `x` itself if that is the same, else written to `scratch`.
    fn columns<'a, T: Float>(&self, x: &'a [T], scratch: &'a mut [T]) -> &'a [T] {
        if self.windows.is_identity() {
            return x;
        }
        let (rows, windows) = (self.taps(), self.windows);
        simd!(|| im2col(scratch, x, rows, windows));
        scratch
    }
}

/// A buffer for each thread, for the duration of one call.
struct Scratch<T> {
    spare: Mutex<Vec<Vec<T>>>,
    len: usize,
}

impl<T: Float> Scratch<T> {
    /// Calls `f` with a buffer: zeros, or the contents that an earlier `f` left.
    fn with(&self, f: impl FnOnce(&mut [T])) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = spare().pop();
        let mut buffer = taken.unwrap_or_else(|| vec![T::ZERO; self.len]);
        f(&mut buffer);
        spare().push(buffer);
    }
}

/// `Y ← W · im2col(X) + b` for each image and group.
///
/// # Panics
/// If a length does not match `sizes`, or `bias` does not have one element per output channel.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut y = [0.0f32; 2];
/// conv(&mut y, &[1.0, 2.0, 4.0], &[1.0, 10.0], Some(&[0.5]), &sizes);
/// assert_eq!(y, [21.5, 42.5]);
/// ```
pub fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    sizes.check(x.len(), weight.len(), y.len());
    let ((group_in, group_out), windows) = (sizes.group_len(), sizes.windows.output_len());
    let channels = sizes.out_channels; // of a group
    assert!(bias.is_none_or(|b| b.len() == sizes.groups * channels), "a bias for each channel");
    if y.is_empty() {
        return;
    }
    let scratch = sizes.scratch();
    drain(y.chunks_mut(group_out).enumerate(), sizes.cost(), |(i, y)| {
        let group = i % sizes.groups;
        let beta = fill_bias(y, bias.map(|bias| &bias[group * channels..]), windows);
        let w = &weight[group * sizes.weight_len()..];
        let w = Matrix::row_major(w, sizes.out_channels, sizes.taps());
        scratch.with(|scratch| {
            let columns = sizes.columns(&x[i * group_in..][..group_in], scratch);
            gemm(w, Matrix::row_major(columns, sizes.taps(), windows), beta, y);
        });
    });
}

/// `X ← col2im(Wᵀ · G) + b` for each image and group: the adjoint of [`conv`] in its input.
///
/// # Panics
/// If a length does not match `sizes`, or `bias` does not have one element per input channel.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv_input};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut x = [0.0f32; 3];
/// conv_input(&mut x, &[1.0, 2.0], &[1.0, 10.0], None, &sizes);
/// assert_eq!(x, [1.0, 12.0, 20.0]);
/// ```
pub fn conv_input<T: Float>(x: &mut [T], g: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    sizes.check(x.len(), weight.len(), g.len());
    let ((group_in, group_out), rows, windows) = (sizes.group_len(), sizes.taps(), sizes.windows);
    let channels = sizes.in_channels; // of a group
    assert!(bias.is_none_or(|b| b.len() == sizes.groups * channels), "a bias for each channel");
    if x.is_empty() {
        return;
    }
    let scratch = sizes.scratch();
    drain(x.chunks_mut(group_in).enumerate(), sizes.cost(), |(i, x)| {
        let group = i % sizes.groups;
        let beta = fill_bias(x, bias.map(|bias| &bias[group * channels..]), windows.input_len());
        let w = &weight[group * sizes.weight_len()..];
        let w = Matrix::row_major(w, sizes.out_channels, sizes.taps()).t();
        let g = Matrix::row_major(&g[i * group_out..], sizes.out_channels, windows.output_len());
        if windows.is_identity() {
            return gemm(w, g, beta, x);
        }
        if beta == T::ZERO {
            x.fill(T::ZERO);
        }
        scratch.with(|columns| {
            gemm(w, g, T::ZERO, columns);
            simd!(|| col2im(x, columns, rows, windows));
        });
    });
}

/// Blocks of images that are summed separately, on several threads.
const BLOCKS: usize = 16;
/// The most elements that these sums have in total.
const BLOCK_SUMS: usize = 1 << 22;

/// `W ← Σ G · im2col(X)ᵀ` over the images: the adjoint of [`conv`] in its weight.
///
/// # Panics
/// If a length does not match `sizes`.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv_weight};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut weight = [0.0f32; 2];
/// conv_weight(&mut weight, &[1.0, 2.0, 4.0], &[1.0, 10.0], &sizes);
/// assert_eq!(weight, [21.0, 42.0]);
/// ```
pub fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    sizes.check(x.len(), weight.len(), g.len());
    if weight.is_empty() || sizes.images == 0 {
        return weight.fill(T::ZERO);
    }
    // From the sizes alone: the bits must not depend on the number of threads.
    let blocks = (BLOCK_SUMS / weight.len()).clamp(1, BLOCKS.min(sizes.images));
    let images = sizes.images.div_ceil(blocks);
    let blocks = sizes.images.div_ceil(images);
    if blocks == 1 {
        return weight_sums(weight, x, g, sizes, images);
    }
    let mut sums = vec![T::ZERO; blocks * weight.len()];
    weight_sums(&mut sums, x, g, sizes, images);
    sum(weight, &sums, [1, blocks, weight.len()]);
}

/// The sum over each block of `images` images.
fn weight_sums<T: Float>(sums: &mut [T], x: &[T], g: &[T], sizes: &Conv, images: usize) {
    let ((group_in, group_out), windows) = (sizes.group_len(), sizes.windows.output_len());
    let scratch = sizes.scratch();
    drain(sums.chunks_mut(sizes.weight_len()).enumerate(), sizes.cost(), |(part, sum)| {
        let (block, group) = (part / sizes.groups, part % sizes.groups);
        let first = block * images;
        scratch.with(|scratch| {
            for image in first..(first + images).min(sizes.images) {
                let i = image * sizes.groups + group;
                let columns = sizes.columns(&x[i * group_in..][..group_in], scratch);
                let columns = Matrix::row_major(columns, sizes.taps(), windows).t();
                let g = Matrix::row_major(&g[i * group_out..], sizes.out_channels, windows);
                gemm(g, columns, if image == first { T::ZERO } else { T::ONE }, sum);
            }
        });
    });
}

/// Fills each channel, of `len` elements, with its bias. Returns the β of the product that is
/// added: 1, or 0 if there is no bias.
fn fill_bias<T: Float>(out: &mut [T], bias: Option<&[T]>, len: usize) -> T {
    let Some(bias) = bias else { return T::ZERO };
    for (out, &bias) in out.chunks_exact_mut(len).zip(bias) {
        out.fill(bias);
    }
    T::ONE
}

/// Calls `f(run, position)` for each run of elements of the columns, of `rows` rows, that is read
/// from one row of the image: from `position` on, a stride apart. All other elements are padding.
#[inline(always)]
fn runs(windows: Windows, rows: usize, mut f: impl FnMut(Range<usize>, usize)) {
    let [input_rows, input_cols] = windows.input;
    for row in 0..rows {
        let (channel, tap) = (row / windows.kernel_len(), row % windows.kernel_len());
        let (ky, kx) = (tap / windows.kernel[1], tap % windows.kernel[1]);
        let across = windows.hits(1, kx);
        if across.is_empty() {
            continue;
        }
        let col = windows.position(1, across.start, kx);
        for oy in windows.hits(0, ky) {
            let at = (row * windows.output[0] + oy) * windows.output[1];
            let line = channel * input_rows + windows.position(0, oy, ky);
            f(at + across.start..at + across.end, line * input_cols + col);
        }
    }
}

/// Writes the columns: `[C · kH · kW, oH · oW]` from `[C, H, W]`. Padding has the same positions for
/// every image, and keeps the initial 0 there.
#[inline(always)]
fn im2col<T: Float>(columns: &mut [T], x: &[T], rows: usize, windows: Windows) {
    let step = windows.stride[1];
    runs(
        windows,
        rows,
        #[inline(always)]
        |run, position| {
            let (out, x) = (&mut columns[run], &x[position..]);
            if step == 1 {
                copy(out, x);
            } else {
                out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, &x)| *out = x);
            }
        },
    );
}

/// `out ← x[..out.len()]`. Rows of images are short: a call of `memcpy` would cost too much.
#[inline(always)]
fn copy<T: Float>(out: &mut [T], x: &[T]) {
    const STEP: usize = 8;
    let (len, mut at) = (out.len(), 0);
    let x = &x[..len];
    if len < STEP {
        return out.copy_from_slice(x);
    }
    while at + STEP <= len {
        out[at..at + STEP].copy_from_slice(&x[at..at + STEP]);
        at += STEP;
    }
    out[len - STEP..].copy_from_slice(&x[len - STEP..]);
}

/// Adds each element of the columns to the position of the image that [`im2col`] reads it from.
#[inline(always)]
fn col2im<T: Float>(x: &mut [T], columns: &[T], rows: usize, windows: Windows) {
    let step = windows.stride[1];
    runs(
        windows,
        rows,
        #[inline(always)]
        |run, position| {
            let (columns, x) = (&columns[run], &mut x[position..]);
            if step == 1 {
                x.iter_mut().zip(columns).for_each(|(x, &c)| *x += c);
            } else {
                x.iter_mut().step_by(step).zip(columns).for_each(|(x, &c)| *x += c);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers, whose sums are exact in any order.
    fn integers(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 7 + seed * 3) % 13) as f64 - 6.0).collect()
    }

    /// Calls `f(x, w, y)` with the three positions of each product in the convolution's sums.
    fn products(sizes: &Conv, mut f: impl FnMut(usize, usize, usize)) {
        let Conv { images, groups, in_channels, out_channels, windows } = *sizes;
        let [[ih, iw], [oh, ow], [kh, kw]] = [windows.input, windows.output, windows.kernel];
        for (n, g, o, c) in (0..images)
            .flat_map(|n| (0..groups).map(move |g| (n, g)))
            .flat_map(|(n, g)| (0..out_channels).map(move |o| (n, g, o)))
            .flat_map(|(n, g, o)| (0..in_channels).map(move |c| (n, g, o, c)))
        {
            for (window, tap) in (0..oh * ow).flat_map(|w| (0..kh * kw).map(move |t| (w, t))) {
                let position = |d: usize, o: usize, k: usize| {
                    (o * windows.stride[d] + k * windows.dilation[d])
                        .checked_sub(windows.padding[d])
                        .filter(|&position| position < windows.input[d])
                };
                let (row, col) =
                    (position(0, window / ow, tap / kw), position(1, window % ow, tap % kw));
                if let Some((iy, ix)) = row.zip(col) {
                    let x = (((n * groups + g) * in_channels + c) * ih + iy) * iw + ix;
                    let w = ((g * out_channels + o) * in_channels + c) * kh * kw + tap;
                    let y = ((n * groups + g) * out_channels + o) * oh * ow + window;
                    f(x, w, y);
                }
            }
        }
    }

    #[test]
    fn the_three_maps_match_their_definitions() {
        let plain = ([1, 1], [0, 0], [1, 1]);
        for (
            images,
            groups,
            in_channels,
            out_channels,
            input,
            kernel,
            (stride, padding, dilation),
        ) in [
            (1, 1, 1, 1, [1, 1], [1, 1], plain),
            (2, 1, 3, 4, [5, 6], [3, 3], plain),
            (3, 2, 2, 3, [7, 9], [3, 2], ([2, 3], [1, 1], [1, 2])),
            (2, 1, 5, 4, [4, 3], [1, 1], plain),
            (2, 1, 2, 3, [4, 3], [1, 1], ([1, 2], [0, 1], [1, 1])),
            (2, 4, 1, 1, [6, 6], [3, 3], ([1, 1], [1, 1], [1, 1])),
            (33, 1, 2, 2, [3, 4], [2, 2], plain),
            (1, 1, 1, 2, [2, 1], [3, 4], ([1, 1], [5, 7], [2, 3])), // windows in the padding
            (2, 1, 2, 2, [20, 33], [3, 3], ([1, 1], [2, 1], [2, 1])),
            (40, 1, 8, 16, [12, 12], [3, 3], plain), // several threads
            (0, 1, 2, 2, [3, 3], [2, 2], plain),
            (2, 1, 0, 2, [3, 3], [2, 2], plain),
            (2, 1, 2, 0, [3, 3], [2, 2], plain),
        ] {
            let size = |d: usize| {
                (input[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1
            };
            let output = [size(0), size(1)];
            let windows = Windows { input, output, kernel, stride, padding, dilation };
            let sizes = Conv { images, groups, in_channels, out_channels, windows };
            let x = integers(images * groups * in_channels * windows.input_len(), 1);
            let w = integers(groups * out_channels * in_channels * windows.kernel_len(), 2);
            let g = integers(images * groups * out_channels * windows.output_len(), 3);
            let b = integers(groups * in_channels.max(out_channels), 4);
            for biased in [false, true] {
                let bias = |channels: usize| biased.then(|| &b[..groups * channels]);
                let initial = |len: usize, channels: usize, size: usize| {
                    let start = |i: usize| bias(channels).map_or(0.0, |b| b[i / size % b.len()]);
                    (0..len).map(start).collect::<Vec<f64>>()
                };
                let mut y = initial(g.len(), out_channels, windows.output_len());
                let mut gx = initial(x.len(), in_channels, windows.input_len());
                let mut gw = vec![0.0; w.len()];
                products(&sizes, |xi, wi, yi| {
                    y[yi] += x[xi] * w[wi];
                    gx[xi] += g[yi] * w[wi];
                    gw[wi] += g[yi] * x[xi];
                });
                let mut found = [&y, &gx, &gw].map(|v| vec![f64::NAN; v.len()]);
                conv(&mut found[0], &x, &w, bias(out_channels), &sizes);
                conv_input(&mut found[1], &g, &w, bias(in_channels), &sizes);
                conv_weight(&mut found[2], &x, &g, &sizes);
                assert_eq!(found, [y, gx, gw], "{sizes:?}");
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let windows = Windows {
            input: [14, 13],
            output: [14, 13],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
        };
        for (images, groups, channels) in [(37, 1, 24), (3, 2, 20), (1, 1, 64)] {
            let (in_channels, out_channels) = (channels, channels + 3);
            let sizes = Conv { images, groups, in_channels, out_channels, windows };
            let values = |len: usize| -> Vec<f32> { (1..=len).map(|i| (i as f32).sin()).collect() };
            let x = values(images * groups * in_channels * windows.input_len());
            let w = values(groups * out_channels * in_channels * windows.kernel_len());
            let g = values(images * groups * out_channels * windows.output_len());
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut found = [&g, &x, &w].map(|v| vec![f32::NAN; v.len()]);
                    conv(&mut found[0], &x, &w, None, &sizes);
                    conv_input(&mut found[1], &g, &w, None, &sizes);
                    conv_weight(&mut found[2], &x, &g, &sizes);
                    found.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
                })
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert!(run(threads) == one, "{threads} threads, {sizes:?}");
            }
        }
    }
}

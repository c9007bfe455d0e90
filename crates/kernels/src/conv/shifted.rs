//! Convolutions as sums of shifted images, each times a weight: the fastest way if a channel takes
//! part in few products.
//!
//! An image is laid out so that every tap of the kernel reads a run of contiguous memory for all
//! windows at once: with a stride of `s`, in `s · s` planes of the rows and columns that are equal
//! modulo `s`. A row of a plane is a little longer than a row of the output, so some sums in between
//! have no window. They are dropped.

use super::image_sums::{SumsPiece, sum_over_images};
use super::patches::{copy, copy_step};
use super::piece::Piece;
use super::{Conv, Scratch, direct};
use crate::float::Float;
use crate::packing::TERMS;
use crate::parallel::drain;
use crate::simd::{has_fma, simd};
use crate::windows::Windows;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sums that are computed side by side.
const LANES: usize = 32;
/// Output channels that are computed together.
const OUTPUTS: usize = 4;

/// Whether this is the fastest way for the output. Few products of each element do not pay for a
/// panel, and most sums should have a window.
pub(super) fn is_suitable(sizes: &Conv) -> bool {
    let has_few_products = sizes.in_channels == 1 || sizes.out_channels <= 16;
    // A sum is not cut in parts: more terms would be less accurate than in other products.
    has_few_products && sizes.taps() <= 4 * TERMS && has_few_gaps(sizes)
}

/// Whether this is the fastest way for the gradient of the weight.
pub(super) fn is_suitable_for_weight(sizes: &Conv) -> bool {
    sizes.in_channels == 1 && has_few_gaps(sizes)
}

/// Whether most sums have a window, and most of what is laid out is read: not so with a large
/// stride, dilation or padding.
fn has_few_gaps(sizes: &Conv) -> bool {
    let windows = sizes.windows.output_len();
    let [rows, cols] = plane_size(sizes);
    let [down, across] = sizes.windows.stride;
    let channel = [down, across, rows].iter().try_fold(cols, |len, &n| len.checked_mul(n));
    windows >= LANES
        && has_fma() // or each product is a call
        && rows.saturating_mul(cols) <= 2 * windows
        && channel.is_some_and(|len| len <= 4 * sizes.windows.input_len().max(windows))
}

/// The rows and columns of a plane.
fn plane_size(sizes: &Conv) -> [usize; 2] {
    let Windows { output, kernel, stride, dilation, .. } = sizes.windows;
    [0, 1].map(|d| output[d] + (kernel[d] - 1) * dilation[d] / stride[d])
}

/// The layout of the channels of a group.
struct Layout {
    sizes: Conv,
    /// The rows and columns of a plane.
    plane: [usize; 2],
    /// The length of a channel.
    channel: usize,
    /// Where each tap starts to read.
    taps: Vec<usize>,
    /// The elements of a channel that the windows read, by rows.
    lines: Vec<Line>,
}

/// Elements of a row of an image that are a stride apart.
struct Line {
    /// The position of the first.
    position: usize,
    /// Where they are laid out.
    start: usize,
    len: usize,
}

impl Layout {
    fn new(sizes: Conv) -> Self {
        let windows = sizes.windows;
        let plane = plane_size(&sizes);
        let channel = windows.stride[0] * windows.stride[1] * plane[0] * plane[1];
        let [rows, cols] = windows.kernel;
        let taps = (0..sizes.taps()).map(|tap| {
            let (c, tap) = (tap / (rows * cols), tap % (rows * cols));
            let at = [tap / cols * windows.dilation[0], tap % cols * windows.dilation[1]];
            c * channel + Self::offset(&sizes, plane, at)
        });
        let taps = taps.collect();
        let [[height, width], [top, left]] = [windows.input, windows.padding];
        let [down, across] = windows.stride;
        let mut lines = Vec::new();
        for row in 0..height.min((plane[0] * down).saturating_sub(top)) {
            for first in 0..across.min(width) {
                let at = [row + top, first + left];
                let room = plane[1].saturating_sub(at[1] / across);
                let len = (width - first).div_ceil(across).min(room);
                let start = Self::offset(&sizes, plane, at);
                if len > 0 {
                    lines.push(Line { position: row * width + first, start, len });
                }
            }
        }
        Layout { sizes, plane, channel, taps, lines }
    }

    /// Where an element of the padded image is.
    fn offset(sizes: &Conv, plane: [usize; 2], [row, col]: [usize; 2]) -> usize {
        let [down, across] = sizes.windows.stride;
        let of_plane = row % down * across + col % across;
        (of_plane * plane[0] + row / down) * plane[1] + col / across
    }

    /// The number of sums, a multiple of [`LANES`].
    fn sums(&self) -> usize {
        let [rows, cols] = self.sizes.windows.output;
        ((rows - 1) * self.plane[1] + cols).next_multiple_of(LANES)
    }

    /// The length of a buffer for the channels: the last lanes may read past the last plane.
    fn image_len(&self) -> usize {
        self.sizes.in_channels * self.channel + LANES
    }

    /// Lays out the channels of an image. The padding is not written: it must be 0.
    #[inline(always)]
    fn load<T: Float>(&self, image: &[T], out: &mut [T]) {
        let (len, step) = (self.sizes.windows.input_len(), self.sizes.windows.stride[1]);
        for (image, out) in image.chunks_exact(len.max(1)).zip(out.chunks_mut(self.channel)) {
            for &Line { position, start, len } in &self.lines {
                copy_step(&mut out[start..start + len], &image[position..], step);
            }
        }
    }

    /// The adjoint of [`load`](Self::load): adds what was laid out to a channel of an image.
    #[inline(always)]
    fn add_to<T: Float>(&self, image: &mut [T], laid_out: &[T]) {
        let step = self.sizes.windows.stride[1];
        for &Line { position, start, len } in &self.lines {
            let image = image[position..].iter_mut().step_by(step);
            image.zip(&laid_out[start..start + len]).for_each(|(image, &x)| *image += x);
        }
    }

    /// Writes the rows of an output as far apart as those of a plane. The gaps are not written: they
    /// must be 0.
    #[inline(always)]
    fn spread<T: Float>(&self, output: &[T], out: &mut [T]) {
        let cols = self.sizes.windows.output[1];
        for (out, row) in out.chunks_mut(self.plane[1]).zip(output.chunks_exact(cols)) {
            copy(&mut out[..cols], row);
        }
    }
}

/// The number of images and groups in a piece of work: small ones are cheaper than sharing them.
fn batch(sizes: &Conv) -> usize {
    const PRODUCTS: usize = 1 << 17;
    PRODUCTS.div_ceil((sizes.weight_len() * sizes.windows.output_len()).max(1))
}

/// `Y ← W · im2col(X) + b`
pub(super) fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    let layout = Layout::new(*sizes);
    let (all, windows, taps) =
        (sizes.groups * sizes.out_channels, sizes.windows.output_len(), sizes.taps());
    let input = sizes.in_channels * sizes.windows.input_len();
    let images = batch(sizes).div_ceil(sizes.groups);
    let scratch = Scratch::new(layout.image_len() + OUTPUTS * layout.sums());
    drain(Piece::cut(y, all, windows, images).into_iter(), sizes.cost(), |piece| {
        let groups = piece.groups(all, windows, sizes.out_channels);
        let channels = piece.channels(all, windows);
        let Piece { out, image: first_image, channel: first } = piece;
        scratch.with(|scratch| {
            let (laid_out, sums) = scratch.split_at_mut(layout.image_len());
            for (i, y) in out.chunks_exact_mut(channels * windows).enumerate() {
                for (group, rows) in groups.clone() {
                    let x = &x[((first_image + i) * sizes.groups + group) * input..][..input];
                    let y = &mut y[(rows.start - first) * windows..(rows.end - first) * windows];
                    let weight = &weight[rows.start * taps..];
                    let bias = bias.map(|bias| &bias[rows.start..]);
                    simd!(|| {
                        layout.load(x, laid_out);
                        channel_sums(&layout, y, laid_out, weight, bias, sums);
                    });
                }
            }
        });
    });
}

/// The output channels of a group of one image, from its layout.
#[inline(always)]
fn channel_sums<T: Float>(
    layout: &Layout,
    y: &mut [T],
    image: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sums: &mut [T],
) {
    let (windows, taps) = (layout.sizes.windows.output_len(), &layout.taps);
    for (block, y) in y.chunks_mut(OUTPUTS * windows).enumerate() {
        let first = block * OUTPUTS;
        let bias = |o: usize| bias.map_or(T::ZERO, |bias| bias[first + o]);
        let weight = &weight[first * taps.len()..];
        if y.len() == OUTPUTS * windows {
            window_sums(image, taps, weight, [bias(0), bias(1), bias(2), bias(3)], sums);
        } else {
            let sums = sums.chunks_exact_mut(layout.sums()).enumerate();
            for (o, sums) in sums.take(y.len() / windows) {
                window_sums(image, taps, &weight[o * taps.len()..], [bias(o)], sums);
            }
        }
        for (y, sums) in y.chunks_exact_mut(windows).zip(sums.chunks_exact(layout.sums())) {
            let rows = y.chunks_exact_mut(layout.sizes.windows.output[1]);
            rows.zip(sums.chunks(layout.plane[1])).for_each(
                #[inline(always)]
                |(y, sums)| copy(y, sums),
            );
        }
    }
}

/// `sums[o][i] ← bias[o] + Σ weight[o][t] · image[taps[t] + i]` for `N` output channels.
#[inline(always)]
fn window_sums<T: Float, const N: usize>(
    image: &[T],
    taps: &[usize],
    weight: &[T],
    bias: [T; N],
    sums: &mut [T],
) {
    let len = sums.len() / N;
    let mut rows = [weight; N];
    for (o, row) in rows.iter_mut().enumerate() {
        *row = &weight[o * taps.len()..][..taps.len()];
    }
    for start in (0..len).step_by(LANES) {
        let mut total = [[T::ZERO; LANES]; N];
        for (total, bias) in total.iter_mut().zip(bias) {
            total.fill(bias); // in registers, unlike the arrays of a `map`
        }
        for (t, &tap) in taps.iter().enumerate() {
            let x = &image[tap + start..][..LANES];
            for (total, row) in total.iter_mut().zip(rows) {
                for (sum, &x) in total.iter_mut().zip(x) {
                    *sum = row[t].mul_add(x, *sum);
                }
            }
        }
        for (o, total) in total.iter().enumerate() {
            sums[o * len + start..][..LANES].copy_from_slice(total);
        }
    }
}

/// `X ← col2im(Wᵀ · G) + b`
///
/// Sums without a window have a gradient of 0, times a weight: if the result is not finite, all of it
/// is computed again, directly.
pub(super) fn conv_input<T: Float>(
    x: &mut [T],
    g: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sizes: &Conv,
) {
    let layout = Layout::new(*sizes);
    let ((input, output), positions) = (sizes.group_len(), sizes.windows.input_len());
    let (windows, kernel) = (sizes.windows.output_len(), sizes.windows.kernel_len());
    // Element `i` of a plane is the sum over its taps of `weight · g[i − tap]`: a sum of shifted
    // gradients, which are laid out with zeros before and after them.
    let plane_len = layout.plane[0] * layout.plane[1];
    let sums_len = plane_len.next_multiple_of(LANES);
    let taps = &layout.taps[..kernel];
    let before = taps.iter().map(|tap| tap % plane_len).max().unwrap_or(0);
    let gradient_len = before + sums_len.max(layout.sums());
    let planes: Vec<(Vec<usize>, Vec<usize>)> = (0..layout.channel / plane_len)
        .map(|plane| {
            let of_plane = |o: usize| {
                let taps = taps.iter().enumerate().filter(|(_, tap)| *tap / plane_len == plane);
                taps.map(move |(t, tap)| {
                    (o * gradient_len + before - tap % plane_len, o * sizes.taps() + t)
                })
            };
            (0..sizes.out_channels).flat_map(of_plane).unzip()
        })
        .collect();
    let gradients_len = sizes.out_channels * gradient_len;
    let of_weight = sizes.out_channels * kernel;
    let scratch = Scratch::new(gradients_len + sums_len + layout.channel + of_weight);
    let batch = batch(sizes);
    let finite = AtomicBool::new(true);
    drain(x.chunks_mut(batch * input).enumerate(), sizes.cost(), |(piece, x)| {
        scratch.with(|scratch| {
            let (gradients, scratch) = scratch.split_at_mut(gradients_len);
            let (sums, scratch) = scratch.split_at_mut(sums_len);
            let (image, some_weights) = scratch.split_at_mut(layout.channel);
            for (i, x) in x.chunks_exact_mut(positions).enumerate() {
                let (part, c) = (piece * batch + i / sizes.in_channels, i % sizes.in_channels);
                let group = part % sizes.groups;
                if c == 0 {
                    let g = g[part * output..].chunks_exact(windows);
                    for (g, out) in g.zip(gradients.chunks_exact_mut(gradient_len)) {
                        simd!(|| layout.spread(g, &mut out[before..]));
                    }
                }
                let weight = &weight[group * sizes.weight_len() + c * kernel..];
                for ((taps, weights), image) in planes.iter().zip(image.chunks_mut(plane_len)) {
                    let some_weights = &mut some_weights[..weights.len()];
                    for (some, &w) in some_weights.iter_mut().zip(weights) {
                        *some = weight[w];
                    }
                    simd!(|| window_sums(gradients, taps, some_weights, [T::ZERO], sums));
                    image.copy_from_slice(&sums[..plane_len]);
                }
                let bias = bias.map_or(T::ZERO, |bias| bias[group * sizes.in_channels + c]);
                simd!(|| {
                    x.fill(bias);
                    layout.add_to(x, image);
                    if !x.iter().fold(true, |finite, x| finite & x.is_finite()) {
                        finite.store(false, Ordering::Relaxed);
                    }
                });
            }
        });
    });
    if !finite.into_inner() {
        direct::conv_input(x, g, weight, bias, sizes);
    }
}

/// `W ← Σ G · im2col(X)ᵀ` over the images.
///
/// Sums without a window are multiplied with 0, which makes NaN of infinite elements: a weight that
/// is not finite is computed again, directly.
pub(super) fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    let layout = Layout::new(*sizes);
    let ((input, output), windows) = (sizes.group_len(), sizes.windows.output_len());
    let scratch = Scratch::new(layout.image_len() + layout.sums());
    let total = sum_over_images(sizes, sizes.out_channels, sizes.taps(), |piece| {
        let SumsPiece { sums, images, group, panels } = piece; // a panel for each output channel
        scratch.with(|scratch| {
            let (image, gradient) = scratch.split_at_mut(layout.image_len());
            for n in images {
                let part = n * sizes.groups + group;
                let (x, g) = (&x[part * input..][..input], &g[part * output..][..output]);
                simd!(|| {
                    layout.load(x, image);
                    let sums = sums.chunks_exact_mut(sizes.taps());
                    for (g, sums) in g.chunks_exact(windows).skip(panels.start).zip(sums) {
                        layout.spread(g, gradient);
                        dots(gradient, image, &layout.taps, sums);
                    }
                });
            }
        });
    });
    weight.copy_from_slice(&total);
    if !weight.iter().all(|w| w.is_finite()) {
        direct::conv_weight(weight, x, g, sizes);
    }
}

/// `sums[t] ← sums[t] + Σ gradient[i] · image[taps[t] + i]`, three at once, so that the additions
/// need not wait for each other.
#[inline(always)]
fn dots<T: Float>(gradient: &[T], image: &[T], taps: &[usize], sums: &mut [T]) {
    let gradient = gradient.as_chunks::<LANES>().0;
    for (taps, sums) in taps.chunks(3).zip(sums.chunks_mut(3)) {
        // A short last block repeats its last tap.
        let x = |t: usize| {
            &image[taps[t.min(taps.len() - 1)]..].as_chunks::<LANES>().0[..gradient.len()]
        };
        let columns = [x(0), x(1), x(2)];
        let mut total = [[T::ZERO; LANES]; 3];
        for (i, g) in gradient.iter().enumerate() {
            for (total, column) in total.iter_mut().zip(columns) {
                for ((sum, &g), &x) in total.iter_mut().zip(g).zip(&column[i]) {
                    *sum = g.mul_add(x, *sum);
                }
            }
        }
        for (sum, lanes) in sums.iter_mut().zip(total) {
            *sum += pairwise(lanes);
        }
    }
}

/// The sum of some lanes. Not inlined: its array would take the sums above out of their registers.
#[inline(never)]
fn pairwise<T: Float, const N: usize>(mut lanes: [T; N]) -> T {
    let mut width = N / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

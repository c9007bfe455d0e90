//! Convolutions with 3 × 3 kernels by Winograd's algorithm F(2 × 2, 3 × 3).
//!
//! Two outputs of a line's convolution with three weights, `y₀ = w₀d₀ + w₁d₁ + w₂d₂` and
//! `y₁ = w₀d₁ + w₁d₂ + w₂d₃`, need four products instead of six: `y = Aᵀ (G w ⊙ Bᵀ d)` with
//!
//! ```text
//!      1  0 −1  0        1   0   0
//! Bᵀ = 0  1  1  0    G = ½   ½   ½    Aᵀ = 1  1  1  0
//!      0 −1  1  0        ½  −½   ½         0  1 −1 −1
//!      0  1  0 −1        0   0   1
//! ```
//!
//! For an image the same holds by rows and by columns: a tile of 4 × 4 elements of the input and
//! the kernel are each transformed to 16 elements, multiplied, summed over the channels, and
//! transformed back to 2 × 2 outputs, with 16 products instead of 36. The sums over the channels are
//! 16 matrix products. The adjoint in the weight is `W ← Gᵀ (A y ⊙ Bᵀ d)` by the same matrices.
//!
//! Sums and differences of inputs may be infinite or NaN where no output is, or make an output NaN
//! that does not depend on an infinite input. So an image with an output that is not finite is
//! computed again, directly.

use super::image_sums::{SumsPiece, sum_over_images};
use super::piece::Piece;
use super::tiles::{InputTiles, POINTS, join_pairs, split_pairs, transform_gradient};
use super::{Conv, Scratch, direct};
use crate::block::Block;
use crate::float::Float;
use crate::panel::{TERMS, transpose_into_panel};
use crate::parallel::drain;
use crate::simd::simd;
use crate::windows::Windows;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Output channels that are multiplied with several panels in turn.
const ROWS: usize = 16;

/// Whether the algorithm is possible, and faster than the direct one: the transforms take time in
/// proportion to the channels, the products to their square.
pub(super) fn is_suitable(sizes: &Conv) -> bool {
    let Windows { output, kernel, stride, dilation, .. } = sizes.windows;
    (kernel, stride, dilation) == ([3, 3], [1, 1], [1, 1])
        && output.iter().all(|&size| size > 1)
        && sizes.in_channels >= 16
        && sizes.out_channels >= 16
}

/// `G w Gᵀ` for each output and input channel: `[groups · out_channels, 16, in_channels]`.
fn transformed_weight<T: Float>(weight: &[T], sizes: &Conv) -> Vec<T> {
    let channels = sizes.in_channels;
    let mut transformed = vec![T::ZERO; weight.len() / 9 * POINTS];
    let outputs = transformed.chunks_exact_mut(POINTS * channels);
    drain(outputs.zip(weight.chunks_exact(9 * channels)), weight.len() * 4, |(out, weight)| {
        simd!(|| for (c, w) in weight.as_chunks::<9>().0.iter().enumerate() {
            let half = T::from_f64(0.5);
            let by = |a: T, b: T, c: T| [a, half * (a + b + c), half * (a - b + c), c];
            let columns = [0, 1, 2].map(|j| by(w[j], w[3 + j], w[6 + j]));
            for i in 0..4 {
                let row = by(columns[0][i], columns[1][i], columns[2][i]);
                for (j, &element) in row.iter().enumerate() {
                    out[(4 * i + j) * channels + c] = element;
                }
            }
        });
    });
    transformed
}

/// Panels of tiles that are transformed before they are multiplied, so few that they stay in the
/// cache.
fn panels_at_once(sizes: &Conv) -> usize {
    (512 / sizes.in_channels).clamp(1, 4)
}

/// The distance between points that are `len` elements long and are written side by side: a power
/// of two would put them into the same few lines of the cache.
fn stride_of(len: usize) -> usize {
    len + 32
}

/// `Y ← W · im2col(X) + b`
pub(super) fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    let transformed = transformed_weight(weight, sizes);
    let (width, panels) = (T::panel_width(), panels_at_once(sizes));
    let tiles = InputTiles::new(sizes.windows);
    let batch = (panels * width).div_ceil(tiles.of_image());
    let (channels, len) = (sizes.groups * sizes.out_channels, sizes.windows.output_len());
    let pieces = Piece::cut(y, channels, len, batch);
    let points = POINTS * (stride_of(panels * sizes.in_channels * width) + panels * ROWS * width);
    let scratch = Scratch::new(tiles.buffer_len() + points + 4 * width);
    let finite: Vec<AtomicBool> = (0..sizes.images).map(|_| true.into()).collect();
    drain(pieces.into_iter(), sizes.cost(), |piece| {
        scratch.with(|scratch| {
            some_channels(piece, x, &transformed, bias, sizes, scratch, &finite);
        });
    });
    let image = Conv { images: 1, ..*sizes };
    let images = y.chunks_exact_mut(channels * len).zip(x.chunks_exact(sizes.image_len()));
    for ((y, x), finite) in images.zip(finite) {
        if !finite.into_inner() {
            direct::conv(y, x, weight, bias, &image);
        }
    }
}

/// Computes a piece of the output, and notes which images have an output that is not finite.
fn some_channels<T: Float>(
    mut piece: Piece<'_, T>,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sizes: &Conv,
    scratch: &mut [T],
    finite: &[AtomicBool],
) {
    let tiles = InputTiles::new(sizes.windows);
    let (width, panels, channels) = (T::panel_width(), panels_at_once(sizes), sizes.in_channels);
    let (len, input_len) = (sizes.windows.output_len(), sizes.windows.input_len());
    let all = sizes.groups * sizes.out_channels;
    let images = piece.out.len() / (piece.channels(all, len) * len);
    let end = images * tiles.of_image();
    let finite = &finite[piece.image..];

    let (buffer, scratch) = scratch.split_at_mut(tiles.buffer_len());
    buffer.fill(T::ZERO);
    let stride = stride_of(panels * channels * width);
    let (transformed, scratch) = scratch.split_at_mut(POINTS * stride); // [points][panels][channels][width]
    let (products, outputs) = scratch.split_at_mut(panels * ROWS * POINTS * width);
    for (group, rows) in piece.groups(all, len, sizes.out_channels) {
        let x = &x[piece.image * sizes.image_len() + group * channels * input_len..];
        for start in (0..end).step_by(panels * width) {
            let block = start..end.min(start + panels * width);
            simd!(|| for c in 0..channels {
                let x = (&x[c * input_len..], sizes.image_len());
                let out = &mut transformed[c * width..];
                let lens = [width, channels * width, stride];
                tiles.transform(x, block.clone(), buffer, out, lens);
            });
            for row in rows.clone().step_by(ROWS) {
                let rows = row..rows.end.min(row + ROWS);
                let used = block.len().div_ceil(width);
                let products = &mut products[..used * rows.len() * POINTS * width];
                multiply(
                    products,
                    &weight[row * POINTS * channels..],
                    transformed,
                    stride,
                    channels,
                    used,
                );
                simd!(|| store(
                    products,
                    outputs,
                    block.clone(),
                    &mut piece,
                    rows.clone(),
                    bias,
                    finite,
                    sizes
                ));
            }
        }
    }
}

/// The products of some rows of the weight, and of `panels` panels of tiles whose points are
/// `stride` apart: `[panels][rows][points][width]`.
fn multiply<T: Float>(
    products: &mut [T],
    weight: &[T],
    transformed: &[T],
    stride: usize,
    channels: usize,
    panels: usize,
) {
    let width = T::panel_width();
    let of_panel = products.len() / panels;
    for point in 0..POINTS {
        let tiles = transformed[point * stride..].chunks_exact(channels * width);
        for (tiles, products) in tiles.zip(products.chunks_exact_mut(of_panel)) {
            for (k, tiles) in tiles.chunks(TERMS * width).enumerate() {
                let weight = &weight[point * channels + k * TERMS..];
                let products = Block::new(&mut products[point * width..], POINTS * width, width);
                T::product((weight, POINTS * channels), tiles, products, k > 0);
            }
        }
    }
}

/// Writes the outputs of a block of tiles for the channels `rows`, and notes which images have one
/// that is not finite.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "what it reads, where it writes, and the sizes")]
fn store<T: Float>(
    products: &[T],
    outputs: &mut [T],
    block: Range<usize>,
    piece: &mut Piece<'_, T>,
    rows: Range<usize>,
    bias: Option<&[T]>,
    finite: &[AtomicBool],
    sizes: &Conv,
) {
    let (width, len) = (T::panel_width(), sizes.windows.output_len());
    let channels = piece.channels(sizes.groups * sizes.out_channels, len);
    let of_image = InputTiles::new(sizes.windows).of_image();
    let panels = products.chunks_exact(rows.len() * POINTS * width);
    for (products, start) in panels.zip(block.clone().step_by(width)) {
        let end = block.end.min(start + width);
        for (channel, products) in rows.clone().zip(products.chunks_exact(POINTS * width)) {
            T::transform_output(products, outputs);
            let bias = bias.map_or(T::ZERO, |bias| bias[channel]);
            let mut at = start;
            while at < end {
                let (image, tile) = (at / of_image, at % of_image);
                let some = tile..of_image.min(tile + end - at);
                let y = (image * channels + channel - piece.channel) * len;
                let y = &mut piece.out[y..y + len];
                let outputs = &outputs[at - start..];
                at += some.len();
                if !store_image(y, sizes.windows.output, some, outputs, width, bias) {
                    finite[image].store(false, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Writes the outputs of some tiles of an image, whose four elements are `stride` apart. Returns
/// whether they are finite.
#[inline(always)]
fn store_image<T: Float>(
    image: &mut [T],
    [_, cols]: [usize; 2],
    tiles: Range<usize>,
    mut outputs: &[T],
    stride: usize,
    bias: T,
) -> bool {
    let tile_cols = cols.div_ceil(2);
    let mut finite = true;
    let mut at = tiles.start;
    while at < tiles.end {
        let (row, col) = (at / tile_cols, at % tile_cols);
        let len = (tile_cols - col).min(tiles.end - at);
        let lines = image[2 * row * cols..].chunks_exact_mut(cols);
        for (line, outputs) in lines.zip(outputs.chunks(2 * stride)) {
            let (even, odd) = (&outputs[..len], &outputs[stride..][..len]);
            finite &= join_pairs(&mut line[2 * col..cols.min(2 * (col + len))], even, odd, bias);
        }
        outputs = &outputs[len..];
        at += len;
    }
    finite
}

/// Tiles whose products are summed before they are added to the sums of a block.
const TILES: usize = 128;

/// `W ← Σ G · im2col(X)ᵀ` over the images.
pub(super) fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    let (width, channels) = (T::panel_width(), sizes.in_channels);
    let panels = sizes.out_channels.div_ceil(width); // of output channels, for each group
    let panel_len = POINTS * channels * width;
    let points = POINTS * stride_of(TILES * channels) + TILES * (8 + POINTS) * width;
    let scratch = Scratch::new(InputTiles::new(sizes.windows).buffer_len() + points);
    let total = sum_over_images(sizes, panels, panel_len, |piece| {
        scratch.with(|scratch| weight_sums(piece, x, g, sizes, scratch));
    });
    let outputs = weight.chunks_exact_mut(9 * channels).enumerate();
    drain(outputs, 4 * total.len(), |(o, weight)| {
        let (group, o) = (o / sizes.out_channels, o % sizes.out_channels);
        let total = &total[(group * panels + o / width) * panel_len + o % width..];
        for (c, weight) in weight.as_chunks_mut::<9>().0.iter_mut().enumerate() {
            let half = T::from_f64(0.5);
            let at = |i: usize, j: usize| total[((4 * i + j) * channels + c) * width];
            let by =
                |a: T, b: T, c: T, d: T| [a + half * (b + c), half * (b - c), half * (b + c) + d];
            let columns = [0, 1, 2, 3].map(|j| by(at(0, j), at(1, j), at(2, j), at(3, j)));
            for i in 0..3 {
                let row = by(columns[0][i], columns[1][i], columns[2][i], columns[3][i]);
                weight[3 * i..3 * i + 3].copy_from_slice(&row);
            }
        }
    });
    if !weight.iter().all(|w| w.is_finite()) {
        direct::conv_weight(weight, x, g, sizes);
    }
}

/// A piece of the sums over images: for each panel of output channels and each point, a row for
/// each input channel.
fn weight_sums<T: Float>(
    piece: SumsPiece<'_, T>,
    x: &[T],
    g: &[T],
    sizes: &Conv,
    scratch: &mut [T],
) {
    let SumsPiece { sums, images, group, panels } = piece;
    let (x_len, g_len) = (sizes.windows.input_len(), sizes.windows.output_len());
    let x = &x[images.start * sizes.image_len() + group * sizes.in_channels * x_len..];
    let g_image_len = sizes.groups * sizes.out_channels * g_len;
    let g = &g[images.start * g_image_len + group * sizes.out_channels * g_len..];
    let (channels, width) = (sizes.in_channels, T::panel_width());
    let tiles = InputTiles::new(sizes.windows);
    let (buffer, scratch) = scratch.split_at_mut(tiles.buffer_len());
    buffer.fill(T::ZERO);
    let (v, scratch) = scratch.split_at_mut(POINTS * stride_of(TILES * channels));
    let (rows, scratch) = scratch.split_at_mut(4 * TILES * width);
    let (panel, transformed) = scratch.split_at_mut(4 * TILES * width);
    let end = images.len() * tiles.of_image();
    for first in (0..end).step_by(TILES) {
        let some = first..end.min(first + TILES);
        let len = some.len();
        let stride = stride_of(channels * len);
        simd!(|| for c in 0..channels {
            let x = (&x[c * x_len..], sizes.image_len());
            tiles.transform(x, some.clone(), buffer, &mut v[c * len..], [len, 0, stride]);
        });
        let panel = &mut panel[..4 * len * width];
        let of_panels = sums.chunks_mut(POINTS * channels * width);
        for (sums, i) in of_panels.zip(panels.clone()) {
            let outputs = i * width..sizes.out_channels.min((i + 1) * width);
            simd!(|| {
                let rows = &mut rows[..4 * len * outputs.len()];
                for (output, rows) in outputs.clone().zip(rows.chunks_exact_mut(4 * len)) {
                    read_gradient(
                        &g[output * g_len..],
                        g_image_len,
                        sizes.windows.output,
                        some.clone(),
                        rows,
                    );
                }
                for (i, panel) in panel.chunks_mut(len * width).enumerate() {
                    transpose_into_panel(
                        panel,
                        width,
                        &rows[i * len..],
                        4 * len,
                        [outputs.len(), len],
                    );
                }
                transform_gradient(panel, len * width, transformed);
            });
            for (point, sums) in sums.chunks_mut(channels * width).enumerate() {
                let v = &v[point * stride..];
                let panel = &transformed[point * len * width..][..len * width];
                T::product((v, len), panel, Block::new(sums, width, width), true);
            }
        }
    }
}

/// Reads the 2 × 2 elements of `tiles`, counted image by image, to four rows. Elements outside of
/// an image are 0.
#[inline(always)]
fn read_gradient<T: Float>(
    g: &[T],
    image_len: usize,
    size: [usize; 2],
    tiles: Range<usize>,
    rows: &mut [T],
) {
    let [tile_rows, tile_cols] = size.map(|size| size.div_ceil(2));
    let len = tiles.len();
    if size != [2 * tile_rows, 2 * tile_cols] {
        rows.fill(T::ZERO);
    }
    let mut at = tiles.start;
    while at < tiles.end {
        let (line, col) = (at / tile_cols, at % tile_cols);
        let (image, row) = (line / tile_rows, line % tile_rows);
        let count = (tile_cols - col).min(tiles.end - at);
        let image = &g[image * image_len..][..size[0] * size[1]];
        let lines = image[2 * row * size[1]..].chunks_exact(size[1]);
        for (line, rows) in lines.zip(rows.chunks_exact_mut(2 * len)) {
            let line = &line[2 * col..size[1].min(2 * (col + count))];
            let (even, odd) = rows.split_at_mut(len);
            split_pairs(line, &mut even[at - tiles.start..], &mut odd[at - tiles.start..]);
        }
        at += count;
    }
}

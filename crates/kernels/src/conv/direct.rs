//! Convolutions as products of the weight and the elements under the windows.
//!
//! The matrix of those elements, `im2col(X)`, is never written as a whole: a few panels of it are
//! read from the images, multiplied, and overwritten by the next.

use super::image_sums::{SumsPiece, sum_over_images};
use super::patches::{Patches, copy};
use super::piece::Piece;
use super::{Conv, Scratch};
use crate::block::{Block, parts};
use crate::float::Float;
use crate::panel::{TERMS, transpose_into_panel};
use crate::parallel::drain;
use crate::simd::simd;
use crate::windows::Windows;
use std::ops::Range;

/// Panels that are multiplied with the same rows in turn.
const PANELS: usize = 4;
/// Rows that are multiplied with several panels in turn, and stay in the cache meanwhile.
const ROWS: usize = 16;

/// The number of images whose windows fill the panels that are multiplied together.
fn batch<T: Float>(windows: usize) -> usize {
    (PANELS * T::panel_width()).div_ceil(windows)
}

/// The length of the buffer that [`some_channels`] needs.
fn scratch_len<T: Float>(sizes: &Conv) -> usize {
    PANELS * T::panel_width() * (TERMS + sizes.out_channels)
}

/// `Y ← W · im2col(X) + b`
pub(super) fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    let (windows, channels) = (sizes.windows.output_len(), sizes.groups * sizes.out_channels);
    let pieces = Piece::cut(y, channels, windows, batch::<T>(windows));
    let scratch = Scratch::new(scratch_len::<T>(sizes));
    drain(pieces.into_iter(), sizes.cost(), |piece| {
        scratch.with(|scratch| some_channels(piece, x, weight, bias, sizes, scratch));
    });
}

/// Computes a piece of the output.
fn some_channels<T: Float>(
    piece: Piece<'_, T>,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sizes: &Conv,
    scratch: &mut [T],
) {
    let (windows, width, all) =
        (sizes.windows.output_len(), T::panel_width(), sizes.groups * sizes.out_channels);
    let channels = piece.channels(all, windows);
    let groups = piece.groups(all, windows, sizes.out_channels);
    let Piece { out, image, channel: first } = piece;
    let end = out.len() / channels; // windows on all images
    let x = &x[image * sizes.image_len()..];
    let (panels, sums) = scratch.split_at_mut(PANELS * TERMS * width);
    for (group, rows) in groups {
        let weight = &weight[rows.start * sizes.taps()..rows.end * sizes.taps()];
        let bias = bias.map(|bias| &bias[rows.clone()]);
        let patches = Patches::new(group, *sizes);
        let stride = PANELS * width;
        for block in parts(0..end, stride) {
            let y = |image: usize| {
                let row = image * channels + rows.start - first;
                row * windows..(row + rows.len()) * windows
            };
            let (image, window) = (block.start / windows, block.start % windows);
            // The windows of one image are adjacent in each channel.
            if window + block.len() <= windows {
                let mut y = Block::new(&mut out[y(image)], windows, windows);
                let y = y.part(0..rows.len(), window..window + block.len());
                simd!(|| product(y, weight, bias, x, &patches, block, panels));
                continue;
            }
            let sums = &mut sums[..rows.len() * stride];
            let c = Block::new(sums, stride, block.len());
            simd!(|| product(c, weight, bias, x, &patches, block.clone(), panels));
            simd!(|| for image in image..block.end.div_ceil(windows) {
                let some = block.start.max(image * windows)..block.end.min((image + 1) * windows);
                let y = out[y(image)].chunks_exact_mut(windows).zip(sums.chunks_exact(stride));
                for (y, sums) in y {
                    let sums = &sums[some.start - block.start..some.end - block.start];
                    copy(&mut y[some.start - image * windows..][..sums.len()], sums);
                }
            });
        }
    }
}

/// The product of the weight and the windows `block`, plus a bias for each row.
#[inline(always)]
fn product<T: Float>(
    mut y: Block<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    x: &[T],
    patches: &Patches,
    block: Range<usize>,
    panels: &mut [T],
) {
    let (channels, width) = (y.rows(), T::panel_width());
    let (taps, count) = (weight.len() / channels, y.cols().div_ceil(width));
    if taps == 0 {
        (0..channels).for_each(|row| y.row(row).fill(T::ZERO));
    }
    let runs = patches.runs(block, width);
    for terms in parts(0..taps, TERMS) {
        let (first, panel_len) = (terms.start, terms.len() * width);
        let panels = &mut panels[..count * panel_len];
        patches.read(terms, &runs, x, panels, width);
        for rows in parts(0..channels, ROWS) {
            let weight = (&weight[rows.start * taps + first..], taps);
            for (panel, cols) in panels.chunks(panel_len).zip(parts(0..y.cols(), width)) {
                T::far_product(weight, panel, y.part(rows.clone(), cols), first > 0);
            }
        }
    }
    for (row, &bias) in bias.into_iter().flatten().enumerate() {
        y.row(row).iter_mut().for_each(|y| *y += bias);
    }
}

/// `X ← col2im(Wᵀ · G) + b`
pub(super) fn conv_input<T: Float>(
    x: &mut [T],
    g: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sizes: &Conv,
) {
    let (positions, windows) = (sizes.windows.input_len(), sizes.windows.output_len());
    let (kernel, channels) = (sizes.windows.kernel_len(), sizes.groups * sizes.in_channels);
    // The columns are a convolution of G whose output channels are the taps.
    let columns_sizes = Conv {
        in_channels: sizes.out_channels,
        out_channels: sizes.taps(),
        windows: Windows::identity([1, windows]),
        ..*sizes
    };
    let mut transposed = vec![T::ZERO; weight.len()];
    for (out, weight) in transposed
        .chunks_exact_mut(sizes.weight_len().max(1))
        .zip(weight.chunks_exact(sizes.weight_len().max(1)))
    {
        for (tap, out) in out.chunks_exact_mut(sizes.out_channels).enumerate() {
            let column = weight[tap..].iter().step_by(sizes.taps());
            out.iter_mut().zip(column).for_each(|(out, &w)| *out = w);
        }
    }
    let batch = batch::<T>(windows.max(1));
    let buffer_len = scratch_len::<T>(&columns_sizes);
    let scratch = Scratch::new(buffer_len + batch * channels * kernel * windows);
    let patches: Vec<_> = (0..sizes.groups).map(|group| Patches::new(group, *sizes)).collect();
    let pieces = Piece::cut(x, channels, positions, batch);
    drain(pieces.into_iter(), sizes.cost(), |piece| {
        let count = piece.channels(channels, positions);
        let Piece { out: x, image, channel } = piece;
        scratch.with(|scratch| {
            let (scratch, columns) = scratch.split_at_mut(buffer_len);
            let columns = &mut columns[..x.len() / positions * kernel * windows];
            let piece = Piece { out: columns, image, channel: channel * kernel };
            some_channels(piece, g, &transposed, None, &columns_sizes, scratch);
            let start = channel * positions;
            for (i, x) in x.chunks_exact_mut(positions).enumerate() {
                x.fill(bias.map_or(T::ZERO, |bias| bias[channel + i % count]));
            }
            for (i, columns) in columns.chunks_exact((kernel * windows).max(1)).enumerate() {
                let (image, channel) = (i / count, channel + i % count);
                let (group, channel) = (channel / sizes.in_channels, channel % sizes.in_channels);
                let patches = &patches[group];
                let runs = patches.runs(image * windows..(image + 1) * windows, windows);
                let taps = channel * kernel..(channel + 1) * kernel;
                simd!(|| patches.add(taps, &runs, (&mut *x, start), columns, windows));
            }
        });
    });
}

/// Rows that are multiplied with several panels in turn, for the gradient of the weight.
const TAPS: usize = 64;

/// `W ← Σ G · im2col(X)ᵀ` over the images.
///
/// The smaller of the two matrices is transposed: a panel has its rows as columns.
pub(super) fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    let width = T::panel_width();
    let (of_x, of_g) = ((x, *sizes), (g, sizes.of_output()));
    let transposes_x = sizes.taps() < sizes.out_channels;
    let [rows, columns] = if transposes_x { [of_g, of_x] } else { [of_x, of_g] };
    let [row_count, column_count] = [rows.1.taps(), columns.1.taps()];
    let panels = column_count.div_ceil(width); // for each group
    let panel_len = row_count * width;
    let scratch = Scratch::new(TERMS * (TAPS.max(width) + panels * width));
    let total = sum_over_images(sizes, panels, panel_len, |piece| {
        let SumsPiece { sums, images, group, panels } = piece;
        let [rows, columns] = [rows, columns].map(|(data, sizes)| {
            (&data[images.start * sizes.image_len()..], Patches::new(group, sizes))
        });
        let some = panels.start * width..column_count.min(panels.end * width);
        let windows = images.len() * sizes.windows.output_len();
        scratch.with(|scratch| {
            simd!(|| weight_sums(sums, rows, row_count, columns, some, windows, scratch));
        });
    });
    let taps = sizes.taps();
    for (i, weight) in weight.iter_mut().enumerate() {
        let (channel, tap) = (i / taps, i % taps);
        let (group, channel) = (channel / sizes.out_channels, channel % sizes.out_channels);
        let (row, column) = if transposes_x { (channel, tap) } else { (tap, channel) };
        let panel = group * panels + column / width;
        *weight = total[panel * panel_len + row * width + column % width];
    }
}

/// The products of `row_count` rows and the columns `columns`, summed over the windows
/// `0..windows`: a panel of sums for each panel of columns.
#[inline(always)]
fn weight_sums<T: Float>(
    sums: &mut [T],
    (a, of_a): (&[T], Patches),
    row_count: usize,
    (b, of_b): (&[T], Patches),
    columns: Range<usize>,
    windows: usize,
    scratch: &mut [T],
) {
    let width = T::panel_width();
    let (rows, panels) = scratch.split_at_mut(TERMS * TAPS.max(width));
    for first in (0..windows).step_by(TERMS) {
        let some = first..windows.min(first + TERMS);
        let count = some.len();
        let (runs, b_runs) = (of_a.runs(some.clone(), count), of_b.runs(some, count));
        let panel_len = count * width;
        for (panel, start) in panels.chunks_mut(panel_len).zip(columns.clone().step_by(width)) {
            let columns = start..columns.end.min(start + width);
            let rows = &mut rows[..columns.len() * count];
            of_b.read(columns.clone(), &b_runs, b, rows, count);
            transpose_into_panel(panel, width, rows, count, [columns.len(), count]);
        }
        for start in (0..row_count).step_by(TAPS) {
            let some = start..row_count.min(start + TAPS);
            let rows = &mut rows[..some.len() * count];
            of_a.read(some.clone(), &runs, a, rows, count);
            let some = some.start * width..some.end * width;
            let of_panels = sums.chunks_mut(row_count * width).zip(panels.chunks(panel_len));
            for ((sums, panel), columns) in of_panels.zip(parts(columns.clone(), width)) {
                let sums = Block::new(&mut sums[some.clone()], width, columns.len());
                T::product((rows, count), panel, sums, true);
            }
        }
    }
}

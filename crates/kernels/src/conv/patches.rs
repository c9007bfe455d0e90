//! The elements that the taps of a convolution read, window by window: rows of `im2col`, and their
//! adjoint.

use super::Conv;
use crate::float::Float;
use std::ops::Range;

/// A tap of the kernel.
#[derive(Clone, Copy)]
struct Tap {
    channel: usize,
    row: usize,
    col: usize,
}

/// Consecutive windows in one row of one image's output.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) image: usize,
    pub(super) row: usize,
    pub(super) col: usize,
    pub(super) len: usize,
}

/// The windows of one group of channels on some images. A tap of the group is counted channel by
/// channel, a window image by image.
pub(super) struct Patches {
    group: usize,
    sizes: Conv,
    /// For each row of the kernel, the rows of the output whose tap is inside the image.
    down: Vec<Range<usize>>,
    /// For each column of the kernel, the columns of the output whose tap is inside the image.
    across: Vec<Range<usize>>,
}

impl Patches {
    pub(super) fn new(group: usize, sizes: Conv) -> Self {
        let hits = |d: usize| (0..sizes.windows.kernel[d]).map(move |k| sizes.windows.hits(d, k));
        Patches { group, sizes, down: hits(0).collect(), across: hits(1).collect() }
    }

    /// Finds the runs that make up `windows`.
    pub(super) fn find_runs(&self, windows: Range<usize>, runs: &mut Vec<Run>) {
        runs.clear();
        let [rows, cols] = self.sizes.windows.output;
        let mut at = windows.start;
        while at < windows.end {
            let (line, col) = (at / cols, at % cols);
            let len = (cols - col).min(windows.end - at);
            runs.push(Run { image: line / rows, row: line % rows, col, len });
            at += len;
        }
    }

    /// Writes a row for each of `taps`, with the element of `x` that it reads in each window of
    /// `runs`. Elements in the padding, and what is left of a row of `len` elements, are 0.
    #[inline(always)]
    pub(super) fn read_rows<T: Float>(
        &self,
        taps: Range<usize>,
        runs: &[Run],
        x: &[T],
        rows: &mut [T],
        len: usize,
    ) {
        let step = self.sizes.windows.stride[1];
        for (tap, mut row) in self.taps(taps).zip(rows.chunks_exact_mut(len)) {
            for run in runs {
                let (line, rest) = row.split_at_mut(run.len);
                row = rest;
                let Some((inside, position)) = self.read_by(tap, run) else {
                    line.fill(T::ZERO);
                    continue;
                };
                line[..inside.start].fill(T::ZERO);
                line[inside.end..].fill(T::ZERO);
                let (line, x) = (&mut line[inside], &x[position..]);
                if step == 1 {
                    copy(line, x);
                } else {
                    line.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, &x)| *out = x);
                }
            }
            row.fill(T::ZERO);
        }
    }

    /// The adjoint of [`read_rows`](Self::read_rows): adds each element to the one of `x` that it
    /// would be read from. `x` starts at element `start` of the images.
    #[inline(always)]
    pub(super) fn add_rows<T: Float>(
        &self,
        taps: Range<usize>,
        runs: &[Run],
        (x, start): (&mut [T], usize),
        rows: &[T],
        len: usize,
    ) {
        let step = self.sizes.windows.stride[1];
        for (tap, mut row) in self.taps(taps).zip(rows.chunks_exact(len)) {
            for run in runs {
                let (line, rest) = row.split_at(run.len);
                row = rest;
                let Some((inside, position)) = self.read_by(tap, run) else { continue };
                let (line, x) = (&line[inside], &mut x[position - start..]);
                if step == 1 {
                    x.iter_mut().zip(line).for_each(|(x, &c)| *x += c);
                } else {
                    x.iter_mut().step_by(step).zip(line).for_each(|(x, &c)| *x += c);
                }
            }
        }
    }

    fn taps(&self, taps: Range<usize>) -> impl Iterator<Item = Tap> {
        let [rows, cols] = self.sizes.windows.kernel;
        let tap = taps.start % (rows * cols).max(1);
        let channel = taps.start / (rows * cols).max(1);
        let mut next = Tap { channel, row: tap / cols.max(1), col: tap % cols.max(1) };
        taps.map(move |_| {
            let tap = next;
            next.col += 1;
            if next.col == cols {
                (next.row, next.col) = (next.row + 1, 0);
            }
            if next.row == rows {
                (next.channel, next.row) = (next.channel + 1, 0);
            }
            tap
        })
    }

    /// The windows of `run` in which `tap` is inside the image, and the position that it reads in
    /// the first of them.
    #[inline(always)]
    fn read_by(&self, tap: Tap, run: &Run) -> Option<(Range<usize>, usize)> {
        let Conv { groups, in_channels, windows, .. } = self.sizes;
        let across = &self.across[tap.col];
        let (first, end) = (across.start.max(run.col), across.end.min(run.col + run.len));
        if !self.down[tap.row].contains(&run.row) || first >= end {
            return None;
        }
        let channel = (run.image * groups + self.group) * in_channels + tap.channel;
        let row = channel * windows.input[0] + windows.position(0, run.row, tap.row);
        let position = row * windows.input[1] + windows.position(1, first, tap.col);
        Some((first - run.col..end - run.col, position))
    }
}

/// `out ← x[..out.len()]`. Rows of images are short: a call of `memcpy` would cost too much.
#[inline(always)]
pub(super) fn copy<T: Float>(out: &mut [T], x: &[T]) {
    const STEP: usize = 8;
    let (len, mut at) = (out.len(), 0);
    let x = &x[..len];
    if len < STEP {
        return out.iter_mut().zip(x).for_each(|(out, &x)| *out = x);
    }
    while at + STEP <= len {
        out[at..at + STEP].copy_from_slice(&x[at..at + STEP]);
        at += STEP;
    }
    out[len - STEP..].copy_from_slice(&x[len - STEP..]);
}

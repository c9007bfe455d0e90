//! The elements that the taps of a convolution read, window by window: rows of `im2col`, and their
//! adjoint.

use super::Conv;
use crate::float::Float;
use std::ops::Range;

/// Consecutive windows in one row of one image's output, and in one panel.
#[derive(Clone, Copy)]
pub(super) struct Run {
    image: usize,
    row: usize,
    col: usize,
    len: usize,
    panel: usize,
    lane: usize,
}

/// The windows of a run in which a tap is inside the image.
struct Read {
    run: Run,
    inside: Range<usize>,
    /// The position that the first of them reads in the first channel.
    position: usize,
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

    /// The runs that make up `windows`, in panels of `width`.
    pub(super) fn runs(&self, windows: Range<usize>, width: usize) -> Vec<Run> {
        let [rows, cols] = self.sizes.windows.output;
        let (mut runs, mut at) = (Vec::new(), windows.start);
        while at < windows.end {
            let (line, col) = (at / cols, at % cols);
            let (panel, lane) = ((at - windows.start) / width, (at - windows.start) % width);
            let len = (cols - col).min(windows.end - at).min(width - lane);
            runs.push(Run { image: line / rows, row: line % rows, col, len, panel, lane });
            at += len;
        }
        runs
    }

    /// Writes panels of `width` columns, with a row for each of `taps`: the elements of `x` that it
    /// reads in the windows of `runs`. Elements in the padding, and columns without a window, are 0.
    #[inline(always)]
    pub(super) fn read<T: Float>(
        &self,
        taps: Range<usize>,
        runs: &[Run],
        x: &[T],
        panels: &mut [T],
        width: usize,
    ) {
        let (step, count) = (self.sizes.windows.stride[1], taps.len());
        self.for_each_read(
            taps,
            runs,
            #[inline(always)]
            |row, Read { run, inside, .. }, position| {
                let start = (run.panel * count + row) * width + run.lane;
                let line = &mut panels[start..start + run.len];
                line[..inside.start].fill(T::ZERO);
                line[inside.end..].fill(T::ZERO);
                if !inside.is_empty() {
                    copy_step(&mut line[inside.clone()], &x[position..], step);
                }
            },
        );
        if let Some(&Run { panel, lane, len, .. }) = runs.last()
            && lane + len < width
        {
            let last = panels[panel * count * width..].chunks_exact_mut(width).take(count);
            last.for_each(|row| row[lane + len..].fill(T::ZERO));
        }
    }

    /// The adjoint of [`read`](Self::read): adds each element to the one of `x` that it would be
    /// read from. `x` starts at element `start` of the images.
    #[inline(always)]
    pub(super) fn add<T: Float>(
        &self,
        taps: Range<usize>,
        runs: &[Run],
        (x, start): (&mut [T], usize),
        panels: &[T],
        width: usize,
    ) {
        let (step, count) = (self.sizes.windows.stride[1], taps.len());
        self.for_each_read(
            taps,
            runs,
            #[inline(always)]
            |row, Read { run, inside, .. }, position| {
                if inside.is_empty() {
                    return;
                }
                let line = (run.panel * count + row) * width + run.lane;
                let line = &panels[line + inside.start..line + inside.end];
                let x = &mut x[position - start..];
                if step == 1 {
                    x.iter_mut().zip(line).for_each(|(x, &c)| *x += c);
                } else {
                    x.iter_mut().step_by(step).zip(line).for_each(|(x, &c)| *x += c);
                }
            },
        );
    }

    /// Calls `f(row, read, position)` for each run and each of `taps`, whose rows are counted from
    /// the first one, with the position that the tap reads in the first window.
    #[inline(always)]
    fn for_each_read(
        &self,
        taps: Range<usize>,
        runs: &[Run],
        mut f: impl FnMut(usize, &Read, usize),
    ) {
        let Conv { groups, in_channels, windows, .. } = self.sizes;
        let [rows, cols] = windows.kernel;
        let mut reads = Vec::with_capacity(runs.len());
        for (row, col) in (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col))) {
            let (tap, kernel) = (row * cols + col, rows * cols);
            let first = taps.start + (tap + kernel - taps.start % kernel) % kernel;
            if first >= taps.end {
                continue;
            }
            // What a tap reads is the same in all channels, one image further.
            reads.clear();
            for &run in runs {
                let across = &self.across[col];
                let start = across.start.clamp(run.col, run.col + run.len);
                let end = across.end.clamp(start, run.col + run.len);
                if !self.down[row].contains(&run.row) || start == end {
                    reads.push(Read { run, inside: 0..0, position: 0 });
                    continue;
                }
                let channel = (run.image * groups + self.group) * in_channels;
                let line = channel * windows.input[0] + windows.position(0, run.row, row);
                let position = line * windows.input[1] + windows.position(1, start, col);
                reads.push(Read { run, inside: start - run.col..end - run.col, position });
            }
            for tap in (first..taps.end).step_by(kernel) {
                let channel = tap / kernel * windows.input_len();
                for read in &reads {
                    f(tap - taps.start, read, read.position + channel);
                }
            }
        }
    }
}

/// Copies the elements of `x` that are `step` apart.
#[inline(always)]
pub(super) fn copy_step<T: Float>(out: &mut [T], x: &[T], step: usize) {
    match step {
        1 => copy(out, x),
        2 => {
            let (pairs, _) = x.as_chunks::<2>();
            out.iter_mut().zip(pairs).for_each(|(out, pair)| *out = pair[0]);
            if pairs.len() < out.len() {
                out[pairs.len()] = x[x.len() - 1]; // without an element on its right
            }
        }
        _ => out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, &x)| *out = x),
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

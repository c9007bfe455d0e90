//! Pooling: one element for each window on an image.
//!
//! A slice is a sequence of images; here each channel of each sample of a batch is an image of its
//! own. Threads share the images.

use crate::float::Float;
use crate::parallel::{CHUNK, drain};
use crate::reduce::{LANES, best_of_row, best_of_rows, position, sum, sum_row};
use crate::simd::simd;
use crate::windows::Windows;
use smallvec::SmallVec;
use std::hint::select_unpredictable;
use std::ops::Range;

/// Calls `f` with each image's index and its parts of `out` and `x`, of these lengths.
fn images<A: Send, B: Sync>(
    out: &mut [A],
    x: &[B],
    (out_len, x_len): (usize, usize),
    cost: usize,
    f: impl Fn(usize, &mut [A], &[B]) + Sync,
) {
    assert!(out_len > 0 && x_len > 0, "images of at least one element");
    assert!(out.len().is_multiple_of(out_len), "whole images");
    assert_eq!(out.len() / out_len, x.len() / x_len, "equal numbers of images");
    assert!(x.len().is_multiple_of(x_len), "whole images");
    let piece = CHUNK.div_ceil(x_len.max(out_len)); // images
    let pieces = out.chunks_mut(piece * out_len).zip(x.chunks(piece * x_len));
    drain(pieces.enumerate(), cost, |(p, (out, x))| {
        let pairs = out.chunks_exact_mut(out_len).zip(x.chunks_exact(x_len));
        pairs.enumerate().for_each(|(i, (out, x))| f(p * piece + i, out, x));
    });
}

/// The cost of the windows: a comparison or an addition for each tap.
fn cost(windows: usize, sizes: &Windows) -> usize {
    windows.saturating_mul(sizes.kernel_len().saturating_add(1))
}

/// `at[o] ←` the position in its image of the largest element of window `o`: the first of equals,
/// or the last NaN if there is one, as in PyTorch.
///
/// # Panics
/// If the lengths do not match, or a window has no element inside the image.
///
/// ```
/// use adamant_kernels::{Windows, max_pool};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let sizes = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let mut at = [0; 2];
/// max_pool(&mut at, &[1.0f32, 5.0, 4.0], &sizes);
/// assert_eq!(at, [1, 1]);
/// ```
pub fn max_pool<T: Float>(at: &mut [usize], x: &[T], sizes: &Windows) {
    let cost = cost(at.len(), sizes).saturating_mul(2);
    // These need divisions: computed once, not for every row of every image.
    let down: Vec<_> = (0..sizes.output[0]).map(|oy| sizes.taps(0, oy)).collect();
    let across: Vec<_> = (0..sizes.output[1]).map(|ox| sizes.taps(1, ox)).collect();
    // The taps that read the image; a kernel may have many more, over the padding.
    let start = across.iter().map(|taps| taps.start).min().unwrap_or(0);
    let end = across.iter().map(|taps| taps.end).max().unwrap_or(0);
    let hits = (start..end).map(|kx| (kx, sizes.hits(1, kx)));
    let hits: Vec<_> = hits.filter(|(_, run)| !run.is_empty()).collect();
    assert!(down.iter().chain(&across).all(|taps| !taps.is_empty()), "a window outside the image");
    let first: Vec<_> =
        across.iter().enumerate().map(|(ox, taps)| sizes.position(1, ox, taps.start)).collect();

    images(at, x, (sizes.output_len(), sizes.input_len()), cost, |_, at, x| {
        simd!(|| {
            // By taps, not by windows: a row has many windows of few taps.
            for (oy, at) in at.chunks_exact_mut(sizes.output[1]).enumerate() {
                let line = |ky: usize| sizes.position(0, oy, ky) * sizes.input[1];
                let top = line(down[oy].start);
                at.iter_mut().zip(&first).for_each(|(at, col)| *at = top + col);
                for ky in down[oy].clone() {
                    for (kx, run) in &hits {
                        let start = line(ky) + sizes.position(1, run.start, *kx);
                        keep_larger(&mut at[run.clone()], x, start, sizes.stride[1]);
                    }
                }
            }
        });
    });
}

/// `at[i] ← start + i · step` where the element there is larger than the one at `at[i]`.
#[inline(always)]
fn keep_larger<T: Float>(at: &mut [usize], x: &[T], start: usize, step: usize) {
    for (i, at) in at.iter_mut().enumerate() {
        *at = larger(x, *at, start + i * step);
    }
}

/// The position of the larger of two elements: `at` if they are equal, `next` if it is NaN.
#[inline(always)]
fn larger<T: Float>(x: &[T], at: usize, next: usize) -> usize {
    let better = (x[next] > x[at]) | x[next].is_nan();
    select_unpredictable(better, next, at)
}

/// `out[o] ← x[at[o]]` for each image of `len` elements.
///
/// # Panics
/// If the lengths do not match, or a position is outside its image.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::pick(&mut out, &[1.0, 5.0, 4.0], &[1, 1], 3);
/// assert_eq!(out, [5.0, 5.0]);
/// ```
pub fn pick<T: Float>(out: &mut [T], x: &[T], at: &[usize], len: usize) {
    if out.is_empty() {
        return;
    }
    assert_eq!(out.len(), at.len(), "a position for each result");
    let out_len = out.len() / (x.len() / len);
    let cost = out.len().saturating_mul(2);
    images(out, x, (out_len, len), cost, |i, out, x| {
        out.iter_mut().zip(&at[i * out_len..]).for_each(|(out, &at)| *out = x[at]);
    });
}

/// `x[p] ← Σ g[o]` over `o` with `at[o] = p`, for each image of `len` elements: the adjoint of
/// [`pick`].
///
/// # Panics
/// If the lengths do not match, or a position is outside its image.
///
/// ```
/// let mut x = [0.0f32; 3];
/// adamant_kernels::place(&mut x, &[1.0, 2.0], &[1, 1], 3);
/// assert_eq!(x, [0.0, 3.0, 0.0]);
/// ```
pub fn place<T: Float>(x: &mut [T], g: &[T], at: &[usize], len: usize) {
    if x.is_empty() {
        return;
    }
    assert_eq!(g.len(), at.len(), "a position for each element");
    let g_len = g.len() / (x.len() / len);
    let cost = g.len().saturating_mul(2) + x.len();
    images(x, g, (len, g_len), cost, |i, x, g| {
        x.fill(T::ZERO);
        g.iter().zip(&at[i * g_len..]).for_each(|(&g, &at)| x[at] += g);
    });
}

/// The divisor of the sum over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divisor {
    /// The number of the window's positions, padding included.
    Padded,
    /// The number of the window's positions inside the image.
    Inside,
    /// A fixed divisor for every window.
    Fixed(f64),
}

/// The geometry of an average pooling; the windows have a dilation of 1.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool {
    /// The windows on an image.
    pub windows: Windows,
    /// The divisor of their sums.
    pub divisor: Divisor,
}

impl AvgPool {
    /// For each window along dimension `d`, the number of positions that count.
    fn counts(&self, d: usize) -> Vec<usize> {
        let w = &self.windows;
        let end = w.input[d] + 2 * w.padding[d]; // of the padded image; a window may reach past it
        let padded = |o: usize| w.kernel[d].min(end.saturating_sub(o * w.stride[d]));
        let count =
            |o| if self.divisor == Divisor::Inside { w.taps(d, o).len() } else { padded(o) };
        (0..w.output[d]).map(count).collect()
    }

    /// The divisor of each window.
    fn divisors<T: Float>(&self) -> Vec<T> {
        if let Divisor::Fixed(divisor) = self.divisor {
            return vec![T::from_f64(divisor); self.windows.output_len()];
        }
        let (down, across) = (self.counts(0), self.counts(1));
        let row =
            |&rows: &usize| across.iter().map(move |&cols| T::from_f64(rows as f64 * cols as f64));
        down.iter().flat_map(row).collect()
    }

    /// For each dimension and each window along it, the window's part of the image.
    fn spans(&self) -> [Vec<Range<usize>>; 2] {
        let w = &self.windows;
        [0, 1].map(|d| {
            let span = |o| match w.taps(d, o) {
                taps if taps.is_empty() => 0..0,
                taps => w.position(d, o, taps.start)..w.position(d, o, taps.end - 1) + 1,
            };
            (0..w.output[d]).map(span).collect()
        })
    }
}

/// An element for each column of an image: without an allocation for each small image.
fn line<T: Float>(width: usize) -> SmallVec<[T; 64]> {
    SmallVec::from_elem(T::ZERO, width)
}

/// `y[o] ← Σ x / divisor` over each window.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// use adamant_kernels::{AvgPool, Divisor, Windows, avg_pool};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let mut y = [0.0f32; 2];
/// avg_pool(&mut y, &[1.0, 5.0, 4.0], &AvgPool { windows, divisor: Divisor::Padded });
/// assert_eq!(y, [3.0, 4.5]);
/// ```
pub fn avg_pool<T: Float>(y: &mut [T], x: &[T], sizes: &AvgPool) {
    let (spans, input) = (sizes.spans(), sizes.windows.input);
    means(y, x, &spans, &sizes.divisors(), input, cost(y.len(), &sizes.windows));
}

/// `y[o] ← Σ x / divisor` over each window, given by its rows and columns.
fn means<T: Float>(
    y: &mut [T],
    x: &[T],
    spans: &[Vec<Range<usize>>; 2],
    divisors: &[T],
    input: [usize; 2],
    cost: usize,
) {
    let width = input[1];
    images(y, x, (divisors.len(), input[0] * width), cost, |_, y, x| {
        let mut line = line(width); // the sums of the columns of a row of windows
        let windows = y.chunks_exact_mut(spans[1].len()).zip(divisors.chunks(spans[1].len()));
        for (down, (y, divisors)) in spans[0].iter().zip(windows) {
            line.fill(T::ZERO);
            simd!(|| for row in x[down.start * width..down.end * width].chunks_exact(width) {
                line.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
            });
            for ((y, &divisor), across) in y.iter_mut().zip(divisors).zip(&spans[1]) {
                let part = &line[across.clone()];
                let sum = match part.len() {
                    ..LANES => part.iter().fold(T::ZERO, |sum, &x| sum + x),
                    _ => sum_row(part),
                };
                *y = sum / divisor;
            }
        }
    });
}

/// `x[p] ← Σ g[o] / divisor` over the windows `o` that contain `p`: the adjoint of [`avg_pool`].
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// use adamant_kernels::{AvgPool, Divisor, Windows, avg_pool_input};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let mut x = [0.0f32; 3];
/// avg_pool_input(&mut x, &[1.0, 2.0], &AvgPool { windows, divisor: Divisor::Padded });
/// assert_eq!(x, [0.5, 1.5, 1.0]);
/// ```
pub fn avg_pool_input<T: Float>(x: &mut [T], g: &[T], sizes: &AvgPool) {
    let (spans, input) = (sizes.spans(), sizes.windows.input);
    let cost = cost(g.len(), &sizes.windows).saturating_add(x.len());
    shares(x, g, &spans, &sizes.divisors(), input, cost);
}

/// The adjoint of [`means`].
fn shares<T: Float>(
    x: &mut [T],
    g: &[T],
    spans: &[Vec<Range<usize>>; 2],
    divisors: &[T],
    input: [usize; 2],
    cost: usize,
) {
    let width = input[1];
    images(x, g, (input[0] * width, divisors.len()), cost, |_, x, g| {
        let mut line = line(width); // the shares of the columns of a row of windows
        let windows = g.chunks_exact(spans[1].len()).zip(divisors.chunks(spans[1].len()));
        x.fill(T::ZERO);
        for (down, (g, divisors)) in spans[0].iter().zip(windows) {
            line.fill(T::ZERO);
            for ((&g, &divisor), across) in g.iter().zip(divisors).zip(&spans[1]) {
                let share = g / divisor;
                line[across.clone()].iter_mut().for_each(|x| *x += share);
            }
            simd!(|| for row in x[down.start * width..down.end * width].chunks_exact_mut(width) {
                row.iter_mut().zip(&line).for_each(|(x, &share)| *x += share);
            });
        }
    });
}

/// `output` windows that cover `input` positions as evenly as possible: window `o` is
/// `⌊o · input / output⌋ .. ⌈(o + 1) · input / output⌉`, as in PyTorch.
fn even_spans(input: usize, output: usize) -> Vec<Range<usize>> {
    (0..output).map(|o| o * input / output..((o + 1) * input).div_ceil(output)).collect()
}

/// The windows of an adaptive pooling along rows and columns.
fn even_windows(input: [usize; 2], output: [usize; 2]) -> [Vec<Range<usize>>; 2] {
    [0, 1].map(|d| even_spans(input[d], output[d]))
}

/// The number of elements in each window.
fn window_sizes<T: Float>(spans: &[Vec<Range<usize>>; 2]) -> Vec<T> {
    let size =
        |rows: &Range<usize>, cols: &Range<usize>| T::from_f64((rows.len() * cols.len()) as f64);
    spans[0].iter().flat_map(|rows| spans[1].iter().map(move |cols| size(rows, cols))).collect()
}

/// `y[o] ←` the mean over window `o` of `output` windows that cover an image of size `input` evenly.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// let mut y = [0.0f32; 2];
/// adamant_kernels::adaptive_avg_pool(&mut y, &[1.0, 5.0, 4.0], [1, 3], [1, 2]);
/// assert_eq!(y, [3.0, 4.5]); // both windows contain the middle
/// ```
pub fn adaptive_avg_pool<T: Float>(y: &mut [T], x: &[T], input: [usize; 2], output: [usize; 2]) {
    if output == [1, 1] {
        let area = input[0] * input[1];
        sum(y, x, [y.len(), area, 1]);
        let area = T::from_f64(area as f64);
        return y.iter_mut().for_each(|y| *y /= area);
    }
    let spans = even_windows(input, output);
    let cost = x.len().saturating_mul(2) + y.len();
    means(y, x, &spans, &window_sizes(&spans), input, cost);
}

/// The adjoint of [`adaptive_avg_pool`].
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// let mut x = [0.0f32; 3];
/// adamant_kernels::adaptive_avg_pool_input(&mut x, &[2.0, 4.0], [1, 3], [1, 2]);
/// assert_eq!(x, [1.0, 3.0, 2.0]);
/// ```
pub fn adaptive_avg_pool_input<T: Float>(
    x: &mut [T],
    g: &[T],
    input: [usize; 2],
    output: [usize; 2],
) {
    let spans = even_windows(input, output);
    let cost = x.len().saturating_mul(2) + g.len();
    shares(x, g, &spans, &window_sizes(&spans), input, cost);
}

/// `at[o] ←` the position in its image of the largest element of window `o` of `output` windows
/// that cover an image of size `input` evenly: the first of equals, or the last NaN if there is one.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// let mut at = [0; 2];
/// adamant_kernels::adaptive_max_pool(&mut at, &[1.0f32, 5.0, 4.0], [1, 3], [1, 2]);
/// assert_eq!(at, [1, 1]); // both windows contain the middle
/// ```
pub fn adaptive_max_pool<T: Float>(
    at: &mut [usize],
    x: &[T],
    input: [usize; 2],
    output: [usize; 2],
) {
    let [down, right] = even_windows(input, output);
    let cost = x.len().saturating_mul(2) + at.len();
    let width = input[1];
    images(at, x, (output[0] * output[1], input[0] * width), cost, |_, at, x| {
        let mut line = line(width); // the largest elements of the columns
        for (down, at) in down.iter().zip(at.chunks_exact_mut(output[1])) {
            let rows = &x[down.start * width..down.end * width];
            simd!(|| {
                best_of_rows(&mut line, rows, |x, best| x > best);
                for (across, at) in right.iter().zip(at) {
                    let first = down.start * width + across.start;
                    if down.len() == 1 && across.len() < LANES {
                        // Too few for a search of their own.
                        let positions = first..first + across.len();
                        *at = positions.fold(first, |at, next| larger(x, at, next));
                        continue;
                    }
                    let largest = best_of_row(&line[across.clone()], |x, best| x > best);
                    let parts = rows.chunks_exact(width).map(|row| &row[across.clone()]);
                    let mut parts = parts.enumerate();
                    let found = if largest.is_nan() {
                        // The last one, as in PyTorch.
                        let last = |part: &[T]| part.iter().rposition(|x| x.is_nan());
                        parts.rev().find_map(|(row, part)| Some((row, last(part)?)))
                    } else {
                        parts.find_map(|(row, part)| Some((row, position(part, largest)?)))
                    };
                    let (row, col) = found.expect("the largest is an element");
                    *at = first + row * width + col;
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adaptive_windows_match_their_definition() {
        for (input, output) in [
            ([1, 100], [1, 3]),
            ([7, 40], [3, 1]),
            ([5, 6], [4, 4]),
            ([3, 90], [5, 2]),
            ([3, 20], [3, 4]),
        ] {
            let len = input[0] * input[1];
            let mut x: Vec<f32> = (0..3 * len).map(|i| (i * 37 % 23) as f32).collect();
            x[len..len + 2].fill(f32::NAN); // in the second image
            x[2 * len - 1] = f32::NAN;
            x[2 * len..].fill(f32::NEG_INFINITY);
            let windows = output[0] * output[1];
            let (mut at, mut means) = (vec![0; 3 * windows], vec![0.0; 3 * windows]);
            adaptive_max_pool(&mut at, &x, input, output);
            adaptive_avg_pool(&mut means, &x, input, output);
            let [down, right] = even_windows(input, output);
            for (o, (&at, &mean)) in at.iter().zip(&means).enumerate() {
                let image = &x[o / windows * len..][..len];
                let (rows, cols) = (&down[o % windows / output[1]], &right[o % output[1]]);
                let positions =
                    rows.clone().flat_map(|y| cols.clone().map(move |x| y * input[1] + x));
                let largest = positions.clone().reduce(|at, next| larger(image, at, next));
                assert_eq!(at, largest.unwrap(), "{input:?} to {output:?}, window {o}");
                let sum: f32 = positions.map(|p| image[p]).sum(); // of integers
                let expected = sum / (rows.len() * cols.len()) as f32;
                assert!(mean == expected || (mean.is_nan() && expected.is_nan()));
            }
        }
    }
}

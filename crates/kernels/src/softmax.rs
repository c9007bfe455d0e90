//! Softmax and log-softmax over rows, stable for any finite input.

use crate::float::Float;
use crate::parallel::{CHUNK, share};
use crate::reduce::{sum_row, sum_row_inline};
use crate::simd::simd;

/// The largest element, or NaN if there is one; −∞ for an empty row.
#[inline(always)]
pub(crate) fn max<T: Float>(row: &[T]) -> T {
    let (max, rest) = if row.len() < 512 {
        max_in_lanes::<16, T>(row)
    } else {
        max_in_lanes::<64, T>(row) // since a comparison waits for the one before it
    };
    rest.iter().fold(max, |max, &x| x.maximum(max))
}

/// The largest element of whole blocks of `LANES`, and the rest of the row.
#[inline(always)]
fn max_in_lanes<const LANES: usize, T: Float>(row: &[T]) -> (T, &[T]) {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let Some((first, blocks)) = blocks.split_first() else { return (T::NEG_INFINITY, rest) };
    let mut lanes = *first;
    for x in blocks {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane = x.maximum(*lane);
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = lanes[i].maximum(lanes[i + width]);
        }
    }
    (lanes[0], rest)
}

/// `out[i] ← exp(x[i] − max)`; returns the sum.
#[inline(always)]
fn exp_less_max<T: Float>(out: &mut [T], x: &[T], max: T) -> T {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = (x - max).exp();
    }
    sum_row_inline(out)
}

/// `x[i] ← exp(x[i] − max)`; returns the maximum and the sum.
pub(crate) fn exp_of_row<T: Float>(x: &mut [T]) -> [T; 2] {
    simd!(|| {
        let max = max(x);
        for x in &mut *x {
            *x = (*x - max).exp();
        }
        [max, sum_row_inline(x)]
    })
}

/// `ln Σᵢ exp(x[i])` of one row, without overflow; −∞ for an empty row.
///
/// ```
/// assert_eq!(adamant_kernels::logsumexp_row(&[1e4f32, 1e4]), 1e4 + 2.0f32.ln());
/// ```
#[must_use]
pub fn logsumexp_row<T: Float>(x: &[T]) -> T {
    let mut partial = vec![T::ZERO; x.len().div_ceil(CHUNK)];
    let blocks = || x.chunks(CHUNK);
    share(partial.iter_mut().zip(blocks()), x.len(), |(partial, x)| *partial = simd!(|| max(x)));
    let max = simd!(|| max(&partial));
    // With an infinite maximum, ∞ − ∞ would be NaN.
    let max = if max.is_finite() { max } else { T::ZERO };
    share(partial.iter_mut().zip(blocks()), x.len().saturating_mul(8), |(partial, x)| {
        let mut terms = vec![T::ZERO; x.len()];
        *partial = simd!(|| exp_less_max(&mut terms, x, max));
    });
    sum_row(&partial).ln() + max
}

/// Calls `f(r, out_row, operand_rows)` for each row `r` of `row` elements; `f` must be
/// `#[inline(always)]`.
fn rows<T: Float, const N: usize>(
    out: &mut [T],
    operands: [&[T]; N],
    row: usize,
    f: impl Fn(usize, &mut [T], [&[T]; N]) + Sync,
) {
    operands.iter().for_each(|x| assert_eq!(out.len(), x.len(), "operands of one length"));
    if out.is_empty() {
        return;
    }
    assert!(out.len().is_multiple_of(row), "rows of one length");
    let piece = CHUNK.div_ceil(row); // rows per piece of work
    let cost = out.len().saturating_mul(8); // an exponential: about 8 additions
    share(out.chunks_mut(piece * row).enumerate(), cost, |(p, out)| {
        simd!(|| {
            for (r, out) in (p * piece..).zip(out.chunks_exact_mut(row)) {
                f(r, out, operands.map(|x| &x[r * row..][..row]));
            }
        });
    });
}

/// `out[i] ← exp(x[i] − max) / Σⱼ exp(x[j] − max)` for one row.
#[inline(always)]
fn softmax_row<T: Float>(out: &mut [T], x: &[T]) {
    let scale = T::ONE / exp_less_max(out, x, max(x));
    for out in out {
        *out *= scale;
    }
}

/// `out[i] ← exp(x[i] − max) / Σⱼ exp(x[j] − max)` over each row of `row` elements.
///
/// # Panics
/// If the lengths differ or are not multiples of `row`.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::softmax_rows(&mut out, &[1e4, 1e4], 2);
/// assert_eq!(out, [0.5, 0.5]);
/// ```
pub fn softmax_rows<T: Float>(out: &mut [T], x: &[T], row: usize) {
    rows(
        out,
        [x],
        row,
        #[inline(always)]
        |_, out, [x]| softmax_row(out, x),
    );
}

/// `out[i] ← x[i] − max − ln Σⱼ exp(x[j] − max)` over each row of `row` elements.
///
/// # Panics
/// If the lengths differ or are not multiples of `row`.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::log_softmax_rows(&mut out, &[1e4, -1e4], 2);
/// assert_eq!(out, [0.0, -2e4]);
/// ```
pub fn log_softmax_rows<T: Float>(out: &mut [T], x: &[T], row: usize) {
    rows(
        out,
        [x],
        row,
        #[inline(always)]
        |_, out, [x]| {
            let max = max(x);
            let ln_sum = exp_less_max(out, x, max).ln();
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x - max - ln_sum;
            }
        },
    );
}

/// `out[i] ← y[i] (g[i] − Σⱼ g[j] y[j])` over each row of `row` elements: the gradient of
/// [`softmax_rows`] from its result `y` and the gradient `g` of that.
///
/// # Panics
/// If the lengths differ or are not multiples of `row`.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::softmax_rows_backward(&mut out, &[0.5, 0.5], &[1.0, 0.0], 2);
/// assert_eq!(out, [0.25, -0.25]);
/// ```
pub fn softmax_rows_backward<T: Float>(out: &mut [T], y: &[T], g: &[T], row: usize) {
    rows(
        out,
        [y, g],
        row,
        #[inline(always)]
        |_, out, [y, g]| {
            for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                *out = g * y;
            }
            let sum = sum_row_inline(out);
            for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                *out = y * (g - sum);
            }
        },
    );
}

/// `out[i] ← g[i] − exp(y[i]) Σⱼ g[j]` over each row of `row` elements: the gradient of
/// [`log_softmax_rows`] from its result `y` and the gradient `g` of that.
///
/// # Panics
/// If the lengths differ or are not multiples of `row`.
///
/// ```
/// let (mut out, half) = ([0.0f32; 2], 0.5f32.ln());
/// adamant_kernels::log_softmax_rows_backward(&mut out, &[half; 2], &[1.0, 0.0], 2);
/// assert_eq!(out, [0.5, -0.5]);
/// ```
pub fn log_softmax_rows_backward<T: Float>(out: &mut [T], y: &[T], g: &[T], row: usize) {
    rows(
        out,
        [y, g],
        row,
        #[inline(always)]
        |_, out, [y, g]| {
            let sum = sum_row_inline(g);
            for ((out, &y), &g) in out.iter_mut().zip(y).zip(g) {
                *out = g - y.exp() * sum;
            }
        },
    );
}

/// `out[r] ← −log_softmax(x[r])[targets[r]]`: the negative log-likelihood of each row's target,
/// without storing the log-softmax.
///
/// # Panics
/// If the lengths do not match, or a target is not below the number of classes.
///
/// ```
/// let mut out = [0.0f32; 1];
/// adamant_kernels::nll_rows(&mut out, &[0.0, 0.0], &[1]);
/// assert_eq!(out, [2.0f32.ln()]);
/// ```
pub fn nll_rows<T: Float>(out: &mut [T], x: &[T], targets: &[usize]) {
    assert_eq!(out.len(), targets.len(), "a target for each row");
    let row = row_of(x, targets);
    let piece = CHUNK.div_ceil(row); // rows per piece of work
    let pieces = out.chunks_mut(piece).zip(x.chunks(piece * row)).zip(targets.chunks(piece));
    share(pieces, x.len().saturating_mul(8), |((out, x), targets)| {
        let mut scratch = vec![T::ZERO; row];
        simd!(|| {
            for ((out, x), &target) in out.iter_mut().zip(x.chunks_exact(row)).zip(targets) {
                let max = max(x);
                *out = (max - x[target]) + exp_less_max(&mut scratch, x, max).ln();
            }
        });
    });
}

/// The number of classes, or 1 if there are no targets.
fn row_of<T>(x: &[T], targets: &[usize]) -> usize {
    let row = x.len().checked_div(targets.len()).unwrap_or(0);
    assert_eq!(x.len(), row * targets.len(), "rows of one length");
    assert!(row > 0 || targets.is_empty(), "a row without classes has no target");
    row.max(1)
}

/// `out[r] ← (softmax(x[r]) − e) · g`, where `e` is 1 at `targets[r]`, else 0: the gradient of
/// each result of [`nll_rows`], times `g`.
///
/// # Panics
/// If the lengths do not match, or a target is not below the number of classes.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::nll_rows_backward(&mut out, &[3.0, 3.0], &[1], 4.0);
/// assert_eq!(out, [2.0, -2.0]);
/// ```
pub fn nll_rows_backward<T: Float>(out: &mut [T], x: &[T], targets: &[usize], g: T) {
    let row = row_of(x, targets);
    rows(
        out,
        [x],
        row,
        #[inline(always)]
        |r, out, [x]| {
            softmax_row(out, x);
            out[targets[r]] += -T::ONE;
            for out in out {
                *out *= g;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_is_found_at_any_index_and_nan_wins() {
        for len in [1, 15, 16, 17, 33, 50, 512, 600] {
            for i in 0..len {
                let mut row = vec![-2.0f32; len];
                row[i] = 3.0;
                assert_eq!(max(&row), 3.0);
                row[len - 1 - i] = f32::NAN;
                assert!(max(&row).is_nan());
            }
        }
        assert_eq!(max::<f64>(&[]), f64::NEG_INFINITY);
    }

    #[test]
    fn the_gradient_is_softmax_minus_one_hot() {
        let x: Vec<f64> = (0..21).map(|i| f64::from(i * i % 11) - 5.0).collect();
        let (mut y, mut gradient) = ([0.0; 21], [0.0; 21]);
        softmax_rows(&mut y, &x, 7);
        nll_rows_backward(&mut gradient, &x, &[6, 0, 3], 0.5);
        for (r, target) in [6, 0, 3].into_iter().enumerate() {
            y[7 * r + target] -= 1.0;
        }
        assert_eq!(gradient, y.map(|y| y * 0.5));
    }

    #[test]
    #[should_panic(expected = "a row without classes has no target")]
    fn rows_without_classes_panic() {
        nll_rows(&mut [0.0f32], &[], &[0]);
    }
}

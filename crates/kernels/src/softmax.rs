//! Softmax and its logarithm over rows, stable at any finite input.

use crate::elementwise::map_assign;
use crate::float::Float;
use crate::parallel::{CHUNK, drain};
use crate::reduce::sum_row;
use crate::simd::vectorize;

/// Maxima kept side by side.
const LANES: usize = 16;

/// The largest element, or NaN if there is one; −∞ for an empty row.
fn max<T: Float>(row: &[T]) -> T {
    vectorize(
        #[inline(always)]
        || {
            let (body, tail) = row.as_chunks::<LANES>();
            let max = tail.iter().fold(T::NEG_INFINITY, |max, &x| x.maximum(max));
            let mut blocks = body.iter();
            let Some(&(mut lanes)) = blocks.next() else { return max };
            for x in blocks {
                for (lane, &x) in lanes.iter_mut().zip(x) {
                    *lane = x.maximum(*lane);
                }
            }
            lanes.iter().fold(max, |max, &x| x.maximum(max))
        },
    )
}

/// `out[i] ← exp(x[i] − max)`; gives their sum.
fn exp_less_max<T: Float>(out: &mut [T], x: &[T], max: T) -> T {
    vectorize(
        #[inline(always)]
        || out.iter_mut().zip(x).for_each(|(out, &x)| *out = (x - max).exp()),
    );
    sum_row(out)
}

/// `x[i] ← exp(x[i] − max)`; gives the maximum and their sum.
pub(crate) fn exp_of_row<T: Float>(x: &mut [T]) -> [T; 2] {
    let max = max(x);
    vectorize(
        #[inline(always)]
        || x.iter_mut().for_each(|x| *x = (*x - max).exp()),
    );
    [max, sum_row(x)]
}

/// `ln Σᵢ exp(x[i])` of one row, without overflow; −∞ for an empty one.
///
/// ```
/// assert_eq!(adamant_kernels::logsumexp_row(&[1e4f32, 1e4]), 1e4 + 2.0f32.ln());
/// ```
#[must_use]
pub fn logsumexp_row<T: Float>(x: &[T]) -> T {
    let max = max(x);
    // An infinite maximum would make NaN of ∞ − ∞.
    let max = if max.is_finite() { max } else { T::ZERO };
    exp_less_max(&mut vec![T::ZERO; x.len()], x, max).ln() + max
}

/// Calls `f(out_row, x_row)` for each row of `row` elements.
fn rows<T: Float>(out: &mut [T], x: &[T], row: usize, f: impl Fn(&mut [T], &[T]) + Sync) {
    assert_eq!(out.len(), x.len(), "operands of one length");
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(row), "rows of one length");
    let piece = CHUNK.div_ceil(row) * row;
    let cost = x.len().saturating_mul(8); // an exponential is some 8 additions
    drain(out.chunks_mut(piece).zip(x.chunks(piece)), cost, |(out, x)| {
        for (out, x) in out.chunks_exact_mut(row).zip(x.chunks_exact(row)) {
            f(out, x);
        }
    });
}

/// `out[i] ← exp(x[i] − max) / Σⱼ exp(x[j] − max)` over each row of `row` elements.
///
/// # Panics
/// If the lengths differ or `row` does not divide them.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::softmax_rows(&mut out, &[1e4, 1e4], 2);
/// assert_eq!(out, [0.5, 0.5]);
/// ```
pub fn softmax_rows<T: Float>(out: &mut [T], x: &[T], row: usize) {
    rows(out, x, row, |out, x| {
        let sum = exp_less_max(out, x, max(x));
        out.iter_mut().for_each(|out| *out /= sum);
    });
}

/// `out[i] ← x[i] − max − ln Σⱼ exp(x[j] − max)` over each row of `row` elements.
///
/// # Panics
/// If the lengths differ or `row` does not divide them.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::log_softmax_rows(&mut out, &[1e4, -1e4], 2);
/// assert_eq!(out, [0.0, -2e4]);
/// ```
pub fn log_softmax_rows<T: Float>(out: &mut [T], x: &[T], row: usize) {
    rows(out, x, row, |out, x| {
        let max = max(x);
        let ln_sum = exp_less_max(out, x, max).ln();
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x - max - ln_sum;
        }
    });
}

/// `out[r] ← −log_softmax(x[r])[targets[r]]`: the negative log-likelihood of
/// each row's class, with nothing stored between.
///
/// # Panics
/// If the lengths do not fit, or a target is no class.
///
/// ```
/// let mut out = [0.0f32; 1];
/// adamant_kernels::nll_rows(&mut out, &[0.0, 0.0], &[1]);
/// assert_eq!(out, [2.0f32.ln()]);
/// ```
pub fn nll_rows<T: Float>(out: &mut [T], x: &[T], targets: &[usize]) {
    assert_eq!(out.len(), targets.len(), "a target for each row");
    if targets.is_empty() {
        return;
    }
    let row = x.len() / targets.len();
    assert_eq!(x.len(), row * targets.len(), "rows of one length");
    let row = row.max(1);
    let piece = CHUNK.div_ceil(row); // rows per piece of work
    let pieces = out.chunks_mut(piece).zip(x.chunks(piece * row)).zip(targets.chunks(piece));
    drain(pieces, x.len().saturating_mul(8), |((out, x), targets)| {
        let mut scratch = vec![T::ZERO; row];
        for ((out, x), &target) in out.iter_mut().zip(x.chunks_exact(row)).zip(targets) {
            let max = max(x);
            *out = (max - x[target]) + exp_less_max(&mut scratch, x, max).ln();
        }
    });
}

/// `out[r] ← (softmax(x[r]) − e) · g`, where `e` is 1 at `targets[r]`, else 0: the gradient of
/// [`nll_rows`] of each row, times `g`.
///
/// # Panics
/// If the lengths do not fit, or a target is no class.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::nll_rows_backward(&mut out, &[3.0, 3.0], &[1], 4.0);
/// assert_eq!(out, [2.0, -2.0]);
/// ```
pub fn nll_rows_backward<T: Float>(out: &mut [T], x: &[T], targets: &[usize], g: T) {
    if targets.is_empty() {
        return assert!(x.is_empty(), "a target for each row");
    }
    let row = x.len() / targets.len();
    assert_eq!([out.len(), x.len()], [row * targets.len(); 2], "rows of one length");
    softmax_rows(out, x, row.max(1));
    for (out, &target) in out.chunks_exact_mut(row.max(1)).zip(targets) {
        out[target] += -T::ONE;
    }
    map_assign(out, |y| y * g);
}

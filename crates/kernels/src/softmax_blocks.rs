//! Softmax over rows whose columns arrive in blocks, so that the rows are never whole.

use crate::attention::RowStats;
use crate::float::Float;
use crate::parallel::{CHUNK, share};
use crate::reduce::sum_row_inline;
use crate::simd::simd;
use crate::softmax::max;

/// Adds a block of columns to the statistics of rows: `stats[r]` becomes the maximum of row `r` so
/// far and the sum of the exponentials of its elements less that maximum. Before the first block it
/// is `[−∞, 0]`. Overwrites `x`.
///
/// # Panics
/// If `x` is not a row for each of `stats`.
///
/// ```
/// use adamant_kernels::{Float, add_to_stats};
/// let mut stats = [[f32::NEG_INFINITY, 0.0]];
/// add_to_stats(&mut stats, &mut [1.0, 1.0]);
/// assert_eq!(stats, [[1.0, 2.0]]);
/// add_to_stats(&mut stats, &mut [1e4]);
/// assert_eq!(stats, [[1e4, 1.0]]);
/// ```
pub fn add_to_stats<T: Float>(stats: &mut [RowStats<T>], x: &mut [T]) {
    by_rows(
        stats,
        x,
        #[inline(always)]
        |[top, sum], x| {
            let next = top.maximum(max(x));
            // Until an element is above −∞, each would be exp(−∞ − −∞) = NaN.
            if next != T::NEG_INFINITY {
                for x in &mut *x {
                    *x = (*x - next).exp();
                }
                *sum = *sum * (*top - next).exp() + sum_row_inline(x);
                *top = next;
            }
        },
    );
}

/// `x[r, c] ← factor · exp(x[r, c] − max) / sum` for a block of columns, where `rows[r]` is
/// `([max, sum], factor)`: the softmax of each row, times its factor.
///
/// # Panics
/// If `x` is not a row for each of `rows`.
///
/// ```
/// let mut x = [3.0f32, 3.0];
/// adamant_kernels::softmax_of_stats(&mut [([3.0, 4.0], 2.0)], &mut x);
/// assert_eq!(x, [0.5, 0.5]);
/// ```
pub fn softmax_of_stats<T: Float>(rows: &mut [(RowStats<T>, T)], x: &mut [T]) {
    by_rows(
        rows,
        x,
        #[inline(always)]
        |&mut ([max, sum], factor), x| {
            let scale = factor / sum;
            for x in x {
                *x = (*x - max).exp() * scale;
            }
        },
    );
}

/// Calls `f(row, x_row)` for each of `rows`; `f` must be `#[inline(always)]`.
fn by_rows<R: Send, T: Float>(rows: &mut [R], x: &mut [T], f: impl Fn(&mut R, &mut [T]) + Sync) {
    if x.is_empty() {
        return;
    }
    let width = x.len() / rows.len();
    assert_eq!(x.len(), width * rows.len(), "rows of one length");
    let piece = CHUNK.div_ceil(width); // rows per piece of work
    let cost = x.len().saturating_mul(8); // an exponential: about 8 additions
    share(rows.chunks_mut(piece).zip(x.chunks_mut(piece * width)), cost, |(rows, x)| {
        simd!(|| {
            for (row, x) in rows.iter_mut().zip(x.chunks_exact_mut(width)) {
                f(row, x);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::softmax::softmax_rows;

    #[test]
    fn blocks_have_the_softmax_of_the_whole_row() {
        let x: Vec<f64> = (0..600).map(|i| f64::from(i * i % 71) / 3.0).collect();
        let mut whole = vec![0.0; 600];
        softmax_rows(&mut whole, &x, 300);
        for width in [1, 7, 100, 300] {
            let blocks = || (0..300).step_by(width).map(|start| start..(start + width).min(300));
            let block = |columns: std::ops::Range<usize>| {
                [&x[columns.clone()], &x[300..][columns]].concat()
            };
            let mut stats = [[f64::NEG_INFINITY, 0.0]; 2];
            blocks().for_each(|columns| add_to_stats(&mut stats, &mut block(columns)));
            for columns in blocks() {
                let mut found = block(columns.clone());
                softmax_of_stats(&mut stats.map(|stats| (stats, 2.0)), &mut found);
                let expected = [&whole[columns.clone()], &whole[300..][columns]].concat();
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - 2.0 * expected).abs() < 1e-15, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn infinities_and_nan_are_those_of_the_whole_row() {
        let sum = |blocks: &[[f32; 2]]| {
            let mut stats = [[f32::NEG_INFINITY, 0.0]];
            blocks.iter().for_each(|block| add_to_stats(&mut stats, &mut block.to_vec()));
            stats[0][1]
        };
        let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
        assert_eq!(sum(&[[low, low], [1.0, low]]), 1.0);
        assert_eq!(sum(&[[1.0, low], [low, low]]), 1.0);
        assert_eq!(sum(&[[low, low]]), 0.0);
        for special in [high, f32::NAN] {
            assert!(sum(&[[1.0, 1.0], [special, 1.0]]).is_nan());
            assert!(sum(&[[special, 1.0], [1.0, 1.0]]).is_nan());
        }
    }
}

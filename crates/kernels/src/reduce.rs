//! Many to one: sums and the place of the largest.
//!
//! Every sum is blocked and pairwise: the order of additions follows from the
//! shape alone, and the error grows with the logarithm of the length.

use crate::float::Float;
use crate::parallel::{CHUNK, drain};
use crate::simd::vectorize;

/// Sums kept side by side: two of the widest registers for f32, four for f64.
const LANES: usize = 32;
/// Rows added one after the other before pairs are formed.
const BLOCK: usize = 32;

/// `out[o, i] ← Σᵣ x[o, r, i]` for row-major `x` of shape `[outer, reduce, inner]`.
///
/// The sum of nothing is 0.
///
/// # Panics
/// If a length does not match `shape`.
///
/// ```
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let (mut rows, mut columns) = ([0.0; 2], [0.0; 3]);
/// adamant_kernels::sum(&mut rows, &x, [2, 3, 1]);
/// adamant_kernels::sum(&mut columns, &x, [1, 2, 3]);
/// assert_eq!((rows, columns), ([6.0, 15.0], [5.0, 7.0, 9.0]));
/// ```
pub fn sum<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3]) {
    let [outer, reduce, inner] = shape;
    assert_eq!(out.len(), outer * inner, "one sum for each kept position");
    assert_eq!(x.len(), outer * reduce * inner, "the operand has its shape");
    if reduce == 0 || inner == 0 {
        return out.fill(T::ZERO);
    }
    if inner == 1 {
        let rows = CHUNK.div_ceil(reduce); // rows per piece of work
        let pieces = out.chunks_mut(rows).zip(x.chunks(rows * reduce));
        drain(pieces, x.len(), |(out, x)| {
            for (out, row) in out.iter_mut().zip(x.chunks_exact(reduce)) {
                *out = sum_row(row);
            }
        });
    } else {
        // Columns per piece of work, in whole tiles.
        let width = (CHUNK.div_ceil(reduce)).next_multiple_of(LANES).min(inner);
        for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(reduce * inner)) {
            drain(out.chunks_mut(width).enumerate(), x.len(), |(piece, out)| {
                vectorize(
                    #[inline(always)]
                    || sum_columns(out, &x[piece * width..], inner),
                );
            });
        }
    }
}

/// The sum of a contiguous row, in blocks of [`CHUNK`] whatever its length.
///
/// ```
/// assert_eq!(adamant_kernels::sum_row(&[1.0f32, 2.0, 4.0]), 7.0);
/// ```
#[must_use]
pub fn sum_row<T: Float>(row: &[T]) -> T {
    if row.len() > CHUNK {
        let mut partial = vec![T::ZERO; row.len().div_ceil(CHUNK)];
        drain(partial.iter_mut().zip(row.chunks(CHUNK)), row.len(), |(partial, block)| {
            *partial = sum_row(block);
        });
        return sum_row(&partial);
    }
    vectorize(
        #[inline(always)]
        || {
            let (body, tail) = row.split_at(row.len() - row.len() % LANES);
            let mut lanes = match body {
                [] => [T::ZERO; LANES],
                _ => sum_tile(body, LANES),
            };
            for (lane, &x) in lanes.iter_mut().zip(tail) {
                *lane += x;
            }
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                for i in 0..width {
                    lanes[i] += lanes[i + width];
                }
            }
            lanes[0]
        },
    )
}

/// `out[i] ← Σᵣ x[r · stride + i]`
#[inline(always)]
fn sum_columns<T: Float>(out: &mut [T], x: &[T], stride: usize) {
    let mut at = 0;
    while at < out.len() {
        // The width of a tile changes the speed, not the order of additions in a column.
        let left = out.len() - at;
        let x = &x[at..];
        if left >= LANES {
            out[at..at + LANES].copy_from_slice(&sum_tile::<T, LANES>(x, stride));
            at += LANES;
        } else if left >= 8 {
            out[at..at + 8].copy_from_slice(&sum_tile::<T, 8>(x, stride));
            at += 8;
        } else {
            out[at] = sum_tile::<T, 1>(x, stride)[0];
            at += 1;
        }
    }
}

/// The sum of the rows `x[r · stride ..][.. W]`: blocks, then pairs of blocks,
/// then pairs of pairs. The stack holds one sum for each bit of the number of
/// blocks so far, as a binary counter does; 64 bits hold any count.
#[inline(always)]
fn sum_tile<T: Float, const W: usize>(x: &[T], stride: usize) -> [T; W] {
    let mut stack = [[T::ZERO; W]; 64 - BLOCK.trailing_zeros() as usize];
    let mut depth = 0;
    for (count, block) in x.chunks(BLOCK * stride).enumerate() {
        let mut sum = [T::ZERO; W];
        for row in block.chunks(stride) {
            // The last row of the operand may end before its stride does.
            let Some(row) = row.first_chunk::<W>() else { break };
            for i in 0..W {
                sum[i] += row[i];
            }
        }
        for _ in 0..(count + 1).trailing_zeros() {
            depth -= 1;
            for i in 0..W {
                sum[i] += stack[depth][i];
            }
        }
        stack[depth] = sum;
        depth += 1;
    }
    let mut total = [T::ZERO; W];
    for sum in stack[..depth].iter().rev() {
        for i in 0..W {
            total[i] += sum[i];
        }
    }
    total
}

/// `out[r] ← f(x[r])` for each row of `row` elements, which may be none.
///
/// # Panics
/// If `x` is not one row for each result.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::reduce_rows(&mut out, &[1.0f32, 2.0, 3.0, 5.0], 2, |row| row[0] * row[1]);
/// assert_eq!(out, [2.0, 15.0]);
/// ```
pub fn reduce_rows<T: Sync, U: Send>(
    out: &mut [U],
    x: &[T],
    row: usize,
    f: impl Fn(&[T]) -> U + Sync,
) {
    assert_eq!(x.len(), out.len() * row, "a row for each result");
    if row == 0 {
        return out.iter_mut().for_each(|out| *out = f(&[]));
    }
    let rows = CHUNK.div_ceil(row); // per piece of work
    drain(out.chunks_mut(rows).zip(x.chunks(rows * row)), x.len(), |(out, x)| {
        for (out, x) in out.iter_mut().zip(x.chunks_exact(row)) {
            *out = f(x);
        }
    });
}

/// The index of the element of `row` to which no other is `better`: the first
/// of equals, and the first NaN if there is one. 0 for an empty row.
///
/// ```
/// let best = |row: &[f32]| adamant_kernels::arg_best(row, |x, best| x > best);
/// assert_eq!((best(&[1.0, 3.0, 3.0]), best(&[9.0, f32::NAN, f32::NAN])), (1, 1));
/// ```
#[must_use]
pub fn arg_best<T: Float>(row: &[T], better: impl Fn(T, T) -> bool) -> usize {
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        if x.is_nan() {
            return i;
        }
        if better(x, row[best]) {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: [usize; 3]) {
        let [outer, reduce, inner] = shape;
        let x: Vec<f64> = (0..outer * reduce * inner).map(|i| ((i * 37) % 101) as f64).collect();
        let mut out = vec![f64::NAN; outer * inner];
        sum(&mut out, &x, shape);
        for o in 0..outer {
            for i in 0..inner {
                let expected: f64 = (0..reduce).map(|r| x[(o * reduce + r) * inner + i]).sum();
                assert_eq!(out[o * inner + i], expected, "shape {shape:?} at [{o}, {i}]");
            }
        }
    }

    #[test]
    fn sums_of_integers_are_exact() {
        for shape in [
            [1, 1, 1],
            [1, 200_000, 1],
            [3, 33, 1],
            [2, 5000, 1],
            [1, 1000, 47],
            [3, 31, 2],
            [2, 70, 20_000],
            [4, 0, 3],
            [0, 3, 4],
        ] {
            check(shape);
        }
    }

    #[test]
    fn a_long_sum_keeps_its_precision() {
        let x = vec![0.1f32; 10_000_000];
        let mut out = [0.0];
        sum(&mut out, &x, [1, x.len(), 1]);
        let exact = f64::from(0.1f32) * 1e7;
        assert!((f64::from(out[0]) / exact - 1.0).abs() < 1e-7);
        sum(&mut out, &x[..1_000_000], [1, 1_000_000, 1]);
        let mut columns = [0.0; 10];
        sum(&mut columns, &x, [1, 1_000_000, 10]);
        assert!((f64::from(columns[9]) * 10.0 / exact - 1.0).abs() < 1e-6);
    }
}

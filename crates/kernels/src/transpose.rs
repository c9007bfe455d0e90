//! Copies of transposed operands.
//!
//! Read along a row of the result, such an operand costs a cache line for each element. A square
//! tile whose sides are a cache line reads and writes whole lines.

use crate::parallel::{CHUNK, share};
use crate::simd::simd;
use crate::strided::{Dim, Nest};

/// The side of a tile: a cache line of `f32`.
const TILE: usize = 16;
/// Rows of the result in a piece of work, a *band*, so that the lines around a tile are read in
/// sequence.
const BAND: usize = 4 * TILE;

/// The dimension along which the operand is contiguous, if that is not the innermost one.
pub(crate) fn contiguous_dim(nest: &Nest<1>) -> Option<usize> {
    let (inner, outer) = nest.dims.split_last()?;
    let is_strided = inner.strides[0] > 1 && inner.size >= TILE;
    let is_contiguous = |dim: &Dim<1>| dim.strides == [1] && dim.size >= TILE;
    if is_strided { outer.iter().position(is_contiguous) } else { None }
}

/// `out[i] ← f(x[i])` for every position of `nest`, row-major in `out`, where `x` is contiguous
/// along dimension `dim`, which is not the innermost one.
pub(crate) fn map_transposed<T, U, F>(out: &mut [U], nest: &Nest<1>, dim: usize, x: &[T], f: F)
where
    T: Copy + Sync,
    U: Copy + Send,
    F: Fn(T) -> U + Copy + Sync,
{
    if out.is_empty() {
        return;
    }
    let (before, rest) = nest.dims.split_at(dim);
    let (rows, inner) = (rest[0].size, rest[rest.len() - 1]);
    let between = &rest[1..rest.len() - 1];
    let row: usize = rest[1..].iter().map(|dim| dim.size).product();
    let is_wide = out.len() / row < 8 * BAND; // then there are few bands
    let band = CHUNK.div_ceil(row).next_multiple_of(if is_wide { TILE } else { BAND });
    let cost = out.len().saturating_mul(2);
    share(out.chunks_mut(band * row).enumerate(), cost, |(piece, mut out)| {
        let mut first = piece * band;
        while !out.is_empty() {
            let start = first % rows;
            let count = (rows - start).min(out.len() / row);
            let (own, others) = out.split_at_mut(count * row);
            let offset = offset_of(before, first / rows) + start;
            for part in 0..row / inner.size {
                let (own, x) =
                    (&mut own[part * inner.size..], &x[offset + offset_of(between, part)..]);
                simd!(|| transpose(own, row, x, inner.strides[0], [count, inner.size], f));
            }
            out = others;
            first += count;
        }
    });
}

/// The offset of the `i`-th position of `dims`.
fn offset_of(dims: &[Dim<1>], mut i: usize) -> usize {
    let mut offset = 0;
    for dim in dims.iter().rev() {
        offset += i % dim.size * dim.strides[0];
        i /= dim.size;
    }
    offset
}

/// `out[i · row + j] ← f(x[j · stride + i])` for `i` and `j` below the sizes of `shape`.
#[inline(always)]
fn transpose<T: Copy, U: Copy>(
    out: &mut [U],
    row: usize,
    x: &[T],
    stride: usize,
    shape: [usize; 2],
    f: impl Fn(T) -> U + Copy,
) {
    let [rows, columns] = shape;
    for j in (0..columns).step_by(TILE) {
        for i in (0..rows).step_by(TILE) {
            let (out, x) = (&mut out[i * row + j..], &x[j * stride + i..]);
            let size = [TILE.min(rows - i), TILE.min(columns - j)];
            if size == [TILE; 2] {
                let tile: [[T; TILE]; TILE] = std::array::from_fn(
                    #[inline(always)]
                    |j| *x[j * stride..].first_chunk().expect("the tile is in the operand"),
                );
                for i in 0..TILE {
                    let out = &mut out[i * row..][..TILE];
                    for j in 0..TILE {
                        out[j] = f(tile[j][i]);
                    }
                }
            } else {
                for i in 0..size[0] {
                    for j in 0..size[1] {
                        out[i * row + j] = f(x[j * stride + i]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{View, map};

    #[test]
    fn every_element_moves_to_its_position() {
        // Sizes of the operand, and which of its dimensions each of the result is.
        for (sizes, order) in [
            ([1, 300, 517], [0, 2, 1]),
            ([5, 70, 33], [2, 0, 1]),
            ([40, 17, 64], [2, 1, 0]),
            ([40, 17, 64], [0, 2, 1]),
            ([3, 16, 16], [1, 2, 0]),
            ([64, 3, 5000], [2, 1, 0]),
            ([20, 0, 30], [2, 1, 0]),
            ([1, 40_000, 20], [0, 2, 1]),
        ] {
            let len: usize = sizes.iter().product();
            let x: Vec<usize> = (0..len).collect();
            let all = [sizes[1] * sizes[2], sizes[2], 1];
            let (shape, strides) = (order.map(|d: usize| sizes[d]), order.map(|d| all[d]));
            let mut out = vec![usize::MAX; len];
            map(&mut out, &shape, View { data: &x, strides: &strides }, |x| x);
            for (at, &found) in out.iter().enumerate() {
                let index = [at / shape[2] / shape[1], at / shape[2] % shape[1], at % shape[2]];
                let expected: usize = index.iter().zip(strides).map(|(i, s)| i * s).sum();
                assert_eq!(found, expected, "{sizes:?} {order:?} at {at}");
            }
        }
    }
}

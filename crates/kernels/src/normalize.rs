//! The loops of normalization layers: means, variances and weighted sums.
//!
//! Long sums accumulate blocks in `f64`, in an order that follows from the shape alone.

use crate::float::Float;
use crate::parallel::{CHUNK, share};
use crate::reduce::{LANES, sum_lanes};
use crate::simd::simd;

/// Elements that are summed in their own type.
const BLOCK: usize = 1024;
/// Rows in one piece of a sum over columns.
const ROWS: usize = 64;

/// `[Σ g w, Σ g w (x − center)]`
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let sums = adamant_kernels::weighted_sums(&[3.0f32, 5.0], &[1.0, 2.0], &[1.0, 1.0], 4.0);
/// assert_eq!(sums, [3.0, 1.0]);
/// ```
#[must_use]
pub fn weighted_sums<T: Float>(x: &[T], g: &[T], w: &[T], center: T) -> [f64; 2] {
    assert!(x.len() == g.len() && g.len() == w.len(), "operands of one length");
    simd!(|| {
        let mut total = [0.0; 2];
        for ((x, g), w) in x.chunks(BLOCK).zip(g.chunks(BLOCK)).zip(w.chunks(BLOCK)) {
            let (mut p, mut q) = ([T::ZERO; LANES], [T::ZERO; LANES]);
            let ((xs, x), (gs, g), (ws, w)) =
                (x.as_chunks::<LANES>(), g.as_chunks::<LANES>(), w.as_chunks::<LANES>());
            for ((x, g), w) in xs.iter().zip(gs).zip(ws) {
                for i in 0..LANES {
                    let gw = g[i] * w[i];
                    p[i] += gw;
                    q[i] += gw * (x[i] - center);
                }
            }
            for (i, ((&x, &g), &w)) in x.iter().zip(g).zip(w).enumerate() {
                let gw = g * w;
                p[i] += gw;
                q[i] += gw * (x - center);
            }
            total[0] += sum_lanes(p).to_f64();
            total[1] += sum_lanes(q).to_f64();
        }
        total
    })
}

/// `Σ f(x)` in blocks.
#[inline(always)]
fn sum_of<T: Float>(x: &[T], f: impl Fn(T) -> T) -> f64 {
    let mut total = 0.0;
    for x in x.chunks(BLOCK) {
        let mut lanes = [T::ZERO; LANES];
        let (xs, rest) = x.as_chunks::<LANES>();
        for x in xs {
            for i in 0..LANES {
                lanes[i] += f(x[i]);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += f(x);
        }
        total += sum_lanes(lanes).to_f64();
    }
    total
}

/// The mean and the biased variance of each group of segments: group `i` has the segments `i`,
/// `i + groups`, … of `x`, each of `segment` elements. Without `center`, the mean counts as 0.
///
/// # Panics
/// If the groups do not have equal numbers of segments.
///
/// ```
/// let mut out = [(0.0, 0.0); 2];
/// adamant_kernels::moments(&mut out, &[1.0f32, 3.0, 5.0, 5.0], 2, true);
/// assert_eq!(out, [(2.0, 1.0), (5.0, 0.0)]);
/// ```
pub fn moments<T: Float>(out: &mut [(f64, f64)], x: &[T], segment: usize, center: bool) {
    let groups = out.len();
    if x.is_empty() {
        return out.fill((f64::NAN, f64::NAN));
    }
    assert!(x.len().is_multiple_of(groups * segment), "equal numbers of segments in each group");
    let count = (x.len() / groups) as f64;
    if segment == 1 && groups < x.len() {
        return column_moments(out, x, count, center);
    }
    let piece = CHUNK.div_ceil(x.len() / groups);
    share(out.chunks_mut(piece).enumerate(), x.len(), |(i, out)| {
        simd!(|| {
            for (k, out) in out.iter_mut().enumerate() {
                let first = (i * piece + k) * segment;
                let segments = x[first..].chunks(groups * segment).map(|x| &x[..segment]);
                *out = moments_of(segments, count, center);
            }
        });
    });
}

/// The mean and the biased variance of `count` elements in segments.
#[inline(always)]
fn moments_of<'x, T: Float>(
    segments: impl Iterator<Item = &'x [T]> + Clone,
    count: f64,
    center: bool,
) -> (f64, f64) {
    let mut mean = 0.0;
    if center {
        for x in segments.clone() {
            mean += sum_of(x, |x| x);
        }
        mean /= count;
    }
    let m = T::from_f64(mean);
    let mut squares = 0.0;
    for x in segments {
        squares += sum_of(x, |x| (x - m) * (x - m));
    }
    // Minus the error from rounding the mean to T.
    let off = mean - m.to_f64();
    (mean, not_negative(squares / count - off * off))
}

/// [`moments`] of groups of one segment each, and `f(i, moments, out, x)` for each group `i` while
/// it is in the cache.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// let (x, mut out, mut of_groups) = ([1.0f32, 3.0], [0.0; 2], [(0.0, 0.0)]);
/// adamant_kernels::with_moments(&mut out, &mut of_groups, &x, true, |_, (mean, _), out, x| {
///     out.iter_mut().zip(x).for_each(|(out, &x)| *out = x - mean as f32);
/// });
/// assert_eq!((out, of_groups), ([-1.0, 1.0], [(2.0, 1.0)]));
/// ```
pub fn with_moments<T: Float>(
    out: &mut [T],
    of_groups: &mut [(f64, f64)],
    x: &[T],
    center: bool,
    f: impl Fn(usize, (f64, f64), &mut [T], &[T]) + Sync,
) {
    assert_eq!(out.len(), x.len(), "operands of one length");
    if x.is_empty() {
        return of_groups.fill((f64::NAN, f64::NAN));
    }
    assert!(x.len().is_multiple_of(of_groups.len()), "groups of one length");
    let len = x.len() / of_groups.len();
    let piece = CHUNK.div_ceil(len); // groups in a piece of work
    let pieces = out.chunks_mut(piece * len).zip(x.chunks(piece * len));
    share(
        of_groups.chunks_mut(piece).zip(pieces).enumerate(),
        x.len(),
        |(i, (found, (out, x)))| {
            simd!(|| {
                let groups = found.iter_mut().zip(out.chunks_mut(len).zip(x.chunks(len)));
                for (k, (found, (out, x))) in groups.enumerate() {
                    *found = moments_of(std::iter::once(x), len as f64, center);
                    f(i * piece + k, *found, out, x);
                }
            });
        },
    );
}

/// Replaces a variance that rounding made negative by 0. `max` would replace NaN too.
fn not_negative(variance: f64) -> f64 {
    if variance < 0.0 { 0.0 } else { variance }
}

/// [`moments`] where each group is a column.
fn column_moments<T: Float>(out: &mut [(f64, f64)], x: &[T], count: f64, center: bool) {
    let columns = out.len();
    let mut mean = vec![T::ZERO; columns];
    if center {
        let sums = column_sums(
            x,
            x,
            columns,
            #[inline(always)]
            |_, x, _, p, _| {
                for (p, &x) in p.iter_mut().zip(x) {
                    *p += x;
                }
            },
        );
        for ((out, mean), &sum) in out.iter_mut().zip(&mut mean).zip(&sums[..columns]) {
            out.0 = sum / count;
            *mean = T::from_f64(out.0);
        }
    } else {
        out.iter_mut().for_each(|out| out.0 = 0.0);
    }
    let squares = column_sums(
        x,
        x,
        columns,
        #[inline(always)]
        |_, x, _, p, _| {
            for ((p, &x), &m) in p.iter_mut().zip(x).zip(&mean) {
                *p += (x - m) * (x - m);
            }
        },
    );
    for ((out, mean), &sum) in out.iter_mut().zip(&mean).zip(&squares) {
        let off = out.0 - mean.to_f64();
        out.1 = not_negative(sum / count - off * off);
    }
}

/// Two sums for each column: `add(row, x, g, p, q)` adds a row's terms to the first sums `p` and
/// the second sums `q`. Returns all first sums, then all second sums.
///
/// # Panics
/// If the lengths differ or are not multiples of `columns`.
///
/// ```
/// let x = [1.0f32, 2.0, 3.0, 4.0];
/// let sums = adamant_kernels::column_sums(&x, &x, 2, |_, x, _, p, _| {
///     p.iter_mut().zip(x).for_each(|(p, &x)| *p += x);
/// });
/// assert_eq!(sums, [4.0, 6.0, 0.0, 0.0]);
/// ```
#[must_use]
pub fn column_sums<T: Float>(
    x: &[T],
    g: &[T],
    columns: usize,
    add: impl Fn(usize, &[T], &[T], &mut [T], &mut [T]) + Sync,
) -> Vec<f64> {
    assert_eq!(x.len(), g.len(), "operands of one length");
    let piece = ROWS * columns.max(1);
    let pieces = x.chunks(piece).zip(g.chunks(piece));
    sums_of_pieces(
        pieces,
        x.len(),
        columns,
        #[inline(always)]
        |i, (x, g), p, q| {
            for (k, (x, g)) in x.chunks(columns).zip(g.chunks(columns)).enumerate() {
                add(i * ROWS + k, x, g, p, q);
            }
        },
    )
}

/// [`column_sums`], where `add(row, out, x, g, p, q)` also writes a row of `out`.
///
/// # Panics
/// If the lengths differ or are not multiples of `columns`.
///
/// ```
/// let (x, mut out) = ([1.0f32, 2.0, 3.0, 4.0], [0.0; 4]);
/// let sums = adamant_kernels::column_sums_with(&mut out, &x, &x, 2, |_, out, x, _, p, _| {
///     out.copy_from_slice(x);
///     p.iter_mut().zip(x).for_each(|(p, &x)| *p += x);
/// });
/// assert_eq!((sums.as_slice(), out), ([4.0, 6.0, 0.0, 0.0].as_slice(), x));
/// ```
#[must_use]
pub fn column_sums_with<T: Float>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    columns: usize,
    add: impl Fn(usize, &mut [T], &[T], &[T], &mut [T], &mut [T]) + Sync,
) -> Vec<f64> {
    assert!(out.len() == x.len() && x.len() == g.len(), "operands of one length");
    let piece = ROWS * columns.max(1);
    let pieces = out.chunks_mut(piece).zip(x.chunks(piece).zip(g.chunks(piece)));
    sums_of_pieces(
        pieces,
        x.len(),
        columns,
        #[inline(always)]
        |i, (out, (x, g)), p, q| {
            let rows = out.chunks_mut(columns).zip(x.chunks(columns).zip(g.chunks(columns)));
            for (k, (out, (x, g))) in rows.enumerate() {
                add(i * ROWS + k, out, x, g, p, q);
            }
        },
    )
}

/// The sums over pieces of `len` elements in rows of `columns`: `add(i, piece, p, q)` adds the rows
/// of piece `i`.
fn sums_of_pieces<P: Send, T: Float>(
    pieces: impl ExactSizeIterator<Item = P> + DoubleEndedIterator + Send,
    len: usize,
    columns: usize,
    add: impl Fn(usize, P, &mut [T], &mut [T]) + Sync,
) -> Vec<f64> {
    let mut total = vec![0.0; 2 * columns];
    if len == 0 {
        return total;
    }
    assert!(len.is_multiple_of(columns), "rows of one length");
    let mut partial = vec![T::ZERO; pieces.len() * 2 * columns];
    let work = partial.chunks_mut(2 * columns).zip(pieces).enumerate();
    share(work, len, |(i, (partial, piece))| {
        let (p, q) = partial.split_at_mut(columns);
        simd!(|| add(i, piece, p, q));
    });
    for partial in partial.chunks(2 * columns) {
        total.iter_mut().zip(partial).for_each(|(total, x)| *total += x.to_f64());
    }
    total
}

/// Calls `f(i, out, x, g)` for each segment of `len` elements, in parallel if that pays off.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let (x, mut out) = ([1.0f32, 2.0, 3.0, 4.0], [0.0; 4]);
/// adamant_kernels::by_segment(&mut out, &x, &x, 2, |i, out, x, _| {
///     out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * i as f32);
/// });
/// assert_eq!(out, [0.0, 0.0, 3.0, 4.0]);
/// ```
pub fn by_segment<T: Float>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    len: usize,
    f: impl Fn(usize, &mut [T], &[T], &[T]) + Sync,
) {
    assert!(out.len() == x.len() && x.len() == g.len(), "operands of one length");
    if x.is_empty() {
        return;
    }
    let segments = CHUNK.div_ceil(len);
    let piece = segments * len;
    let pieces = out.chunks_mut(piece).zip(x.chunks(piece).zip(g.chunks(piece)));
    share(pieces.enumerate(), x.len(), |(i, (out, (x, g)))| {
        simd!(|| {
            let parts = out.chunks_mut(len).zip(x.chunks(len).zip(g.chunks(len)));
            for (k, (out, (x, g))) in parts.enumerate() {
                f(i * segments + k, out, x, g);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_match_their_definition() {
        for (outer, groups, segment) in [(1, 3, 2000), (5, 4, 7), (200, 37, 1), (1, 1, 1)] {
            let x: Vec<f64> =
                (0..outer * groups * segment).map(|i| ((i * 37) % 101) as f64).collect();
            let mut out = vec![(0.0, 0.0); groups];
            moments(&mut out, &x, segment, true);
            for (group, found) in out.iter().enumerate() {
                let of = |(i, _): &(usize, &f64)| (i / segment) % groups == group;
                let own: Vec<f64> = x.iter().enumerate().filter(of).map(|(_, &x)| x).collect();
                let n = own.len() as f64;
                let mean = own.iter().sum::<f64>() / n;
                let var = own.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
                assert!((found.0 - mean).abs() < 1e-12 && (found.1 - var).abs() < 1e-9);
            }
        }
    }
}

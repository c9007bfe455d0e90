//! Running sums and products.

use crate::float::Float;
use crate::parallel::{CHUNK, share};

/// `out[o, r, i] ← f(… f(f(init, x[o, 0, i]), x[o, 1, i]) …, x[o, r, i])` for `x` of shape
/// `[outer, scanned, inner]`; from the last `r` to the first if `reverse`.
///
/// The running value is an `f64`, as in PyTorch.
///
/// # Panics
/// If a length does not match `shape`.
///
/// ```
/// let mut out = [0.0f32; 3];
/// adamant_kernels::scan(&mut out, &[1.0, 2.0, 4.0], [1, 3, 1], false, 0.0, |a, b| a + b);
/// assert_eq!(out, [1.0, 3.0, 7.0]);
/// ```
pub fn scan<T: Float>(
    out: &mut [T],
    x: &[T],
    shape: [usize; 3],
    reverse: bool,
    init: f64,
    f: impl Fn(f64, f64) -> f64 + Sync,
) {
    let [outer, scanned, inner] = shape;
    assert_eq!(x.len(), outer * scanned * inner, "the operand has its shape");
    assert_eq!(out.len(), x.len(), "operands of equal length");
    if x.is_empty() {
        return;
    }
    let slab = scanned * inner;
    let slabs = CHUNK.div_ceil(slab); // per piece of work
    let pieces = out.chunks_mut(slabs * slab).zip(x.chunks(slabs * slab));
    share(pieces, x.len().saturating_mul(2), |(out, x)| {
        if inner == 1 {
            let side = scanned * SIDE;
            let (whole, rest) = out.split_at_mut(out.len() - out.len() % side);
            let (x, x_rest) = x.split_at(whole.len());
            for (out, x) in whole.chunks_exact_mut(side).zip(x.chunks_exact(side)) {
                scan_rows::<SIDE, T>(out, x, reverse, init, &f);
            }
            for (out, x) in rest.chunks_exact_mut(scanned).zip(x_rest.chunks_exact(scanned)) {
                scan_rows::<1, T>(out, x, reverse, init, &f);
            }
            return;
        }
        let mut running = vec![init; inner];
        for (out, x) in out.chunks_exact_mut(slab).zip(x.chunks_exact(slab)) {
            running.fill(init);
            for step in 0..scanned {
                let r = if reverse { scanned - 1 - step } else { step };
                let range = r * inner..(r + 1) * inner;
                let elements = out[range.clone()].iter_mut().zip(&x[range]).zip(&mut running);
                for ((out, x), running) in elements {
                    *running = f(*running, x.to_f64());
                    *out = T::from_f64(*running);
                }
            }
        }
    });
}

/// Rows side by side, since a step waits for the one before it.
const SIDE: usize = 8;
/// Elements of a row that are read and written at once. Lines of rows whose distance is a power of
/// two displace each other from the cache.
const BLOCK: usize = 16;

/// [`scan`] of `N` rows.
fn scan_rows<const N: usize, T: Float>(
    out: &mut [T],
    x: &[T],
    reverse: bool,
    init: f64,
    f: impl Fn(f64, f64) -> f64,
) {
    let len = x.len() / N;
    let mut running = [init; N];
    let mut tile = [[T::ZERO; BLOCK]; N];
    for step in 0..len.div_ceil(BLOCK) {
        let from = step * BLOCK;
        let count = BLOCK.min(len - from);
        let start = if reverse { len - from - count } else { from };
        for (row, tile) in tile.iter_mut().enumerate() {
            tile[..count].copy_from_slice(&x[row * len + start..][..count]);
        }
        for i in 0..count {
            let i = if reverse { count - 1 - i } else { i };
            for (running, tile) in running.iter_mut().zip(&mut tile) {
                *running = f(*running, tile[i].to_f64());
                tile[i] = T::from_f64(*running);
            }
        }
        for (row, tile) in tile.iter().enumerate() {
            out[row * len + start..][..count].copy_from_slice(&tile[..count]);
        }
    }
}

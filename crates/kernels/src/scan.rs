//! Running sums and products.

use crate::float::Float;
use crate::parallel::{CHUNK, drain};

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
    drain(pieces, x.len().saturating_mul(2), |(out, x)| {
        if inner == 1 {
            for (out, x) in out.chunks_exact_mut(scanned).zip(x.chunks_exact(scanned)) {
                let mut running = init;
                let step = |(out, x): (&mut T, &T)| {
                    running = f(running, x.to_f64());
                    *out = T::from_f64(running);
                };
                let elements = out.iter_mut().zip(x);
                if reverse { elements.rev().for_each(step) } else { elements.for_each(step) }
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

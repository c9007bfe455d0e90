//! Adam's update of one parameter, in one pass over its memory.

use crate::float::Float;
use crate::parallel::{CHUNK, drain};
use crate::simd::vectorize;

/// What the update reads and writes; all slices of one length.
#[derive(Debug)]
pub struct AdamBuffers<'a, T> {
    /// The parameter, updated in place.
    pub param: &'a mut [T],
    /// Its gradient.
    pub grad: &'a [T],
    /// The running mean of the gradient, updated in place.
    pub exp_avg: &'a mut [T],
    /// The running mean of its square, updated in place.
    pub exp_avg_sq: &'a mut [T],
}

/// The numbers of a step: computed in f64, then rounded once.
#[derive(Clone, Copy, Debug)]
pub struct AdamScalars<T> {
    /// `λ`, the decay added to the gradient.
    pub weight_decay: T,
    /// `1 − β₁`
    pub one_minus_beta1: T,
    /// `β₂`
    pub beta2: T,
    /// `1 − β₂`
    pub one_minus_beta2: T,
    /// `√(1 − β₂ᵗ)`
    pub bias_correction2_sqrt: T,
    /// `−lr / (1 − β₁ᵗ)`
    pub negative_step_size: T,
    /// `ε`
    pub eps: T,
}

/// One step of Adam:
///
/// ```text
/// g ← g + λ p
/// m ← m + (1 − β₁)(g − m)
/// v ← β₂ v + (1 − β₂) g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// The fused multiply-adds stand where PyTorch's vectorised kernels have them.
///
/// # Panics
/// If the lengths differ.
pub fn adam<T: Float>(buffers: AdamBuffers<'_, T>, scalars: AdamScalars<T>) {
    let AdamBuffers { param, grad, exp_avg, exp_avg_sq } = buffers;
    let len = param.len();
    assert!(
        grad.len() == len && exp_avg.len() == len && exp_avg_sq.len() == len,
        "operands of one length"
    );
    let pieces = param
        .chunks_mut(CHUNK)
        .zip(grad.chunks(CHUNK))
        .zip(exp_avg.chunks_mut(CHUNK).zip(exp_avg_sq.chunks_mut(CHUNK)));
    let cost = len.saturating_mul(2); // a square root and a division
    drain(pieces, cost, |((param, grad), (exp_avg, exp_avg_sq))| {
        vectorize(
            #[inline(always)]
            || {
                let moments = exp_avg.iter_mut().zip(exp_avg_sq);
                for ((p, &g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
                    update(p, g, m, v, scalars);
                }
            },
        );
    });
}

#[inline(always)]
fn update<T: Float>(p: &mut T, g: T, m: &mut T, v: &mut T, s: AdamScalars<T>) {
    // Without decay the parameter stays out of it: 0 · ∞ would be NaN.
    let g = if s.weight_decay == T::ZERO { g } else { s.weight_decay.mul_add(*p, g) };
    *m = s.one_minus_beta1.mul_add(g - *m, *m);
    *v = (s.one_minus_beta2 * g).mul_add(g, s.beta2 * *v);
    let denominator = v.sqrt() / s.bias_correction2_sqrt + s.eps;
    *p += (s.negative_step_size * *m) / denominator;
}

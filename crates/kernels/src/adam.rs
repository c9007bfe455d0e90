//! Adam's update of one parameter, or a piece of it.
//!
//! Where PyTorch's vectorized kernels have fused multiply-adds, these have
//! them, so that in `f32` the results are PyTorch's in every bit;
//! `docs/numerics.md` has the formulas.

use crate::float::Float;
use crate::simd::simd;

/// The scalars of a step: computed in f64, then rounded once.
#[derive(Clone, Copy, Debug)]
pub struct AdamScalars<T> {
    /// `1`, or `−1` to maximize.
    pub sign: T,
    /// `λ`, the decay added to the gradient; 0 for none.
    pub weight_decay: T,
    /// `1 − lr λ`, the decoupled decay's factor; 1 for none.
    pub shrink: T,
    /// `1 − β₁`
    pub one_minus_beta1: T,
    /// Whether `1 − β₁ ≥ ½`, where PyTorch interpolates from the other end,
    /// with the weight `−β₁`.
    pub from_gradient: bool,
    /// `(1 − β₁) − 1`
    pub minus_beta1: T,
    /// `β₂`
    pub beta2: T,
    /// `1 − β₂`
    pub one_minus_beta2: T,
    /// `√(1 − β₂ᵗ)`
    pub bias_correction2_sqrt: T,
    /// `1 − β₂ᵗ` if amsgrad takes the maximum of the bias-corrected moment
    /// instead of the raw one.
    pub corrected_maximum: Option<T>,
    /// `−lr / (1 − β₁ᵗ)`
    pub negative_step_size: T,
    /// `ε`
    pub eps: T,
}

/// One step of Adam, with slices of one length: the parameter, its gradient, the running means of
/// the gradient and of its square and, with amsgrad, the maximum of the latter.
///
/// ```text
/// g ← ±g;   p ← (1 − lr λ) p  (decoupled)   or   g ← g + λ p
/// m ← m + (1 − β₁)(g − m)
/// v ← β₂ v + (1 − β₂) g²
/// p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// With amsgrad `v` in the last line is `v̂ ← max(v̂, v)`, NaN if either is; with
/// `corrected_maximum` the root is `√v̂` of `v̂ ← max(v̂, v / (1 − β₂ᵗ))`.
///
/// # Panics
/// If the lengths differ.
pub fn adam<T: Float>(
    param: &mut [T],
    grad: &[T],
    exp_avg: &mut [T],
    exp_avg_sq: &mut [T],
    max_exp_avg_sq: Option<&mut [T]>,
    scalars: AdamScalars<T>,
) {
    let len = param.len();
    assert!(
        grad.len() == len && exp_avg.len() == len && exp_avg_sq.len() == len,
        "operands of one length"
    );
    match (max_exp_avg_sq, scalars.corrected_maximum) {
        (None, _) => simd!(|| {
            let moments = exp_avg.iter_mut().zip(exp_avg_sq);
            for ((p, &g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
                let new = decay_and_moments(*p, g, *m, *v, scalars);
                (*m, *v) = (new.m, new.v);
                *p = new.param(new.v.sqrt() / scalars.bias_correction2_sqrt, scalars);
            }
        }),
        (Some(max), None) => with_maximum(
            param,
            grad,
            exp_avg,
            exp_avg_sq,
            max,
            scalars,
            #[inline(always)]
            move |max, v| {
                let max = max.maximum(v);
                (max, max.sqrt() / scalars.bias_correction2_sqrt)
            },
        ),
        (Some(max), Some(bias_correction2)) => with_maximum(
            param,
            grad,
            exp_avg,
            exp_avg_sq,
            max,
            scalars,
            #[inline(always)]
            move |max, v| {
                let max = max.maximum(v / bias_correction2);
                (max, max.sqrt())
            },
        ),
    }
}

/// The loop of amsgrad; `root(max, v)` returns the new maximum and the denominator's root.
fn with_maximum<T: Float>(
    param: &mut [T],
    grad: &[T],
    exp_avg: &mut [T],
    exp_avg_sq: &mut [T],
    max_exp_avg_sq: &mut [T],
    scalars: AdamScalars<T>,
    root: impl Fn(T, T) -> (T, T),
) {
    assert!(max_exp_avg_sq.len() == param.len(), "operands of one length");
    simd!(|| {
        let moments = exp_avg.iter_mut().zip(exp_avg_sq).zip(max_exp_avg_sq);
        for ((p, &g), ((m, v), max)) in param.iter_mut().zip(grad).zip(moments) {
            let new = decay_and_moments(*p, g, *m, *v, scalars);
            let (new_max, root) = root(*max, new.v);
            (*m, *v, *max) = (new.m, new.v, new_max);
            *p = new.param(root, scalars);
        }
    });
}

/// One element during a step: in registers until all of it is known, so that each buffer is
/// written once.
struct Element<T> {
    /// The parameter, decayed if decay is decoupled.
    p: T,
    m: T,
    v: T,
}

#[inline(always)]
fn decay_and_moments<T: Float>(p: T, g: T, m: T, v: T, s: AdamScalars<T>) -> Element<T> {
    let p = p * s.shrink;
    let g = g * s.sign;
    // Without decay the parameter is not read: 0 · ∞ would be NaN.
    let g = if s.weight_decay == T::ZERO { g } else { s.weight_decay.mul_add(p, g) };
    let towards = g - m;
    let m = if s.from_gradient {
        s.minus_beta1.mul_add(towards, g)
    } else {
        s.one_minus_beta1.mul_add(towards, m)
    };
    let v = (s.one_minus_beta2 * g).mul_add(g, s.beta2 * v);
    Element { p, m, v }
}

impl<T: Float> Element<T> {
    /// The new parameter, from the root of the second moment.
    #[inline(always)]
    fn param(&self, root: T, s: AdamScalars<T>) -> T {
        self.p + (s.negative_step_size * self.m) / (root + s.eps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(corrected_maximum: Option<f32>) -> AdamScalars<f32> {
        AdamScalars {
            sign: -1.0,
            weight_decay: 0.1,
            shrink: 0.99,
            one_minus_beta1: 0.1,
            from_gradient: false,
            minus_beta1: -0.9,
            beta2: 0.99,
            one_minus_beta2: 0.01,
            bias_correction2_sqrt: 0.3,
            corrected_maximum,
            negative_step_size: -0.01,
            eps: 1e-8,
        }
    }

    /// An odd length, compared with one element at a time, without vectors.
    #[test]
    fn every_element_is_updated_alike() {
        let len = 1003;
        let values = |seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 31 + seed * 17) % 1009) as f32 / 500.0 - 1.0).collect()
        };
        for (amsgrad, corrected) in [(false, None), (true, None), (true, Some(0.09))] {
            let scalars = scalars(corrected);
            let (mut p, g, mut m) = (values(1), values(2), values(3));
            let squares = |seed| values(seed).iter().map(|x| x * x).collect::<Vec<f32>>();
            let (mut v, mut max) = (squares(4), squares(5));
            let before = (p.clone(), m.clone(), v.clone(), max.clone());
            let maximum = amsgrad.then_some(max.as_mut_slice());
            adam(&mut p, &g, &mut m, &mut v, maximum, scalars);
            for i in 0..len {
                let new = decay_and_moments(before.0[i], g[i], before.1[i], before.2[i], scalars);
                let (e_max, root) = match (amsgrad, corrected) {
                    (false, _) => (before.3[i], new.v.sqrt() / scalars.bias_correction2_sqrt),
                    (true, None) => {
                        let max = Float::maximum(before.3[i], new.v);
                        (max, max.sqrt() / scalars.bias_correction2_sqrt)
                    }
                    (true, Some(correction)) => {
                        let max = Float::maximum(before.3[i], new.v / correction);
                        (max, max.sqrt())
                    }
                };
                let (found, expected) =
                    ([p[i], m[i], v[i], max[i]], [new.param(root, scalars), new.m, new.v, e_max]);
                assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits), "element {i}");
            }
        }
    }
}

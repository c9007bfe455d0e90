//! Adam's update, in one pass over the memory of all parameters.
//!
//! Where PyTorch's vectorised kernels have fused multiply-adds, these have
//! them, so that in `f32` the results are PyTorch's in every bit;
//! `docs/numerics.md` has the formulas.

use crate::float::Float;
use crate::simd::simd;
use crate::sweep::{Cut, SweepSize, sweep};

/// What the update of one parameter reads and writes; all slices of one length.
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
    /// With amsgrad: the largest that has been, updated in place.
    pub max_exp_avg_sq: Option<&'a mut [T]>,
    /// The numbers of its step.
    pub scalars: AdamScalars<T>,
}

/// The numbers of a step: computed in f64, then rounded once.
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

/// One step of Adam for each of `buffers`, whose elements `size` counts.
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
/// If the lengths of a parameter's buffers differ.
pub fn adam<'a, T: Float>(
    buffers: impl Iterator<Item = AdamBuffers<'a, T>> + Send,
    size: SweepSize,
) {
    sweep(buffers, size, |buffers| {
        let AdamBuffers { param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, scalars } = buffers;
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
            (Some(max), Some(bias_correction2)) => {
                with_maximum(
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
                );
            }
        }
    });
}

/// The loop of amsgrad; `root(max, v)` gives the new maximum and the denominator's root.
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

/// One element on its way through a step: in registers until all of it is
/// known, so that each buffer is written once.
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
    // Without decay the parameter stays out of it: 0 · ∞ would be NaN.
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

impl<T: Copy> Cut for AdamBuffers<'_, T> {
    fn elements(&self) -> usize {
        self.param.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let (param, param_rest) = self.param.split_at_mut(at);
        let (grad, grad_rest) = self.grad.split_at(at);
        let (exp_avg, exp_avg_rest) = self.exp_avg.split_at_mut(at);
        let (exp_avg_sq, exp_avg_sq_rest) = self.exp_avg_sq.split_at_mut(at);
        let (max_exp_avg_sq, max_exp_avg_sq_rest) =
            self.max_exp_avg_sq.map(|max| max.split_at_mut(at)).unzip();
        let scalars = self.scalars;
        (
            AdamBuffers { param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, scalars },
            AdamBuffers {
                param: param_rest,
                grad: grad_rest,
                exp_avg: exp_avg_rest,
                exp_avg_sq: exp_avg_sq_rest,
                max_exp_avg_sq: max_exp_avg_sq_rest,
                scalars,
            },
        )
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

    /// Long enough to be cut twice, and odd: against one element after the
    /// other, without vectors, threads and cuts.
    #[test]
    fn every_element_is_updated_alike_whatever_the_width_and_the_cut() {
        let len = 2 * (1 << 17) + 3;
        let numbers = |seed: usize| -> Vec<f32> {
            (0..len).map(|i| ((i * 31 + seed * 17) % 1009) as f32 / 500.0 - 1.0).collect()
        };
        for (amsgrad, corrected) in [(false, None), (true, None), (true, Some(0.09))] {
            let scalars = scalars(corrected);
            let (mut p, g, mut m) = (numbers(1), numbers(2), numbers(3));
            let squares = |seed| numbers(seed).iter().map(|x| x * x).collect::<Vec<f32>>();
            let (mut v, mut max) = (squares(4), squares(5));
            let before = (p.clone(), m.clone(), v.clone(), max.clone());
            let mut size = SweepSize::default();
            size.add(len);
            let buffers = AdamBuffers {
                param: &mut p,
                grad: &g,
                exp_avg: &mut m,
                exp_avg_sq: &mut v,
                max_exp_avg_sq: amsgrad.then_some(&mut max),
                scalars,
            };
            adam(std::iter::once(buffers), size);
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

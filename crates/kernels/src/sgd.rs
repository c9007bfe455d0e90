//! Stochastic gradient descent's update of one parameter, or a piece of it.

use crate::float::Float;
use crate::simd::simd;

/// The scalars of a step.
#[derive(Clone, Copy, Debug)]
pub struct SgdScalars<T> {
    /// `1`, or `−1` to maximize.
    pub sign: T,
    /// `λ`, the decay added to the gradient; 0 for none.
    pub weight_decay: T,
    /// `μ`
    pub momentum: T,
    /// `1 − τ`, the dampening's complement.
    pub one_minus_dampening: T,
    /// Whether this is the first step, at which the running sum is the gradient.
    pub first: bool,
    /// Whether to look ahead along the running sum.
    pub nesterov: bool,
    /// `−lr`
    pub negative_lr: T,
}

/// One step of gradient descent, with slices of one length: the parameter, its gradient and, with
/// momentum, the running sum.
///
/// ```text
/// g ← ±g + λ p
/// b ← g at the first step, then μ b + (1 − τ) g
/// p ← p − lr · b,   or with Nesterov's momentum   p ← p − lr · (g + μ b)
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn sgd<T: Float>(
    param: &mut [T],
    grad: &[T],
    momentum_buffer: Option<&mut [T]>,
    s: SgdScalars<T>,
) {
    assert_eq!(param.len(), grad.len(), "operands of one length");
    let gradient = |p: T, g: T| {
        let g = g * s.sign;
        if s.weight_decay == T::ZERO { g } else { s.weight_decay.mul_add(p, g) }
    };
    let Some(buffer) = momentum_buffer else {
        return simd!(|| {
            for (p, &g) in param.iter_mut().zip(grad) {
                *p = s.negative_lr.mul_add(gradient(*p, g), *p);
            }
        });
    };
    assert_eq!(param.len(), buffer.len(), "operands of one length");
    simd!(|| {
        for ((p, &g), b) in param.iter_mut().zip(grad).zip(buffer) {
            let g = gradient(*p, g);
            *b = if s.first { g } else { s.one_minus_dampening.mul_add(g, s.momentum * *b) };
            let direction = if s.nesterov { s.momentum.mul_add(*b, g) } else { *b };
            *p = s.negative_lr.mul_add(direction, *p);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesterovs_momentum_looks_ahead() {
        let len = 1003;
        let values =
            |step: usize| -> Vec<f64> { (0..len).map(|i| ((i * step) % 97) as f64).collect() };
        let (mut p, g, mut b) = (values(3), values(5), values(7));
        let (before_p, before_b) = (p.clone(), b.clone());
        let scalars = SgdScalars {
            sign: 1.0,
            weight_decay: 0.0,
            momentum: 0.5,
            one_minus_dampening: 1.0,
            first: false,
            nesterov: true,
            negative_lr: -2.0,
        };
        sgd(&mut p, &g, Some(&mut b), scalars);
        for i in 0..len {
            let expected_b = 0.5 * before_b[i] + g[i];
            assert_eq!(b[i], expected_b);
            assert_eq!(p[i], before_p[i] - 2.0 * (g[i] + 0.5 * expected_b), "element {i}");
        }
    }
}

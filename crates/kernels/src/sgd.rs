//! Stochastic gradient descent's update, in one pass over all parameters.

use crate::float::Float;
use crate::simd::simd;
use crate::sweep::{Cut, SweepSize, sweep};

/// What the update of one parameter reads and writes; all slices of one length.
#[derive(Debug)]
pub struct SgdBuffers<'a, T> {
    /// The parameter, updated in place.
    pub param: &'a mut [T],
    /// Its gradient.
    pub grad: &'a [T],
    /// With momentum: the running sum, updated in place.
    pub momentum_buffer: Option<&'a mut [T]>,
    /// The numbers of its step.
    pub scalars: SgdScalars<T>,
}

/// The numbers of a step.
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

/// One step of gradient descent for each of `buffers`, whose elements `size` counts.
///
/// ```text
/// g ← ±g + λ p
/// b ← g at the first step, then μ b + (1 − τ) g
/// p ← p − lr · b,   or with Nesterov's momentum   p ← p − lr · (g + μ b)
/// ```
///
/// # Panics
/// If the lengths of a parameter's buffers differ.
pub fn sgd<'a, T: Float>(buffers: impl Iterator<Item = SgdBuffers<'a, T>> + Send, size: SweepSize) {
    sweep(buffers, size, |SgdBuffers { param, grad, momentum_buffer, scalars: s }| {
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
    });
}

impl<T: Copy> Cut for SgdBuffers<'_, T> {
    fn elements(&self) -> usize {
        self.param.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let (param, param_rest) = self.param.split_at_mut(at);
        let (grad, grad_rest) = self.grad.split_at(at);
        let (momentum_buffer, momentum_buffer_rest) =
            self.momentum_buffer.map(|buffer| buffer.split_at_mut(at)).unzip();
        let scalars = self.scalars;
        (
            SgdBuffers { param, grad, momentum_buffer, scalars },
            SgdBuffers {
                param: param_rest,
                grad: grad_rest,
                momentum_buffer: momentum_buffer_rest,
                scalars,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_parameter_is_cut_where_all_its_buffers_are() {
        let len = 2 * (1 << 17) + 3;
        let numbers =
            |step: usize| -> Vec<f64> { (0..len).map(|i| ((i * step) % 97) as f64).collect() };
        let (mut p, g, mut b) = (numbers(3), numbers(5), numbers(7));
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
        let mut size = SweepSize::default();
        size.add(len);
        let momentum_buffer = Some(b.as_mut_slice());
        let buffers = SgdBuffers { param: &mut p, grad: &g, momentum_buffer, scalars };
        sgd(std::iter::once(buffers), size);
        for i in 0..len {
            let expected_b = 0.5 * before_b[i] + g[i];
            assert_eq!(b[i], expected_b);
            assert_eq!(p[i], before_p[i] - 2.0 * (g[i] + 0.5 * expected_b), "element {i}");
        }
    }
}

//! The elementwise maximum and minimum of two tensors.

use crate::ops::elementwise::operand::Operand;
use crate::ops::elementwise::piecewise::piecewise;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The larger of each pair, NaN if either is NaN; the operands broadcast.
    ///
    /// Gradient: `g` to the larger; equal elements get half each.
    ///
    /// PyTorch: `torch.maximum(x, y)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
    /// assert_eq!(x.maximum(2.0).to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn maximum(&self, other: impl Operand<T>) -> Tensor<T> {
        extremum("maximum", self, &other.operand(), |x, y| x > y)
    }

    /// The smaller of each pair, NaN if either is NaN; the operands broadcast.
    ///
    /// Gradient: `g` to the smaller; equal elements get half each.
    ///
    /// PyTorch: `torch.minimum(x, y)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 3.0], [2]).unwrap();
    /// assert_eq!(x.minimum(2.0).to_vec(), [1.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn minimum(&self, other: impl Operand<T>) -> Tensor<T> {
        extremum("minimum", self, &other.operand(), |x, y| x < y)
    }
}

const FIRST: u8 = 0;
const SECOND: u8 = 1;
const EQUALS: u8 = 2;
/// One is NaN: neither has lost, and both get all of the gradient.
const NAN: u8 = 3;

#[track_caller]
pub(crate) fn extremum<T: Float>(
    op: &'static str,
    a: &Tensor<T>,
    b: &Tensor<T>,
    better: impl Fn(T, T) -> bool + Copy + Sync,
) -> Tensor<T> {
    let shape = a.broadcast_with(op, b);
    let pick = move |x: T, y: T| if better(x, y) || x.is_nan() { x } else { y };
    let value = a.array.zip(op, &b.array, shape.clone(), pick);
    let winner = move |x: T, y: T| {
        if better(x, y) {
            FIRST
        } else if better(y, x) {
            SECOND
        } else if x == y {
            EQUALS
        } else {
            NAN
        }
    };
    let winners = if a.wants_grad() || b.wants_grad() {
        Some(a.array.zip(op, &b.array, shape, winner))
    } else {
        None
    };
    record(op, [a, b], value, move |ctx| {
        let Some(winners) = &winners else { return [None, None] };
        let part = |lost_to: u8| {
            let share = move |g: T, winner| match winner {
                EQUALS => g * T::from_f64(0.5),
                _ if winner == lost_to => T::ZERO,
                _ => g,
            };
            piecewise(op, ctx.grad(), winners, share)
        };
        [ctx.broadcast_back(0, || part(SECOND)), ctx.broadcast_back(1, || part(FIRST))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            // Not the same values, where there is a kink.
            check_op(|x| x[0].maximum(&(&x[1] + 0.3)) * &x[0], &shapes, -2.0..2.0);
            check_op(|x| x[0].minimum(&(&x[1] + 0.3)) * &x[0], &shapes, -2.0..2.0);
        }
    }

    #[test]
    fn equals_share_the_gradient() {
        let (x, y) =
            (Tensor::scalar(2.0f32).requires_grad(), Tensor::scalar(2.0f32).requires_grad());
        x.maximum(&y).backward();
        assert_eq!((x.grad().unwrap().item(), y.grad().unwrap().item()), (0.5, 0.5));
        assert!(Tensor::scalar(f32::NAN).maximum(1.0).item().is_nan());
        assert!(Tensor::scalar(1.0).maximum(f32::NAN).item().is_nan());
    }
}

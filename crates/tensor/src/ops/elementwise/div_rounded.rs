//! Quotients rounded to integers, whose gradients are 0.

use crate::ops::elementwise::operand::Operand;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `x / y` rounded toward 0, element by element; the operands broadcast.
    ///
    /// Gradients: 0. PyTorch: `x.div(y, rounding_mode='trunc')`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([7.0f32, -7.0]).div_trunc(2.0).to_vec(), [3.0, -3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn div_trunc(&self, other: impl Operand<T>) -> Tensor<T> {
        flat("div_trunc", self, &other.operand(), |x, y| (x / y).trunc())
    }

    /// The largest integer not above `x / y`, element by element; the operands broadcast.
    ///
    /// It is computed from the exact remainder, as in PyTorch and Python, so a quotient that rounds
    /// up to an integer does not become that integer: `1 / 0.1` is 10, and its floor 9.
    ///
    /// Gradients: 0. PyTorch: `x.div(y, rounding_mode='floor')`, `x.floor_divide(y)`, `x // y`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([7.0f32, -7.0]).div_floor(2.0).to_vec(), [3.0, -4.0]);
    /// assert_eq!(Tensor::from([1.0f64]).div_floor(0.1).to_vec(), [9.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn div_floor(&self, other: impl Operand<T>) -> Tensor<T> {
        flat("div_floor", self, &other.operand(), div_floor)
    }
}

fn div_floor<T: Float>(x: T, y: T) -> T {
    let quotient = x / y;
    if y == T::ZERO {
        return quotient;
    }
    let remainder = x % y; // exact, with the sign of `x`
    let mut whole = (x - remainder) / y;
    if remainder != T::ZERO && (y < T::ZERO) != (remainder < T::ZERO) {
        whole = whole - T::ONE;
    }
    if whole == T::ZERO {
        return T::ZERO.copysign(quotient);
    }
    // An integer but for the rounding of the difference and of the division.
    let floor = whole.floor();
    if whole - floor > T::from_f64(0.5) { floor + T::ONE } else { floor }
}

#[track_caller]
fn flat<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    y: &Tensor<T>,
    f: impl Fn(T, T) -> T + Copy + Sync,
) -> Tensor<T> {
    let value = x.array.zip(op, &y.array, x.broadcast_with(op, y), f);
    record(op, [x, y], value, |ctx| {
        let zeros = || Tensor::zeros(ctx.grad().shape());
        [ctx.broadcast_back(0, zeros), ctx.broadcast_back(1, zeros)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_zeros_of_the_operands_shapes() {
        let x = Tensor::<f32>::ones([2, 1]).requires_grad();
        let y = Tensor::<f32>::ones([3]).requires_grad();
        (x.div_trunc(&y) + x.div_floor(&y)).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [0.0; 2]);
        assert_eq!(y.grad().unwrap().to_vec(), [0.0; 3]);
    }

    #[test]
    fn a_floor_has_the_sign_of_its_quotient() {
        let floor = |x: f64, y: f64| Tensor::from([x]).div_floor(y).to_vec()[0];
        assert!(floor(-0.0, 2.0).is_sign_negative() && floor(0.0, 2.0).is_sign_positive());
        assert_eq!((floor(1.0, 0.0), floor(-1.0, 0.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(floor(0.0, 0.0).is_nan() && floor(f64::INFINITY, 2.0).is_nan());
    }
}

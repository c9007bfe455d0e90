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

/// PyTorch's formula, from the exact remainder; without branches, so that it is vectorized.
#[inline(always)]
fn div_floor<T: Float>(x: T, y: T) -> T {
    let quotient = x / y;
    let remainder = remainder(x, y, quotient);
    let mut whole = (x - remainder) / y;
    let rounds_down = (remainder != T::ZERO) & ((y < T::ZERO) != (remainder < T::ZERO));
    whole = if rounds_down { whole - T::ONE } else { whole };
    // An integer but for the rounding of the difference and of the division.
    let floor = whole.floor();
    let floor = if whole - floor > T::from_f64(0.5) { floor + T::ONE } else { floor };
    let floor = if whole == T::ZERO { T::ZERO.copysign(quotient) } else { floor };
    // Here `x` less its remainder rounds to `x`, and the quotient less 1 to the quotient.
    let is_large = quotient.abs() >= T::from_f64(4.0) / T::EPSILON;
    if (y == T::ZERO) | (is_large & x.is_finite()) { quotient } else { floor }
}

/// `x % y`, exactly, but perhaps for the sign of 0, where |x / y| is below `4 / ε`.
///
/// There the rounded quotient is within 1 of the exact one, so what is left of `x` needs no
/// rounding.
#[inline(always)]
fn remainder<T: Float>(x: T, y: T, quotient: T) -> T {
    let whole = quotient.trunc();
    let rest = if whole == T::ZERO { x } else { (-whole).mul_add(y, x) }; // 0 · ∞ is NaN
    let step = y.abs().copysign(x);
    let is_below = (rest != T::ZERO) & ((rest < T::ZERO) != (x < T::ZERO));
    let rest = if is_below { rest + step } else { rest };
    if rest.abs() >= y.abs() { rest - step } else { rest }
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

    /// PyTorch's formula as it is written there, for each pair of these numbers.
    fn check_floors<T: Float>(numbers: &[f64]) {
        let formula = |x: T, y: T| {
            let quotient = x / y;
            if y == T::ZERO {
                return quotient;
            }
            let remainder = x % y;
            let mut whole = (x - remainder) / y;
            if remainder != T::ZERO && (y < T::ZERO) != (remainder < T::ZERO) {
                whole = whole - T::ONE;
            }
            if whole == T::ZERO {
                return T::ZERO.copysign(quotient);
            }
            let floor = whole.floor();
            if whole - floor > T::from_f64(0.5) { floor + T::ONE } else { floor }
        };
        let bits = |x: T| if x.is_nan() { None } else { Some(x.to_f64().to_bits()) };
        for &x in numbers {
            for &y in numbers {
                let (x, y) = (T::from_f64(x), T::from_f64(y));
                assert_eq!(bits(div_floor(x, y)), bits(formula(x, y)), "{x} // {y}");
            }
        }
    }

    #[test]
    fn floors_have_the_bits_of_pytorchs_formula() {
        let mut numbers = vec![0.0, f64::INFINITY, f64::NAN];
        numbers.extend([f32::MAX, f32::MIN_POSITIVE, 1e-45, 1.5e-39].map(f64::from));
        numbers.extend([f64::MAX, f64::MIN_POSITIVE, 5e-324, 1.5e-310]);
        for e in
            [-126, -50, -24, -3, -1, 0, 1, 2, 3, 5, 22, 23, 24, 25, 26, 51, 52, 53, 54, 55, 100]
        {
            let power = 2f64.powi(e);
            for factor in [1.0, 1.0 - 2f64.powi(-24), 1.0 + 2f64.powi(-23), 1.0 + f64::EPSILON] {
                numbers.push(power * factor);
            }
            numbers.extend([1.0 / 3.0, 0.1, 1.7, 7.0, 1.0 - f64::EPSILON].map(|f| power * f));
            numbers
                .extend((0..8).map(|i| power * (1.0 + f64::from((i * 7919 + e) & 0xfff) / 4096.7)));
        }
        numbers.extend(numbers.clone().iter().map(|x| -x));
        check_floors::<f32>(&numbers);
        check_floors::<f64>(&numbers);
    }

    #[test]
    fn a_floor_has_the_sign_of_its_quotient() {
        let floor = |x: f64, y: f64| Tensor::from([x]).div_floor(y).to_vec()[0];
        assert!(floor(-0.0, 2.0).is_sign_negative() && floor(0.0, 2.0).is_sign_positive());
        assert_eq!((floor(1.0, 0.0), floor(-1.0, 0.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert!(floor(0.0, 0.0).is_nan() && floor(f64::INFINITY, 2.0).is_nan());
    }
}

//! Rounding, whose gradient is 0.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, powi};

impl<T: Float> Tensor<T> {
    /// The largest integer not above `x`, element by element.
    ///
    /// Gradient: 0. PyTorch: `x.floor()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-1.5f32).floor().item(), -2.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn floor(&self) -> Tensor<T> {
        flat("floor", self, T::floor)
    }

    /// The smallest integer not below `x`, element by element.
    ///
    /// Gradient: 0. PyTorch: `x.ceil()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(-1.5f32).ceil().item(), -1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn ceil(&self) -> Tensor<T> {
        flat("ceil", self, T::ceil)
    }

    /// The nearest integer, element by element; halves round to even.
    ///
    /// Gradient: 0. PyTorch: `x.round()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![0.5f32, 1.5, -1.2], [3]).unwrap();
    /// assert_eq!(x.round().to_vec(), [0.0, 2.0, -1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn round(&self) -> Tensor<T> {
        flat("round", self, T::round_ties_even)
    }

    /// [`round`](Tensor::round) to `decimals` digits after the decimal point; with a negative
    /// number, to multiples of 10, 100, and so on.
    ///
    /// It is `round(x · 10ⁿ) / 10ⁿ`, where the product is rounded too. So a tie in decimal digits,
    /// which is rarely exact in binary, may go either way, as in PyTorch.
    ///
    /// Gradient: 0. PyTorch: `x.round(decimals=n)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([123.456f64, -0.125]);
    /// assert_eq!(x.round_decimals(2).to_vec(), [123.46, -0.12]);
    /// assert_eq!(x.round_decimals(-1).to_vec(), [120.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn round_decimals(&self, decimals: i32) -> Tensor<T> {
        let unit = T::from_f64(powi(10.0, decimals.unsigned_abs().into()));
        if decimals < 0 {
            flat("round_decimals", self, move |x| (x / unit).round_ties_even() * unit)
        } else {
            flat("round_decimals", self, move |x| (x * unit).round_ties_even() / unit)
        }
    }
}

/// An operation whose gradient is 0 everywhere.
#[track_caller]
pub(crate) fn flat<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    f: impl Fn(T) -> T + Copy + Sync,
) -> Tensor<T> {
    record(name, [x], x.array.map(name, f), |ctx| [Some(Tensor::zeros(ctx.grad().shape()))])
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn gradients_are_zero() {
        for f in [Tensor::floor, Tensor::ceil, Tensor::round] {
            let x = Tensor::<f32>::ones([2, 3]).requires_grad();
            f(&x).sum().backward();
            assert_eq!(x.grad().unwrap().to_vec(), [0.0; 6]);
        }
    }
}

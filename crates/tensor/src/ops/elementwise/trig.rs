//! Trigonometric functions.

use crate::arrays::array::Array;
use crate::ops::elementwise::add::neg;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float};

impl<T: Float> Tensor<T> {
    /// `sin x`, in radians, element by element.
    ///
    /// Gradient: `g cos x`. PyTorch: `x.sin()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).sin().item(), 0.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn sin(&self) -> Tensor<T> {
        let x = self.clone();
        record("sin", [self], wave("sin", &self.array, kernels::sin), move |ctx| {
            [Some(ctx.grad() * x.cos())]
        })
    }

    /// `cos x`, in radians, element by element.
    ///
    /// Gradient: `−g sin x`. PyTorch: `x.cos()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::scalar(0.0f32).cos().item(), 1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cos(&self) -> Tensor<T> {
        let x = self.clone();
        record("cos", [self], wave("cos", &self.array, kernels::cos), move |ctx| {
            [Some(ctx.grad() * neg(&x.sin()))]
        })
    }

    /// The angle of the point `(x, y)` in radians, where `y` is this tensor; the
    /// operands broadcast.
    ///
    /// Gradients: `g x / (x² + y²)` for `y`, `−g y / (x² + y²)` for `x`, and 0 at the origin.
    ///
    /// PyTorch: `y.atan2(x)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (y, x) = (Tensor::scalar(1.0f32), Tensor::scalar(1.0));
    /// assert_eq!(y.atan2(&x).item(), std::f32::consts::FRAC_PI_4);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn atan2(&self, x: &Tensor<T>) -> Tensor<T> {
        let shape = self.broadcast_with("atan2", x);
        let value = self.array.zip("atan2", &x.array, shape, T::atan2);
        let (y, x_saved) = (self.clone(), x.clone());
        record("atan2", [self, x], value, move |ctx| {
            let (g, x) = (ctx.grad(), &x_saved);
            let square = &y * &y + x * x;
            // At the origin, where there is no derivative, PyTorch has 0.
            let scale = square.reciprocal().masked_fill(&square.eq(T::ZERO), T::ZERO);
            [
                ctx.broadcast_back(0, || g * x * &scale),
                ctx.broadcast_back(1, || g * neg(&y) * &scale),
            ]
        })
    }
}

/// `f` of the elements.
#[track_caller]
fn wave<T: Float>(op: &str, x: &Array<T>, f: fn(&mut [T], &[T])) -> Array<T> {
    let x = x.contiguous(op);
    Array::build(op, x.shape().clone(), |out| f(out, x.contiguous_slice()))
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].sin(), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].cos(), &[&[2, 3]], -2.0..2.0);
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            check_op(|x| x[0].atan2(&x[1]), &shapes, 0.5..2.0);
        }
    }
}

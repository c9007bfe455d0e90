//! Linear interpolation.

use crate::ops::elementwise::add::scalar_sub;
use crate::ops::elementwise::operand::Operand;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `x + w (end − x)`, element by element: `x` at `w = 0` and `end` at `w = 1`, both exactly.
    /// The operands broadcast.
    ///
    /// Gradients: `g (1 − w)`, `g w`, and `g (end − x)` for `w`.
    ///
    /// PyTorch: `x.lerp(end, weight)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (x, end) = (Tensor::scalar(1.0f32), Tensor::scalar(3.0));
    /// assert_eq!(x.lerp(&end, 0.25).item(), 1.5);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn lerp(&self, end: &Tensor<T>, weight: impl Operand<T>) -> Tensor<T> {
        let weight = weight.operand();
        let shape = self.broadcast_with("lerp", end).broadcast_with("lerp", weight.array.shape());
        // As in PyTorch, computed from the nearer end.
        let half = T::from_f64(0.5);
        let interpolate = move |x: T, end: T, w: T| {
            let rise = end - x;
            if w.abs() < half { x + rise * w } else { end - rise * (T::ONE - w) }
        };
        let value = self.array.zip3("lerp", &end.array, &weight.array, shape, interpolate);
        let w = weight.clone().into_owned();
        let ends = weight.wants_grad().then(|| (self.clone(), end.clone()));
        record("lerp", [self, end, &weight], value, move |ctx| {
            let g = ctx.grad();
            [
                ctx.broadcast_back(0, || g * scalar_sub(T::ONE, &w)),
                ctx.broadcast_back(1, || g * &w),
                ends.as_ref().and_then(|(x, end)| ctx.broadcast_back(2, || g * (end - x))),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for w in [&[2, 3][..], &[3], &[], &[4, 1, 1]] {
            check_op(|x| x[0].lerp(&x[1], &x[2]), &[&[2, 3], &[3], w], -2.0..2.0);
        }
        check_op(|x| x[0].lerp(&x[1], 0.7), &[&[2, 3], &[2, 3]], -2.0..2.0);
    }

    #[test]
    fn both_ends_are_exact() {
        let (x, end) = (Tensor::scalar(0.1f32), Tensor::scalar(1e9f32));
        assert_eq!((x.lerp(&end, 0.0).item(), x.lerp(&end, 1.0).item()), (0.1, 1e9));
    }
}

//! The same elements under another shape.

use crate::node::record;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The same elements in row-major order under another shape: a view if they
    /// lie in that order, else a copy.
    ///
    /// Gradient: `g` under the old shape. PyTorch: `x.reshape(shape)`.
    ///
    /// # Panics
    /// If the shape has another number of elements.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).reshape([6]).shape(), [6]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let from = self.array.shape().clone();
        let to = from.to_reshaped("reshape", shape.into());
        let value = self.array.reshape(to);
        record("reshape", [self], value, move |ctx| [Some(ctx.grad().reshape(&from))])
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].reshape([3, 2]).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].reshape([]).powf(2.0), &[&[1, 1]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "a tensor of shape [2, 3] has 6 elements, which shape [4] has not")]
    fn elements_cannot_be_lost() {
        let _ = Tensor::<f32>::ones([2, 3]).reshape([4]);
    }
}

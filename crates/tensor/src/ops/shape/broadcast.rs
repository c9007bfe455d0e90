//! Repeating along dimensions, and the sum that undoes it.

use crate::arrays::keepdim::keepdim;
use crate::arrays::shape::Shape;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The view of this shape in which dimensions of size 1, and missing
    /// leading ones, repeat. Copies nothing.
    ///
    /// Gradient: summed over the repeated dimensions.
    ///
    /// PyTorch: `x.broadcast_to(shape)`, `x.expand(shape)`.
    ///
    /// # Panics
    /// If the shape does not broadcast to that one, or that one is too large to be counted.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(x.broadcast_to([2, 2]).to_vec(), [1.0, 2.0, 1.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Tensor<T> {
        self.broadcast_by("broadcast_to", shape.into())
    }

    /// [`broadcast_to`](Tensor::broadcast_to) for another operation.
    #[track_caller]
    pub(crate) fn broadcast_by(&self, op: &'static str, to: Shape) -> Tensor<T> {
        let from = self.array.shape().clone();
        from.check_broadcast_to(op, &to);
        let to = to.checked(op);
        let value = self.array.broadcast_to(&to);
        record(op, [self], value, move |ctx| [Some(ctx.grad().clone().sum_to(&from))])
    }

    /// The sum over the dimensions along which `shape` was broadcast to this: the gradient of a
    /// broadcast.
    #[track_caller]
    pub(crate) fn sum_to(self, shape: &Shape) -> Tensor<T> {
        let mut sum = self;
        while sum.array.shape().len() > shape.len() {
            sum = sum.sum_dim(0);
        }
        for dim in 0..shape.len() {
            if shape[dim] == 1 && sum.array.shape()[dim] != 1 {
                sum = sum.sum_dim(keepdim(dim));
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].broadcast_to([4, 2, 3]).powf(2.0), &[&[2, 1]], -2.0..2.0);
        check_op(|x| x[0].broadcast_to([2, 3]).powf(2.0), &[&[]], -2.0..2.0);
        check_op(|x| x[0].broadcast_to([0, 3]), &[&[1, 3]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "a tensor of shape [2, 3] does not broadcast to [3]")]
    fn a_shape_cannot_shrink() {
        let _ = Tensor::<f32>::ones([2, 3]).broadcast_to([3]);
    }
}

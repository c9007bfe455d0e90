//! Dimensions in another order. Views: nothing is copied.

use crate::node::record;
use crate::shape::check_dim;
use crate::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The view whose dimension `d` is this tensor's dimension `order[d]`.
    ///
    /// Gradient: `g` with its dimensions put back. PyTorch: `x.permute(order)`.
    ///
    /// # Panics
    /// If `order` does not hold each dimension once.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3, 4]).permute(&[2, 0, 1]).shape(), [4, 2, 3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor<T> {
        let shape = self.array.shape();
        let mut back = vec![usize::MAX; shape.len()];
        for (d, &from) in order.iter().enumerate() {
            if let Some(place) = back.get_mut(from) {
                *place = d;
            }
        }
        assert!(
            order.len() == shape.len() && !back.contains(&usize::MAX),
            "permute: {order:?} does not hold each dimension of a tensor of shape {shape} once"
        );
        let value = self.array.permute(order);
        record("permute", [self], value, move |ctx| [Some(ctx.grad().permute(&back))])
    }

    /// The view with dimensions `a` and `b` exchanged.
    ///
    /// PyTorch: `x.transpose(a, b)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).transpose(0, 1).shape(), [3, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Tensor<T> {
        let shape = self.array.shape();
        check_dim("transpose", a, shape);
        check_dim("transpose", b, shape);
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.swap(a, b);
        self.permute(&order)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].permute(&[1, 2, 0]).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].transpose(0, 1).powf(2.0), &[&[2, 3]], -2.0..2.0);
    }

    #[test]
    fn elements_move_with_their_dimensions() {
        let x = Tensor::from_vec((0..6).map(|i| i as f32).collect(), [2, 3]).unwrap();
        assert_eq!(x.transpose(0, 1).to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    #[should_panic(expected = "permute: [0, 0] does not hold each dimension")]
    fn a_dimension_cannot_stand_twice() {
        let _ = Tensor::<f32>::ones([2, 3]).permute(&[0, 0]);
    }
}

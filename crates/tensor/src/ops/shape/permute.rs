//! Dimensions in another order. Views: nothing is copied.

use crate::arrays::dims::{Dim, Dims, check_dim};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;

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
    pub fn permute(&self, order: impl Dims) -> Tensor<T> {
        let shape = self.array.shape();
        let named = order.signed(shape.len());
        let mut order: SmallVec<[usize; 4]> = SmallVec::new();
        for &dim in &named {
            order.push(check_dim("permute", dim, shape));
        }
        let mut back = vec![usize::MAX; shape.len()];
        order.iter().enumerate().for_each(|(d, &from)| back[from] = d);
        assert!(
            order.len() == shape.len() && !back.contains(&usize::MAX),
            "permute: {named:?} does not hold each dimension of a tensor of shape {shape} once"
        );
        let value = self.array.permute(&order);
        record("permute", [self], value, move |ctx| [Some(ctx.grad().permute(&back[..]))])
    }

    /// The view with dimensions `a` and `b` exchanged; a scalar stays as it is.
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
    pub fn transpose(&self, a: impl Dim, b: impl Dim) -> Tensor<T> {
        let shape = self.array.shape();
        if shape.is_empty() && [a.signed(), b.signed()].iter().all(|dim| [0, -1].contains(dim)) {
            return self.clone();
        }
        let (a, b) = (check_dim("transpose", a, shape), check_dim("transpose", b, shape));
        let mut order: SmallVec<[usize; 4]> = (0..shape.len()).collect();
        order.swap(a, b);
        let value = self.array.permute(&order);
        record("transpose", [self], value, move |ctx| [Some(ctx.grad().transpose(a, b))])
    }

    /// The transpose of a matrix; a vector or a scalar stays as it is.
    ///
    /// PyTorch: `x.t()`.
    ///
    /// # Panics
    /// If there are more than two dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).t().shape(), [3, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn t(&self) -> Tensor<T> {
        let shape = self.array.shape();
        assert!(
            shape.len() <= 2,
            "t: a tensor of shape {shape}; expected at most 2 dimensions (transpose takes any)"
        );
        if shape.len() < 2 { self.clone() } else { self.transpose(0, 1) }
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].permute([1, 2, 0]).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].transpose(0, 1).powf(2.0), &[&[2, 3]], -2.0..2.0);
    }

    #[test]
    fn elements_move_with_their_dimensions() {
        let x = Tensor::from_vec((0..6).map(|i| i as f32).collect(), [2, 3]).unwrap();
        assert_eq!(x.transpose(0, 1).to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn a_scalar_is_its_own_transpose() {
        // torch.tensor(3.).transpose(0, -1)
        assert_eq!(Tensor::scalar(3.0f32).transpose(0, -1).item(), 3.0);
    }

    #[test]
    #[should_panic(expected = "permute: [0, 0] does not hold each dimension")]
    fn a_dimension_cannot_stand_twice() {
        let _ = Tensor::<f32>::ones([2, 3]).permute([0, 0]);
    }
}

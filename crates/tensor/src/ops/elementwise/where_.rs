//! A choice between two tensors, element by element.

use crate::arrays::mask::Mask;
use crate::ops::elementwise::operand::Operand;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The elements of this tensor where the mask is true, those of `other` elsewhere; all three
    /// broadcast.
    ///
    /// Gradient: `g` where the operand was chosen, 0 elsewhere.
    ///
    /// PyTorch: `x.where(mask, other)`, `torch.where(mask, x, other)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-4.0f32, 9.0], [2]).unwrap();
    /// let root = x.sqrt().where_(&x.ge(0.0), 0.0);
    /// assert_eq!(root.to_vec(), [0.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn where_(&self, mask: &Mask, other: impl Operand<T>) -> Tensor<T> {
        choice("where_", mask, self, &other.operand())
    }

    /// `value` where the mask is true, the elements of this tensor elsewhere; tensor and mask
    /// broadcast.
    ///
    /// Gradient: `g` where the mask is false, 0 elsewhere.
    ///
    /// PyTorch: `x.masked_fill(mask, value)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(x.masked_fill(&x.gt(1.5), 0.0).to_vec(), [1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn masked_fill(&self, mask: &Mask, value: impl Operand<T>) -> Tensor<T> {
        choice("masked_fill", mask, &value.operand(), self)
    }
}

/// `a` where the mask is true, `b` elsewhere.
#[track_caller]
pub(crate) fn choice<T: Float>(
    op: &'static str,
    mask: &Mask,
    a: &Tensor<T>,
    b: &Tensor<T>,
) -> Tensor<T> {
    let shape = a.broadcast_with(op, b).broadcast_with(op, mask.array.shape());
    let pick = |chosen, a, b| if chosen != 0 { a } else { b };
    let value = mask.array.zip3(op, &a.array, &b.array, shape, pick);
    let mask = mask.clone();
    record(op, [a, b], value, move |ctx| {
        let zero = Tensor::scalar(T::ZERO);
        [
            ctx.broadcast_back(0, || choice(op, &mask, ctx.grad(), &zero)),
            ctx.broadcast_back(1, || choice(op, &mask, &zero, ctx.grad())),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        let mask = Mask::from_vec(vec![true, false, true, true, false, false], [2, 3]).unwrap();
        for shapes in [[&[2, 3][..], &[2, 3]], [&[3], &[2, 1]], [&[], &[4, 1, 1]]] {
            check_op(|x| x[0].where_(&mask, &x[1]) * &x[0], &shapes, -2.0..2.0);
        }
        check_op(|x| x[0].masked_fill(&mask, 3.0) * &x[0], &[&[2, 3]], -2.0..2.0);
    }

    #[test]
    fn unchosen_elements_do_not_matter() {
        let x = Tensor::from_vec(vec![0.0f64, 4.0], [2]).unwrap().requires_grad();
        x.sqrt().where_(&x.gt(0.0), 1.0).sum().backward();
        // √ has an infinite slope at 0: 0 · ∞ is NaN, there as in PyTorch.
        let grad = x.grad().unwrap().to_vec();
        assert!(grad[0].is_nan() && grad[1] == 0.25);
    }
}

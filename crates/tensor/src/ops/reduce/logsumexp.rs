//! The smooth maximum.

use crate::arrays::keepdim::ReduceDims;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, logsumexp_row};

impl<T: Float> Tensor<T> {
    /// `ln Σ eˣ` over dimensions `dims`, without overflow; −∞ over no elements. The dimensions
    /// disappear, or keep size 1 for [`keepdim(dims)`](crate::keepdim()).
    ///
    /// Gradient: `g e^{x − y}`. PyTorch: `x.logsumexp(dims)`, `x.logsumexp(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1e4f32, 1e4], [2]).unwrap();
    /// assert_eq!(x.logsumexp(0).item(), 1e4 + 2f32.ln());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn logsumexp(&self, dims: impl ReduceDims) -> Tensor<T> {
        let over = Reduction::new("logsumexp", self, dims);
        let value = over.rows(&self.array, logsumexp_row);
        let (x, saved) = (self.clone(), value.clone());
        record("logsumexp", [self], value, move |ctx| {
            let y = over.spread(&ctx.output(&saved));
            [Some(over.spread(ctx.grad()) * (&x - y).exp())]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    #[test]
    fn gradients() {
        check_op(|x| x[0].logsumexp(1), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].logsumexp(keepdim([0, 2])), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].logsumexp(keepdim(0)), &[&[]], -2.0..2.0);
    }

    #[test]
    fn infinities_follow_pytorch() {
        let of = |values: &[f32]| {
            let x = Tensor::from_vec(values.to_vec(), [values.len()]).unwrap();
            x.logsumexp(0).item()
        };
        assert_eq!(of(&[]), f32::NEG_INFINITY);
        assert_eq!(of(&[f32::NEG_INFINITY; 2]), f32::NEG_INFINITY);
        assert_eq!(of(&[f32::INFINITY, 1.0]), f32::INFINITY);
        assert!(of(&[f32::NAN, f32::INFINITY]).is_nan());
    }
}

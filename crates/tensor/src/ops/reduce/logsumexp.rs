//! The smooth maximum.

use crate::arrays::dims::Dims;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, logsumexp_row};

impl<T: Float> Tensor<T> {
    /// `ln Σ eˣ` over dimensions `dims`, without overflow; they disappear, or stay with size 1 if
    /// `keepdim`. Over no elements it is −∞.
    ///
    /// Gradient: `g e^{x − y}`. PyTorch: `x.logsumexp(dims, keepdim)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1e4f32, 1e4], [2]).unwrap();
    /// assert_eq!(x.logsumexp(0, false).item(), 1e4 + 2f32.ln());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn logsumexp(&self, dims: impl Dims, keepdim: bool) -> Tensor<T> {
        let over = Reduction::new("logsumexp", self, dims, keepdim);
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
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].logsumexp(1, false), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].logsumexp([0, 2], true), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].logsumexp(0, true), &[&[]], -2.0..2.0);
    }

    #[test]
    fn infinities_follow_pytorch() {
        let of = |values: &[f32]| {
            let x = Tensor::from_vec(values.to_vec(), [values.len()]).unwrap();
            x.logsumexp(0, false).item()
        };
        assert_eq!(of(&[]), f32::NEG_INFINITY);
        assert_eq!(of(&[f32::NEG_INFINITY; 2]), f32::NEG_INFINITY);
        assert_eq!(of(&[f32::INFINITY, 1.0]), f32::INFINITY);
        assert!(of(&[f32::NAN, f32::INFINITY]).is_nan());
    }
}

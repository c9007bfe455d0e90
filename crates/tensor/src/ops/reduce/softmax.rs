//! Softmax and its logarithm.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::keepdim::keepdim;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, log_softmax_rows, softmax_rows};

impl<T: Float> Tensor<T> {
    /// `exp(xᵢ) / Σⱼ exp(xⱼ)` along dimension `dim`, without overflow.
    ///
    /// Gradient: `y (g − Σ g y)`. PyTorch: `x.softmax(dim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1e4f32, 1e4], [2]).unwrap();
    /// assert_eq!(x.softmax(0).to_vec(), [0.5, 0.5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn softmax(&self, dim: impl Dim) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.softmax(0).reshape([]);
        }
        let dim = check_dim("softmax", dim, self.array.shape());
        let value = along("softmax", &self.array, dim, softmax_rows);
        let saved = value.clone();
        record("softmax", [self], value, move |ctx| {
            let (g, y) = (ctx.grad(), ctx.output(&saved));
            [Some(&y * (g - (g * &y).sum_dim(keepdim(dim))))]
        })
    }

    /// `xᵢ − ln Σⱼ exp(xⱼ)` along dimension `dim`, without overflow.
    ///
    /// Gradient: `g − eʸ Σ g`. PyTorch: `x.log_softmax(dim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1e4f32, -1e4], [2]).unwrap();
    /// assert_eq!(x.log_softmax(0).to_vec(), [0.0, -2e4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn log_softmax(&self, dim: impl Dim) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.log_softmax(0).reshape([]);
        }
        let dim = check_dim("log_softmax", dim, self.array.shape());
        let value = along("log_softmax", &self.array, dim, log_softmax_rows);
        let saved = value.clone();
        record("log_softmax", [self], value, move |ctx| {
            let (g, y) = (ctx.grad(), ctx.output(&saved));
            [Some(g - y.exp() * g.sum_dim(keepdim(dim)))]
        })
    }
}

/// Applies a kernel for contiguous rows along `dim`.
#[track_caller]
fn along<T: Float>(
    op: &str,
    x: &Array<T>,
    dim: usize,
    kernel: fn(&mut [T], &[T], usize),
) -> Array<T> {
    let mut order: Vec<usize> = (0..x.shape().len()).collect();
    order.swap(dim, x.shape().len() - 1); // its own inverse
    let rows = x.permute(&order).contiguous(op);
    let out = Array::build(op, rows.shape().clone(), |out| {
        kernel(out, rows.contiguous_slice(), x.shape()[dim]);
    });
    out.permute(&order)
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for dim in 0..3 {
            check_op(|x| x[0].softmax(dim), &[&[2, 3, 2]], -2.0..2.0);
            check_op(|x| x[0].log_softmax(dim), &[&[2, 3, 2]], -2.0..2.0);
        }
        check_op(|x| x[0].softmax(0), &[&[0]], -2.0..2.0);
        check_op(|x| x[0].log_softmax(1), &[&[3, 0]], -2.0..2.0);
    }
}

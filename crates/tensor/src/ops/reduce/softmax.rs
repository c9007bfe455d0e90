//! Softmax and its logarithm.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::keepdim::keepdim;
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{
    Float, log_softmax_rows, log_softmax_rows_backward, softmax_rows, softmax_rows_backward,
};

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
        let value = along("softmax", [&self.array], dim, |out, [x], row| softmax_rows(out, x, row));
        let saved = value.clone();
        record("softmax", [self], value, move |ctx| {
            let g = ctx.grad();
            if is_pass_recorded() {
                let y = ctx.output(&saved);
                return [Some(&y * (g - (g * &y).sum_dim(keepdim(dim))))];
            }
            let gradient = along(ctx.op(), [&saved, &g.array], dim, |out, [y, g], row| {
                softmax_rows_backward(out, y, g, row);
            });
            [Some(gradient.into())]
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
        let value = along("log_softmax", [&self.array], dim, |out, [x], row| {
            log_softmax_rows(out, x, row);
        });
        let saved = value.clone();
        record("log_softmax", [self], value, move |ctx| {
            let g = ctx.grad();
            if is_pass_recorded() {
                return [Some(g - ctx.output(&saved).exp() * g.sum_dim(keepdim(dim)))];
            }
            let gradient = along(ctx.op(), [&saved, &g.array], dim, |out, [y, g], row| {
                log_softmax_rows_backward(out, y, g, row);
            });
            [Some(gradient.into())]
        })
    }
}

/// Applies a kernel for contiguous rows to operands of one shape, along `dim`.
#[track_caller]
fn along<T: Float, const N: usize>(
    op: &str,
    operands: [&Array<T>; N],
    dim: usize,
    kernel: impl FnOnce(&mut [T], [&[T]; N], usize),
) -> Array<T> {
    let shape = operands[0].shape();
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.swap(dim, shape.len() - 1); // its own inverse
    let mut rows = operands.map(|x| x.permute(&order));
    for rows in &mut rows {
        *rows = rows.contiguous(op); // not in a closure, which would hide the caller
    }
    let out = Array::build(op, rows[0].shape().clone(), |out| {
        kernel(out, rows.each_ref().map(Array::contiguous_slice), shape[dim]);
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

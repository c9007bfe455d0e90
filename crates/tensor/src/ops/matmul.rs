//! The matrix product.

use crate::array::Array;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::{Float, gemm};

impl<T: Float> Tensor<T> {
    /// The matrix product: `[M, K] × [K, N] → [M, N]`.
    ///
    /// Transposed and sliced operands are read where they lie.
    ///
    /// Gradients: `g bᵀ` and `aᵀ g`. PyTorch: `a.matmul(b)`, `a @ b`.
    ///
    /// # Panics
    /// If an operand is no matrix, or the inner dimensions differ.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let a = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(a.matmul(&a).to_vec(), [7.0, 10.0, 15.0, 22.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn matmul(&self, other: &Tensor<T>) -> Tensor<T> {
        let (sa, sb) = (self.array.shape(), other.array.shape());
        assert!(
            sa.len() == 2 && sb.len() == 2,
            "matmul: shapes {sa} and {sb}: both operands must be matrices"
        );
        assert!(
            sa[1] == sb[0],
            "matmul: shapes {sa} and {sb}: the inner dimensions {} and {} differ",
            sa[1],
            sb[0]
        );
        let value = Array::build([sa[0], sb[1]].into(), |out| {
            gemm(self.array.matrix(), other.array.matrix(), T::ZERO, out);
        });
        let for_a = self.is_tracked().then(|| other.clone());
        let for_b = other.is_tracked().then(|| self.clone());
        record("matmul", [self, other], value, move |ctx| {
            [
                for_a
                    .as_ref()
                    .filter(|_| ctx.needs(0))
                    .map(|b| ctx.grad().matmul(&b.transpose(0, 1))),
                for_b
                    .as_ref()
                    .filter(|_| ctx.needs(1))
                    .map(|a| a.transpose(0, 1).matmul(ctx.grad())),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shapes in [[&[2, 3][..], &[3, 4]], [&[1, 1], &[1, 1]], [&[2, 0], &[0, 3]]] {
            check_op(|x| x[0].matmul(&x[1]), &shapes, -2.0..2.0);
        }
        check_op(|x| x[0].matmul(&x[0]), &[&[3, 3]], -2.0..2.0);
    }

    #[test]
    #[should_panic(
        expected = "matmul: shapes [2, 3] and [2, 3]: the inner dimensions 3 and 2 differ"
    )]
    fn matrices_that_do_not_fit_are_refused() {
        let x = Tensor::<f32>::ones([2, 3]);
        let _ = x.matmul(&x);
    }
}

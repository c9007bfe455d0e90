//! The affine map of a linear layer: product and bias in one pass.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::ops::product::record_biased_product;
use crate::tape::tensor::Tensor;
use adamant_kernels::{CHUNK, Float, drain, gemm};

impl<T: Float> Tensor<T> {
    /// `x Wᵀ + b`: `[…, K], [N, K], [N] → […, N]`, or `[…, K], [K], [] → […]`.
    ///
    /// A bias of one element, `[1]` or `[]`, is added to all `N`.
    ///
    /// Gradients: `g W`, `gᵀ x` and `Σ g`. PyTorch: `torch.nn.functional.linear`.
    ///
    /// # Panics
    /// If the last dimension of `x` is not that of `weight`, `weight` has more than two
    /// dimensions or none, or `bias` does not have an element for each row of it.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
    /// let weight = Tensor::from_vec(vec![1.0, 1.0, 0.0, 3.0], [2, 2]).unwrap();
    /// let bias = Tensor::from_vec(vec![0.5, 0.0], [2]).unwrap();
    /// assert_eq!(x.linear(&weight, Some(&bias)).to_vec(), [3.5, 6.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn linear(&self, weight: &Tensor<T>, bias: Option<&Tensor<T>>) -> Tensor<T> {
        let (sx, sw) = (self.array.shape(), weight.array.shape());
        assert!(
            matches!(sw.len(), 1 | 2) && !sx.is_empty() && sx.last() == sw.last(),
            "linear: the input has shape {sx}, which a weight of shape {sw} does not fit: the last \
             dimensions must be equal"
        );
        let (lead, inner) = (&sx[..sx.len() - 1], sx[sx.len() - 1]);
        let outputs = &sw[..sw.len() - 1]; // [N], or [] for a vector
        let width = outputs.iter().product();
        let mut spread = None; // the bias with an element for each row of the weight
        if let Some(bias) = bias {
            let sb = bias.array.shape();
            assert!(
                **sb == *outputs || sb.is_empty() || (sw.len() == 2 && **sb == [1]),
                "linear: the bias has shape {sb}, the weight {sw}: it needs an element for each row"
            );
            let fits = **sb == [width];
            spread = Some(if fits { bias.clone() } else { bias.broadcast_to([width]) });
        }
        let bias = spread.as_ref();
        if lead.len() == 1 && sw.len() == 2 {
            return matrix_linear(self, weight, bias);
        }
        let result: Shape = lead.iter().chain(outputs).copied().collect();
        let x = self.reshape([lead.iter().product(), inner]);
        let weight = if sw.len() == 2 { weight } else { &weight.reshape([1, inner]) };
        matrix_linear(&x, weight, bias).reshape(result)
    }
}

/// `[M, K], [N, K], [N] → [M, N]`
#[track_caller]
fn matrix_linear<T: Float>(
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
) -> Tensor<T> {
    let (rows, cols) = (x.array.shape()[0], weight.array.shape()[0]);
    let transposed = weight.array.permute(&[1, 0]);
    #[expect(clippy::manual_map, reason = "a closure would hide the caller")]
    let row = match bias {
        Some(bias) => Some(bias.array.contiguous("linear")),
        None => None,
    };
    let value = Array::build("linear", [rows, cols].into(), |out| {
        let beta = match &row {
            Some(bias) => {
                repeat_row(out, bias.contiguous_slice());
                T::ONE
            }
            None => T::ZERO,
        };
        gemm(x.array.matrix(), transposed.matrix(), beta, out);
    });
    record_biased_product(
        "linear",
        [x, weight],
        bias,
        value,
        // [M, N] × [N, K] → [M, K]
        |g, weight| g.matmul(weight),
        // [N, M] × [M, K] → [N, K]
        |g, x| g.transpose(0, 1).matmul(x),
        // [M, N] → [N]
        |g| g.sum_dim(0),
    )
}

/// Writes `row` to each row of `out`.
pub(crate) fn repeat_row<T: Float>(out: &mut [T], row: &[T]) {
    let rows = CHUNK.div_ceil(row.len().max(1)); // in a piece of work
    let (cost, piece) = (out.len(), (rows * row.len()).max(1));
    drain(out.chunks_mut(piece), cost, |out| {
        out.chunks_exact_mut(row.len()).for_each(|out| out.copy_from_slice(row));
    });
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for x in [&[2, 3][..], &[3], &[2, 2, 3], &[0, 3]] {
            check_op(|i| i[0].linear(&i[1], Some(&i[2])), &[x, &[4, 3], &[4]], -2.0..2.0);
            check_op(|i| i[0].linear(&i[1], None), &[x, &[4, 3]], -2.0..2.0);
        }
    }

    #[test]
    fn a_weight_vector_drops_the_output_dimension() {
        for x in [&[2, 3][..], &[3], &[2, 2, 3], &[0, 3]] {
            check_op(|i| i[0].linear(&i[1], Some(&i[2])), &[x, &[3], &[]], -2.0..2.0);
            check_op(|i| i[0].linear(&i[1], None), &[x, &[3]], -2.0..2.0);
        }
        // F.linear(torch.tensor([1., 2., 3.]), torch.tensor([1., 10., 100.]), torch.tensor(5.))
        let (x, weight) = (Tensor::from([1.0f32, 2.0, 3.0]), Tensor::from([1.0, 10.0, 100.0]));
        let y = x.linear(&weight, Some(&Tensor::scalar(5.0)));
        assert_eq!((y.shape(), y.item()), (&[][..], 326.0));
        let none = Tensor::<f32>::ones([2, 0]).linear(&Tensor::ones([0]), None);
        assert_eq!((none.shape(), none.to_vec()), (&[2][..], vec![0.0; 2]));
    }

    #[test]
    fn a_bias_of_one_element_is_added_to_all() {
        for bias in [&[][..], &[1]] {
            check_op(|i| i[0].linear(&i[1], Some(&i[2])), &[&[2, 3], &[4, 3], bias], -2.0..2.0);
        }
    }

    #[test]
    #[should_panic(expected = "linear: the bias has shape [1], the weight [3]")]
    fn a_weight_vector_needs_a_scalar_bias() {
        let _ = Tensor::<f32>::ones([3]).linear(&Tensor::ones([3]), Some(&Tensor::ones([1])));
    }

    #[test]
    #[should_panic(expected = "the input has shape [2, 5], which a weight of shape [4, 3]")]
    fn a_wrong_width_is_refused() {
        let _ = Tensor::<f32>::ones([2, 5]).linear(&Tensor::ones([4, 3]), None);
    }
}

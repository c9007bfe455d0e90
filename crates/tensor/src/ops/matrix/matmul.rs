//! Matrix products.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::ops::elementwise::round::flat;
use crate::ops::product::record_product;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, dot, gemm, gemm_batch, gemm_sum};

impl<T: Float> Tensor<T> {
    /// The product of matrices: `[…, M, K] × […, K, N] → […, M, N]`, where the leading dimensions
    /// broadcast. A vector counts as a row on the left and as a column on the right; that dimension
    /// is dropped from the result.
    ///
    /// Transposed and sliced operands are read in place, without a copy.
    ///
    /// Gradients: `g bᵀ` and `aᵀ g`. PyTorch: `a.matmul(b)`, `a @ b`.
    ///
    /// # Panics
    /// If an operand is a scalar, the inner dimensions differ, or the leading ones
    /// do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let a = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(a.matmul(&a).to_vec(), [7.0, 10.0, 15.0, 22.0]);
    /// let v = Tensor::from_vec(vec![1.0, 10.0], [2]).unwrap();
    /// assert_eq!(a.matmul(&v).to_vec(), [21.0, 43.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn matmul(&self, other: &Tensor<T>) -> Tensor<T> {
        let (sa, sb) = (self.array.shape(), other.array.shape());
        check("matmul", sa, sb);
        match (sa.len(), sb.len()) {
            (1, 1) => self.unsqueeze(0).matmul(&other.unsqueeze(1)).reshape([]),
            (1, dims) => self.unsqueeze(0).matmul(other).squeeze(dims - 2),
            (dims, 1) => self.matmul(&other.unsqueeze(1)).squeeze(dims - 1),
            (2, 2) => product("matmul", self, other),
            // One matrix multiplies all rows of the left operand: a single product if the rows can
            // be viewed as one matrix, or if the matrices are so low that copying them is faster
            // than a product for each.
            (dims, 2) if sa[dims - 2] < LOW || self.array.views_as(&[rows(sa), sa[dims - 1]]) => {
                let result: Shape = sa[..dims - 1].iter().copied().chain([sb[1]]).collect();
                product("matmul", &self.reshape([rows(sa), sa[dims - 1]]), other).reshape(result)
            }
            _ => products("matmul", self, other, Batch::Kept),
        }
    }

    /// The products of a batch of matrices: `[B, M, K] × [B, K, N] → [B, M, N]`.
    ///
    /// PyTorch: `a.bmm(b)`.
    ///
    /// # Panics
    /// If the operands do not have three dimensions, or do not fit.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (a, b) = (Tensor::<f32>::ones([5, 2, 3]), Tensor::ones([5, 3, 4]));
    /// assert_eq!(a.bmm(&b).shape(), [5, 2, 4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn bmm(&self, other: &Tensor<T>) -> Tensor<T> {
        let (sa, sb) = (self.array.shape(), other.array.shape());
        assert!(
            sa.len() == 3 && sb.len() == 3 && sa[0] == sb[0],
            "bmm: shapes {sa} and {sb}; expected [B, M, K] and [B, K, N]"
        );
        check("bmm", sa, sb);
        products("bmm", self, other, Batch::Kept)
    }

    /// The sum of products `Σ aᵢ bᵢ` of two vectors, of shape `[]`.
    ///
    /// PyTorch: `a.dot(b)`.
    ///
    /// # Panics
    /// If the operands are not vectors of one length.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let a = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(a.dot(&a).item(), 5.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn dot(&self, other: &Tensor<T>) -> Tensor<T> {
        let (sa, sb) = (self.array.shape(), other.array.shape());
        assert!(
            sa.len() == 1 && sa == sb,
            "dot: shapes {sa} and {sb}; expected two vectors of one length"
        );
        let (a, b) = (self.array.contiguous("dot"), other.array.contiguous("dot"));
        let value = Array::build("dot", Shape::default(), |out| {
            out[0] = dot(a.contiguous_slice(), b.contiguous_slice());
        });
        record_product("dot", [self, other], value, |g, b| g * b, |g, a| g * a)
    }

    /// All products `aᵢ bⱼ` of two vectors: `[M], [N] → [M, N]`.
    ///
    /// PyTorch: `a.outer(b)`.
    ///
    /// # Panics
    /// If the operands are not vectors.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let a = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(a.outer(&a).to_vec(), [1.0, 2.0, 2.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn outer(&self, other: &Tensor<T>) -> Tensor<T> {
        let (sa, sb) = (self.array.shape(), other.array.shape());
        assert!(
            sa.len() == 1 && sb.len() == 1,
            "outer: shapes {sa} and {sb}; expected two vectors"
        );
        self.unsqueeze(1) * other
    }

    /// `β x + α A B`: `[M, N]` (or what broadcasts to it), `[M, K] × [K, N] → [M, N]`.
    ///
    /// PyTorch: `x.addmm(a, b, beta=β, alpha=α)`, where both default to 1. As there, an operand
    /// whose factor is 0 is ignored, even if it is NaN.
    ///
    /// # Panics
    /// If `a` or `b` is not a matrix, or the shapes do not fit.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let ones = Tensor::<f32>::ones([2, 2]);
    /// assert_eq!(Tensor::scalar(1.0).addmm(&ones, &ones, 3.0, 0.5).to_vec(), [4.0; 4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn addmm(&self, a: &Tensor<T>, b: &Tensor<T>, beta: T, alpha: T) -> Tensor<T> {
        let (sx, sa, sb) = (self.array.shape(), a.array.shape(), b.array.shape());
        assert!(
            sa.len() == 2 && sb.len() == 2,
            "addmm: shapes {sa} and {sb} of the product; expected two matrices"
        );
        check("addmm", sa, sb);
        sx.check_broadcast_to("addmm", &[sa[0], sb[1]].into());
        // A factor of 0 drops its operand, whatever its elements are; its gradient is 0.
        let product = product("addmm", a, b);
        scaled(&product, alpha) + scaled(self, beta)
    }
}

/// `x · by`; if `by` is 0 then 0, even for NaN.
#[track_caller]
fn scaled<T: Float>(x: &Tensor<T>, by: T) -> Tensor<T> {
    if by == T::ZERO {
        flat("mul", x, |_| T::ZERO)
    } else if by == T::ONE {
        x.clone()
    } else {
        x * by
    }
}

/// Panics unless the inner dimensions are equal.
#[track_caller]
fn check(op: &str, sa: &Shape, sb: &Shape) {
    assert!(
        !sa.is_empty() && !sb.is_empty(),
        "{op}: shapes {sa} and {sb}: a scalar has no inner dimension; expected at least 1 dimension"
    );
    let (inner_a, inner_b) = (sa[sa.len() - 1], sb[sb.len().saturating_sub(2)]);
    assert!(
        inner_a == inner_b,
        "{op}: shapes {sa} and {sb}: the inner dimensions {inner_a} and {inner_b} differ"
    );
}

/// A product of fewer rows spends much of its time packing the right operand.
const LOW: usize = 64;

/// The number of rows of all matrices of a batch.
fn rows(shape: &Shape) -> usize {
    shape[..shape.len() - 1].iter().product()
}

/// `[M, K] × [K, N] → [M, N]`
#[track_caller]
fn product<T: Float>(op: &str, a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let value = Array::build(op, [a.shape()[0], b.shape()[1]].into(), |out| {
        gemm(a.array.matrix(), b.array.matrix(), T::ZERO, out);
    });
    record_product(
        "matmul",
        [a, b],
        value,
        // [M, N] × [N, K] → [M, K]
        |g, b| product("matmul", g, &b.transpose(0, 1)),
        // [K, M] × [M, N] → [K, N]
        |g, a| product("matmul", &a.transpose(0, 1), g),
    )
}

/// `[…, M, K] × […, K, N]`, where the leading dimensions broadcast: `[…, M, N]`, or `[M, N]` summed
/// over them.
#[track_caller]
fn products<T: Float>(op: &str, a: &Tensor<T>, b: &Tensor<T>, over: Batch) -> Tensor<T> {
    let (sa, sb) = (a.array.shape(), b.array.shape());
    let lead = |shape: &Shape| Shape::from(&shape[..shape.len() - 2]);
    let Some(batch) = lead(sa).broadcast(&lead(sb)) else {
        panic!("matmul: shapes {sa} and {sb}: the leading dimensions do not broadcast")
    };
    let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
    let with = |rows, cols| batch.iter().copied().chain([rows, cols]).collect::<Shape>();
    let (x, y) = (a.array.broadcast_to(&with(m, k)), b.array.broadcast_to(&with(k, n)));
    let value = match over {
        Batch::Kept => Array::build(op, with(m, n), |out| {
            gemm_batch(x.strided_slice(), y.strided_slice(), &batch, [m, k, n], out);
        }),
        Batch::Summed => Array::build(op, [m, n].into(), |out| {
            gemm_sum(x.strided_slice(), y.strided_slice(), &batch, [m, k, n], out);
        }),
    };
    // The gradient of a single matrix is the sum over the batch.
    let back = |x: &Tensor<T>, y: &Tensor<T>, single| {
        if single { products("matmul", x, y, Batch::Summed) } else { x.matmul(y) }
    };
    let [single_a, single_b] = [sa.len() == 2, sb.len() == 2];
    record_product(
        "matmul",
        [a, b],
        value,
        // […, M, N] × […, N, K] → […, M, K]
        move |g, b| back(g, &b.transpose(-2, -1), single_a),
        // […, K, M] × […, M, N] → […, K, N]
        move |g, a| back(&a.transpose(-2, -1), g, single_b),
    )
}

/// What happens to the leading dimensions.
#[derive(Clone, Copy)]
enum Batch {
    Kept,
    Summed,
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn operands_may_be_broadcast() {
        let (a, column) = (Tensor::<f32>::ones([3, 5]), Tensor::arange(0.0, 5.0, 1.0).unsqueeze(1));
        assert_eq!(a.matmul(&column.broadcast_to([5, 4])).to_vec(), [10.0; 12]);
        let windows = Tensor::<f32>::arange(0.0, 9.0, 1.0).unfold(0, 5, 2);
        assert_eq!(a.matmul(&windows.t()).to_vec(), [10.0, 20.0, 30.0].repeat(3));
    }

    #[test]
    fn gradients() {
        for shapes in [
            [&[2, 3][..], &[3, 4]],
            [&[1, 1], &[1, 1]],
            [&[2, 0], &[0, 3]],
            [&[3], &[3]],
            [&[3], &[3, 2]],
            [&[2, 3], &[3]],
            [&[2, 2, 3], &[3, 2]],
            [&[2, 3], &[2, 3, 2]],
            [&[2, 1, 2, 3], &[3, 3, 2]],
            [&[2, 3], &[2, 1, 3, 2]],
            [&[3], &[2, 3, 2]],
            [&[2, 2, 3], &[3]],
        ] {
            check_op(|x| x[0].matmul(&x[1]), &shapes, -2.0..2.0);
        }
        // High matrices, transposed, which are read in place, and the sum over them.
        check_op(|x| x[0].transpose(1, 2).matmul(&x[1]), &[&[2, 2, 64], &[2, 1]], -2.0..2.0);
        check_op(|x| x[0].matmul(&x[0]), &[&[3, 3]], -2.0..2.0);
        check_op(|x| x[0].bmm(&x[1]), &[&[2, 2, 3], &[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].dot(&x[1]), &[&[3], &[3]], -2.0..2.0);
        check_op(|x| x[0].outer(&x[1]), &[&[3], &[2]], -2.0..2.0);
        for x in [&[2, 2][..], &[2], &[]] {
            check_op(|i| i[0].addmm(&i[1], &i[2], 2.0, 0.5), &[x, &[2, 3], &[3, 2]], -2.0..2.0);
        }
    }

    #[test]
    fn a_factor_of_zero_drops_its_operand() {
        let nan = Tensor::<f64>::full([2, 2], f64::NAN).requires_grad();
        let one = Tensor::<f64>::ones([2, 2]);
        let y = nan.addmm(&one, &one, 0.0, 1.0);
        assert_eq!(y.to_vec(), [2.0; 4]);
        y.sum().backward();
        assert_eq!(nan.grad().unwrap().to_vec(), [0.0; 4]);
        assert_eq!(one.addmm(&nan, &one, 3.0, 0.0).to_vec(), [3.0; 4]);
    }

    #[test]
    fn batches_match_single_products() {
        let a =
            Tensor::from_vec((0..2 * 3 * 4 * 5).map(f64::from).collect(), [2, 3, 4, 5]).unwrap();
        let b = Tensor::from_vec((0..3 * 6 * 5).map(f64::from).collect(), [3, 6, 5]).unwrap();
        let b = b.transpose(-1, -2); // read in place
        let all = a.matmul(&b);
        for i in 0..2 {
            for j in 0..3 {
                let single = a.select(0, i).select(0, j).matmul(&b.select(0, j));
                assert_eq!(all.select(0, i).select(0, j).to_vec(), single.to_vec());
            }
        }
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

//! The affine map of a linear layer: product and bias in one pass.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::ops::product::record_biased_product;
use crate::tape::record::record;
use crate::tape::stored::Stored;
use crate::tape::tensor::Tensor;
use crate::tape::weight::Weight;
use adamant_kernels::{CHUNK, Float, drain, gemm};

impl<T: Float> Tensor<T> {
    /// `x Wᵀ + b`: `[…, K], [N, K], [N] → […, N]`, or `[…, K], [K], [] → […]`.
    ///
    /// A bias of one element, `[1]` or `[]`, is added to all `N`.
    ///
    /// Gradients: `g W`, `gᵀ x` and `Σ g`. A weight that is [stored as
    /// BF16](crate::Parameter::store_as) is constant. PyTorch: `torch.nn.functional.linear`.
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
    pub fn linear(&self, weight: impl Into<Weight<T>>, bias: Option<&Tensor<T>>) -> Tensor<T> {
        linear(self, weight.into(), bias)
    }
}

#[track_caller]
fn linear<T: Float>(x: &Tensor<T>, weight: Weight<T>, bias: Option<&Tensor<T>>) -> Tensor<T> {
    let (sx, sw) = (x.array.shape(), weight.value.shape().clone());
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
        return matrix_linear(x, weight, bias);
    }
    let result: Shape = lead.iter().chain(outputs).copied().collect();
    let x = x.reshape([lead.iter().product(), inner]);
    let weight = if sw.len() == 2 { weight } else { as_row(weight, inner) };
    matrix_linear(&x, weight, bias).reshape(result)
}

/// A weight of shape `[inner]` as a matrix of one row.
#[track_caller]
fn as_row<T: Float>(weight: Weight<T>, inner: usize) -> Weight<T> {
    match weight.value {
        Stored::Full(array) => {
            Weight::from(&Tensor { array, node: weight.node }.reshape([1, inner]))
        }
        Stored::Bf16(array) => {
            let value = Stored::Bf16(array.reshape("linear", [1, inner].into()));
            Weight { value, node: None }
        }
    }
}

/// `x W` for a matrix W.
#[track_caller]
pub(crate) fn times_weight<T: Float>(x: &Tensor<T>, weight: &Weight<T>) -> Tensor<T> {
    match &weight.value {
        Stored::Full(_) => x.matmul(&weight.input()),
        constant => constant_product("matmul", x, constant.clone(), None),
    }
}

/// `[M, K], [N, K], [N] → [M, N]`
#[track_caller]
fn matrix_linear<T: Float>(
    x: &Tensor<T>,
    weight: Weight<T>,
    bias: Option<&Tensor<T>>,
) -> Tensor<T> {
    let weight = match weight.value {
        Stored::Full(array) => Tensor { array, node: weight.node },
        constant => return constant_product("linear", x, constant.transpose(), bias),
    };
    let transposed = weight.array.permute(&[1, 0]);
    let shape = [x.array.shape()[0], weight.array.shape()[0]];
    let value = onto_bias("linear", shape, bias, |beta, out| {
        gemm(x.array.matrix(), transposed.matrix(), beta, out);
    });
    record_biased_product(
        "linear",
        [x, &weight],
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

/// `x B + bias` with a constant B, which the graph holds as it is stored: `[M, K], [K, N], [N] → [M, N]`
#[track_caller]
fn constant_product<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    b: Stored<T>,
    bias: Option<&Tensor<T>>,
) -> Tensor<T> {
    let shape = [x.array.shape()[0], b.shape()[1]];
    let value = onto_bias(op, shape, bias, |beta, out| {
        b.product(x.array.matrix(), beta, out);
    });
    // [M, N] × [N, K] → [M, K]
    let of_x = move |g: &Tensor<T>| constant_product("matmul", g, b.transpose(), None);
    match bias {
        None => record(op, [x], value, move |ctx| [Some(of_x(ctx.grad()))]),
        Some(bias) => record(op, [x, bias], value, move |ctx| {
            let g = ctx.grad();
            [ctx.needs(0).then(|| of_x(g)), ctx.needs(1).then(|| g.sum_dim(0))]
        }),
    }
}

/// The array that `add_product(β, array)` writes, to whose rows β = 1 has added the bias, if any.
#[track_caller]
fn onto_bias<T: Float>(
    op: &str,
    shape: [usize; 2],
    bias: Option<&Tensor<T>>,
    add_product: impl FnOnce(T, &mut [T]),
) -> Array<T> {
    let Some(bias) = bias else {
        return Array::build(op, shape.into(), |out| add_product(T::ZERO, out));
    };
    let row = bias.array.contiguous(op);
    Array::build(op, shape.into(), |out| {
        repeat_row(out, row.contiguous_slice());
        add_product(T::ONE, out);
    })
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
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Float, GradOptions, Parameter, Storage, Tensor, grad};

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

    /// Elements that BF16 represents.
    fn frozen<T: Float>(shape: &[usize], storage: Storage) -> Parameter<T> {
        let len = shape.iter().product();
        let elements = (0..len).map(|i| T::from_f64(((i * 7919) % 251) as f64 / 64.0 - 2.0));
        let w = Parameter::new(Tensor::from_vec(elements.collect(), shape).unwrap());
        w.set_requires_grad(false);
        w.store_as(storage);
        w
    }

    #[test]
    fn gradients_past_a_bf16_weight() {
        for x in [&[2, 3][..], &[3], &[2, 2, 3], &[0, 3]] {
            let (matrix, vector) = (frozen(&[4, 3], Storage::Bf16), frozen(&[3], Storage::Bf16));
            check_op(|i| i[0].linear(&matrix, Some(&i[1])).powf(2.0), &[x, &[4]], -2.0..2.0);
            check_op(|i| i[0].linear(&matrix, None).powf(2.0), &[x], -2.0..2.0);
            check_op(|i| i[0].linear(&vector, Some(&i[1])).powf(2.0), &[x, &[]], -2.0..2.0);
        }
    }

    #[test]
    fn a_bf16_weight_has_the_bits_of_the_same_weight_in_full() {
        let shapes: [(&[usize], &[usize]); 9] = [
            (&[1, 30], &[50, 30]),
            (&[2, 300], &[600, 300]),
            (&[70, 257], &[513, 257]),
            (&[600, 33], &[40, 33]),
            (&[3, 5, 30], &[50, 30]),
            (&[7, 300], &[300]),
            (&[300], &[2, 300]),
            (&[0, 30], &[50, 30]),
            (&[4, 0], &[5, 0]),
        ];
        for (x, w) in shapes {
            let results = [Storage::Full, Storage::Bf16].map(|storage| {
                let w = frozen::<f32>(w, storage);
                let len = x.iter().product::<usize>();
                let values = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
                let x = Tensor::from_vec(values, x).unwrap().requires_grad();
                let bias = Tensor::scalar(0.3).requires_grad();
                let y = x.linear(&w, Some(&bias));
                let inputs = grad(&(&y * &y).sum(), &[&x, &bias], GradOptions::default());
                [y.to_vec(), inputs[0].to_vec(), inputs[1].to_vec()]
            });
            assert_eq!(results[0], results[1], "{x:?}, {w:?}");
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

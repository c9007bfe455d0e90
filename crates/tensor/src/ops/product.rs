//! What products of every kind share: multiplication, matrix products, convolutions.

use crate::arrays::array::Array;
use crate::tape::context::Context;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// [`record`] for a product of `a` and `b`: a function that is linear in each of them.
///
/// The gradient of one factor is a function of `g`, the gradient of the output, and the other
/// factor, which is saved only if it is needed: `of_a(g, b)` and `of_b(g, a)`. A gradient is
/// summed over the dimensions along which its factor was broadcast.
#[track_caller]
pub(crate) fn record_product<T: Float>(
    op: &'static str,
    [a, b]: [&Tensor<T>; 2],
    value: Array<T>,
    of_a: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
    of_b: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
) -> Tensor<T> {
    record(op, [a, b], value, gradients(a, b, of_a, of_b))
}

/// [`record_product`] for a product to which a bias may have been added; the gradient of the
/// bias is `of_bias(g)`.
#[track_caller]
pub(crate) fn record_biased_product<T: Float>(
    op: &'static str,
    [a, b]: [&Tensor<T>; 2],
    bias: Option<&Tensor<T>>,
    value: Array<T>,
    of_a: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
    of_b: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
    of_bias: impl Fn(&Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
) -> Tensor<T> {
    let gradients = gradients(a, b, of_a, of_b);
    match bias {
        None => record(op, [a, b], value, gradients),
        Some(bias) => record(op, [a, b, bias], value, move |ctx| {
            let [a, b] = gradients(ctx);
            [a, b, ctx.needs(2).then(|| of_bias(ctx.grad()))]
        }),
    }
}

fn gradients<T: Float>(
    a: &Tensor<T>,
    b: &Tensor<T>,
    of_a: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
    of_b: impl Fn(&Tensor<T>, &Tensor<T>) -> Tensor<T> + Send + Sync + 'static,
) -> impl Fn(&Context<'_, T>) -> [Option<Tensor<T>>; 2] + Send + Sync + 'static {
    let saved_a = b.wants_grad().then(|| a.clone());
    let saved_b = a.wants_grad().then(|| b.clone());
    move |ctx| {
        let g = ctx.grad();
        [
            saved_b.as_ref().and_then(|b| ctx.broadcast_back(0, || of_a(g, b))),
            saved_a.as_ref().and_then(|a| ctx.broadcast_back(1, || of_b(g, a))),
        ]
    }
}

//! `a + b`, `a − b`, `−a`, with tensors and scalars.
//!
//! Gradients: `∂(a + b) = g, g`; `∂(a − b) = g, −g`; each summed over the dimensions along which
//! its operand was broadcast. Only shapes are saved. PyTorch: `torch.add`, `torch.sub`,
//! `torch.neg`.

use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

#[track_caller]
pub(crate) fn add<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let value = a.array.zip("add", &b.array, a.broadcast_with("add", b), |a, b| a + b);
    record("add", [a, b], value, |ctx| [0, 1].map(|i| ctx.broadcast_back(i, || ctx.grad().clone())))
}

#[track_caller]
pub(crate) fn sub<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let value = a.array.zip("sub", &b.array, a.broadcast_with("sub", b), |a, b| a - b);
    record("sub", [a, b], value, |ctx| {
        [ctx.broadcast_back(0, || ctx.grad().clone()), ctx.broadcast_back(1, || neg(ctx.grad()))]
    })
}

#[track_caller]
pub(crate) fn add_scalar<T: Float>(a: &Tensor<T>, b: T) -> Tensor<T> {
    record("add", [a], a.array.map("add", move |a| a + b), |ctx| [Some(ctx.grad().clone())])
}

/// `a − b` for a scalar `a`.
#[track_caller]
pub(crate) fn scalar_sub<T: Float>(a: T, b: &Tensor<T>) -> Tensor<T> {
    record("sub", [b], b.array.map("sub", move |b| a - b), |ctx| [Some(neg(ctx.grad()))])
}

#[track_caller]
pub(crate) fn neg<T: Float>(a: &Tensor<T>) -> Tensor<T> {
    record("neg", [a], a.array.map("neg", |a| -a), |ctx| [Some(neg(ctx.grad()))])
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            check_op(|x| (&x[0] + &x[1]) * &x[0], &shapes, -2.0..2.0);
            check_op(|x| (&x[0] - &x[1]) * &x[0], &shapes, -2.0..2.0);
        }
        check_op(|x| (&x[0] + 2.0) * (3.0 - &x[0]) * -&x[0], &[&[2, 3]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "add: shapes [2, 3] and [2] do not broadcast")]
    fn shapes_that_do_not_fit_are_refused() {
        let _ = Tensor::<f32>::ones([2, 3]) + Tensor::ones([2]);
    }
}

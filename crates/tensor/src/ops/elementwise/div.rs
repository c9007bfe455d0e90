//! `a / b`, element by element, with tensors and scalars.
//!
//! Gradients: `g / b` and `−g (a / b) / b`, each summed over the dimensions
//! along which its operand was broadcast. PyTorch: `torch.div`.

use crate::ops::elementwise::add::neg;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

#[track_caller]
pub(crate) fn div<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let value = a.array.zip("div", &b.array, a.broadcast_with("div", b), |a, b| a / b);
    let dividend = b.wants_grad().then(|| a.clone());
    let divisor = b.clone();
    record("div", [a, b], value, move |ctx| {
        let (g, b) = (ctx.grad(), &divisor);
        let of_divisor = |a: &Tensor<T>| neg(&(g * div(&div(a, b), b)));
        [
            ctx.broadcast_back(0, || div(g, b)),
            dividend.as_ref().and_then(|a| ctx.broadcast_back(1, || of_divisor(a))),
        ]
    })
}

#[track_caller]
pub(crate) fn div_scalar<T: Float>(a: &Tensor<T>, b: T) -> Tensor<T> {
    record("div", [a], a.array.map("div", move |a| a / b), move |ctx| {
        [Some(div_scalar(ctx.grad(), b))]
    })
}

/// `a / b` for a scalar `a`.
#[track_caller]
pub(crate) fn scalar_div<T: Float>(a: T, b: &Tensor<T>) -> Tensor<T> {
    let divisor = b.clone();
    record("div", [b], b.array.map("div", move |b| a / b), move |ctx| {
        [Some(neg(&(ctx.grad() * div(&scalar_div(a, &divisor), &divisor))))]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            check_op(|x| &x[0] / &x[1], &shapes, 0.5..2.0);
        }
        check_op(|x| (&x[0] / 3.0) * (2.0 / &x[0]) / &x[0], &[&[2, 3]], 0.5..2.0);
    }
}

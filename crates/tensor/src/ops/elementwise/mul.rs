//! `a · b`, element by element, with tensors and scalars.
//!
//! Gradients: `g b` and `g a`, each summed over the dimensions along which its
//! operand was broadcast. An operand is saved only if the other is tracked.
//! PyTorch: `torch.mul`.

use crate::ops::product::record_product;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

#[track_caller]
pub(crate) fn mul<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let value = a.array.zip("mul", &b.array, a.broadcast_with("mul", b), |a, b| a * b);
    record_product("mul", [a, b], value, mul, mul)
}

#[track_caller]
pub(crate) fn mul_scalar<T: Float>(a: &Tensor<T>, b: T) -> Tensor<T> {
    record("mul", [a], a.array.map("mul", move |a| a * b), move |ctx| {
        [Some(mul_scalar(ctx.grad(), b))]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shapes in [[&[2, 3][..], &[2, 3]], [&[2, 3], &[3]], [&[], &[2, 1]], [&[0, 3], &[1]]] {
            check_op(|x| &x[0] * &x[1], &shapes, -2.0..2.0);
        }
        check_op(|x| &x[0] * &x[0] * 3.0, &[&[2, 3]], -2.0..2.0);
    }
}

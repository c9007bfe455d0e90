//! The gated activation of Llama's feed-forward layers.

use crate::arrays::array::Array;
use crate::ops::elementwise::add::scalar_sub;
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, zip_gradients};

/// `silu(gate) · x = gate σ(gate) · x`, element by element, for tensors of one shape.
///
/// One pass over both, which saves nothing but them: [`silu`](Tensor::silu) and a product would
/// also keep `silu(gate)`.
///
/// Gradients: `g x σ(gate) (1 + gate (1 − σ(gate)))` and `g silu(gate)`.
///
/// PyTorch: `torch.nn.functional.silu(gate) * x`.
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use adamant_tensor::{Tensor, swiglu};
/// let (gate, x) = (Tensor::from([0.0f32, 100.0]), Tensor::from([3.0, 3.0]));
/// assert_eq!(swiglu(&gate, &x).to_vec(), [0.0, 300.0]);
/// ```
#[must_use]
#[track_caller]
pub fn swiglu<T: Float>(gate: &Tensor<T>, x: &Tensor<T>) -> Tensor<T> {
    let shape = gate.array.shape().clone();
    assert!(
        shape == *x.array.shape(),
        "swiglu: a gate of shape {shape} and an input of shape {}; expected the same",
        x.array.shape()
    );
    let value = gate.array.zip(
        "swiglu",
        &x.array,
        shape.clone(),
        #[inline(always)]
        |gate, x| gate / (T::ONE + (-gate).exp()) * x,
    );
    let inputs = [gate.clone(), x.clone()];
    record("swiglu", [gate, x], value, move |ctx| {
        let ([gate, x], g) = (&inputs, ctx.grad());
        if is_pass_recorded() {
            let s = gate.sigmoid();
            let slope = &s * (gate * scalar_sub(T::ONE, &s) + T::ONE);
            return [ctx.needs(0).then(|| g * x * slope), ctx.needs(1).then(|| g * (gate * s))];
        }
        let operands = [g, gate, x].map(|operand| operand.array.contiguous("swiglu"));
        let mut of_x = Array::build("swiglu", shape.clone(), |_| ());
        let of_gate = Array::build("swiglu", shape.clone(), |of_gate| {
            let of_x = of_x.make_mut_for("swiglu");
            let operands = operands.each_ref().map(Array::contiguous_slice);
            zip_gradients(
                [of_gate, of_x],
                operands,
                #[inline(always)]
                |[g, gate, x]| {
                    let s = T::ONE / (T::ONE + (-gate).exp());
                    [g * x * (s * (gate * (T::ONE - s) + T::ONE)), g * (gate * s)]
                },
            );
        });
        [ctx.needs(0).then(|| of_gate.into()), ctx.needs(1).then(|| of_x.into())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| swiglu(&x[0], &x[1]), &[&[3, 4], &[3, 4]], -2.0..2.0);
        check_op(|x| swiglu(&x[0].t(), &x[1]), &[&[3, 4], &[4, 3]], -2.0..2.0);
        check_op(|x| swiglu(&x[0], &x[0]), &[&[0, 4]], -2.0..2.0);
    }
}

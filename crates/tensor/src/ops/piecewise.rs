//! The derivative of functions that are linear in pieces.

use crate::array::Array;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::Float;

/// `pick(g, x)`, where `pick` is linear in `g` and depends on `x` only through
/// the piece that it lies in: so it is its own derivative in `g`, and there is
/// none in `x`.
#[track_caller]
pub(super) fn piecewise<T: Float>(
    name: &'static str,
    g: &Tensor<T>,
    x: &Array<T>,
    pick: impl Fn(T, T) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    let value = g.array.zip(x, x.shape().clone(), pick);
    let x = x.clone();
    record(name, [g], value, move |ctx| [Some(piecewise(name, ctx.grad(), &x, pick))])
}

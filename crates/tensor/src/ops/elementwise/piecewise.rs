//! Piecewise linear functions and their derivative.

use crate::arrays::array::Array;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Element, Float};

/// [`record`] for a piecewise linear operation on `x`. It saves a byte for each element, the piece
/// that it lies in, rather than `x`, which is larger. The gradient is `slope(g, piece)`.
#[track_caller]
pub(crate) fn record_pieces<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    value: Array<T>,
    piece: impl Fn(T) -> u8 + Copy + Sync,
    slope: impl Fn(T, u8) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    // Not with `then`: a closure would hide the caller.
    let pieces = if x.wants_grad() { Some(x.array.map(name, piece)) } else { None };
    record(name, [x], value, move |ctx| {
        [pieces.as_ref().map(|pieces| piecewise(name, ctx.grad(), pieces, slope))]
    })
}

/// `slope(g, piece)`, element by element, where `slope` is linear in `g`, and so its own
/// derivative.
///
/// It takes `g` instead of returning a factor: a factor of 0 times an infinite `g` would be NaN.
#[track_caller]
pub(crate) fn piecewise<T: Float, P: Element>(
    name: &'static str,
    g: &Tensor<T>,
    pieces: &Array<P>,
    slope: impl Fn(T, P) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    let value = g.array.zip(name, pieces, pieces.shape().clone(), slope);
    let pieces = pieces.clone();
    record(name, [g], value, move |ctx| [Some(piecewise(name, ctx.grad(), &pieces, slope))])
}

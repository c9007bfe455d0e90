//! Piecewise linear functions and their derivative.

use crate::arrays::array::Array;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Element, Float};

/// [`record`] for `value` of each element of `x`, a piecewise linear function. It saves a byte for
/// each element, the piece that it lies in, rather than `x`, which is larger. The gradient is
/// `slope(g, piece)`.
#[track_caller]
pub(crate) fn record_pieces<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    value: impl Fn(T) -> T + Copy + Sync,
    piece: impl Fn(T) -> u8 + Copy + Sync,
    slope: impl Fn(T, u8) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    // Not with `then`: a closure would hide the caller.
    let (value, pieces) = if x.wants_grad() {
        let (value, pieces) = x.array.map_twice(name, value, piece);
        (value, Some(pieces))
    } else {
        (x.array.map(name, value), None)
    };
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

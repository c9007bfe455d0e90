//! Functions that are linear in pieces, and their derivative.

use crate::array::Array;
use crate::node::record;
use crate::tensor::Tensor;
use adamant_kernels::{Element, Float};

/// The result `value` of an operation on `x` that is linear in pieces. What is saved is the
/// piece that each element lies in, a byte each: less than `x`, unless something else keeps that
/// too, which an operation cannot know. The gradient is `slope(g, piece)`.
#[track_caller]
pub(super) fn record_pieces<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    value: Array<T>,
    piece: impl Fn(T) -> u8 + Sync,
    slope: impl Fn(T, u8) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    // Not by a closure, which would hide the caller.
    let pieces = if x.wants_grad() { Some(x.array.map(name, piece)) } else { None };
    record(name, [x], value, move |ctx| {
        [pieces.as_ref().map(|pieces| piecewise(name, ctx.grad(), pieces, slope))]
    })
}

/// `slope(g, piece)`, element by element, where `slope` is linear in `g`: so it is its own
/// derivative in `g`.
///
/// It takes `g` rather than giving a factor: a factor of 0 would make NaN of an infinite `g`.
#[track_caller]
pub(super) fn piecewise<T: Float, P: Element>(
    name: &'static str,
    g: &Tensor<T>,
    pieces: &Array<P>,
    slope: impl Fn(T, P) -> T + Copy + Send + Sync + 'static,
) -> Tensor<T> {
    let value = g.array.zip(name, pieces, pieces.shape().clone(), slope);
    let pieces = pieces.clone();
    record(name, [g], value, move |ctx| [Some(piecewise(name, ctx.grad(), &pieces, slope))])
}

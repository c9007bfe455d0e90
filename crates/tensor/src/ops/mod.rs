//! The operations: one file each, or one for a tight family.
//!
//! To add one: a file here with its documentation, shape check, forward,
//! backward and tests, and a line below.

mod add;
mod argmax;
mod broadcast;
pub(crate) mod cross_entropy;
mod custom;
mod div;
mod exp;
mod linear;
mod matmul;
mod mul;
mod narrow;
mod operators;
mod permute;
mod powf;
mod relu;
mod reshape;
mod sigmoid;
mod softmax;
mod sum;
mod tanh;

use crate::shape::Shape;

/// The shape that two operands broadcast to.
#[track_caller]
fn broadcast_shape(op: &str, a: &Shape, b: &Shape) -> Shape {
    a.broadcast(b).unwrap_or_else(|| {
        panic!(
            "{op}: shapes {a} and {b} do not broadcast: aligned at the last dimension, sizes \
             must be equal or one of them 1"
        )
    })
}

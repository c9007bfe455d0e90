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
pub(crate) mod operand;
mod operators;
mod permute;
mod powf;
mod reduction;
mod relu;
mod reshape;
mod sigmoid;
mod softmax;
mod sum;
mod tanh;

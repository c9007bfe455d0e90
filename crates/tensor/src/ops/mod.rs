//! The operations: one file each, or one for a tight family.
//!
//! To add one: a file here with its documentation, shape check, forward,
//! backward and tests, and a line below.

mod add;
mod argmax;
pub(crate) mod avg_pool;
mod broadcast;
mod conv;
pub(crate) mod conv_options;
pub(crate) mod cross_entropy;
mod custom;
mod div;
mod exp;
mod linear;
mod matmul;
pub(crate) mod max_pool;
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
pub(crate) mod windows;

//! The operations: one file each, or one for a tight family.
//!
//! To add one: a file here with its documentation, shape check, forward,
//! backward and tests, and a line below.

mod abs;
mod adaptive_avg_pool;
mod add;
mod argmax;
mod arrange;
pub(crate) mod attention;
pub(crate) mod avg_pool;
mod broadcast;
mod clamp;
mod compare;
mod conv;
pub(crate) mod conv_options;
pub(crate) mod cross_entropy;
mod cumulative;
mod custom;
mod div;
mod einsum;
mod elu;
mod exp;
mod extremum;
mod gather;
mod gelu;
mod index_select;
mod join;
mod lerp;
mod linear;
mod log;
mod logsumexp;
mod matmul;
mod max;
pub(crate) mod max_pool;
mod mul;
mod narrow;
mod norm;
mod normalize;
pub(crate) mod operand;
mod operators;
mod permute;
mod piecewise;
mod powers;
mod reduction;
mod relu;
mod reshape;
mod round;
mod sigmoid;
mod smooth;
mod softmax;
mod sort;
mod sum;
mod tanh;
mod trig;
mod var;
mod where_;
pub(crate) mod windows;

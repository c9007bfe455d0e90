//! The operations of convolutional, pooling, normalization and recurrent layers, and cross entropy.

pub(crate) mod adaptive;
pub(crate) mod adaptive_avg_pool;
pub(crate) mod adaptive_max_pool;
pub(crate) mod avg_pool;
pub(crate) mod conv;
pub(crate) mod conv_params;
pub(crate) mod cross_entropy;
pub(crate) mod linear_cross_entropy;
mod linear_cross_entropy_call;
pub(crate) mod max_pool;
pub(crate) mod normalize;
pub(crate) mod normalize_loops;
pub(crate) mod recurrence;
mod rotary;
pub(crate) mod windows;

//! Reductions over dimensions, and orders along them.

pub(crate) mod argmax;
pub(crate) mod cumulative;
pub(crate) mod logsumexp;
pub(crate) mod max;
pub(crate) mod norm;
pub(crate) mod reduction;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod sum;
pub(crate) mod truth;
pub(crate) mod var;

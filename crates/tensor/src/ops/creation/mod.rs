//! New tensors: constants, ranges, literals, random elements.

pub(crate) mod create;
pub(crate) mod literal;
pub(crate) mod random;

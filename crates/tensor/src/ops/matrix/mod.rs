//! Sums of products: matrices, einsum, attention.

pub(crate) mod attention;
mod attention_call;
mod attention_groups;
pub(crate) mod attention_options;
pub(crate) mod einsum;
pub(crate) mod linear;
pub(crate) mod matmul;

//! The layers.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod bilinear;
pub(crate) mod conv;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod lambda;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod pooling;
pub(crate) mod recurrent;
pub(crate) mod sequential;
pub(crate) mod shape;
pub(crate) mod stateless;
pub(crate) mod transformer;

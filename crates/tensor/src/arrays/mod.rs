//! Arrays: elements with a shape. Nothing here knows gradients.

pub(crate) mod array;
pub(crate) mod dims;
pub(crate) mod error;
pub(crate) mod indices;
pub(crate) mod keepdim;
pub(crate) mod layout;
pub(crate) mod mask;
pub(crate) mod shape;
pub(crate) mod storage;

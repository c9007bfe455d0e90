//! Tools on top of the operations: gradients as values, checks, checkpointed segments, printing.

pub(crate) mod checkpoint;
pub(crate) mod display;
pub(crate) mod functional;
pub(crate) mod grad;
pub(crate) mod gradcheck;
pub(crate) mod graph;
pub(crate) mod memory;

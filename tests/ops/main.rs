//! Tests of every operation from one table: gradients, PyTorch's values, documentation, determinism.

#[path = "../pytorch/common.rs"]
mod common;
mod completeness;
mod determinism;
mod gradients;
mod inputs;
mod pytorch;
mod table;
#[path = "../support/threads.rs"]
mod threads;

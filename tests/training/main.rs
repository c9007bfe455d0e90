//! Training runs: what optimizers reach, and that the bits do not depend on the number of threads.

mod determinism;
mod lamb;
mod optimizers;
mod pretrained;
#[path = "../support/threads.rs"]
mod threads;

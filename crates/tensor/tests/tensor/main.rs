//! Tensors through the public interface.

mod display;
mod messages;
#[path = "../support/mistakes.rs"]
mod mistakes;
mod threads;
mod views;
#[path = "../support/watched.rs"]
mod watched;

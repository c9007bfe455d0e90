//! Layers, and the derive, through the public interface.

mod derive;
mod messages;
#[path = "../../../tensor/tests/support/mistakes.rs"]
mod mistakes;
mod storage;

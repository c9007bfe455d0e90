//! Layers, and the derive, through the public interface.

mod derive;
mod load;
mod messages;
#[path = "../../../tensor/tests/support/mistakes.rs"]
mod mistakes;
mod skip_init;
mod storage;

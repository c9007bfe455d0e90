//! Metrics through the public interface.

mod messages;
#[path = "../../../tensor/tests/support/mistakes.rs"]
mod mistakes;
mod scikit_learn;
mod shards;
mod states;

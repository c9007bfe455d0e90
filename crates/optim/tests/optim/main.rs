//! Optimizers and schedules through the public interface.

mod concurrency;
mod formulas;
mod messages;
#[path = "../../../tensor/tests/support/mistakes.rs"]
mod mistakes;
mod open;
mod round_trips;
mod schedules;
mod sharing;
mod steps;
#[path = "../../../tensor/tests/support/watched.rs"]
mod watched;

//! From a training loop to a finished run: metrics, and what surrounds the loop.
//!
//! The loop itself stays the user's: nothing here owns it.

#![forbid(unsafe_code)]

mod run;

pub use run::{History, Interrupted, Row, Run, RunConfig, RunError, RunFolder, Session, exit};

//! From a training loop to a finished run: metrics, and what surrounds the loop.
//!
//! * A [`Run`] is a folder with checkpoints, metrics and the configuration. It saves in the
//!   background, answers Ctrl-C, resumes after a kill to the same bits, and shows the progress.
//! * [`History`] and [`RunConfig`] read what a run has written.
//!
//! The loop itself stays the user's: nothing here owns it.

#![forbid(unsafe_code)]

mod run;

pub use run::{History, Interrupted, Row, Run, RunConfig, RunError, RunFolder, Session, exit};

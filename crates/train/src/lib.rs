//! From a training loop to a finished run.
//!
//! * [`Run`] is a folder with checkpoints, metrics and configuration: a run that can be watched,
//!   killed and resumed.
//! * [`Mean`], [`Accuracy`], [`ConfusionMatrix`], [`Auroc`], [`Perplexity`] and
//!   [`RegressionErrors`] measure, over any number of batches.
//! * [`accumulate`], [`EarlyStopping`], [`AveragedModel`], [`LrFinder`] and [`Seeds`] help with the
//!   training itself.
//! * [`save_peft`] and [`load_peft`] exchange the adapters of a fine-tuned model with Python's `peft`.
//!
//! The loop stays the program's own: nothing here owns it.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod accumulate;
mod averaged_model;
mod early_stopping;
mod lr_finder;
mod metrics;
mod peft;
mod run;
mod seeds;
mod update_bn;

pub use accumulate::{accumulate, try_accumulate};
pub use averaged_model::AveragedModel;
pub use early_stopping::EarlyStopping;
pub use lr_finder::{LrCurve, LrFinder};
pub use metrics::{
    Accuracy, Auroc, Average, ClassCounts, ConfusionMatrix, Mean, OutputErrors, Perplexity,
    RegressionErrors,
};
pub use peft::{PeftError, load_peft, save_peft};
pub use run::{History, Interrupted, Row, Run, RunConfig, RunError, RunFolder, Session, exit};
#[doc(hidden)]
pub use run::{names, short};
pub use seeds::Seeds;
pub use update_bn::update_bn;

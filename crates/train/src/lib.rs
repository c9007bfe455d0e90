//! From a training loop to a finished run: metrics, and what surrounds the loop.
//!
//! The loop itself stays the user's: nothing here owns it.

#![forbid(unsafe_code)]

mod metrics;

pub use metrics::{
    Accuracy, Auroc, Average, ClassCounts, ConfusionMatrix, Mean, OutputErrors, Perplexity,
    RegressionErrors,
};
mod accumulate;
mod averaged_model;
mod early_stopping;
mod lr_finder;
mod seeds;
mod update_bn;

pub use accumulate::accumulate;
pub use averaged_model::AveragedModel;
pub use early_stopping::EarlyStopping;
pub use lr_finder::{LrCurve, LrFinder};
pub use seeds::Seeds;
pub use update_bn::update_bn;

//! From a training loop to a finished run: metrics, and what surrounds the loop.
//!
//! The loop itself stays the user's: nothing here owns it.

#![forbid(unsafe_code)]

mod metrics;

pub use metrics::{
    Accuracy, Auroc, Average, ClassCounts, ConfusionMatrix, Mean, OutputErrors, Perplexity,
    RegressionErrors,
};

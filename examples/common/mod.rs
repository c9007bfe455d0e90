//! What the examples share: the flags of a run, an accuracy, larger nets, and pictures.

#![allow(dead_code, unused_imports)] // each example uses a part of it

pub(crate) mod digit_net;
pub(crate) mod gpt;
pub(crate) mod parallel_args;
pub(crate) mod pictures;
pub(crate) mod run_args;
pub(crate) mod waves;

pub(crate) use parallel_args::ParallelArgs;
pub(crate) use run_args::{RunArgs, count, rate};

use adamant::data::IntoSource;
use adamant::prelude::*;

/// The accuracy from 0 to 1. Sets the net to training mode afterwards.
pub(crate) fn accuracy(
    net: &mut (impl Module + Forward),
    data: impl IntoSource<Batch = Batch>,
) -> f64 {
    net.eval();
    let mut accuracy = Accuracy::new();
    no_grad(|| {
        for batch in DataLoader::new(data, 500).epoch() {
            accuracy.update(&net.forward(&batch.inputs), &batch.targets);
        }
    });
    net.train();
    accuracy.value()
}

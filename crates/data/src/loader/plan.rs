//! An epoch: its order, cut into batches.

use crate::error::DataError;
use crate::source::{BatchRequest, Draw, EpochSeed, Source};
use std::sync::Arc;

/// Everything that determines the batches of an epoch. Workers share it.
pub(crate) struct EpochPlan<B> {
    pub(crate) source: Source<B>,
    /// The indices of the samples, in the order of the epoch.
    pub(crate) order: Vec<usize>,
    /// How often the same index precedes each position; empty if none does.
    pub(crate) repeats: Vec<u32>,
    pub(crate) batch_size: usize,
    pub(crate) seed: EpochSeed,
    /// Called for samples that cannot be loaded and are left out; `None` if none is left out.
    pub(crate) on_skip: Option<OnSkip>,
}

pub(crate) type OnSkip = Arc<dyn Fn(&DataError) + Send + Sync>;

/// A batch, and the errors of the samples that were left out of it.
pub(crate) struct Loaded<B> {
    pub(crate) batch: Result<B, DataError>,
    pub(crate) skipped: Vec<DataError>,
}

impl<B: 'static> EpochPlan<B> {
    /// The number of batches.
    pub(crate) fn batches(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// The batch of this number.
    pub(crate) fn load(&self, number: usize) -> Loaded<B> {
        let start = number * self.batch_size;
        let end = self.order.len().min(start.saturating_add(self.batch_size));
        let draws = (start..end).map(|position| Draw {
            index: self.order[position],
            repeat: self.repeats.get(position).copied().unwrap_or(0),
        });
        let mut request = BatchRequest {
            draws: draws.collect(),
            seed: self.seed,
            number,
            rng: self.seed.batch(number, 0),
            skipped: self.on_skip.is_some().then(Vec::new),
        };
        let batch = self.source.load(&mut request);
        let mut skipped = request.skipped.unwrap_or_default();
        match batch {
            Ok(Some(batch)) => Loaded { batch: Ok(batch), skipped },
            // Of a batch that is an error, no sample was left out: all of them are lost.
            Ok(None) => {
                let error = skipped.pop().expect("the error of the last sample");
                Loaded { batch: Err(error), skipped: Vec::new() }
            }
            Err(error) => Loaded { batch: Err(error.of_batch_number(number)), skipped: Vec::new() },
        }
    }
}

/// For each position of an order, how often the same index precedes it; empty if none does.
pub(crate) fn repeats(order: &[usize], samples: usize) -> Vec<u32> {
    let mut counts = vec![0; samples];
    let mut repeats = Vec::with_capacity(order.len());
    for &index in order {
        repeats.push(counts[index]);
        counts[index] += 1;
    }
    if repeats.iter().any(|&repeat| repeat > 0) { repeats } else { Vec::new() }
}

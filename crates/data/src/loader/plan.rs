//! An epoch: its order, cut into batches.

use crate::error::DataError;
use crate::source::{BatchRequest, Draw, EpochSeed, Source};
use std::ops::Range;
use std::sync::Arc;

/// Everything that determines the batches of an epoch. Workers share it.
pub(crate) struct EpochPlan<B> {
    pub(crate) source: Source<B>,
    /// The indices of the samples, in the order of the epoch.
    pub(crate) order: Vec<usize>,
    /// How often the same index precedes each position; empty if none does.
    pub(crate) repeats: Vec<u32>,
    pub(crate) batch_size: usize,
    pub(crate) shard: Shard,
    pub(crate) seed: EpochSeed,
    /// Called for samples that cannot be loaded and are left out; `None` if none is left out.
    pub(crate) on_skip: Option<OnSkip>,
}

pub(crate) type OnSkip = Arc<dyn Fn(&DataError) + Send + Sync>;

/// Which part of each batch is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard {
    pub(crate) rank: usize,
    pub(crate) ranks: usize,
}

/// A batch, and the errors of the samples that were left out of it.
pub(crate) struct Loaded<B> {
    pub(crate) batch: Result<B, DataError>,
    pub(crate) skipped: Vec<DataError>,
}

impl Shard {
    /// This part of a batch of `len` samples: parts differ by at most one sample.
    fn part(self, len: usize) -> Range<usize> {
        len * self.rank / self.ranks..len * (self.rank + 1) / self.ranks
    }
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
        if end - start < self.shard.ranks {
            // The same for all ranks: none may wait for another.
            let found =
                format!("{} samples in a batch for {} ranks", end - start, self.shard.ranks);
            let expected = "a sample for each; drop_last leaves out smaller batches".into();
            let error = DataError::Unfit { operation: "DataLoader", found, expected };
            return Loaded { batch: Err(error), skipped: Vec::new() };
        }
        let part = self.shard.part(end - start);
        let draws = (start + part.start..start + part.end).map(|position| Draw {
            index: self.order[position],
            repeat: self.repeats.get(position).copied().unwrap_or(0),
        });
        let mut request = BatchRequest {
            draws: draws.collect(),
            seed: self.seed,
            rng: self.seed.batch(number),
            skipped: self.on_skip.is_some().then(Vec::new),
        };
        let batch = self.source.load(&mut request);
        let batch = batch.map_err(|error| error.of_batch_number(number));
        // Of a batch that is an error, no sample was left out: all of them are lost.
        let skipped = if batch.is_ok() { request.skipped } else { None };
        Loaded { batch, skipped: skipped.unwrap_or_default() }
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

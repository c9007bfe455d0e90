//! An epoch: its order, cut into batches.

use crate::error::DataError;
use crate::source::{BatchRequest, BatchSeed, Source};
use std::ops::Range;

/// Everything that determines the batches of an epoch. Workers share it.
#[derive(Debug)]
pub(crate) struct EpochPlan<B> {
    pub(crate) source: Source<B>,
    /// The indices of the samples, in the order of the epoch.
    pub(crate) order: Vec<usize>,
    pub(crate) batch_size: usize,
    pub(crate) shard: Shard,
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    /// Whether to leave out samples that cannot be loaded.
    pub(crate) skip_errors: bool,
}

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
        let batch = &self.order[start..self.order.len().min(start.saturating_add(self.batch_size))];
        let indices = batch[self.shard.part(batch.len())].to_vec();
        if indices.is_empty() {
            let found =
                format!("a batch of {} samples for {} ranks", batch.len(), self.shard.ranks);
            let expected = "a sample for each; drop_last leaves out smaller batches".into();
            let error = DataError::Unfit { operation: "DataLoader", found, expected };
            return Loaded { batch: Err(error), skipped: Vec::new() };
        }
        let seed = BatchSeed { seed: self.seed, epoch: self.epoch, batch: number as u64 };
        let skipped = self.skip_errors.then(Vec::new);
        let mut request = BatchRequest { indices, seed, skipped };
        loop {
            let batch = self.source.load(&mut request);
            match (batch, &mut request.skipped) {
                // A sample that does not fit the others.
                (Err(error), Some(skipped))
                    if request.indices.len() > 1 && error.index().is_some() =>
                {
                    request.indices.retain(|&index| Some(index) != error.index());
                    skipped.push(error);
                }
                (batch, _) => {
                    return Loaded { batch, skipped: request.skipped.unwrap_or_default() };
                }
            }
        }
    }
}

//! Parts of batches, for data-parallel training.

use super::DataLoader;
use crate::collate::Batch;
use crate::source::{BatchRequest, Source};
use std::ops::Range;

/// Which shards of each batch a process loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// The shards of this process.
    pub local: Range<usize>,
    /// The number of shards of all processes.
    pub total: usize,
}

/// A shard of a batch.
///
/// With `samples / of` as the weight of each shard's mean loss, the sum over all shards is the mean
/// loss of the global batch.
#[derive(Clone, Debug)]
pub struct ShardBatch<B = Batch> {
    /// The index of the shard in the batch.
    pub shard: usize,
    /// The number of samples of the shard, including those that were
    /// [left out](DataLoader::skip_errors).
    pub samples: usize,
    /// The number of samples of all shards of the batch, including those that were left out.
    pub of: usize,
    /// The samples, without those that were left out.
    pub batch: B,
}

impl<B: Send + 'static> DataLoader<B> {
    /// Cuts each batch into `total` shards, and loads those of this process: a batch is the list of
    /// them, in order.
    ///
    /// `batch_size` is that of all shards together. Shard `s` of a batch of `n` samples is its samples
    /// `n·s/total .. n·(s + 1)/total`, in the order of the loader. An empty shard, of a batch with
    /// fewer samples than shards, is left out of the list, which can be empty.
    ///
    /// Shards do not depend on the number of processes: the lists of all processes, one after
    /// another, are that of a process that loads all shards. The order of the epoch is that of a
    /// loader without shards, and so is the state, apart from the number of skipped samples: it loads
    /// into a loader with other shards.
    ///
    /// With [`skip_errors`](DataLoader::skip_errors), a shard without any good sample is left out
    /// too. An error in a shard is the error of the batch, in this process alone.
    ///
    /// [`map`](DataLoader::map) before `shards` transforms each shard, with its own generator; `map`
    /// after it transforms the list, with the same generator in all processes.
    ///
    /// PyTorch: `torch.utils.data.distributed.DistributedSampler`.
    ///
    /// # Panics
    /// If `local` is empty or not within `0..total`.
    ///
    /// ```
    /// use adamant_data::{DataLoader, Shards};
    /// let shards = Shards { local: 1..3, total: 3 }; // another process loads shard 0
    /// let mut loader = DataLoader::new((0..10).collect::<Vec<usize>>(), 6).shards(shards);
    /// let shards = loader.next_batch();
    /// assert_eq!((shards[0].shard, &shards[0].batch[..]), (1, &[2, 3][..]));
    /// assert_eq!((shards[1].shard, &shards[1].batch[..]), (2, &[4, 5][..]));
    /// assert_eq!((shards[1].samples, shards[1].of), (2, 6));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn shards(self, shards: Shards) -> DataLoader<Vec<ShardBatch<B>>> {
        let Shards { local, total } = &shards;
        assert!(
            !local.is_empty() && local.end <= *total,
            "shards: local is {local:?}; expected a part of 0..{total} that is not empty"
        );
        let source = sharded(self.source.clone(), shards);
        self.with_source(source)
    }
}

/// The shards of the batches of `source`.
fn sharded<B: 'static>(source: Source<B>, shards: Shards) -> Source<Vec<ShardBatch<B>>> {
    let Shards { local, total } = shards;
    Source::new(source.samples(), move |request| {
        let of = request.draws.len();
        let mut batches = Vec::with_capacity(local.len());
        for shard in local.clone() {
            let draws = &request.draws[of * shard / total..of * (shard + 1) / total];
            if draws.is_empty() {
                continue;
            }
            let mut part = BatchRequest {
                draws: draws.to_vec(),
                seed: request.seed,
                number: request.number,
                rng: request.seed.batch(request.number, shard),
                skipped: request.skipped.is_some().then(Vec::new),
            };
            let batch = source.load(&mut part)?;
            if let Some(skipped) = &mut request.skipped {
                skipped.extend(part.skipped.into_iter().flatten());
            }
            let samples = part.draws.len();
            batches.extend(batch.map(|batch| ShardBatch { shard, samples, of, batch }));
        }
        // A transform of the list must not repeat the numbers of a shard.
        request.rng = request.seed.batch(request.number, total);
        Ok(Some(batches))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataError;
    use crate::dataset::Dataset;
    use adamant_tensor::{Generator, Stateful};
    use std::sync::{Arc, Mutex};

    /// The shards of rank `rank` of `ranks`.
    fn shards(rank: usize, ranks: usize, total: usize) -> Shards {
        Shards { local: total * rank / ranks..total * (rank + 1) / ranks, total }
    }

    /// Batches of 7 of 17 samples, which draw random numbers: the last one has 3.
    fn noisy(workers: usize) -> DataLoader<Vec<i64>> {
        let noise =
            |index, rng: &mut Generator| Ok((index as i64) << 32 | (rng.next_u64() >> 33) as i64);
        DataLoader::new((0..17).collect::<Vec<usize>>().augment(noise), 7)
            .shuffle(&mut Generator::seed(4))
            .seed(5)
            .workers(workers)
    }

    fn joined(shards: &[ShardBatch<Vec<i64>>]) -> Vec<i64> {
        shards.iter().flat_map(|shard| shard.batch.clone()).collect()
    }

    #[test]
    fn the_shards_of_all_ranks_are_the_batch_of_one_process() {
        for total in [1, 3, 4, 8] {
            for (ranks, workers) in (1..=total).flat_map(|ranks| [(ranks, 0), (ranks, 2)]) {
                let mut one = noisy(0);
                let loader = |rank| noisy(workers).shards(shards(rank, ranks, total));
                let mut loaders: Vec<_> = (0..ranks).map(loader).collect();
                for _ in 0..7 {
                    let expected = one.next_batch();
                    let lists: Vec<_> = loaders.iter_mut().map(DataLoader::next_batch).collect();
                    let list = lists.concat();
                    assert_eq!(joined(&list), expected, "{total} shards, {ranks} ranks");
                    let position = |shard: usize| expected.len() * shard / total;
                    for ShardBatch { shard, samples, of, batch } in &list {
                        assert_eq!((*of, *samples), (expected.len(), batch.len()));
                        assert_eq!(*samples, position(shard + 1) - position(*shard));
                    }
                    assert!(list.is_sorted_by_key(|shard| shard.shard));
                    assert_eq!(list.len(), total.min(expected.len()), "empty ones are left out");
                    for loader in &loaders {
                        assert_eq!(loader.state_dict(), one.state_dict());
                        assert_eq!(loader.batches_left(), one.batches_left());
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_samples_of_local_shards_are_loaded() {
        let loaded = Arc::new(Mutex::new(Vec::new()));
        let seen = loaded.clone();
        let data = (0..10).collect::<Vec<usize>>().map(move |index| {
            seen.lock().unwrap().push(index);
            Ok(index)
        });
        let mut loader = DataLoader::new(data, 6).shards(shards(1, 2, 3));
        let lists: Vec<_> = loader.epoch().collect();
        assert_eq!(*loaded.lock().unwrap(), [2, 3, 4, 5, 7, 8, 9]);
        assert_eq!(lists[1].iter().map(|shard| shard.samples).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_rank_can_have_no_shard_of_a_small_batch() {
        let mut loader = DataLoader::new(vec![0usize; 9], 8).shards(shards(0, 8, 8));
        assert_eq!(loader.epoch().map(|list| list.len()).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn a_state_loads_into_a_loader_with_other_shards() {
        for workers in [0, 2] {
            let mut two = noisy(workers).shards(shards(1, 2, 8));
            let mut one = noisy(0);
            for _ in 0..4 {
                let _ = (two.next_batch(), one.next_batch());
            }
            let loader = |rank| noisy(workers).seed(77).shards(shards(rank, 3, 8));
            let mut three: Vec<_> = (0..3).map(loader).collect();
            for loader in &mut three {
                loader.load_state_dict(&two.state_dict()).unwrap();
            }
            for _ in 0..5 {
                let lists: Vec<_> = three.iter_mut().map(DataLoader::next_batch).collect();
                assert_eq!(joined(&lists.concat()), one.next_batch());
            }
        }
    }

    #[test]
    fn transforms_draw_by_batch_and_shard() {
        let drawing = |workers| noisy(workers).map(|_, rng: &mut Generator| Ok(rng.next_u64()));
        let all: Vec<_> = drawing(0).shards(shards(0, 1, 4)).epoch().collect();
        let mut numbers: Vec<u64> = all.iter().flatten().map(|shard| shard.batch).collect();
        for ranks in [2, 3] {
            let parts = (0..ranks).flat_map(|rank| {
                let mut loader = drawing(2).shards(shards(rank, ranks, 4));
                loader.epoch().enumerate().collect::<Vec<_>>()
            });
            for (batch, shard) in
                parts.flat_map(|(batch, list)| list.into_iter().map(move |shard| (batch, shard)))
            {
                let same = all[batch].iter().find(|other| other.shard == shard.shard).unwrap();
                assert_eq!(shard.batch, same.batch);
            }
        }
        // A transform of the list, in each process.
        let lists = |rank| {
            let drawing = drawing(0).shards(shards(rank, 2, 4));
            drawing.map(|_, rng| Ok(rng.next_u64())).epoch().collect::<Vec<_>>()
        };
        assert_eq!(lists(0), lists(1));
        numbers.extend(lists(0));
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
        // One shard is a batch without shards.
        let one: Vec<_> =
            drawing(0).shards(shards(0, 1, 1)).epoch().map(|list| list[0].batch).collect();
        assert_eq!(one, drawing(0).epoch().collect::<Vec<_>>());
    }

    #[test]
    fn skipped_samples_count_as_samples_of_their_shard() {
        for workers in [0, 2] {
            let damaged = [1, 4, 5, 7];
            let data = (0..8).collect::<Vec<usize>>().map(move |index| {
                if damaged.contains(&index) { Err("damaged".into()) } else { Ok(index) }
            });
            let skipped = Arc::new(Mutex::new(Vec::new()));
            let seen = skipped.clone();
            let on_skip = move |error: &DataError| seen.lock().unwrap().extend(error.index());
            let loader = DataLoader::new(data, 8).workers(workers).skip_errors(on_skip);
            let list = loader.clone().shards(shards(0, 1, 4)).next_batch();
            let list: Vec<_> = list
                .into_iter()
                .map(|part| (part.shard, part.samples, part.of, part.batch))
                .collect();
            assert_eq!(list, [(0, 2, 8, vec![0]), (1, 2, 8, vec![2, 3]), (3, 2, 8, vec![6])]);
            assert_eq!(*skipped.lock().unwrap(), damaged);
            let mut last = loader.shards(shards(1, 2, 4));
            let _ = last.next_batch();
            assert_eq!(last.skipped(), 3);
        }
    }

    #[test]
    fn an_error_of_a_shard_is_that_of_its_batch() {
        let data = (0..8).collect::<Vec<usize>>();
        let data = data.map(|index| if index == 3 { Err("damaged".into()) } else { Ok(index) });
        for workers in [0, 2] {
            let loader = DataLoader::new(data.clone(), 4).workers(workers);
            let mut last = loader.clone().shards(shards(1, 2, 4));
            assert_eq!(last.try_next_batch().unwrap_err().to_string(), "sample 3: damaged");
            assert_eq!(last.try_next_batch().unwrap()[1].batch, [7]);
            let mut first = loader.shards(shards(0, 2, 4));
            assert!(first.try_epoch().all(|list| list.is_ok()));
        }
    }

    #[test]
    #[should_panic(expected = "shards: local is 2..5; expected a part of 0..4 that is not empty")]
    fn local_shards_are_some_of_all() {
        let _ = noisy(0).shards(Shards { local: 2..5, total: 4 });
    }

    #[test]
    #[should_panic(expected = "shards: local is 2..2; expected a part of 0..4")]
    fn a_process_has_a_shard() {
        let _ = noisy(0).shards(Shards { local: 2..2, total: 4 });
    }
}

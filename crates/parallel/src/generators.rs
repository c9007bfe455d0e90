//! The random numbers of a model's layers, which derive from the shard.

use adamant_nn::{Leaf, Module, Path, SharedGenerator};
use adamant_tensor::{Float, Generator};
use std::collections::HashSet;

/// The generators of a model's layers during a batch.
pub(crate) struct Generators {
    /// Each with the state that it will have after the batch.
    after: Vec<(SharedGenerator, Generator)>,
    /// The origin of the numbers of this batch; none if the batch is not cut.
    keys: Vec<[u64; 2]>,
}

/// Separates the numbers of shards from others with the same key.
const SHARD: u64 = u64::from_le_bytes(*b"shard\0\0\0");

impl Generators {
    /// Draws the keys of a batch. A batch of one shard uses the generators as they are.
    pub(crate) fn of<T: Float>(model: &(impl Module<T> + ?Sized), shards: usize) -> Self {
        let (mut after, mut keys) = (Vec::new(), Vec::new());
        if shards == 1 {
            return Generators { after, keys };
        }
        let mut seen = HashSet::new();
        model.visit(&mut Path::default(), &mut |_, leaf| {
            let id = leaf.id();
            let Leaf::Generator(shared) = leaf else { return };
            if seen.insert(id) {
                let mut generator = shared.lock();
                keys.push([generator.next_u64(), generator.next_u64()]);
                after.push((shared.clone(), generator.clone()));
            }
        });
        Generators { after, keys }
    }

    /// The states at the start of a shard.
    pub(crate) fn of_shard(&self, shard: usize) -> Vec<Generator> {
        let start = |key: &[u64; 2]| Generator::from_key([key[0], key[1], shard as u64, SHARD]);
        self.keys.iter().map(start).collect()
    }

    /// Exchanges the states with those of the model's layers.
    pub(crate) fn swap(&self, states: &mut [Generator]) {
        for ((generator, _), state) in self.after.iter().zip(states) {
            std::mem::swap(&mut *generator.lock(), state);
        }
    }

    pub(crate) fn finish(self) {
        for (generator, after) in self.after {
            *generator.lock() = after;
        }
    }
}

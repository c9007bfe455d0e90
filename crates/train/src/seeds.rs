//! One seed for everything.

use adamant_tensor::Generator;

/// One seed, and a generator for each use of random numbers, found by its name.
///
/// A generator follows from the seed and its name alone, whatever other generators there are and in
/// which order they are made: a model with another layer still gets the same batches. The same name
/// twice is the same generator twice, with the same numbers.
///
/// Lightning: `seed_everything(seed)`; JAX: `jax.random.fold_in(key, …)`.
///
/// ```
/// use adamant_train::Seeds;
/// let seeds = Seeds::new(42);
/// let (mut init, mut shuffle) = (seeds.generator("init"), seeds.generator("shuffle"));
/// assert_ne!(init.next_u64(), shuffle.next_u64());
/// assert_eq!(seeds.generator("shuffle").next_u64(), Seeds::new(42).generator("shuffle").next_u64());
/// let workers: Vec<_> = (0..4).map(|i| seeds.generator(&format!("worker {i}"))).collect();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    seed: u64,
}

/// The last word of a key, which separates these generators from other uses of a seed.
const DOMAIN: u64 = u64::from_le_bytes(*b"seeds   ");

impl Seeds {
    /// The generators of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Seeds { seed }
    }

    /// The seed.
    #[must_use]
    pub fn seed(self) -> u64 {
        self.seed
    }

    /// The generator with this name.
    ///
    /// Its key is a hash of seed and name, with ChaCha as the function that mixes: the seed and 0,
    /// then for each 8 bytes of the name, and last for its length, the first 128 bits that the
    /// generator of both yields.
    #[must_use]
    pub fn generator(self, name: &str) -> Generator {
        let words = name.as_bytes().chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(word)
        });
        let (mut high, mut low) = (self.seed, 0);
        for word in words.chain([name.len() as u64]) {
            let mut mixed = Generator::from_key([high, low, word, DOMAIN]);
            (high, low) = (mixed.next_u64(), mixed.next_u64());
        }
        Generator::from_key([high, low, 0, DOMAIN])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn first(seed: u64, name: &str) -> u64 {
        Seeds::new(seed).generator(name).next_u64()
    }

    #[test]
    fn every_seed_and_name_has_its_own_numbers() {
        let names =
            ["", "\0", "a", "b", "ab", "a\0", "init", "12345678", "12345678\0", "123456789"];
        let seeds = [0, 1, u64::MAX];
        let found: HashSet<u64> =
            seeds.iter().flat_map(|&seed| names.map(|name| first(seed, name))).collect();
        assert_eq!(found.len(), seeds.len() * names.len());
    }

    /// Runs of other versions and on other machines have these numbers too. (From an implementation
    /// in Python.)
    #[test]
    fn the_numbers_stay_what_they_are() {
        assert_eq!(first(42, "init"), 0x6416f6b7577865b0);
        assert_eq!(first(0, "a name of several words"), 0x7ef0b253fdcb9328);
    }
}

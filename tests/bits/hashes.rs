//! A hash for each name, and their comparison with the committed ones.

use adamant::prelude::*;
use adamant::tensor::Float;
use std::collections::BTreeMap;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bits/hashes.txt");

#[derive(Default)]
pub(crate) struct Hashes(BTreeMap<String, u64>);

impl Hashes {
    /// Adds the hash of these values under a name and their type.
    pub(crate) fn add<T: Float>(&mut self, name: &str, values: &[Tensor<T>]) {
        let name = format!("{} {name}", T::DTYPE);
        let hash = values.iter().fold(FNV, |hash, tensor| {
            let hash = mix(hash, tensor.numel() as u64);
            tensor.to_vec().into_iter().fold(hash, |hash, x| mix(hash, bits(x)))
        });
        assert!(self.0.insert(name.clone(), hash).is_none(), "{name}: the name is used twice");
    }

    /// [`add`](Hashes::add) of numbers.
    pub(crate) fn add_numbers(&mut self, name: &str, numbers: Vec<f64>) {
        let len = numbers.len();
        self.add(name, &[Tensor::from_vec(numbers, [len]).unwrap()]);
    }

    /// Adds the hash of an operation's results and of the gradients of these leaves.
    pub(crate) fn add_with_gradients<T: Float>(
        &mut self,
        name: &str,
        results: Vec<Tensor<T>>,
        leaves: &[Tensor<T>],
    ) {
        let tracked = results.iter().filter(|result| result.is_tracked());
        let weighted = tracked.map(|y| (y * crate::inputs::arriving(0, y.shape())).sum());
        if let Some(total) = weighted.reduce(|a, b| a + b) {
            total.backward();
        }
        let gradients = leaves.iter().filter_map(Tensor::grad);
        self.add(name, &results.into_iter().chain(gradients).collect::<Vec<_>>());
    }

    /// Asserts that these are the hashes in the file. With `ADAMANT_WRITE=1`, writes it instead.
    pub(crate) fn compare(&self) {
        println!("{} hashes on {}", self.0.len(), std::env::consts::ARCH);
        let lines = self.0.iter().map(|(name, hash)| format!("{hash:016x} {name}\n"));
        if std::env::var_os("ADAMANT_WRITE").is_some() {
            return std::fs::write(FILE, lines.collect::<String>()).unwrap();
        }
        let file = std::fs::read_to_string(FILE).unwrap();
        let expected: BTreeMap<&str, &str> =
            file.lines().map(|line| line.split_once(' ').map(|(a, b)| (b, a)).unwrap()).collect();
        let found = |(name, hash): (&String, &u64)| {
            let hash = format!("{hash:016x}");
            let expected = expected.get(&name[..]).copied().unwrap_or("none");
            (hash != expected).then(|| format!("{name}: found {hash}, expected {expected}"))
        };
        let mut differences: Vec<String> = self.0.iter().filter_map(found).collect();
        let missing = expected.iter().filter(|(name, _)| !self.0.contains_key(**name));
        differences
            .extend(missing.map(|(name, hash)| format!("{name}: found none, expected {hash}")));
        assert!(
            differences.is_empty(),
            "{} of {} hashes differ; if they should: ADAMANT_WRITE=1 cargo test --test bits\n{}",
            differences.len(),
            self.0.len(),
            differences.join("\n")
        );
    }
}

/// FNV-1a, of words.
const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    hash ^ (hash >> 29) // or the upper bits of a word would never reach the lower ones
}

/// The bits of an element. All NaN are equal: their signs and payloads are the processor's choice.
fn bits<T: Float>(x: T) -> u64 {
    if x.is_nan() { u64::MAX } else { x.to_f64().to_bits() }
}

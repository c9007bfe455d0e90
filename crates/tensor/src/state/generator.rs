//! Random numbers from a named, portable algorithm whose state can be saved.

use super::dict::StateDict;
use super::distributions;
use super::mismatch::{Mismatch, StateError};
use super::stateful::Stateful;
use crate::state::draw_tape::draw;
use adamant_kernels::{CHUNK, Float, WeightDropout, drain, simd};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of random numbers: ChaCha with 8 rounds.
///
/// The same seed yields the same numbers on every machine. There is no global generator: every
/// random function takes one as an argument.
///
/// PyTorch: `torch.Generator().manual_seed(seed)` (with other numbers).
///
/// ```
/// use adamant_tensor::Generator;
/// let (mut a, mut b) = (Generator::seed(7), Generator::seed(7));
/// assert_eq!(a.next_u64(), b.next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Generator(ChaCha8Rng);

// All draws go through `draw`, which checkpointed segments rely on.
impl Generator {
    /// A generator seeded with `seed`.
    #[must_use]
    pub fn seed(seed: u64) -> Self {
        Generator(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The generator with this key of 256 bits, at its start: ChaCha's key, each word as its bytes
    /// from the lowest.
    ///
    /// Different keys yield unrelated numbers, however little they differ. So a key can name what
    /// the numbers are for, and they depend on nothing else: not on what was drawn before, nor on
    /// which thread draws. By convention, the last word separates uses that share the other three.
    ///
    /// JAX: `jax.random.fold_in`.
    ///
    /// ```
    /// use adamant_tensor::Generator;
    /// const AUGMENTATION: u64 = 1;
    /// let sample = |seed, epoch, index| Generator::from_key([seed, epoch, index, AUGMENTATION]);
    /// assert_eq!(sample(7, 0, 12).next_u64(), sample(7, 0, 12).next_u64());
    /// assert_ne!(sample(7, 0, 12).next_u64(), sample(7, 1, 12).next_u64());
    /// ```
    #[must_use]
    pub fn from_key(key: [u64; 4]) -> Self {
        let mut seed = [0; 32];
        for (bytes, word) in seed.as_chunks_mut::<8>().0.iter_mut().zip(key) {
            *bytes = word.to_le_bytes();
        }
        Generator(ChaCha8Rng::from_seed(seed))
    }

    /// A new generator, seeded from this one: its numbers do not depend on later draws from this
    /// one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Generator::seed(self.next_u64())
    }

    /// Sixty-four random bits.
    pub fn next_u64(&mut self) -> u64 {
        draw(&mut self.0, |rng| rng.next_u64())
    }

    /// A number drawn uniformly from `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// A number drawn from the normal distribution with mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        draw(&mut self.0, distributions::normal)
    }

    /// A number in `[0, 1]` drawn from the beta distribution, whose density is proportional to
    /// `x^(a − 1) · (1 − x)^(b − 1)`.
    ///
    /// PyTorch: `torch.distributions.Beta(a, b).sample()`.
    ///
    /// # Panics
    /// If `a` or `b` is not positive and finite.
    ///
    /// ```
    /// use adamant_tensor::Generator;
    /// let share = Generator::seed(0).beta(0.2, 0.2);
    /// assert!((0.0..=1.0).contains(&share));
    /// ```
    #[track_caller]
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let is_valid = |x: f64| 0.0 < x && x < f64::INFINITY;
        assert!(is_valid(a) && is_valid(b), "beta: a is {a} and b is {b}; expected above 0");
        draw(&mut self.0, |rng| distributions::beta(a, b, rng))
    }

    /// An integer drawn uniformly from `0 .. n`.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "below: n is 0; expected at least 1");
        draw(&mut self.0, |rng| rng.random_range(0..n))
    }

    /// Shuffles the items, all orders being equally likely.
    pub fn shuffle<V>(&mut self, items: &mut [V]) {
        draw(&mut self.0, |rng| items.shuffle(rng));
    }

    /// Sets each element to `keep` with probability `1 − p`, and to 0 otherwise: the mask of a
    /// dropout.
    ///
    /// # Panics
    /// If `p` is not within `[0, 1]`.
    #[track_caller]
    pub fn bernoulli_mask<T: Float>(&mut self, out: &mut [T], p: f64, keep: T) {
        assert!(
            (0.0..=1.0).contains(&p),
            "bernoulli_mask: p is {p}; expected a probability, from 0 to 1"
        );
        draw(&mut self.0, |rng| {
            share(rng, out, 1, |rng, out| fill_mask(rng, out, p, keep));
        });
    }

    /// Sets each element to `f` of its own [`next_u64`](Generator::next_u64).
    pub(crate) fn fill<V: Send>(&mut self, out: &mut [V], f: impl Fn(u64) -> V + Sync) {
        draw(&mut self.0, |rng| {
            share(rng, out, 2, |rng, out| {
                each_word(
                    rng,
                    out,
                    #[inline(always)]
                    |word, out| *out = f(u64::from_le_bytes(word)),
                );
            });
        });
    }
}

/// The number in `[0, 1)`, a multiple of 2⁻⁵³, of sixty-four random bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Fills `out`, of which each element takes this number of 32-bit words, as `fill` would in one call:
/// threads fill pieces, each from its own position in the sequence.
fn share<V: Send>(
    rng: &mut ChaCha8Rng,
    out: &mut [V],
    words: usize,
    fill: impl Fn(&mut ChaCha8Rng, &mut [V]) + Sync,
) {
    if out.len() <= CHUNK {
        return fill(rng, out);
    }
    let (start, first) = (rng.get_word_pos(), rng.clone());
    let position = |elements: usize| start + elements as u128 * words as u128;
    let end = position(out.len());
    let cost = out.len().saturating_mul(4 * words); // a word: about 4 additions
    drain(out.chunks_mut(CHUNK).enumerate(), cost, |(piece, out)| {
        let mut rng = first.clone();
        rng.set_word_pos(position(piece * CHUNK));
        fill(&mut rng, out);
    });
    rng.set_word_pos(end);
}

/// Calls `f` with the next `BYTES` bytes of the sequence for each element.
fn each_word<V, const BYTES: usize>(
    rng: &mut ChaCha8Rng,
    out: &mut [V],
    f: impl Fn([u8; BYTES], &mut V),
) {
    let mut bytes = [0; 1024];
    for out in out.chunks_mut(bytes.len() / BYTES) {
        let bytes = &mut bytes[..out.len() * BYTES];
        rng.fill_bytes(bytes);
        simd!(|| {
            for (out, &word) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
                f(word, out);
            }
        });
    }
}

fn fill_mask<T: Float>(rng: &mut ChaCha8Rng, out: &mut [T], p: f64, keep: T) {
    // One 32-bit word for each element; p is rounded to a multiple of 2⁻³².
    let threshold = (p * (1u64 << 32) as f64) as u64;
    each_word(
        rng,
        out,
        #[inline(always)]
        |word, out| {
            let is_dropped = u64::from(u32::from_le_bytes(word)) < threshold;
            *out = if is_dropped { T::ZERO } else { keep };
        },
    );
}

/// The mask of a dropout, which is not stored: any row can be regenerated, in any order and on any
/// thread.
#[derive(Clone, Debug)]
pub(crate) struct MaskRows<T> {
    /// The generator at its start; each row is a stream of its own.
    rng: ChaCha8Rng,
    p: f64,
    keep: T,
}

impl<T: Float> MaskRows<T> {
    /// A new mask: one draw from the generator.
    pub(crate) fn draw(rng: &mut Generator, p: f64, keep: T) -> Self {
        MaskRows { rng: rng.fork().0, p, keep }
    }
}

impl<T: Float> WeightDropout<T> for MaskRows<T> {
    fn factors(&self, row: usize, factors: &mut [T]) {
        let mut rng = self.rng.clone();
        rng.set_stream(row as u64);
        fill_mask(&mut rng, factors, self.p, self.keep);
    }
}

const ALGORITHM: &str = "chacha8";

impl Stateful for Generator {
    fn state_dict(&self) -> StateDict {
        let seed: String = self.0.get_seed().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut state = StateDict::new();
        state.insert("algorithm", ALGORITHM);
        state.insert("seed", seed);
        // The upper bits of the position would be reached after 2⁶⁴ words: never.
        state.insert("position", self.0.get_word_pos() as u64 as i64);
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.0 = read(state)?;
        Ok(())
    }
}

fn read(state: &StateDict) -> Result<ChaCha8Rng, StateError> {
    let mut errors = StateError::new();
    let names = ["algorithm", "seed", "position"];
    errors.check_names(state, names);
    let algorithm = errors.take(state.text("algorithm")).unwrap_or(ALGORITHM);
    if algorithm != ALGORITHM {
        let (found, expected) = (format!("\"{algorithm}\""), format!("\"{ALGORITHM}\""));
        errors.push(Mismatch::wrong("algorithm", found, expected));
    }
    let seed = errors.take(state.text("seed")).and_then(|text| {
        let seed = parse_seed(text);
        if seed.is_none() {
            let found = format!("\"{text}\"");
            errors.push(Mismatch::wrong("seed", found, "64 hexadecimal digits"));
        }
        seed
    });
    let position = errors.take(state.int("position"));
    errors.into_result()?;
    let (Some(seed), Some(position)) = (seed, position) else {
        unreachable!("what is missing was an error")
    };
    let mut rng = ChaCha8Rng::from_seed(seed);
    rng.set_word_pos(u128::from(position as u64));
    Ok(rng)
}

fn parse_seed(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut seed = [0; 32];
    if digits.len() != 2 * seed.len() {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_state_continues_the_sequence() {
        let mut rng = Generator::seed(1);
        let _ = [rng.normal(), rng.uniform(), rng.normal()];
        let state = rng.state_dict();
        let expected: Vec<u64> = (0..40).map(|_| rng.next_u64()).collect();
        let mut other = Generator::seed(2);
        other.load_state_dict(&state).unwrap();
        assert_eq!(expected, (0..40).map(|_| other.next_u64()).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_is_chachas() {
        // The first bytes of ChaCha8's key stream for the keys 0 and 1, TC1 and TC2 of
        // draft-strombergson-chacha-test-vectors.
        for (low, expected) in [(0, "3e00ef2f895f40d6"), (1, "cf5ee9a0494aa961")] {
            let bytes = Generator::from_key([low, 0, 0, 0]).next_u64().to_le_bytes();
            let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn every_word_of_a_key_counts_and_is_saved() {
        let keys = [[0; 4], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [u64::MAX; 4]];
        let mut firsts = Vec::new();
        for key in keys {
            let mut rng = Generator::from_key(key);
            let mut other = Generator::seed(0);
            other.load_state_dict(&rng.state_dict()).unwrap();
            firsts.push(rng.next_u64());
            assert_eq!(firsts.last(), Some(&other.next_u64()));
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), keys.len());
    }

    #[test]
    fn a_foreign_state_changes_nothing() {
        let mut rng = Generator::seed(1);
        let mut state = rng.state_dict();
        state.insert("algorithm", "mt19937");
        state.insert("seed", "12");
        let before = rng.state_dict();
        let error = rng.load_state_dict(&state).unwrap_err().to_string();
        assert!(error.contains("mt19937") && error.contains("\"12\""), "{error}");
        assert_eq!(rng.state_dict(), before);
    }

    #[test]
    fn large_draws_are_those_of_one_thread() {
        // Positions in the middle of ChaCha's blocks, and pieces that do not end with one.
        for (before, len) in [(0, 5), (1, 1000), (3, CHUNK), (7, 3 * CHUNK + 11)] {
            let mut rng = Generator::seed(9);
            (0..before).for_each(|_| _ = rng.0.next_u32());
            let mut one = rng.0.clone();
            let mut mask = vec![0.0f32; len];
            rng.bernoulli_mask(&mut mask, 0.3, 2.0);
            let threshold = (0.3 * 32f64.exp2()) as u32;
            let expected =
                |one: &mut ChaCha8Rng| if one.next_u32() < threshold { 0.0 } else { 2.0 };
            assert!(mask.iter().all(|&x| x == expected(&mut one)));
            assert!(rng.0 == one && rng.next_u64() == one.next_u64());

            let mut bits = vec![0; len];
            rng.fill(&mut bits, |bits| bits);
            assert!(bits.iter().all(|&bits| bits == one.next_u64()));
            assert!(rng.0 == one && rng.next_u64() == one.next_u64());
        }
    }

    #[test]
    fn draws_have_their_distribution() {
        let mut rng = Generator::seed(3);
        let n = 100_000;
        let mean = |draws: &[f64]| draws.iter().sum::<f64>() / draws.len() as f64;
        let uniform: Vec<f64> = (0..n).map(|_| rng.uniform()).collect();
        assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
        assert!((mean(&uniform) - 0.5).abs() < 5e-3);
        let normal: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let squares: Vec<f64> = normal.iter().map(|x| x * x).collect();
        assert!(mean(&normal).abs() < 2e-2 && (mean(&squares) - 1.0).abs() < 2e-2);
        for (a, b) in [(0.3f64, 0.3), (2.0, 0.5), (3.0, 5.0)] {
            let beta: Vec<f64> = (0..n).map(|_| rng.beta(a, b)).collect();
            let (center, sum) = (a / (a + b), a + b);
            let squares: Vec<f64> = beta.iter().map(|x| (x - center).powi(2)).collect();
            assert!(beta.iter().all(|x| (0.0..=1.0).contains(x)));
            assert!((mean(&beta) - center).abs() < 5e-3);
            assert!((mean(&squares) - center * (1.0 - center) / (sum + 1.0)).abs() < 3e-3);
        }
        let mut mask = vec![0.0f32; n];
        rng.bernoulli_mask(&mut mask, 0.25, 2.0);
        let kept = mask.iter().filter(|&&x| x == 2.0).count();
        assert!((kept as f64 / n as f64 - 0.75).abs() < 1e-2);
    }
}

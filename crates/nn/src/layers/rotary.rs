//! Rotary position embeddings.

use crate::tree::observe::observe;
use crate::{Module, check};
use adamant_tensor::{Float, Tensor};
use std::f64::consts::PI;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

const NAME: &str = "RotaryEmbedding";

/// How frequencies are changed for sequences longer than those of the original training.
///
/// transformers: `rope_scaling`, or `rope_parameters` with this `rope_type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RotaryScaling {
    /// All frequencies are divided by `factor`: `"linear"`.
    // Not `Linear`: with two public items of that name, rustc's messages spell out both paths.
    PositionInterpolation {
        /// How many times longer the sequences are.
        factor: f64,
    },
    /// Low frequencies are divided by `factor`, high ones are kept, and those in between are
    /// interpolated: `"llama3"`.
    Llama3 {
        /// How many times longer the sequences are.
        factor: f64,
        /// Wavelengths above the original length divided by this are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below the original length divided by this are high frequencies.
        high_freq_factor: f64,
        /// The length of the sequences in the original training.
        original_max_position_embeddings: usize,
    },
}

/// The options of a [`RotaryEmbedding`].
///
/// ```
/// use adamant_nn::{RotaryEmbedding, RotaryEmbeddingOptions, RotaryScaling};
/// let options = RotaryEmbeddingOptions::default()
///     .base(500_000.0)
///     .rotary_dim(32)
///     .scaling(RotaryScaling::PositionInterpolation { factor: 4.0 });
/// let rotary = RotaryEmbedding::<f64>::with_options(64, options);
/// assert_eq!(rotary.cos_sin(0, 10).0.shape(), [10, 16]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryEmbeddingOptions {
    base: f64,
    rotary_dim: Option<usize>,
    interleaved: bool,
    scaling: Option<RotaryScaling>,
}

impl Default for RotaryEmbeddingOptions {
    fn default() -> Self {
        RotaryEmbeddingOptions {
            base: 10_000.0,
            rotary_dim: None,
            interleaved: false,
            scaling: None,
        }
    }
}

impl RotaryEmbeddingOptions {
    /// The base of the wavelengths, transformers' `rope_theta`; default 10 000.
    #[must_use]
    pub fn base(self, base: f64) -> Self {
        RotaryEmbeddingOptions { base, ..self }
    }

    /// The number of elements of a head that are rotated, the first ones; default all.
    ///
    /// transformers: `partial_rotary_factor`, its part of a head.
    #[must_use]
    pub fn rotary_dim(self, rotary_dim: usize) -> Self {
        RotaryEmbeddingOptions { rotary_dim: Some(rotary_dim), ..self }
    }

    /// Whether neighbors are a pair, as in weights from Meta and in GGUF files of Llama, or
    /// elements of the two halves, as in Hugging Face's; default false.
    #[must_use]
    pub fn interleaved(self, interleaved: bool) -> Self {
        RotaryEmbeddingOptions { interleaved, ..self }
    }

    /// How frequencies are changed for longer sequences; default: not at all.
    #[must_use]
    pub fn scaling(self, scaling: RotaryScaling) -> Self {
        RotaryEmbeddingOptions { scaling: Some(scaling), ..self }
    }
}

/// Rotates pairs of elements of queries and keys by angles proportional to their position, so that
/// their products depend on the distance between positions: pair `i` of position `p` is rotated by
/// `p · base^(−2i / rotary_dim)`.
///
/// Frequencies and angles are computed in `f32`, as transformers does, for every type of the layer.
/// Cosines and sines are kept; they are computed for more positions when these are first used, and
/// clones share them.
///
/// transformers: `LlamaRotaryEmbedding` and `apply_rotary_pos_emb`; torchtune:
/// `RotaryPositionalEmbeddings`, which is interleaved.
///
/// ```
/// use adamant_nn::RotaryEmbedding;
/// use adamant_tensor::Tensor;
/// let rotary = RotaryEmbedding::new(4);
/// let x = Tensor::ones([2, 3, 5, 4]); // [N, heads, L, head_dim]
/// let y = rotary.rotate(&x, 0);
/// // The last two positions of five, after three that are cached.
/// let last = rotary.rotate(&x.narrow(2, 3, 2), 3);
/// assert_eq!(last.to_vec(), y.narrow(2, 3, 2).to_vec());
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct RotaryEmbedding<T: Float = f32> {
    #[module(skip)]
    head_dim: usize,
    #[module(skip)]
    interleaved: bool,
    /// The angles of position 1.
    #[module(skip)]
    frequencies: Vec<f32>,
    #[module(skip)]
    table: Arc<Mutex<Option<Table<T>>>>,
}

/// The cosines and sines of the first positions, `[positions, rotary_dim / 2]` each.
struct Table<T: Float> {
    cos: Tensor<T>,
    sin: Tensor<T>,
}

impl RotaryEmbedding {
    /// A layer for heads of `head_dim` elements with the default options, in `f32`.
    ///
    /// # Panics
    /// If `head_dim` is 0 or odd.
    #[must_use]
    #[track_caller]
    pub fn new(head_dim: usize) -> Self {
        RotaryEmbedding::with_options(head_dim, RotaryEmbeddingOptions::default())
    }
}

impl<T: Float> RotaryEmbedding<T> {
    /// A layer for heads of `head_dim` elements with these options, of any type.
    ///
    /// # Panics
    /// If `rotary_dim` is 0, odd or above `head_dim`, or `base` or a factor of the scaling is not
    /// positive and finite.
    #[must_use]
    #[track_caller]
    pub fn with_options(head_dim: usize, options: RotaryEmbeddingOptions) -> Self {
        let RotaryEmbeddingOptions { base, rotary_dim, interleaved, scaling } = options;
        check::at_least_one(NAME, "head_dim", head_dim);
        let rotary_dim = rotary_dim.unwrap_or(head_dim);
        assert!(
            rotary_dim > 0 && rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim,
            "{NAME}: rotary_dim is {rotary_dim} for a head_dim of {head_dim}; expected an even \
             number from 2 to head_dim"
        );
        positive("base", base);
        let mut frequencies = frequencies(base, rotary_dim);
        if let Some(scaling) = scaling {
            scaling.check();
            frequencies.iter_mut().for_each(|frequency| *frequency = scaling.scaled(*frequency));
        }
        RotaryEmbedding { head_dim, interleaved, frequencies, table: Arc::default() }
    }

    /// `x` with its rows rotated as those of positions `offset`, `offset + 1`, …:
    /// `[…, L, head_dim] → […, L, head_dim]`, for queries or keys `[N, heads, L, head_dim]`.
    ///
    /// For other positions, call [`rotary`](Tensor::rotary) with rows of
    /// [`cos_sin`](RotaryEmbedding::cos_sin).
    ///
    /// # Panics
    /// If `x` does not have this shape.
    #[must_use]
    #[track_caller]
    pub fn rotate(&self, x: &Tensor<T>, offset: usize) -> Tensor<T> {
        let len = match x.shape() {
            &[.., len, width] if width == self.head_dim => len,
            shape => {
                panic!("{NAME}: an input of shape {shape:?}; expected […, L, {}]", self.head_dim)
            }
        };
        let (cos, sin) = self.cos_sin(offset, len);
        let y = match self.interleaved {
            true => x.rotary_interleaved(&cos, &sin),
            false => x.rotary(&cos, &sin),
        };
        observe(self, y)
    }

    /// The cosines and sines of the angles of `len` positions from `offset`,
    /// `[len, rotary_dim / 2]` each.
    ///
    /// # Panics
    /// If `offset + len` is above 2²⁴: larger positions are not exact in `f32`.
    #[must_use]
    #[track_caller]
    pub fn cos_sin(&self, offset: usize, len: usize) -> (Tensor<T>, Tensor<T>) {
        let end = offset.checked_add(len).filter(|&end| end <= MOST_POSITIONS);
        let Some(end) = end else {
            panic!(
                "{NAME}: {len} positions from {offset}; expected positions below {MOST_POSITIONS}"
            )
        };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let table = match table.take() {
            Some(known) if known.cos.shape()[0] >= end => table.insert(known),
            // Powers of two, so that generating tokens one by one computes each angle twice.
            _ => table.insert(Table::new(&self.frequencies, end.next_power_of_two())),
        };
        (table.cos.narrow(0, offset, len), table.sin.narrow(0, offset, len))
    }
}

/// Larger positions are not exact in `f32`.
const MOST_POSITIONS: usize = 1 << 24;

impl<T: Float> Table<T> {
    #[track_caller]
    fn new(frequencies: &[f32], positions: usize) -> Self {
        let mut angles = Vec::with_capacity(positions * frequencies.len());
        for position in 0..positions {
            // Rounded to f32, as transformers' angles; cosines and sines are those of this angle.
            angles.extend(frequencies.iter().map(|f| f64::from(position as f32 * f)));
        }
        let angles = Tensor::<f64>::from_vec(angles, [positions, frequencies.len()]);
        let angles = angles.expect("an angle for each position and frequency");
        Table { cos: angles.cos().cast(), sin: angles.sin().cast() }
    }
}

impl<T: Float> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} positions)", self.cos.shape()[0])
    }
}

/// `base^(−2i / dim)` for each pair `i`, rounded to `f32` where transformers' are.
fn frequencies(base: f64, dim: usize) -> Vec<f32> {
    let exponents = (0..dim / 2).map(|i| f64::from((2 * i) as f32 / dim as f32));
    let exponents = Tensor::<f64>::from_vec(exponents.collect(), [dim / 2]);
    let powers = Tensor::scalar(base).pow(&exponents.expect("an exponent for each pair"));
    powers.to_vec().into_iter().map(|power| 1.0 / power as f32).collect()
}

impl RotaryScaling {
    /// The frequency `f` scaled, in the operations of transformers: there, a number divided by a
    /// tensor is a product with its reciprocal.
    fn scaled(self, f: f32) -> f32 {
        match self {
            RotaryScaling::PositionInterpolation { factor } => f / factor as f32,
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: length,
            } => {
                let length = length as f64;
                let wavelength = f.recip() * (2.0 * PI) as f32;
                if wavelength < (length / high) as f32 {
                    f
                } else if wavelength > (length / low) as f32 {
                    f / factor as f32
                } else {
                    let kept = wavelength.recip() * length as f32 - low as f32;
                    let kept = kept / (high - low) as f32;
                    (1.0 - kept) * f / factor as f32 + kept * f
                }
            }
        }
    }

    #[track_caller]
    fn check(self) {
        match self {
            RotaryScaling::PositionInterpolation { factor } => positive("factor", factor),
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                positive("factor", factor);
                positive("low_freq_factor", low_freq_factor);
                positive("high_freq_factor", high_freq_factor);
                assert!(
                    low_freq_factor < high_freq_factor,
                    "{NAME}: low_freq_factor is {low_freq_factor}; expected less than \
                     high_freq_factor, {high_freq_factor}"
                );
                let length = original_max_position_embeddings;
                check::at_least_one(NAME, "original_max_position_embeddings", length);
            }
        }
    }
}

#[track_caller]
fn positive(argument: &str, x: f64) {
    assert!(
        x > 0.0 && x.is_finite(),
        "{NAME}: {argument} is {x:?}; expected a positive finite number"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_depend_on_the_distance_of_positions() {
        let options = RotaryEmbeddingOptions::default().rotary_dim(4);
        for options in [options, options.interleaved(true)] {
            let rotary = RotaryEmbedding::<f64>::with_options(6, options);
            let q = Tensor::from([[0.3, -1.0, 2.0, 0.7, 0.1, -0.4]]);
            let k = Tensor::from([[1.2, 0.4, -0.9, 0.8, 0.6, 0.5]]);
            let product = |at: usize, from: usize| {
                (rotary.rotate(&q, at) * rotary.rotate(&k, from)).sum().item()
            };
            assert!((product(9, 4) - product(105, 100)).abs() < 1e-5); // angles are f32
            assert!((product(9, 4) - product(9, 5)).abs() > 1e-2);
        }
    }

    #[test]
    fn positions_are_computed_on_demand_and_shared_by_clones() {
        let rotary = RotaryEmbedding::new(8);
        let clone = rotary.clone();
        let (few, _) = rotary.cos_sin(3, 2);
        let (many, _) = clone.cos_sin(0, 100);
        assert_eq!(few.to_vec(), many.narrow(0, 3, 2).to_vec());
        let held = |rotary: &RotaryEmbedding| {
            rotary.table.lock().unwrap().as_ref().map(|table| table.cos.shape()[0])
        };
        assert_eq!((held(&rotary), held(&clone)), (Some(128), Some(128)));
        assert_eq!(rotary.cos_sin(5, 0).0.shape(), [0, 4]);
    }

    #[test]
    fn the_layer_has_no_state() {
        let layer = RotaryEmbedding::new(8);
        assert!(layer.parameters().is_empty() && crate::module_state(&layer).is_empty());
    }
}

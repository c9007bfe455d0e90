//! A small GPT: a transformer that predicts the next character.

use adamant::prelude::*;

/// Passages of a text: `[N, L]` characters, and the next character of each.
pub(crate) type Passages = Batch<Indices, Vec<usize>>;

const LAYERS: usize = 3;
const HEADS: usize = 4;
const WIDTH: usize = 96;

#[derive(Module)]
pub(crate) struct Gpt {
    characters: Embedding,
    positions: Embedding,
    layers: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
    head: Linear,
}

impl Gpt {
    /// A net that sees up to `context` characters of an alphabet.
    pub(crate) fn new(alphabet: usize, context: usize, rng: &mut Generator) -> Self {
        let options = TransformerEncoderLayerOptions::default().dim_feedforward(4 * WIDTH);
        let options = options.activation(TransformerActivation::Gelu).norm_first(true).dropout(0.0);
        let mut layer = |_| TransformerEncoderLayer::with_options(WIDTH, HEADS, options, rng);
        let layers = (0..LAYERS).map(&mut layer).collect();
        Gpt {
            characters: Embedding::new(alphabet, WIDTH, rng),
            positions: Embedding::new(context, WIDTH, rng),
            layers,
            norm: LayerNorm::new([WIDTH]),
            head: Linear::new(WIDTH, alphabet, rng),
        }
    }

    /// `[N, L]` characters to `[N, L, alphabet]` scores for each next character.
    fn forward(&self, x: &Indices) -> Tensor {
        let positions = Indices::from(Vec::from_iter(0..x.shape()[1]));
        let mut h = self.characters.forward(x) + self.positions.forward(&positions);
        for layer in &self.layers {
            h = layer.forward_masked(&h, AttentionMasks::default().causal(true));
        }
        self.head.forward(&self.norm.forward(&h))
    }

    /// The mean cross entropy of the next characters.
    pub(crate) fn loss(&self, passages: &Passages) -> Tensor {
        cross_entropy(&self.forward(&passages.inputs).flatten(0, 1), &passages.targets)
    }

    /// Continues a text by `length` characters, each drawn after the last `context` ones.
    pub(crate) fn write(&self, text: &mut Vec<usize>, length: usize, rng: &mut Generator) {
        let context = self.positions.weight.shape()[0];
        for _ in 0..length {
            let seen = &text[text.len().saturating_sub(context)..];
            let x = Indices::from(seen).reshape([1, seen.len()]);
            let scores = no_grad(|| self.forward(&x)).select(1, seen.len() - 1).select(0, 0);
            // A temperature below 1 makes fewer odd words.
            let sums = (scores / 0.8).softmax(0).cumsum(0).to_vec();
            let drawn = rng.uniform() as f32;
            text.push(sums.partition_point(|&sum| sum <= drawn).min(sums.len() - 1));
        }
    }
}

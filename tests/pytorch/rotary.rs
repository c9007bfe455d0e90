//! Rotary embeddings equal transformers'. Fixture: `tests/fixtures/rotary.py`, transformers 5.24.

use crate::cases::{Cases, leaf};
use adamant::prelude::*;

fn layer(head_dim: usize, options: RotaryEmbeddingOptions) -> RotaryEmbedding {
    RotaryEmbedding::with_options(head_dim, options)
}

#[test]
fn rotary_embeddings_equal_transformers() {
    let cases = &Cases::of("rotary_f32", 1e-6);
    let options = RotaryEmbeddingOptions::default();
    let llama3 = RotaryScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 256,
    };
    let linear = RotaryScaling::PositionInterpolation { factor: 3.0 };
    for (case, layer) in [
        ("plain", layer(64, options)),
        ("smol", layer(64, options.base(1e5))),
        ("linear", layer(32, options.scaling(linear))),
        ("llama3", layer(128, options.base(5e5).scaling(llama3))),
        ("partial", layer(16, options.rotary_dim(4))),
    ] {
        let (cos, sin) = layer.cos_sin(0, 8192);
        let positions = [0, 1, 2, 100, 8191];
        cases.check(&format!("{case}|cos"), &cos.index_select(0, &positions));
        cases.check(&format!("{case}|sin"), &sin.index_select(0, &positions));
    }
    for (case, options) in [
        ("rotate", options),
        ("rotate_partial", options.rotary_dim(4)),
        ("rotate_interleaved", options.interleaved(true)),
    ] {
        let layer = layer(16, options);
        let inputs = [leaf(1, &[2, 5, 4, 16]), leaf(2, &[2, 5, 2, 16])];
        let outputs = inputs.each_ref().map(|x| layer.rotate(&x.transpose(1, 2), 3));
        cases.compare(case, &inputs, &outputs, None);
    }
    cases.finish(None);
}

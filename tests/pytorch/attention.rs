//! Attention and transformer layers equal PyTorch's. Fixtures: `tests/fixtures/attention.py`,
//! PyTorch 2.15.0.

use crate::cases::{Cases, leaf};
use adamant::prelude::*;
use adamant::tensor::{
    AttentionOptions, Float, Indices, Mask, scaled_dot_product_attention as attention,
};

/// True where a query may attend to a key.
fn may() -> Mask {
    Mask::from_vec((0..25).map(|i| i % 3 != 1).collect(), [5, 5]).unwrap()
}

/// True for a token that is not padding.
fn tokens() -> Mask {
    Tensor::from([[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 1.0, 0.0]])
        .gt(0.5f32)
}

fn function<T: Float>(cases: &Cases) {
    type Shapes<'a> = [&'a [usize]; 3];
    let run = |case: &str, shapes: Shapes<'_>, options: AttentionOptions<'_, T>| {
        let [q, k, v] = [0, 1, 2].map(|i| leaf::<T>(i as u64 + 1, shapes[i]));
        let y = attention(&q, &k, &v, options);
        cases.compare(case, &[q, k, v], &[y], None);
    };
    let options = AttentionOptions::default;
    run("plain", [&[2, 3, 5, 4], &[2, 3, 7, 4], &[2, 3, 7, 3]], options());
    run("scale", [&[3, 5, 4], &[3, 7, 4], &[3, 7, 4]], options().scale(0.3));
    run("causal", [&[2, 2, 5, 4], &[2, 2, 7, 4], &[2, 2, 7, 4]], options().causal(true));
    run("causal_tall", [&[1, 1, 7, 3], &[1, 1, 5, 3], &[1, 1, 5, 3]], options().causal(true));
    run("mask", [&[2, 3, 5, 4]; 3], options().mask(&may()));
    let long: [&[usize]; 3] = [&[1, 2, 70, 2], &[1, 2, 66, 2], &[1, 2, 66, 2]];
    run("long", long, options().causal(true));
    let places = (0..70).flat_map(|i| (0..66).map(move |j| i == j || (3 * i + j) % 5 < 2));
    let mask = Mask::from_vec(places.collect(), [70, 66]).unwrap();
    run("long_mask", long, options().mask(&mask));

    let with_bias = |case: &str, shapes: [&[usize]; 4]| {
        let inputs = [0, 1, 2, 3].map(|i| leaf::<T>(i as u64 + 1, shapes[i]));
        let y = attention(&inputs[0], &inputs[1], &inputs[2], options().bias(&inputs[3]));
        cases.compare(case, &inputs, &[y], None);
    };
    with_bias("bias", [&[2, 3, 5, 4], &[2, 3, 7, 4], &[2, 3, 7, 4], &[3, 5, 7]]);
    with_bias("long_bias", [long[0], long[1], long[2], &[70, 66]]);
}

fn multihead<T: Float>(cases: &Cases) {
    let run = |case: &str, inputs: &[Tensor<T>], masks: AttentionMasks<'_>| {
        let options = MultiheadAttentionOptions::default().bias(case != "mha_no_bias");
        let rng = &mut Generator::seed(0);
        let mut layer = MultiheadAttention::<T>::with_options(6, 2, options, rng);
        layer.load_state_dict(&cases.state(case)).unwrap();
        let at = |i: usize| inputs.get(i).unwrap_or(&inputs[0]);
        let y = layer.attend(at(0), at(1), at(2), masks);
        cases.compare(case, inputs, &[y], Some(&layer));
    };
    let x = || [leaf::<T>(1, &[3, 5, 6])];
    let (may, tokens, none) = (may(), tokens(), AttentionMasks::default());
    run("mha", &x(), none);
    run("mha_no_bias", &x(), none);
    let cross = [leaf(1, &[2, 3, 6]), leaf(2, &[2, 5, 6]), leaf(3, &[2, 5, 6])];
    run("mha_cross", &cross, none);
    run("mha_causal", &x(), none.causal(true));
    run("mha_padding", &x(), none.padding(&tokens));
    run("mha_causal_padding", &x(), none.causal(true).padding(&tokens));
    run("mha_mask", &x(), none.mask(&may));
    run("mha_mask_padding", &x(), none.mask(&may).padding(&tokens));
    let cross = [leaf(1, &[3, 4, 6]), leaf(2, &[3, 5, 6]), leaf(3, &[3, 5, 6])];
    run("mha_cross_padding", &cross, none.padding(&tokens));
    let part = Mask::from_vec(may.to_vec()[..20].to_vec(), [4, 5]).unwrap();
    run("mha_cross_mask", &cross, none.mask(&part));
    let causal = (0..25).map(|i| i % 5 <= i / 5);
    let heads = may.to_vec().into_iter().chain(causal).collect();
    let heads = Mask::from_vec(heads, [2, 5, 5]).unwrap(); // one for each head
    run("mha_mask_heads", &x(), none.mask(&heads));
    let short = Mask::from([true, true, true, false, false]);
    run("mha_one", &[leaf(1, &[5, 6])], none.causal(true).padding(&short));
}

/// `add_bias_kv` and `add_zero_attn`, `kdim` and `vdim`, and the weights.
fn weights<T: Float>(cases: &Cases) {
    let run = |case: &str,
               inputs: &[Tensor<T>],
               options: MultiheadAttentionOptions,
               masks: AttentionMasks<'_>| {
        let rng = &mut Generator::seed(0);
        let mut layer = MultiheadAttention::<T>::with_options(6, 2, options, rng);
        layer.load_state_dict(&cases.state(&format!("mha_{case}_none"))).unwrap();
        let at = |i: usize| inputs.get(i).unwrap_or(&inputs[0]);
        let (q, k, v) = (at(0), at(1), at(2));
        let y = layer.attend(q, k, v, masks);
        cases.compare(&format!("mha_{case}_none"), inputs, &[y], Some(&layer));
        let (y, weights) = layer.attend_with_weights(q, k, v, masks);
        cases.compare(&format!("mha_{case}_mean"), inputs, &[y, weights], Some(&layer));
        let (y, weights) = layer.attend_with_head_weights(q, k, v, masks);
        cases.compare(&format!("mha_{case}_heads"), inputs, &[y, weights], Some(&layer));
    };
    let x = || [leaf::<T>(1, &[3, 5, 6])];
    let wide = || [leaf::<T>(1, &[3, 4, 6]), leaf(2, &[3, 5, 5]), leaf(3, &[3, 5, 3])];
    let (may, tokens, none) = (may(), tokens(), AttentionMasks::default());
    let plain = MultiheadAttentionOptions::default();
    let (bias_kv, widths) = (plain.add_bias_kv(true), plain.kdim(5).vdim(3));
    run("plain", &x(), plain, none);
    run("masked", &x(), plain, none.causal(true).padding(&tokens));
    run("bias_kv", &x(), bias_kv, none);
    run("bias_kv_causal", &x(), bias_kv, none.causal(true));
    run("zero", &x(), plain.add_zero_attn(true), none.padding(&tokens));
    let causal = (0..25).map(|i| i % 5 <= i / 5);
    let heads = may.to_vec().into_iter().chain(causal).collect();
    let heads = Mask::from_vec(heads, [2, 5, 5]).unwrap(); // one for each head
    run("both", &x(), bias_kv.add_zero_attn(true), none.mask(&heads));
    let part = Mask::from_vec(may.to_vec()[..20].to_vec(), [4, 5]).unwrap();
    let masked = none.mask(&part).padding(&tokens);
    run("widths", &wide(), widths, masked);
    run("widths_no_bias", &wide(), widths.bias(false), none);
    run("all", &wide(), widths.add_bias_kv(true).add_zero_attn(true), masked);
    let one = [leaf::<T>(1, &[4, 6]), leaf(2, &[5, 5]), leaf(3, &[5, 3])];
    run("one", &one, widths.add_bias_kv(true), none);
}

fn encoder<T: Float>(cases: &Cases) {
    let tokens = tokens();
    let none = AttentionMasks::default();
    let options = TransformerEncoderLayerOptions::default().dim_feedforward(10);
    let gelu = options.activation(TransformerActivation::Gelu);
    for (case, options, masks) in [
        ("encoder", options, none),
        ("encoder_first", gelu.norm_first(true), none.causal(true)),
        ("encoder_padding", gelu, none.padding(&tokens)),
        ("encoder_no_bias", options.norm_first(true).bias(false), none),
    ] {
        // In evaluation, dropout does nothing.
        for (mode, dropout) in [("train", 0.0), ("eval", 0.3)] {
            let (options, rng) = (options.dropout(dropout), &mut Generator::seed(0));
            let mut layer = TransformerEncoderLayer::<T>::with_options(6, 2, options, rng);
            layer.load_state_dict(&cases.state(&format!("{case}_train"))).unwrap();
            layer.set_training(mode == "train");
            let x = leaf(1, &[3, 5, 6]);
            let y = layer.forward_masked(&x, masks);
            cases.compare(&format!("{case}_{mode}"), &[x], &[y], Some(&layer));
        }
    }
}

#[test]
fn f32_attention_and_its_layers_equal_pytorchs() {
    let cases = Cases::of("attention_f32", 1e-5);
    function::<f32>(&cases);
    multihead::<f32>(&cases);
    weights::<f32>(&cases);
    encoder::<f32>(&cases);
    cases.finish(Some("gpt|"));
}

#[test]
fn f64_attention_and_its_layers_equal_pytorchs() {
    let cases = Cases::of("attention_f64", 1e-10);
    function::<f64>(&cases);
    multihead::<f64>(&cases);
    weights::<f64>(&cases);
    encoder::<f64>(&cases);
    cases.finish(None);
}

#[derive(Module)]
struct Block {
    norm1: LayerNorm,
    attention: MultiheadAttention,
    norm2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
}

impl Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let n = &self.norm1.forward(x);
        let masks = AttentionMasks::default().causal(true);
        let x = x + self.attention.attend(n, n, n, masks);
        let inner = self.linear1.forward(&self.norm2.forward(&x)).gelu();
        &x + self.linear2.forward(&inner)
    }
}

#[derive(Module)]
struct Gpt {
    token: Embedding,
    position: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Gpt {
    fn new(width: usize, rng: &mut Generator) -> Gpt {
        let block = |rng: &mut Generator| Block {
            norm1: LayerNorm::new([width]),
            attention: MultiheadAttention::new(width, 4, rng),
            norm2: LayerNorm::new([width]),
            linear1: Linear::new(width, 4 * width, rng),
            linear2: Linear::new(4 * width, width, rng),
        };
        Gpt {
            token: Embedding::new(20, width, rng),
            position: Embedding::new(16, width, rng),
            blocks: vec![block(rng), block(rng)],
            norm: LayerNorm::new([width]),
        }
    }

    fn forward(&self, tokens: &Indices) -> Tensor {
        let places = Indices::from_vec((0..16).collect(), [16]).unwrap();
        let x = self.token.forward(tokens) + self.position.forward(&places);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
        self.norm.forward(&x).linear(&self.token.weight.tensor(), None) // the head is tied to the tokens
    }
}

#[test]
fn losses_of_a_small_gpt_equal_pytorchs() {
    let cases = Cases::of("attention_f32", 1e-4);
    let mut model = Gpt::new(32, &mut Generator::seed(0));
    let mut state = StateDict::new();
    for (name, value) in cases.state("gpt").iter() {
        // The fixture's model holds its two tables as parameters, without layers around them.
        let is_table = ["token", "position"].contains(&name);
        let name = if is_table { format!("{name}.weight") } else { name.to_string() };
        state.insert(&name, value.clone());
    }
    model.load_state_dict(&state).unwrap();
    let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(3e-3)).unwrap();
    for step in 0..10 {
        let text = cases.tensor::<f32>(&format!("gpt|text.{step}"));
        let part = |start: usize| -> Vec<usize> {
            text.narrow(1, start, 16).to_vec().into_iter().map(|token| token as usize).collect()
        };
        let tokens = Indices::from_vec(part(0), [4, 16]).unwrap();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&tokens).flatten(0, 1), &part(1));
        loss.backward();
        adam.step();
        cases.check(&format!("gpt|loss.{step}"), &loss);
    }
}

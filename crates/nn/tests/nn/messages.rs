//! Each mistake with a layer or a loss has its own message, at the line that made it.

use crate::mistakes::{Mistakes, here};
use adamant_nn::*;
use adamant_tensor::{Generator, Indices, Mask, Tensor};

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape)
}

#[test]
fn inputs_of_layers() {
    let rng = &mut Generator::seed(0);
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    // Widths.
    let net = Linear::new(3, 2, rng);
    check(
        "linear: the input has shape [4, 5], which a weight of shape [2, 3] does not fit",
        &|| {
            here!(net.forward(&ones(&[4, 5])));
        },
    );
    let net = Bilinear::new(3, 4, 2, rng);
    check("Bilinear: inputs of shapes [5, 3] and [5, 3] with a weight of shape [2, 3, 4]", &|| {
        here!(net.forward(&ones(&[5, 3]), &ones(&[5, 3])));
    });
    let net = LayerNorm::new([3, 4]);
    check("layer_norm: an input of shape [2, 4]; expected [3, 4] as its last dimensions", &|| {
        here!(net.forward(&ones(&[2, 4])));
    });
    let net = RmsNorm::new([3]);
    check("rms_norm: an input of shape [2, 4]; expected [3] as its last dimensions", &|| {
        here!(net.forward(&ones(&[2, 4])));
    });
    let width = "an input of shape [2, 5, 4]; expected [N, L, 3], or [L, 3] for one sequence";
    let (rnn, lstm, gru) = (Rnn::new(3, 6, rng), Lstm::new(3, 6, rng), Gru::new(3, 6, rng));
    let x = &ones(&[2, 5, 4]);
    check(&format!("Rnn: {width}"), &|| here!(rnn.forward(x)));
    check(&format!("Lstm: {width}"), &|| here!(lstm.forward(x)));
    check(&format!("Gru: {width}"), &|| here!(gru.forward(x)));
    check("Gru: an input of shape [2, 0, 3]; expected [N, L, 3]", &|| {
        here!(gru.forward(&ones(&[2, 0, 3])));
    });
    check("Gru: an initial state of shape [1, 4, 6] for an input of shape [2, 5, 3]", &|| {
        here!(gru.forward_from(&ones(&[2, 5, 3]), Some(&ones(&[1, 4, 6]))));
    });
    check("expected [1, 6]", &|| {
        here!(gru.forward_from(&ones(&[5, 3]), Some(&ones(&[1, 1, 6]))));
    });
    check("Lstm: an initial state of shape [1, 2, 5] for an input of shape [2, 5, 3]", &|| {
        here!(lstm.forward_from(&ones(&[2, 5, 3]), Some((&ones(&[1, 2, 6]), &ones(&[1, 2, 5])))));
    });

    let projected = Lstm::with_options(3, 6, LstmOptions::default().proj_size(2), rng);
    let (x, wide, narrow) = (ones(&[2, 5, 3]), ones(&[1, 2, 6]), ones(&[1, 2, 2]));
    check(
        "Lstm: an initial state of shape [1, 2, 6] for an input of shape [2, 5, 3]; expected [1, 2, 2]",
        &|| {
            here!(projected.forward_from(&x, Some((&wide, &wide))));
        },
    );
    check(
        "Lstm: an initial state of shape [1, 2, 2] for an input of shape [2, 5, 3]; expected [1, 2, 6]",
        &|| {
            here!(projected.forward_from(&x, Some((&narrow, &narrow))));
        },
    );

    // Channels and dimensions.
    let (lines, images) = (&ones(&[2, 4, 9]), &ones(&[2, 4, 9, 9]));
    let channels = "has 4 channels, but a weight of shape";
    let conv1 = Conv1d::new(3, 5, 3, rng);
    let conv2 = Conv2d::new(3, 5, 3, rng);
    let transposed = ConvTranspose2d::new(3, 5, 3, rng);
    check(&format!("conv1d: an input of shape [2, 4, 9] {channels} [5, 3, 3]"), &|| {
        here!(conv1.forward(lines));
    });
    check(&format!("conv2d: an input of shape [2, 4, 9, 9] {channels} [5, 3, 3, 3]"), &|| {
        here!(conv2.forward(images));
    });
    check(&format!("conv_transpose2d: an input of shape [2, 4, 9, 9] {channels}"), &|| {
        here!(transposed.forward(images));
    });
    check("conv_transpose2d: no image is left of an input of shape [1, 3, 1, 1]", &|| {
        let options = ConvTranspose2dOptions::default().padding(1);
        let rng = &mut Generator::seed(0);
        let layer = ConvTranspose2d::with_options(3, 4, 2, options, rng);
        here!(layer.forward(&ones(&[1, 3, 1, 1])));
    });
    check("conv2d: an input of shape [4, 9]; expected [N, C, H, W], or [C, H, W]", &|| {
        here!(conv2.forward(&ones(&[4, 9])));
    });
    check("conv2d: the kernel of a weight of shape [5, 3, 3, 3] spans [3, 3]", &|| {
        here!(conv2.forward(&ones(&[2, 3, 2, 2])));
    });
    let (norm1, norm2) = (BatchNorm1d::new(3), BatchNorm2d::new(3));
    check("BatchNorm1d: an input of shape [2, 4, 9]; expected [batch, 3]", &|| {
        here!(norm1.forward(lines));
    });
    check(
        "BatchNorm2d: an input of shape [2, 4, 9, 9]; expected [batch, 3, height, width]",
        &|| {
            here!(norm2.forward(images));
        },
    );
    check("BatchNorm2d: an input of shape [2, 4, 9]", &|| here!(norm2.forward(lines)));
    let sync = SyncBatchNorm::new(3);
    check("SyncBatchNorm: an input of shape [2, 4, 9]; expected [batch, 3, …]", &|| {
        here!(sync.forward(lines));
    });
    let groups = GroupNorm::new(3, 6);
    check("GroupNorm: an input of shape [2, 4, 9, 9]; expected [batch, 6, …]", &|| {
        here!(groups.forward(images));
    });
    let images_needed = "an input of shape [4, 9]; expected [N, C, H, W], or [C, H, W]";
    let (max, avg, mean) = (MaxPool2d::new(2), AvgPool2d::new(2), AdaptiveAvgPool2d::new(1));
    let x = &ones(&[4, 9]);
    check(&format!("max_pool2d: {images_needed}"), &|| here!(max.forward(x)));
    check(&format!("avg_pool2d: {images_needed}"), &|| here!(avg.forward(x)));
    check(&format!("adaptive_avg_pool2d: {images_needed}"), &|| here!(mean.forward(x)));
    let dropout = Dropout2d::new(0.5, rng);
    check("Dropout2d: an input of shape [4, 9]", &|| here!(dropout.forward(x)));
    check("flatten: dimension 2 of a tensor of shape [4, 9]", &|| {
        here!(Flatten::new().start_dim(2).forward(x));
    });
    check("softmax: dimension 2 of a tensor of shape [4, 9]", &|| {
        here!(Softmax::new(2).forward(x));
    });

    let squeeze = SqueezeExcitation::new(3, 2, rng);
    check("adaptive_avg_pool2d: an input of shape [4, 9]; expected [N, C, H, W]", &|| {
        here!(squeeze.forward(x));
    });
    check("SqueezeExcitation: squeeze_channels is 0; expected at least 1", &|| {
        here!(SqueezeExcitation::new(3, 0, &mut Generator::seed(0)));
    });
    check("Hardtanh: max_val is 1.0; expected more than min_val = 1.0", &|| {
        here!(Hardtanh::new().min_val(1.0).forward(x));
    });

    // Too few values for a variance.
    check("BatchNorm1d: an input of shape [1, 3] has 1 value for each channel", &|| {
        here!(norm1.forward(&ones(&[1, 3])));
    });
    check("BatchNorm2d: an input of shape [1, 3, 1, 1] has 1 value for each channel", &|| {
        here!(norm2.forward(&ones(&[1, 3, 1, 1])));
    });
    check("BatchNorm1d: eps is 0.0 with the statistics of a batch", &|| {
        let norm = BatchNorm1d::with_options(3, BatchNormOptions::default().eps(0.0));
        here!(norm.forward(&ones(&[2, 3])));
    });
    check("group_norm: an input of shape [1, 3] is one sample with 1 value for each of 3", &|| {
        let net = GroupNorm::new(3, 3);
        here!(net.forward(&ones(&[1, 3])));
    });
    check("adaptive_avg_pool2d: a size of images of [0, 4]: it must be at least 1", &|| {
        here!(mean.forward(&ones(&[2, 3, 0, 4])));
    });
    let line_needed = "an input of shape [9]; expected [N, C, L], or [C, L] for one image";
    check(&format!("adaptive_avg_pool1d: {line_needed}"), &|| {
        here!(AdaptiveAvgPool1d::new(2).forward(&ones(&[9])));
    });
    check(&format!("adaptive_max_pool1d: {line_needed}"), &|| {
        here!(AdaptiveMaxPool1d::new(2).forward(&ones(&[9])));
    });
    check("adaptive_max_pool2d: a size of the result of [9, 0]: it must be at least 1", &|| {
        here!(AdaptiveMaxPool2d::new([None, Some(0)]).forward(&ones(&[2, 9, 9])));
    });

    // Indices.
    let words = Embedding::new(3, 2, rng);
    check(
        "embedding: index 3 at position 1; expected less than 3, the size of dimension 0",
        &|| {
            here!(words.forward(&Indices::from([0, 3])));
        },
    );

    mistakes.none_was_wrong();
}

#[test]
fn mistakes_with_attention() {
    let rng = &mut Generator::seed(0);
    let (net, encoder) =
        (MultiheadAttention::new(4, 2, rng), TransformerEncoderLayer::new(4, 2, rng));
    let (x, wide, none) = (&ones(&[2, 3, 4]), &ones(&[2, 3, 5]), AttentionMasks::default());
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    let shapes = "MultiheadAttention: queries of shape";
    check(&format!("{shapes} [2, 3, 5], keys of [2, 3, 5]"), &|| here!(net.forward(wide)));
    check(&format!("{shapes} [2, 3, 4], keys of [2, 3, 5]"), &|| {
        here!(net.attend(x, wide, wide, none));
    });
    check(&format!("{shapes} [2, 3, 4], keys of [3, 4]"), &|| {
        let one = &ones(&[3, 4]);
        here!(net.attend(x, one, one, none));
    });
    check(&format!("{shapes} [2, 3, 5]"), &|| here!(encoder.forward(wide)));
    check(&format!("{shapes} [2, 3, 4], keys of [2, 3, 5]"), &|| {
        here!(net.attend_with_weights(x, wide, wide, none));
    });
    let options = MultiheadAttentionOptions::default().kdim(5).vdim(3);
    let widths = MultiheadAttention::with_options(4, 2, options, rng);
    check("expected [N, L, 4], [N, S, 5], [N, S, 3], or without N", &|| {
        here!(widths.attend(x, wide, wide, none));
    });
    check("expected [N, L, 4], [N, S, 5], [N, S, 3]", &|| here!(widths.forward(x)));

    let rows = |rows: [[bool; 3]; 3]| Mask::from_vec(rows.concat(), [3, 3]).unwrap();
    let hole = rows([[true; 3], [false; 3], [true; 3]]);
    check("query [1] of the scores, which are [3, 3], may look at no key", &|| {
        here!(net.attend(x, x, x, none.mask(&hole)));
    });
    check("query [1] of the scores, which are [3, 3], may look at no key", &|| {
        here!(net.attend_with_weights(x, x, x, none.mask(&hole)));
    });
    check("query [1] of the scores", &|| here!(encoder.forward_masked(x, none.mask(&hole))));
    let later = rows([[false, true, true], [true; 3], [true; 3]]);
    check("query [0] of the scores", &|| {
        here!(net.attend(x, x, x, none.mask(&later).causal(true)));
    });
    let tokens = Mask::from_vec(vec![true, true, true, false, false, false], [2, 3]).unwrap();
    check("query [1, 0, 0] of the scores", &|| {
        here!(net.attend(x, x, x, none.padding(&tokens)));
    });
    let row = Mask::from([true, true, true]);
    check("MultiheadAttention: a padding mask of shape [3]; expected [2, 3]", &|| {
        here!(net.attend(x, x, x, none.padding(&row)));
    });
    let square = Mask::from_vec(vec![true; 16], [4, 4]).unwrap();
    let square_expected = "MultiheadAttention: a mask of shape [4, 4] does not broadcast to the \
                           scores, which are [2, 2, 3, 3]";
    check(square_expected, &|| here!(net.attend(x, x, x, none.mask(&square))));
    let all = Mask::from_vec(vec![true; 6], [2, 3]).unwrap();
    check(square_expected, &|| {
        here!(net.attend(x, x, x, none.mask(&square).padding(&all)));
    });
    check("query [0] of the scores, which are [3, 0], may look at no key", &|| {
        let nothing = &ones(&[2, 0, 4]);
        here!(net.attend(x, nothing, nothing, none));
    });

    mistakes.none_was_wrong();
}

#[test]
fn mistakes_with_positions_and_caches() {
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    let rotary = RotaryEmbedding::new(4);
    check("RotaryEmbedding: an input of shape [2, 3, 6]; expected […, L, 4]", &|| {
        here!(rotary.rotate(&ones(&[2, 3, 6]), 0));
    });
    check("RotaryEmbedding: an input of shape [4]; expected […, L, 4]", &|| {
        here!(rotary.rotate(&ones(&[4]), 0));
    });
    check("RotaryEmbedding: 3 positions from 16777214; expected positions below 16777216", &|| {
        here!(rotary.rotate(&ones(&[3, 4]), 16_777_214));
    });
    check("RotaryEmbedding: 1 positions from 18446744073709551615; expected", &|| {
        here!(rotary.cos_sin(usize::MAX, 1));
    });

    let filled = || {
        let mut cache = KvCache::new();
        let _ = cache.append(&ones(&[1, 2, 3, 4]), &ones(&[1, 2, 3, 5]));
        cache
    };
    let append = |k: &[usize], v: &[usize]| here!(filled().append(&ones(k), &ones(v)));
    check("KvCache: keys of shape [1, 2, 1, 4] and values of [1, 2, 2, 5]; expected", &|| {
        append(&[1, 2, 1, 4], &[1, 2, 2, 5]);
    });
    check("KvCache: keys of shape [1, 2, 1, 4] and values of [1, 1, 1, 5]; expected", &|| {
        append(&[1, 2, 1, 4], &[1, 1, 1, 5]);
    });
    check("KvCache: keys of shape [4] and values of [5]; expected […, L, E] and", &|| {
        append(&[4], &[5]);
    });
    check(
        "KvCache: new keys of shape [1, 3, 1, 4] after 3 tokens; expected the shape of the earlier \
         ones, [1, 2, 3, 4], but for the number of tokens",
        &|| append(&[1, 3, 1, 4], &[1, 3, 1, 5]),
    );
    check("KvCache: new values of shape [1, 2, 1, 4] after 3 tokens; expected", &|| {
        append(&[1, 2, 1, 4], &[1, 2, 1, 4]);
    });
    check("KvCache: new keys of shape [2, 1, 4] after 3 tokens", &|| {
        append(&[2, 1, 4], &[2, 1, 5]);
    });
    check(
        "KvCache: the new keys or values are tracked; expected values without gradients",
        &|| {
            let k = ones(&[1, 2, 1, 4]).requires_grad();
            here!(filled().append(&k, &ones(&[1, 2, 1, 5])));
        },
    );

    mistakes.none_was_wrong();
}

#[test]
fn mistakes_with_losses() {
    let (x, y) = (&ones(&[2, 3]), &ones(&[2, 1]));
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    let differ = "an input of shape [2, 3] and a target of shape [2, 1]; expected the same";
    check(&format!("mse_loss: {differ}"), &|| here!(mse_loss(x, y)));
    check(&format!("l1_loss: {differ}"), &|| here!(l1_loss(x, y)));
    check(&format!("smooth_l1_loss: {differ}"), &|| here!(smooth_l1_loss(x, y)));
    check(&format!("huber_loss: {differ}"), &|| here!(huber_loss(x, y)));
    check(&format!("bce_loss: {differ}"), &|| here!(bce_loss(x, y)));
    check(&format!("bce_with_logits: {differ}"), &|| here!(bce_with_logits(x, y)));
    check(&format!("kl_div: {differ}"), &|| here!(kl_div(x, y)));

    let margin = "triplet_margin_loss: margin is 0; expected more than 0";
    check(margin, &|| here!(TripletMarginLoss::new().margin(0.0).loss(x, x, x)));
    check("cross_entropy: target 3 in row 1", &|| here!(cross_entropy(x, &[0, 3])));
    let linear = CrossEntropyLoss::new();
    check("linear_cross_entropy: target 2 in row 1 of an input of shape [2, 3]; expected", &|| {
        here!(linear.loss_of_linear(x, &Tensor::ones([2, 3]), None, &[0, 2]));
    });
    check("linear_cross_entropy: an input of shape [2, 3] and a weight of shape [3]", &|| {
        here!(linear.loss_of_linear(x, &Tensor::ones([3]), None, &[0, 2]));
    });

    mistakes.none_was_wrong();
}

#[test]
fn mistakes_with_initialization() {
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let rng = || Generator::seed(0);
    type Init = fn([usize; 2], f64, &mut Generator) -> Tensor;
    let at_least_0 = "expected at least 0";
    for std in [-1.0, nan] {
        check(&format!("normal: std is {std}; {at_least_0}"), &|| {
            here!(init::normal::<f32>([2, 2], 0.0, std, &mut rng()));
        });
        check(&format!("xavier_normal: gain is {std}; {at_least_0}"), &|| {
            here!(init::xavier_normal::<f32>([2, 2], std, &mut rng()));
        });
    }
    for gain in [-1.0, nan, inf] {
        let expected = "expected finite and at least 0";
        check(&format!("xavier_uniform: gain is {gain}; {expected}"), &|| {
            here!(init::xavier_uniform::<f32>([2, 2], gain, &mut rng()));
        });
    }
    check("uniform: low is -1", &|| {
        here!(init::xavier_uniform::<f32>([2, 2], 1e39, &mut rng()));
    });
    check("uniform: low is 1 and high is -1", &|| {
        here!(init::uniform::<f32>([2, 2], 1.0, -1.0, &mut rng()));
    });
    check("kaiming_uniform: a is NaN; expected a number", &|| {
        here!(init::kaiming_uniform::<f32>([2, 2], nan, &mut rng()));
    });
    check("kaiming_normal: a is NaN; expected a number", &|| {
        here!(init::kaiming_normal::<f32>([2, 2], nan, &mut rng()));
    });
    mistakes.none_was_wrong();

    // As in PyTorch, an infinite standard deviation or slope is allowed.
    let drawn = |init: Init, x: f64| init([2, 2], x, &mut rng()).to_vec();
    assert!(drawn(init::xavier_normal, inf).iter().all(|x| x.is_infinite()));
    assert_eq!(drawn(init::kaiming_uniform, inf), [0.0; 4]);
    assert_eq!(drawn(init::kaiming_normal, inf), [0.0; 4]);
    assert_eq!(drawn(init::xavier_uniform, 0.0), [0.0; 4]);
    assert!(drawn(init::kaiming_uniform, -1.0).iter().all(|x| x.is_finite()));
    assert!(init::normal::<f32>([3], nan, 1.0, &mut rng()).to_vec().iter().all(|x| x.is_nan()));
}

#[test]
fn options_of_layers() {
    let rng = std::cell::RefCell::new(Generator::seed(0));
    let rng = || rng.borrow_mut();
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    for (p, found) in [(1.5, "1.5"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        let expected = format!("p is {found}; expected 0 to 1");
        check(&format!("Dropout: {expected}"), &|| here!(Dropout::new(p, &mut rng())));
        check(&format!("Dropout2d: {expected}"), &|| here!(Dropout2d::new(p, &mut rng())));
    }
    let encoder = TransformerEncoderLayerOptions::default();
    check("TransformerEncoderLayer: dropout is 1.5; expected 0 to 1", &|| {
        let options = encoder.dropout(1.5);
        here!(TransformerEncoderLayer::<f32>::with_options(4, 2, options, &mut rng()));
    });
    check("TransformerEncoderLayer: layer_norm_eps is -1.0; expected at least 0", &|| {
        let options = encoder.layer_norm_eps(-1.0);
        here!(TransformerEncoderLayer::<f32>::with_options(4, 2, options, &mut rng()));
    });
    check("Bilinear: in1_features is 0; expected at least 1", &|| {
        here!(Bilinear::new(0, 3, 2, &mut rng()));
    });
    let rotary = RotaryEmbeddingOptions::default;
    check("RotaryEmbedding: head_dim is 0; expected at least 1", &|| {
        here!(RotaryEmbedding::new(0));
    });
    let expected = "expected an even number from 2 to head_dim";
    check(&format!("RotaryEmbedding: rotary_dim is 5 for a head_dim of 5; {expected}"), &|| {
        here!(RotaryEmbedding::new(5));
    });
    check(&format!("RotaryEmbedding: rotary_dim is 6 for a head_dim of 4; {expected}"), &|| {
        here!(RotaryEmbedding::<f32>::with_options(4, rotary().rotary_dim(6)));
    });
    check("RotaryEmbedding: base is -1.0; expected a positive finite number", &|| {
        here!(RotaryEmbedding::<f32>::with_options(4, rotary().base(-1.0)));
    });
    check("RotaryEmbedding: factor is NaN; expected a positive finite number", &|| {
        here!(RotaryEmbedding::<f32>::with_options(
            4,
            rotary().scaling(RotaryScaling::PositionInterpolation { factor: f64::NAN })
        ));
    });
    let llama3 = |low_freq_factor, original_max_position_embeddings| RotaryScaling::Llama3 {
        factor: 8.0,
        low_freq_factor,
        high_freq_factor: 4.0,
        original_max_position_embeddings,
    };
    check("low_freq_factor is 4; expected less than high_freq_factor, 4", &|| {
        here!(RotaryEmbedding::<f32>::with_options(4, rotary().scaling(llama3(4.0, 8192))));
    });
    check("original_max_position_embeddings is 0; expected at least 1", &|| {
        here!(RotaryEmbedding::<f32>::with_options(4, rotary().scaling(llama3(1.0, 0))));
    });
    check("MultiheadAttention: num_heads is 3; expected a divisor of embed_dim = 4", &|| {
        here!(MultiheadAttention::new(4, 3, &mut rng()));
    });
    check("MultiheadAttention: num_heads is 3; expected a divisor of embed_dim = 4", &|| {
        here!(TransformerEncoderLayer::new(4, 3, &mut rng()));
    });
    check("Lstm: hidden_size is 0; expected at least 1", &|| here!(Lstm::new(3, 0, &mut rng())));
    check("Rnn: input_size is 0; expected at least 1", &|| here!(Rnn::new(0, 3, &mut rng())));
    check("Gru: num_layers is 0; expected at least 1", &|| {
        let options = GruOptions::default().num_layers(0);
        here!(Gru::<f32>::with_options(3, 4, options, &mut rng()));
    });
    for (dropout, found) in [(-1.0, "-1.0"), (f64::NAN, "NaN")] {
        check(&format!("Rnn: dropout is {found}; expected 0 to 1"), &|| {
            let options = RnnOptions::default().dropout(dropout);
            here!(Rnn::<f32>::with_options(3, 4, options, &mut rng()));
        });
    }
    check("Lstm: proj_size is 4; expected less than hidden_size = 4", &|| {
        let options = LstmOptions::default().proj_size(4);
        here!(Lstm::<f32>::with_options(3, 4, options, &mut rng()));
    });
    check("Lstm: proj_size is 0; expected at least 1", &|| {
        let options = LstmOptions::default().proj_size(0);
        here!(Lstm::<f32>::with_options(3, 4, options, &mut rng()));
    });
    check("MultiheadAttention: embed_dim is 0; expected at least 1", &|| {
        here!(MultiheadAttention::new(0, 1, &mut rng()));
    });
    check("MultiheadAttention: dropout is 1.5; expected 0 to 1", &|| {
        let options = MultiheadAttentionOptions::default().dropout(1.5);
        here!(MultiheadAttention::<f32>::with_options(4, 2, options, &mut rng()));
    });
    check("GroupNorm: num_groups is 3; expected a divisor of num_channels = 4", &|| {
        here!(GroupNorm::new(3, 4));
    });
    for (eps, found) in [(-1.0, "eps is -1.0"), (f64::NAN, "eps is NaN")] {
        let expected = |layer| format!("{layer}: {found}; expected at least 0");
        check(&expected("LayerNorm"), &|| {
            let options = LayerNormOptions::default().eps(eps);
            here!(LayerNorm::<f32>::with_options([3], options));
        });
        check(&expected("RmsNorm"), &|| {
            let options = RmsNormOptions::default().eps(Some(eps));
            here!(RmsNorm::<f32>::with_options([3], options));
        });
        check(&expected("GroupNorm"), &|| {
            let options = GroupNormOptions::default().eps(eps);
            here!(GroupNorm::<f32>::with_options(1, 3, options));
        });
        let options = BatchNormOptions::default().eps(eps);
        check(&expected("BatchNorm1d"), &|| {
            here!(BatchNorm1d::<f32>::with_options(3, options));
        });
        check(&expected("BatchNorm2d"), &|| {
            here!(BatchNorm2d::<f32>::with_options(3, options));
        });
    }
    for (momentum, found) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        check(&format!("BatchNorm2d: momentum is {found}; expected 0 to 1"), &|| {
            let options = BatchNormOptions::default().momentum(Some(momentum));
            here!(BatchNorm2d::<f32>::with_options(3, options));
        });
    }
    check(
        "Conv1d: groups is 2; expected a divisor of in_channels = 3 and out_channels = 4",
        &|| {
            let options = Conv1dOptions::default().groups(2);
            here!(Conv1d::<f32>::with_options(3, 4, 3, options, &mut rng()));
        },
    );
    check("Conv2d: padding_same with a stride of [2, 2]; expected a stride of 1", &|| {
        let options = Conv2dOptions::default().stride(2).padding_same();
        here!(Conv2d::<f32>::with_options(3, 4, 3, options, &mut rng()));
    });
    check("ConvTranspose2d: an output_padding of [2, 2] with a stride of [2, 2]", &|| {
        let options = ConvTranspose2dOptions::default().stride(2).output_padding(2);
        here!(ConvTranspose2d::<f32>::with_options(3, 4, 3, options, &mut rng()));
    });
    check(
        "Conv2d: groups is 0; expected a divisor of in_channels = 3 and out_channels = 4",
        &|| {
            let options = Conv2dOptions::default().groups(0);
            here!(Conv2d::<f32>::with_options(3, 4, 3, options, &mut rng()));
        },
    );
    check("Embedding: padding_idx is 3; expected less than num_embeddings = 3", &|| {
        let options = EmbeddingOptions::default().padding_idx(3);
        here!(Embedding::<f32>::with_options(3, 2, options, &mut rng()));
    });

    mistakes.none_was_wrong();
}

#[test]
fn layers_that_do_not_fit_in_memory() {
    let rng = std::cell::RefCell::new(Generator::seed(0));
    let rng = || rng.borrow_mut();
    let mut mistakes = Mistakes::default();
    let mut check = |sizes: &str, mistake: &dyn Fn()| {
        let expected = format!("{sizes}: parameters of these sizes do not fit in memory");
        mistakes.check(&expected, mistake);
    };
    // The product overflows, the bytes do, or there is no such memory.
    let (huge, max, half) = (10_000_000_000, usize::MAX, usize::MAX / 2 + 1);
    check("Linear: in_features = 10000000000, out_features = 10000000000", &|| {
        here!(Linear::new(huge, huge, &mut rng()));
    });
    check("Linear: in_features = 0, out_features = 9223372036854775808", &|| {
        here!(Linear::new(0, half, &mut rng()));
    });
    check("Linear: in_features = 100000, out_features = 10000000000", &|| {
        here!(Linear::new(100_000, huge, &mut rng()));
    });
    check(
        "Bilinear: in1_features = 10000000000, in2_features = 10000000000, out_features = 2",
        &|| {
            here!(Bilinear::new(huge, huge, 2, &mut rng()));
        },
    );
    check("Embedding: num_embeddings = 10000000000, embedding_dim = 10000000000", &|| {
        here!(Embedding::new(huge, huge, &mut rng()));
    });
    check(
        "Conv2d: in_channels = 3, out_channels = 4, kernel = [10000000000, 10000000000]",
        &|| {
            here!(Conv2d::new(3, 4, huge, &mut rng()));
        },
    );
    check("in_channels = 10000000000, out_channels = 10000000000, kernel = [1, 1]", &|| {
        let options = ConvTranspose2dOptions::default();
        here!(ConvTranspose2d::<f32>::with_options(huge, huge, 1, options, &mut rng()));
    });
    check("BatchNorm1d: num_features = 18446744073709551615", &|| here!(BatchNorm1d::new(max)));
    check("LayerNorm: normalized_shape = [18446744073709551615, 2]", &|| {
        here!(LayerNorm::new([max, 2]));
    });
    check("RmsNorm: normalized_shape = [18446744073709551615, 2]", &|| {
        here!(RmsNorm::new([max, 2]));
    });
    check("GroupNorm: num_channels = 18446744073709551615", &|| here!(GroupNorm::new(1, max)));
    check("Rnn: input_size = 1, hidden_size = 18446744073709551615, num_layers = 1", &|| {
        here!(Rnn::new(1, max, &mut rng()));
    });
    check("Lstm: input_size = 18446744073709551615, hidden_size = 2, num_layers = 1", &|| {
        here!(Lstm::new(max, 2, &mut rng()));
    });
    check("Gru: input_size = 1, hidden_size = 2, num_layers = 18446744073709551615", &|| {
        let options = GruOptions::default().num_layers(max);
        here!(Gru::<f32>::with_options(1, 2, options, &mut rng()));
    });
    check("kdim = 9223372036854775808, vdim = 9223372036854775808", &|| {
        here!(MultiheadAttention::new(half, 2, &mut rng()));
    });
    check("MultiheadAttention: embed_dim = 4, kdim = 18446744073709551615, vdim = 4", &|| {
        let options = MultiheadAttentionOptions::default().kdim(max);
        here!(MultiheadAttention::<f32>::with_options(4, 2, options, &mut rng()));
    });

    mistakes.none_was_wrong();
}

/// A user's model, whose `forward` does not track its caller.
#[derive(Clone, Module)]
#[module(crate = ::adamant_nn)]
struct Users(Sequential);

const USERS_LINE: u32 = line!() + 3;
impl Forward for Users {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x)
    }
}

#[test]
fn a_mistake_within_a_model_is_at_the_users_line() {
    let rng = &mut Generator::seed(0);
    let inner = Sequential::new().add(Relu).add(Linear::new(4, 2, rng));
    let net = Sequential::new().add(Linear::new(3, 5, rng)).add(inner);
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    let first = "Sequential: layer 0, Linear: linear: the input has shape [2, 4]";
    check(first, &|| here!(net.forward(&ones(&[2, 4]))));
    check(&format!("summary: an input of shape [2, 4]: {first}"), &|| {
        here!(summary(&net, [2, 4]));
    });
    check(
        "Sequential: layer 1, Sequential: Sequential: layer 1, Linear: linear: the input",
        &|| {
            here!(net.forward(&ones(&[2, 3])));
        },
    );
    let model = Sequential::new().add(Users(net.clone()));
    let inner = format!("Sequential: layer 0, Linear (at {}:{USERS_LINE}:", file!());
    check(&format!("Sequential: layer 0, Users: {inner}"), &|| {
        here!(model.forward(&ones(&[2, 4])));
    });
    let single = Linear::new(3, 5, rng);
    check("summary: an input of shape [2, 4]: linear: the input has shape [2, 4]", &|| {
        here!(summary(&single, [2, 4]));
    });

    mistakes.none_was_wrong();
}

#[test]
fn a_panic_without_a_message_passes_through() {
    #[derive(Clone)]
    struct Bomb;
    impl Forward for Bomb {
        fn forward(&self, _: &Tensor) -> Tensor {
            std::panic::panic_any(7)
        }
    }
    impl Module for Bomb {
        fn visit(&self, _: &mut Path, _: &mut dyn FnMut(&str, Leaf<'_, f32>)) {}
        fn visit_mut(&mut self, _: &mut dyn FnMut(LeafMut<'_, f32>)) {}
    }
    let net = Sequential::new().add(Bomb);
    let run = std::panic::AssertUnwindSafe(|| net.forward(&ones(&[1])));
    assert_eq!(std::panic::catch_unwind(run).unwrap_err().downcast_ref(), Some(&7));
}

/// As in PyTorch, all layers accept an empty batch, except those that need a variance.
#[test]
fn empty_batches_pass_through_layers() {
    let rng = &mut Generator::seed(0);
    let (mut norm1, mut norm2) = (BatchNorm1d::new(3), BatchNorm2d::new(3));
    norm1.eval();
    norm2.eval();
    type Case = (Box<dyn Layer>, &'static [usize], &'static [usize]); // a layer, its shapes in and out
    let layers: Vec<Case> = vec![
        (Box::new(Linear::new(3, 2, rng)), &[0, 3], &[0, 2]),
        (Box::new(Conv1d::new(3, 2, 3, rng)), &[0, 3, 5], &[0, 2, 3]),
        (Box::new(Conv2d::new(3, 2, 3, rng)), &[0, 3, 5, 5], &[0, 2, 3, 3]),
        (Box::new(ConvTranspose2d::new(3, 2, 3, rng)), &[0, 3, 5, 5], &[0, 2, 7, 7]),
        (Box::new(MaxPool2d::new(2)), &[0, 3, 4, 4], &[0, 3, 2, 2]),
        (Box::new(AvgPool2d::new(2)), &[0, 3, 4, 4], &[0, 3, 2, 2]),
        (Box::new(AdaptiveAvgPool2d::new(1)), &[0, 3, 4, 4], &[0, 3, 1, 1]),
        (Box::new(AdaptiveAvgPool1d::new(1)), &[0, 3, 4], &[0, 3, 1]),
        (Box::new(AdaptiveMaxPool2d::new([None, Some(2)])), &[0, 3, 4, 4], &[0, 3, 4, 2]),
        (Box::new(AdaptiveMaxPool1d::new(1)), &[0, 3, 4], &[0, 3, 1]),
        (Box::new(LayerNorm::new([3])), &[0, 3], &[0, 3]),
        (Box::new(GroupNorm::new(1, 3)), &[0, 3, 4], &[0, 3, 4]),
        (Box::new(RmsNorm::new([3])), &[0, 3], &[0, 3]),
        (Box::new(norm1), &[0, 3], &[0, 3]),
        (Box::new(norm2), &[0, 3, 4, 4], &[0, 3, 4, 4]),
        (Box::new(MultiheadAttention::new(4, 2, rng)), &[0, 3, 4], &[0, 3, 4]),
        (Box::new(TransformerEncoderLayer::new(4, 2, rng)), &[0, 3, 4], &[0, 3, 4]),
        (Box::new(Rnn::new(3, 2, rng)), &[0, 5, 3], &[0, 5, 2]),
        (Box::new(Lstm::new(3, 2, rng)), &[0, 5, 3], &[0, 5, 2]),
        (Box::new(Gru::new(3, 2, rng)), &[0, 5, 3], &[0, 5, 2]),
        (Box::new(Dropout::new(0.5, rng)), &[0, 3], &[0, 3]),
    ];
    for (layer, input, output) in layers {
        let x = Tensor::zeros(input).requires_grad();
        let y = layer.forward(&x);
        assert_eq!(y.shape(), output, "{}", layer.type_name());
        y.sum().backward();
        assert_eq!(x.grad().unwrap().shape(), input, "{}", layer.type_name());
        for (name, parameter) in layer.named_parameters() {
            let zero = parameter.grad().unwrap().to_vec().iter().all(|&g| g == 0.0);
            assert!(zero, "{}: {name}", layer.type_name());
        }
    }
    // Layers whose input is not one tensor.
    let words = Embedding::new(3, 2, rng);
    let rows = words.forward(&Indices::from_vec(vec![], [0, 5]).unwrap());
    assert_eq!(rows.shape(), [0, 5, 2]);
    let pairs = Bilinear::new(3, 4, 2, rng);
    let y = pairs.forward(&Tensor::zeros([0, 3]), &Tensor::zeros([0, 4]));
    assert_eq!(y.shape(), [0, 2]);
    (rows.sum() + y.sum()).backward();
    for weight in [&words.weight, &pairs.weight] {
        assert_eq!(weight.grad().unwrap().abs().sum().item(), 0.0);
    }
}

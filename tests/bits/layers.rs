//! Layers: their initial values, results and gradients.

use crate::hashes::Hashes;
use adamant::nn::{TransformerActivation, module_state};
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    all::<f32>(hashes);
    all::<f64>(hashes);
}

/// A layer, with its name and the shape of its input.
type Case<T> = (&'static str, &'static [usize], Box<dyn Layer<T>>);

fn all<T: Float>(hashes: &mut Hashes) {
    let rng = &mut Generator::seed(7);
    let plain = Conv2dOptions::default();
    let odd = plain.stride([2, 1]).padding(2).dilation([1, 2]).groups(2);
    let odd_transpose = ConvTranspose2dOptions::default().stride([2, 1]).padding(2).groups(2);
    let same = plain.padding_same().padding_mode(PadMode::Reflect);
    let images = &[5, 8, 13, 12][..];
    let sequences = &[4, 50, 24][..];
    let layers: Vec<Case<T>> = vec![
        (
            "Linear",
            &[33, 70],
            Box::new(Linear::with_options(70, 40, LinearOptions::default(), rng)),
        ),
        ("Conv2d", images, Box::new(Conv2d::with_options(8, 12, 3, plain, rng))),
        ("Conv2d odd", images, Box::new(Conv2d::with_options(8, 6, 3, odd, rng))),
        ("Conv2d same", images, Box::new(Conv2d::with_options(8, 6, [4, 3], same, rng))),
        (
            "ConvTranspose2d",
            images,
            Box::new(ConvTranspose2d::with_options(8, 6, [3, 2], odd_transpose, rng)),
        ),
        ("Conv1d", &[3, 8, 70], Box::new(Conv1d::with_options(8, 16, 5, Default::default(), rng))),
        ("BatchNorm2d", images, Box::new(BatchNorm2d::with_options(8, Default::default()))),
        ("BatchNorm1d", &[90, 70], Box::new(BatchNorm1d::with_options(70, Default::default()))),
        ("GroupNorm", images, Box::new(GroupNorm::with_options(2, 8, Default::default()))),
        ("LayerNorm", sequences, Box::new(LayerNorm::with_options([24], Default::default()))),
        ("RmsNorm", sequences, Box::new(RmsNorm::with_options([50, 24], Default::default()))),
        ("MaxPool2d", images, Box::new(MaxPool2d::new(2))),
        ("AvgPool2d", images, Box::new(AvgPool2d::new(3))),
        ("AdaptiveAvgPool2d", images, Box::new(AdaptiveAvgPool2d::new([5, 7]))),
        ("AdaptiveMaxPool2d", images, Box::new(AdaptiveMaxPool2d::new([5, 7]))),
        ("Dropout", sequences, Box::new(Dropout::new(0.3, rng))),
        ("Dropout2d", images, Box::new(Dropout2d::new(0.3, rng))),
        (
            "SqueezeExcitation",
            images,
            Box::new(SqueezeExcitation::with_options(8, 3, Default::default(), rng)),
        ),
        ("Celu", sequences, Box::<Celu>::default()),
        ("Elu", sequences, Box::<Elu>::default()),
        ("Gelu", sequences, Box::new(Gelu)),
        ("GeluTanh", sequences, Box::new(GeluTanh)),
        ("Hardsigmoid", sequences, Box::new(Hardsigmoid)),
        ("Hardswish", sequences, Box::new(Hardswish)),
        ("Hardtanh", sequences, Box::<Hardtanh>::default()),
        ("LeakyRelu", sequences, Box::<LeakyRelu>::default()),
        ("LogSigmoid", sequences, Box::new(LogSigmoid)),
        ("LogSoftmax", sequences, Box::new(LogSoftmax::new(1))),
        ("Mish", sequences, Box::new(Mish)),
        ("Relu", sequences, Box::new(Relu)),
        ("Relu6", sequences, Box::new(Relu6)),
        ("Selu", sequences, Box::new(Selu)),
        ("Sigmoid", sequences, Box::new(Sigmoid)),
        ("Silu", sequences, Box::new(Silu)),
        ("Softmax", sequences, Box::new(Softmax::new(-1))),
        ("Softplus", sequences, Box::<Softplus>::default()),
        ("Softsign", sequences, Box::new(Softsign)),
        ("Tanh", sequences, Box::new(Tanh)),
        ("Threshold", sequences, Box::new(Threshold::new(0.5, 3.0))),
    ];
    for (name, shape, layer) in layers {
        add_layer(hashes, name, &layer, shape, |layer, x| layer.forward(x));
    }

    let words = Indices::from([[1, 0, 4], [4, 1, 1]]);
    let layer =
        Embedding::<T>::with_options(6, 30, EmbeddingOptions::default().padding_idx(1), rng);
    add_layer(hashes, "Embedding", &layer, &[], |layer, _| layer.forward(&words));
    let layer = Bilinear::<T>::with_options(24, 24, 9, BilinearOptions::default(), rng);
    add_layer(hashes, "Bilinear", &layer, sequences, |layer, x| layer.forward(x, &x.tanh()));

    let options = LstmOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
    let net = Lstm::<T>::with_options(24, 30, options, rng);
    add_layer(hashes, "Lstm", &net, sequences, |net, x| net.forward(x));
    let options = GruOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
    let net = Gru::<T>::with_options(24, 30, options, rng);
    add_layer(hashes, "Gru", &net, sequences, |net, x| net.forward(x));
    let net = Rnn::<T>::with_options(24, 30, RnnOptions::default(), rng);
    add_layer(hashes, "Rnn", &net, sequences, |net, x| net.forward(x));

    let options = MultiheadAttentionOptions::default().dropout(0.2);
    let net = MultiheadAttention::<T>::with_options(24, 3, options, rng);
    let there = Mask::from_vec((0..200).map(|i| i % 50 < 20 + 7 * (i / 50)).collect(), [4, 50]);
    let masks = AttentionMasks::default().causal(true);
    let there = there.unwrap();
    add_layer(hashes, "MultiheadAttention", &net, sequences, |net, x| {
        net.attend(x, x, x, masks.padding(&there))
    });
    let options = TransformerEncoderLayerOptions::default().dim_feedforward(60);
    let options = options.activation(TransformerActivation::Gelu);
    let net = TransformerEncoderLayer::<T>::with_options(24, 3, options, rng);
    add_layer(hashes, "TransformerEncoderLayer", &net, sequences, |net, x| net.forward(x));
    let rotary = RotaryEmbedding::<T>::with_options(24, RotaryEmbeddingOptions::default());
    add_layer(hashes, "RotaryEmbedding", &rotary, &[2, 3, 50, 24], |rotary, x| rotary.rotate(x, 3));
}

fn add_layer<T: Float, M: Module<T>>(
    hashes: &mut Hashes,
    name: &str,
    layer: &M,
    shape: &[usize],
    forward: impl Fn(&M, &Tensor<T>) -> Tensor<T>,
) {
    let x = Tensor::uniform(shape, -2.0, 2.0, &mut Generator::seed(6)).requires_grad();
    let y = forward(layer, &x);
    (&y * crate::inputs::arriving(0, y.shape())).sum().backward();
    let mut values = vec![y];
    values.extend(x.grad());
    for parameter in layer.parameters() {
        values.extend([parameter.tensor(), parameter.grad().unwrap()]);
    }
    let state = module_state(layer);
    values.extend(state.iter().filter_map(|(_, value)| value.array()).map(|x| x.clone().into()));
    hashes.add(&format!("layer: {name}"), &values);
}

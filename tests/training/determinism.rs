//! Equal seeds yield equal bits, on any number of threads.

use adamant::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Hashes every bit of a short training run: losses, gradients, weights.
fn train(digest: &mut DefaultHasher) {
    let mnist = Mnist::bundled().unwrap();
    let data = mnist.train.take(2_000);
    let mut rng = Generator::seed(5);
    let model = Sequential::new()
        .add(Linear::new(784, 256, &mut rng))
        .add(Relu)
        .add(Dropout::new(0.2, &mut rng))
        .add(Linear::new(256, 128, &mut rng))
        .add(Tanh)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let mut loader = DataLoader::new(&data, 64).shuffle(&mut rng);
    for _ in 0..60 {
        let batch = loader.next_batch();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&batch.inputs), &batch.targets);
        loss.backward();
        adam.step();
        add(digest, &loss);
    }
    for parameter in model.parameters() {
        add(digest, &parameter.tensor());
        add(digest, &parameter.grad().unwrap());
    }
}

fn add(digest: &mut DefaultHasher, x: &Tensor) {
    x.to_vec().into_iter().for_each(|x| x.to_bits().hash(digest));
}

/// Hashes the results and gradients of a layer, for an input large enough for several threads.
fn layer<M: Module>(
    digest: &mut DefaultHasher,
    shape: &[usize],
    layer: M,
    run: impl Fn(&M, &Tensor) -> Tensor,
) {
    let rng = &mut Generator::seed(6);
    let x = Tensor::randn(shape, rng).requires_grad();
    let y = run(&layer, &x);
    (&y * Tensor::randn(y.shape(), rng)).sum().backward();
    [y, x.grad().unwrap()].iter().for_each(|x| add(digest, x));
    layer.parameters().iter().for_each(|weight| add(digest, &weight.grad().unwrap()));
}

/// Hashes convolutions, norms, attention and recurrent layers.
fn layers(digest: &mut DefaultHasher) {
    let rng = &mut Generator::seed(7);
    let images = &[19, 8, 23, 21];
    let odd = Conv2dOptions::default().stride([2, 1]).padding(2).dilation([1, 2]).groups(2);
    layer(digest, images, Conv2d::new(8, 12, 3, rng), |net, x| net.forward(x));
    layer(digest, images, Conv2d::with_options(8, 6, 3, odd, rng), |net, x| net.forward(x));
    let odd = ConvTranspose2dOptions::default().stride([2, 1]).padding(2).dilation([1, 2]);
    let net = ConvTranspose2d::with_options(8, 6, [3, 2], odd.groups(2), rng);
    layer(digest, images, net, |net, x| net.forward(x));
    layer(digest, &[9, 8, 700], Conv1d::new(8, 16, 5, rng), |net, x| net.forward(x));
    layer(digest, images, BatchNorm2d::new(8), |net, x| net.forward(x));
    layer(digest, &[900, 70], BatchNorm1d::new(70), |net, x| net.forward(x));
    layer(digest, images, GroupNorm::new(2, 8), |net, x| net.forward(x));
    layer(digest, &[50, 20, 37], LayerNorm::new([37]), |net, x| net.forward(x));
    layer(digest, &[50, 20, 37], RmsNorm::new([20, 37]), |net, x| net.forward(x));

    let sequences = &[5, 130, 24];
    let there = Mask::from_vec((0..650).map(|i| i % 130 < 60 + 7 * (i / 130)).collect(), [5, 130]);
    let masks = AttentionMasks::default().causal(true);
    let there = there.unwrap();
    let options = MultiheadAttentionOptions::default().dropout(0.2);
    let net = MultiheadAttention::with_options(24, 3, options, rng);
    layer(digest, sequences, net, |net, x| net.attend(x, x, x, masks.padding(&there)));
    layer(digest, sequences, TransformerEncoderLayer::new(24, 3, rng), |net, x| net.forward(x));
    let sequences = &[40, 9, 24];
    let options = LstmOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
    layer(digest, sequences, Lstm::with_options(24, 50, options, rng), |net, x| net.forward(x));
    let options = GruOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
    layer(digest, sequences, Gru::with_options(24, 50, options, rng), |net, x| net.forward(x));
    let options = RnnOptions::default().num_layers(2).bidirectional(true).dropout(0.1);
    layer(digest, sequences, Rnn::with_options(24, 50, options, rng), |net, x| net.forward(x));
}

/// Hashes a short training run of adapters with dropout, and the weights that they are merged into.
fn adapters(digest: &mut DefaultHasher) {
    let rng = &mut Generator::seed(8);
    let model =
        Sequential::new().add(Linear::new(200, 150, rng)).add(Tanh).add(Linear::new(150, 10, rng));
    let options = LoraOptions::default().rank(6).lora_dropout(0.1).all_linear();
    let lora = Lora::new(&model, options, rng).unwrap();
    let mut adam = Adam::new(lora.parameters(), AdamOptions::default()).unwrap();
    let x = Tensor::randn([400, 200], rng);
    for _ in 0..10 {
        adam.zero_grad();
        let loss = model.forward(&x).square().mean();
        loss.backward();
        adam.step();
        add(digest, &loss);
    }
    lora.merge_and_unload().unwrap();
    model.parameters().iter().for_each(|weight| add(digest, &weight.tensor()));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let test = "determinism::bits_do_not_depend_on_the_number_of_threads";
    crate::threads::assert_same_on_any_number_of_threads(test, || {
        let mut digest = DefaultHasher::new();
        train(&mut digest);
        layers(&mut digest);
        adapters(&mut digest);
        digest.finish()
    });
}

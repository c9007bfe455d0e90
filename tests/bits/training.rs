//! Short trainings: losses, weights and running statistics.

use crate::hashes::Hashes;
use adamant::nn::module_state;
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    all::<f32>(hashes);
    all::<f64>(hashes);
}

fn all<T: Float>(hashes: &mut Hashes) {
    let rng = &mut Generator::seed(8);
    let linear = |inputs, outputs, rng: &mut Generator| {
        Linear::<T>::with_options(inputs, outputs, LinearOptions::default(), rng)
    };
    let classes: Vec<usize> = (0..32).map(|i| i * 7 % 10).collect();

    let mlp = Sequential::default()
        .add(linear(300, 64, rng))
        .add(Relu)
        .add(Dropout::new(0.2, rng))
        .add(linear(64, 10, rng));
    let x = Tensor::randn([32, 300], rng);
    let adam = Adam::new(mlp.parameters(), AdamOptions::default()).unwrap();
    train(hashes, "MLP", &mlp, adam, || cross_entropy(&mlp.forward(&x), &classes));

    let options = Conv2dOptions::default().padding(1);
    let cnn = Sequential::default()
        .add(Conv2d::with_options(3, 16, 3, options, rng))
        .add(BatchNorm2d::with_options(16, BatchNormOptions::default()))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Conv2d::with_options(16, 32, 3, options, rng))
        .add(BatchNorm2d::with_options(32, BatchNormOptions::default()))
        .add(Silu)
        .add(Dropout2d::new(0.2, rng))
        .add(AdaptiveAvgPool2d::new(1))
        .add(Flatten::new())
        .add(linear(32, 10, rng));
    let images = Tensor::randn([32, 3, 12, 12], rng);
    let options = SgdOptions::default().lr(0.05).momentum(0.9).weight_decay(1e-3);
    let sgd = Sgd::new(cnn.parameters(), options).unwrap();
    train(hashes, "CNN", &cnn, sgd, || cross_entropy(&cnn.forward(&images), &classes));

    let lstm = Lstm::<T>::with_options(12, 24, LstmOptions::default().num_layers(2), rng);
    let series = Tensor::randn([8, 20, 12], rng);
    let adamw = Adam::new(lstm.parameters(), AdamOptions::adamw().lr(0.01)).unwrap();
    let target = Tensor::randn([8, 20, 24], rng).tanh();
    train(hashes, "LSTM", &lstm, adamw, || mse_loss(&lstm.forward(&series), &target));

    let options = TransformerEncoderLayerOptions::default().dim_feedforward(64);
    let transformer = Sequential::default()
        .add(TransformerEncoderLayer::with_options(32, 4, options, rng))
        .add(LayerNorm::with_options([32], LayerNormOptions::default()))
        .add(linear(32, 10, rng));
    let sequences = Tensor::randn([4, 8, 32], rng);
    let adam = Adam::new(transformer.parameters(), AdamOptions::default().lr(0.01)).unwrap();
    train(hashes, "transformer", &transformer, adam, || {
        let scores = transformer.forward(&sequences).reshape([32, 10]);
        CrossEntropyLoss::new().label_smoothing(0.1).loss(&scores, &classes)
    });
}

fn train<T: Float, O: Optimizer<T> + LearningRates>(
    hashes: &mut Hashes,
    name: &str,
    model: &dyn Module<T>,
    mut optimizer: O,
    loss: impl Fn() -> Tensor<T>,
) {
    let mut schedule = CosineAnnealingLr::new(&optimizer, 8);
    let mut values = Vec::new();
    for _ in 0..8 {
        optimizer.zero_grad();
        let loss = loss();
        loss.backward();
        clip_grad_norm(&model.parameters(), 1.0);
        optimizer.step();
        schedule.step(&mut optimizer);
        values.push(loss.detach());
    }
    let state = module_state(model);
    values.extend(state.iter().filter_map(|(_, value)| value.array()).map(|x| x.clone().into()));
    hashes.add(&format!("training: {name}"), &values);
}

//! Ten training steps of LeNet-5 and of PyTorch's example net for MNIST. Fixture:
//! `tests/fixtures/convnets.py`, PyTorch 2.15.0.

use crate::close::close;
use crate::common::{fixture, numbers};
use adamant::data::Dataset;
use adamant::nn::{Conv2d, Flatten, MaxPool2d};
use adamant::prelude::*;

fn follows_pytorch(name: &str, model: &Sequential) {
    let expected = fixture("convnets").part(name);
    for (parameter, seed) in model.parameters().iter().zip(1..) {
        let scale = match parameter.numel() {
            n if n < 200 => 0.5,
            n if n > 1_000_000 => 0.03125,
            _ => 0.125,
        };
        parameter.set_value(&numbers(seed, parameter.shape(), scale));
    }
    let mnist = Mnist::bundled().unwrap().train;
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let mut losses = Vec::new();
    for step in 0..10 {
        let batch = mnist.batch(&(8 * step..8 * (step + 1)).collect::<Vec<_>>()).unwrap();
        let images = batch.inputs.reshape([8, 1, 28, 28]);
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&images), &batch.targets);
        loss.backward();
        adam.step();
        losses.push(loss.item());
    }
    let losses = Tensor::from_vec(losses, [10]).unwrap();
    close(&losses, &expected, "losses", 1e-4);
    for (name, parameter) in model.named_parameters() {
        if expected.get(&name).is_some() {
            close(&parameter.tensor(), &expected, &name, 1e-3);
        }
    }
}

#[test]
fn losses_of_lenet_5_equal_pytorchs() {
    let rng = &mut Generator::seed(0);
    let padded = Conv2dOptions::default().padding(2);
    let model = Sequential::new()
        .add(Conv2d::<f32>::with_options(1, 6, 5, padded, rng))
        .add(Tanh)
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(6, 16, 5, rng))
        .add(Tanh)
        .add(MaxPool2d::new(2))
        .add(Flatten::default())
        .add(Linear::new(400, 120, rng))
        .add(Tanh)
        .add(Linear::new(120, 84, rng))
        .add(Tanh)
        .add(Linear::new(84, 10, rng));
    follows_pytorch("lenet", &model);
}

#[test]
fn losses_of_the_mnist_example_net_equal_pytorchs() {
    let rng = &mut Generator::seed(0);
    let model = Sequential::new()
        .add(Conv2d::new(1, 32, 3, rng))
        .add(Relu)
        .add(Conv2d::new(32, 64, 3, rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten::default())
        .add(Linear::new(9216, 128, rng))
        .add(Relu)
        .add(Linear::new(128, 10, rng));
    follows_pytorch("example", &model);
}

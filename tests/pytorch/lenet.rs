//! Ten steps of LeNet-5 follow PyTorch's: fixture by `tests/fixtures/lenet.py`.

use crate::close::close;
use crate::common::{fixture, numbers};
use adamant::nn::{Conv2d, Flatten, MaxPool2d};
use adamant::prelude::*;
use adamant::tensor::Conv2dOptions;

#[test]
fn ten_steps_of_lenet_5_follow_pytorchs_losses() {
    let expected = fixture("lenet");
    let array = |name: &str| -> Tensor {
        expected.get(name).and_then(|value| value.array()).expect(name).clone().into()
    };
    let rng = &mut Generator::seed(0);
    let padded = Conv2dOptions::default().padding(2);
    let model = Sequential::new()
        .add(Conv2d::<f32>::with_options(1, 6, 5, padded, true, rng))
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
    for (parameter, seed) in model.parameters().iter().zip(1..) {
        let scale = if parameter.numel() < 200 { 0.5 } else { 0.125 };
        parameter.set_value(&numbers(seed, parameter.shape(), scale));
    }

    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let mut losses = Vec::new();
    for step in 0..10 {
        let images = numbers(100 + step, &[8, 1, 28, 28], 4.0);
        let targets: Vec<usize> = (0..8).map(|i| (3 * step as usize + 7 * i) % 10).collect();
        adam.zero_grad(true);
        let loss = cross_entropy(&model.forward(&images), &targets);
        loss.backward();
        adam.step();
        losses.push(loss.item());
    }
    for (found, expected) in losses.iter().zip(array("losses").to_vec()) {
        assert!((found - expected).abs() <= 1e-4 * expected, "{losses:?}: expected {expected}");
    }
    for (name, parameter) in model.named_parameters() {
        if expected.get(&name).is_some() {
            close(&parameter.tensor(), &expected, &name, 1e-3);
        }
    }
}

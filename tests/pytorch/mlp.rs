//! A short training run equals PyTorch's. Fixtures: `tests/fixtures/mlp.py`, PyTorch 2.15.0.

use crate::close::close;
use adamant::prelude::*;
use adamant::tensor::Float;

fn follows_pytorch<T: Float>(file: &str, tolerance: f64) {
    let fixture = crate::common::fixture(file);
    let tensor = |name: &str| -> Tensor<T> {
        fixture.get(name).and_then(|value| value.array()).expect(name).clone().into()
    };
    let close = |found: &Tensor<T>, name: &str| close(found, &fixture, name, tolerance);

    let mut rng = Generator::seed(0);
    let mut model = Sequential::<T>::default()
        .add(Linear::with_options(12, 16, LinearOptions::default(), &mut rng))
        .add(Relu)
        .add(Linear::with_options(16, 9, LinearOptions::default(), &mut rng))
        .add(Tanh)
        .add(Linear::with_options(9, 4, LinearOptions::default(), &mut rng));
    model.load_state_dict(&fixture.part("before")).unwrap();
    let options = AdamOptions::default().lr(1e-2).weight_decay(1e-3);
    let mut adam = Adam::new(model.parameters(), options).unwrap();
    for step in 0..5 {
        let targets = tensor(&format!("targets.{step}")).to_vec();
        let targets: Vec<usize> = targets.into_iter().map(|t| t.to_f64() as usize).collect();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&tensor(&format!("inputs.{step}"))), &targets);
        loss.backward();
        adam.step();
        close(&loss, &format!("loss.{step}"));
    }
    for (name, parameter) in model.named_parameters() {
        close(&parameter.tensor(), &format!("after.{name}"));
    }
}

#[test]
fn five_steps_in_f32() {
    follows_pytorch::<f32>("mlp_f32", 1e-5);
}

#[test]
fn five_steps_in_f64() {
    follows_pytorch::<f64>("mlp_f64", 1e-12);
}

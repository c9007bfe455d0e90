//! Averaged models and their schedule against PyTorch: `fixtures/swa.py`.

use adamant_nn::{
    BatchNorm1d, BatchNormOptions, Forward, Leaf, Linear, LinearOptions, Module, Path, Sequential,
};
use adamant_optim::{
    Adam, AdamOptions, AnnealStrategy, ExponentialLr, LearningRates, Optimizer, ParamGroup,
    Scheduler, SwaLr, SwaLrOptions,
};
use adamant_tensor::{Float, Generator, Parameter, StateDict, Stateful, Tensor, Value};
use adamant_train::{AveragedModel, update_bn};
use serde_json::Value as Json;

fn fixture(name: &str) -> Json {
    let mut all: Json = serde_json::from_str(include_str!("fixtures/swa.json")).unwrap();
    all[name].take()
}

/// Multiples of 2⁻²⁴ in `[−2, 2)`: `numbers` in `fixtures/swa.py`.
fn numbers<T: Float>(seed: u64, shape: &[usize]) -> Tensor<T> {
    let len = shape.iter().product::<usize>() as u64;
    let number = |i: u64| {
        let mut x = (i + seed * 1_000_003).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        T::from_f64(((x >> 40) as f64 * (-24f64).exp2() - 0.5) * 4.0)
    };
    Tensor::from_vec((0..len).map(number).collect(), shape).unwrap()
}

fn model<T: Float>() -> Sequential<T> {
    let rng = &mut Generator::seed(0);
    let norm = BatchNormOptions::default();
    Sequential::default()
        .add(Linear::with_options(3, 4, LinearOptions::default(), rng))
        .add(BatchNorm1d::with_options(4, norm))
        .add(Linear::with_options(4, 2, LinearOptions::default(), rng))
}

/// A step of a training: new values everywhere. Parameters come before buffers, as in PyTorch.
fn train<T: Float>(model: &Sequential<T>, step: u64) {
    let mut seed = 100 * step..;
    for parameter in model.parameters() {
        parameter.set_value(&numbers(seed.next().unwrap(), parameter.shape()));
    }
    model.visit(&mut Path::default(), &mut |_, leaf| match leaf {
        Leaf::Buffer(buffer) => buffer.set(&numbers(seed.next().unwrap(), buffer.shape())),
        Leaf::Counter(counter) => counter.set((step * step + 3) as i64),
        _ => {}
    });
}

#[track_caller]
fn assert_state<T: Float>(state: &StateDict, expected: &Json, tolerance: f64) {
    let expected = expected.as_object().unwrap();
    let mut names: Vec<&str> = state.keys().collect();
    names.sort_unstable();
    assert_eq!(names, expected.keys().collect::<Vec<_>>()); // sorted
    for (name, value) in state.iter() {
        let found: Vec<f64> = match value {
            Value::I64(count) => count.to_vec().into_iter().map(|x| x as f64).collect(),
            value => value.tensor::<T>().unwrap().to_vec().iter().map(|x| x.to_f64()).collect(),
        };
        let expected: Vec<f64> = serde_json::from_value(expected[name].clone()).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.into_iter().zip(expected) {
            let close = (found - expected).abs() <= tolerance * expected.abs();
            assert!(close, "{name}: found {found:e}, expected {expected:e}");
        }
    }
}

/// Equal to the last bit.
fn averages_are_pytorchs<T: Float>(
    kind: &str,
    new: impl Fn(&Sequential<T>) -> AveragedModel<Sequential<T>, T>,
) where
    Sequential<T>: Clone,
{
    for (buffers, on) in [("copied", false), ("averaged", true)] {
        let model = model::<T>();
        let mut averaged = new(&model).use_buffers(on);
        for (step, expected) in (0..).zip(fixture(&format!("{kind}_{buffers}")).as_array().unwrap())
        {
            train(&model, step);
            averaged.update_parameters(&model);
            assert_state::<T>(&averaged.state_dict(), expected, 0.0);
        }
        assert_eq!(averaged.n_averaged(), 7);
    }
}

#[test]
fn equal_averages_are_pytorchs() {
    averages_are_pytorchs::<f32>("f32_swa", AveragedModel::new);
    averages_are_pytorchs::<f64>("f64_swa", AveragedModel::new);
}

#[test]
fn exponential_averages_are_pytorchs() {
    averages_are_pytorchs::<f32>("f32_ema", |model| AveragedModel::ema(model, 0.9));
    averages_are_pytorchs::<f64>("f64_ema", |model| AveragedModel::ema(model, 0.9));
}

#[test]
fn updated_statistics_are_pytorchs() {
    fn check<T: Float>(name: &str, tolerance: f64) {
        let mut model = model::<T>();
        train(&model, 0);
        let batches = (0..3).map(|i| numbers(1000 + i, &[5 + i as usize, 3]));
        update_bn(&mut model, batches, |model, x| model.forward(&x));
        assert_state::<T>(&model.state_dict(), &fixture(name), tolerance);
    }
    check::<f32>("f32_update_bn", 1e-5);
    check::<f64>("f64_update_bn", 1e-13);
}

#[test]
fn update_bn_keeps_the_mode_of_each_layer() {
    let mut model = (BatchNorm1d::new(3), BatchNorm1d::new(3));
    model.1.eval();
    let x: Tensor = numbers(0, &[4, 3]);
    update_bn(&mut model, [x.clone()], |model, x| model.1.forward(&model.0.forward(&x)));
    let seen = |model: &BatchNorm1d| model.num_batches_tracked.as_ref().unwrap().get();
    assert_eq!((seen(&model.0), seen(&model.1)), (1, 1));
    let _ = (model.0.forward(&x), model.1.forward(&x));
    assert_eq!((seen(&model.0), seen(&model.1)), (2, 1));
}

#[test]
fn a_restored_average_continues() {
    let model = model::<f32>();
    let mut straight = AveragedModel::new(&model);
    for step in 0..3 {
        train(&model, step);
        straight.update_parameters(&model);
    }
    let mut resumed = AveragedModel::new(&model);
    resumed.load_state_dict(&straight.state_dict()).unwrap();
    train(&model, 3);
    straight.update_parameters(&model);
    resumed.update_parameters(&model);
    assert_eq!(resumed.state_dict(), straight.state_dict());
}

#[test]
fn averages_round_as_the_operations_of_tensors() {
    let model = Linear::<f32>::new(37, 3, &mut Generator::seed(0));
    let weights: Vec<Tensor> = (1..=3).map(|seed| numbers(seed, &[3, 37])).collect();
    let mut equal = AveragedModel::new(&model);
    let mut ema = AveragedModel::ema(&model, 0.9);
    for weight in &weights {
        model.weight.set_value(weight);
        equal.update_parameters(&model);
        ema.update_parameters(&model);
    }
    let [a, b, c] = &weights[..] else { unreachable!() };
    let expected = a + (b - a) / 2.0;
    let expected = &expected + (c - &expected) / 3.0;
    assert_eq!(equal.module.weight.tensor().to_vec(), expected.to_vec());
    let (decay, rest) = (0.9, (1.0 - 0.9f64) as f32);
    let expected = (a * decay + b * rest) * decay + c * rest;
    assert_eq!(ema.module.weight.tensor().to_vec(), expected.to_vec());
}

#[test]
fn an_average_has_values_of_its_own() {
    let model = model::<f32>();
    let mut averaged = AveragedModel::ema(&model, 0.5);
    train(&model, 1);
    averaged.update_parameters(&model);
    let before = averaged.state_dict();
    train(&model, 2);
    model.parameters()[0].value_mut().fill(0.0);
    assert_eq!(averaged.state_dict(), before);
}

#[test]
#[should_panic(
    expected = "update_parameters: a model with leaves ([[2, 3], [2]], [], 0); expected \
                           those of the averaged one, ([[1, 3], [1]], [], 0)"
)]
fn another_model_is_refused() {
    let rng = &mut Generator::seed(0);
    let (model, other) = (Linear::new(3, 1, rng), Linear::new(3, 2, rng));
    AveragedModel::new(&model).update_parameters(&other);
}

#[test]
fn the_rates_of_swa_are_pytorchs() {
    let linear = SwaLrOptions::default().anneal_strategy(AnnealStrategy::Linear).anneal_epochs(7);
    for (name, options) in [
        ("swalr_cos", SwaLrOptions::default()),
        ("swalr_linear", linear),
        ("swalr_at_once", SwaLrOptions::default().anneal_epochs(0)),
    ] {
        let parameter = || [Parameter::new(Tensor::<f32>::ones([1]))];
        let mut adam = Adam::new(parameter(), AdamOptions::default().lr(0.1)).unwrap();
        adam.add_param_group(ParamGroup::new(parameter()).lr(3e-3)).unwrap();
        let mut decay = ExponentialLr::new(&adam, 0.9);
        let mut swa = None;
        for (step, expected) in fixture(name).as_array().unwrap().iter().enumerate() {
            if step < 4 {
                decay.step(&mut adam);
            } else {
                let new = || SwaLr::with_options(&mut adam, 0.05, options.clone());
                let schedule = swa.get_or_insert_with(new);
                schedule.step(&mut adam);
            }
            let expected: [f64; 2] = serde_json::from_value(expected.clone()).unwrap();
            for (group, expected) in expected.into_iter().enumerate() {
                let found = adam.lr(group);
                assert!((found - expected).abs() < 1e-14, "{name} {step}: {found} {expected}");
            }
        }
    }
}

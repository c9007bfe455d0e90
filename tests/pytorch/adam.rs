//! Adam equals PyTorch's in every step. Fixtures: `tests/fixtures/adam.py`, PyTorch 2.15.0 on AVX-512,
//! with the square roots of IEEE 754 (see there).

use crate::common::{fixture, numbers};
use adamant::prelude::*;
use adamant::tensor::Float;
use std::collections::BTreeMap;

const SHAPES: [&[usize]; 6] = [&[], &[1], &[7], &[33], &[5, 13], &[2, 3, 17]];
const STEPS: usize = 1500;
const STORED: [usize; 8] = [1, 2, 3, 10, 100, 500, 1000, 1500];

#[derive(Default)]
struct Case {
    options: AdamOptions,
    skip: bool,
    groups: bool,
    reload: bool,
}

fn cases() -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    let lr = AdamOptions::default().lr(1e-2);
    for (b, (beta1, beta2)) in [("usual", (0.9, 0.999)), ("low", (0.3, 0.9)), ("half", (0.5, 0.99))]
    {
        for (d, decay, decoupled) in
            [("none", 0.0, false), ("l2", 0.1, false), ("decoupled", 0.1, true)]
        {
            for (a, amsgrad) in [("plain", false), ("amsgrad", true)] {
                for (m, maximize) in [("min", false), ("max", true)] {
                    let options = lr.betas(beta1, beta2).amsgrad(amsgrad).maximize(maximize);
                    let options = options.weight_decay(decay).decoupled_weight_decay(decoupled);
                    cases.insert(format!("{b}-{d}-{a}-{m}"), Case { options, ..Case::default() });
                }
            }
        }
    }
    let mut add = |name: &str, case| cases.insert(name.to_string(), case);
    add("defaults", Case::default());
    let options = AdamOptions::default().lr(0.1).eps(1e-3);
    add("eps", Case { options, ..Case::default() });
    let options = lr.weight_decay(0.1).amsgrad(true);
    add("skip", Case { options, skip: true, ..Case::default() });
    add("groups", Case { options: lr.amsgrad(true), groups: true, ..Case::default() });
    let options = lr.betas(0.8, 0.99).weight_decay(0.1).amsgrad(true);
    add("reload", Case { options, reload: true, ..Case::default() });
    cases
}

fn set_grads<T: Float>(params: &[Parameter<T>], step: usize, skip: bool) {
    for (p, param) in params.iter().enumerate() {
        let exponent = ((step * 7 + p) % 12) as f64 - 8.0;
        let scale = if (step + p).is_multiple_of(11) { 0.0 } else { exponent.exp2() };
        let none = skip && (step + p).is_multiple_of(3);
        let grad = || numbers((100 + step * 10 + p) as u64, param.shape(), scale);
        param.set_grad((!none).then(grad));
    }
}

/// Every result of a case, by its name in the fixture.
fn run<T: Float>(case: &Case) -> Vec<(String, Tensor<T>)> {
    let params = SHAPES.iter().enumerate().map(|(p, shape)| numbers(p as u64, shape, 4.0));
    let params: Vec<Parameter<T>> = params.map(Parameter::new).collect();
    let first = if case.groups { &params[..3] } else { &params };
    let mut adam = Adam::new(first.to_vec(), case.options).unwrap();
    let mut results = Vec::new();
    for step in 1..=STEPS {
        if case.groups && step == 40 {
            let group = ParamGroup::new(params[3..].to_vec()).lr(3e-3).weight_decay(0.05);
            adam.add_param_group(group).unwrap();
        }
        if case.reload && step == 70 {
            let state = adam.state_dict();
            adam = Adam::new(params.clone(), AdamOptions::default()).unwrap();
            adam.load_state_dict(&state).unwrap();
        }
        set_grads(&params, step, case.skip);
        adam.step();
        if STORED.contains(&step) {
            let values = params.iter().enumerate();
            results
                .extend(values.map(|(p, param)| (format!("{step}.{p}"), param.tensor().detach())));
        }
    }
    for (p, param) in params.iter().enumerate() {
        let moments = adam.state(param).unwrap();
        let parts = [
            ("exp_avg", Some(moments.exp_avg())),
            ("exp_avg_sq", Some(moments.exp_avg_sq())),
            ("max_exp_avg_sq", moments.max_exp_avg_sq()),
        ];
        let parts = parts.into_iter().filter_map(|(name, array)| Some((name, array?)));
        results.extend(parts.map(|(name, array)| (format!("{name}.{p}"), array.clone().into())));
    }
    results
}

/// Checks every value of every case with `fits(found, expected)`; returns the fraction of values with
/// equal bits.
fn compare<T: Float>(file: &str, fits: impl Fn(T, T) -> bool) -> f64 {
    let fixture = fixture(file);
    let (mut values, mut identical, mut names) = (0, 0, 0);
    for (name, case) in cases() {
        for (key, found) in run::<T>(&case) {
            let key = format!("{name}/{key}");
            let expected = fixture.array::<T>(&key, found.shape()).unwrap();
            names += 1;
            for (found, expected) in found.to_vec().into_iter().zip(expected.to_vec()) {
                values += 1;
                identical += i32::from(found.to_f64().to_bits() == expected.to_f64().to_bits());
                assert!(fits(found, expected), "{key}: {found:e}, PyTorch has {expected:e}");
            }
        }
    }
    assert_eq!(names, fixture.iter().count());
    println!("{file}: {identical} of {values} values have PyTorch's bits");
    f64::from(identical) / f64::from(values)
}

#[test]
fn f32_values_are_within_two_ulp() {
    let ordinal = |x: f32| i64::from(x.to_bits() as i32 & i32::MAX) * if x < 0.0 { -1 } else { 1 };
    let identical = compare("adam_f32", |a, b| (ordinal(a) - ordinal(b)).abs() <= 2);
    assert_eq!(identical, 1.0); // even better
}

#[test]
fn f64_values_are_within_1e_12() {
    let identical = compare("adam_f64", |a: f64, b| (a - b).abs() <= 1e-12 * b.abs());
    assert!(identical > 0.99);
}

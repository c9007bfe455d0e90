//! Optimizers, schedules and clipping.

use crate::hashes::Hashes;
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    all::<f32>(hashes);
    all::<f64>(hashes);
    schedules(hashes);
}

fn all<T: Float>(hashes: &mut Hashes) {
    let adam = AdamOptions::default();
    for (name, options) in [
        ("default", adam),
        ("amsgrad", adam.amsgrad(true)),
        ("amsgrad_corrected", adam.amsgrad_corrected()),
        ("low betas", adam.betas(0.4, 0.9)),
        ("high betas", adam.betas(0.95, 0.9999)),
        ("weight_decay", adam.weight_decay(0.1).maximize(true)),
        ("adamw", AdamOptions::adamw()),
    ] {
        add_steps::<T, _>(hashes, &format!("Adam: {name}"), |p| Adam::new(p, options).unwrap());
    }
    let sgd = SgdOptions::default().lr(0.01);
    for (name, options) in [
        ("default", sgd),
        ("momentum", sgd.momentum(0.9).dampening(0.1)),
        ("nesterov", sgd.momentum(0.9).nesterov(true)),
        ("weight_decay", sgd.momentum(0.9).weight_decay(0.1).maximize(true)),
    ] {
        add_steps::<T, _>(hashes, &format!("Sgd: {name}"), |p| Sgd::new(p, options).unwrap());
    }
    let rng = &mut Generator::seed(5);
    let p = Parameter::new(Tensor::<T>::zeros([301, 41]));
    p.set_grad(Some(Tensor::uniform([301, 41], -1.0, 1.0, rng)));
    clip_grad_norm(std::slice::from_ref(&p), 1.0);
    hashes.add("clip_grad_norm", &[p.grad().unwrap()]);
}

fn add_steps<T: Float, O: Optimizer<T> + Stateful>(
    hashes: &mut Hashes,
    name: &str,
    make: impl Fn(Vec<Parameter<T>>) -> O,
) {
    let rng = &mut Generator::seed(4);
    let shapes = [&[301, 41][..], &[17], &[]];
    let draw = |shape: &&[usize]| Parameter::new(Tensor::uniform(*shape, -1.0, 1.0, rng));
    let parameters: Vec<_> = shapes.iter().map(draw).collect();
    let mut optimizer = make(parameters.clone());
    for _ in 0..20 {
        for p in &parameters {
            p.set_grad(Some(Tensor::uniform(p.shape(), -1.0, 1.0, rng)));
        }
        optimizer.step();
    }
    let mut values: Vec<Tensor<T>> = parameters.iter().map(Parameter::tensor).collect();
    let state = optimizer.state_dict();
    values.extend(state.iter().filter_map(|(_, value)| value.array()).map(|x| x.clone().into()));
    hashes.add(name, &values);
}

fn schedules(hashes: &mut Hashes) {
    let mut case = |name: &str, make: &dyn Fn(&mut Adam) -> Box<dyn Scheduler>| {
        let p = Parameter::new(Tensor::<f32>::zeros([1]));
        let mut adam = Adam::new([p], AdamOptions::default().lr(0.1)).unwrap();
        let mut schedule = make(&mut adam);
        let rate = |_| {
            schedule.step(&mut adam);
            adam.lr(0)
        };
        hashes.add_numbers(&format!("schedule: {name}"), (0..50).map(rate).collect());
    };
    case("StepLr", &|adam| Box::new(StepLr::new(adam, 10, 0.9)));
    case("MultiStepLr", &|adam| Box::new(MultiStepLr::new(adam, [3, 3, 3, 20], 0.7)));
    case("ExponentialLr", &|adam| Box::new(ExponentialLr::new(adam, 0.99)));
    case("CosineAnnealingLr", &|adam| Box::new(CosineAnnealingLr::new(adam, 17)));
    case("LinearLr", &|adam| Box::new(LinearLr::new(adam, 0.1, 1.0, 30)));
    case("OneCycleLr", &|adam| Box::new(OneCycleLr::new(adam, 0.3, 50)));
    case("SwaLr", &|adam| Box::new(SwaLr::new(adam, 0.01)));
}

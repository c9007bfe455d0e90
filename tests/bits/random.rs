//! Random numbers.

use crate::hashes::Hashes;
use adamant::data::{Sampler, WeightedRandomSampler};
use adamant::nn::init;
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    all::<f32>(hashes);
    all::<f64>(hashes);
    let rng = &mut Generator::seed(2);
    hashes.add_numbers("normal", (0..50_000).map(|_| rng.normal()).collect());
    for (a, b) in [(0.2, 0.2), (0.7, 3.0), (2.0, 5.0), (1.0, 1.0)] {
        hashes.add_numbers(&format!("beta {a} {b}"), (0..2000).map(|_| rng.beta(a, b)).collect());
    }
    let mut order: Vec<f64> = (0..1000).map(f64::from).collect();
    rng.shuffle(&mut order);
    hashes.add_numbers("shuffle", order);
    let weights = (1..1000).map(|i| f64::from(i % 13) + 0.1).collect::<Vec<_>>();
    let sampler = WeightedRandomSampler::new(weights, 500).unwrap();
    let order = sampler.clone().order(999, 1, rng).into_iter().map(|i| i as f64);
    hashes.add_numbers("WeightedRandomSampler", order.collect());
    let order = sampler.without_replacement().order(999, 1, rng).into_iter().map(|i| i as f64);
    hashes.add_numbers("WeightedRandomSampler without replacement", order.collect());
}

fn all<T: Float>(hashes: &mut Hashes) {
    let rng = &mut Generator::seed(1);
    let shape = [203, 301];
    hashes.add("rand", &[Tensor::<T>::rand(shape, rng)]);
    hashes.add("randn", &[Tensor::<T>::randn(shape, rng)]);
    hashes.add("uniform", &[Tensor::<T>::uniform(shape, -0.3, 1.7, rng)]);
    hashes.add("bernoulli", &[Tensor::<T>::full(shape, T::from_f64(0.3)).bernoulli(rng)]);
    hashes.add("kaiming_uniform", &[init::kaiming_uniform::<T>(shape, 0.1, rng)]);
    hashes.add("kaiming_normal", &[init::kaiming_normal::<T>(shape, 0.1, rng)]);
    let mut mask = vec![T::ZERO; 50_000];
    rng.bernoulli_mask(&mut mask, 0.3, T::from_f64(1.5));
    hashes.add("bernoulli_mask", &[Tensor::from_vec(mask, [50_000]).unwrap()]);
}

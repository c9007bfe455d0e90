//! Metrics of shards, merged, equal one metric of all data.

use adamant_tensor::{Generator, Stateful, Tensor};
use adamant_train::*;

const CLASSES: usize = 4;
const SAMPLES: usize = 60;

/// Random logits `[60, 4]`, many of them equal, and targets.
fn data() -> (Tensor, Vec<usize>) {
    let mut rng = Generator::seed(0);
    let logits = Tensor::<f32>::rand([SAMPLES, CLASSES], &mut rng);
    let logits = logits.to_vec().into_iter().map(|x| (x * 10.0).round() / 10.0).collect();
    let targets = Tensor::<f32>::rand([SAMPLES], &mut rng).to_vec();
    let targets = targets.into_iter().map(|x| (x * CLASSES as f32) as usize).collect();
    (Tensor::from_vec(logits, [SAMPLES, CLASSES]).unwrap(), targets)
}

/// For shards of different sizes, some empty: the metric of each, merged, and the one of all.
fn merged_and_whole<M: Clone>(
    new: &M,
    update: impl Fn(&mut M, &Tensor, &[usize]),
    merge: impl Fn(&mut M, &M),
) -> Vec<(M, M)> {
    let (logits, targets) = data();
    let of = |start: usize, end: usize| {
        let mut metric = new.clone();
        if start < end {
            update(&mut metric, &logits.narrow(0, start, end - start), &targets[start..end]);
        }
        metric
    };
    let sets: [&[usize]; 5] = [&[], &[30], &[0, 0, 59], &[1, 2, 3, 60], &[17, 17, 41]];
    let merged = |set: &[usize]| {
        let mut all = new.clone();
        let ends = set.iter().copied().chain([SAMPLES]);
        ends.fold(0, |start, end| {
            merge(&mut all, &of(start, end));
            end
        });
        all
    };
    sets.iter().map(|set| (merged(set), of(0, SAMPLES))).collect()
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-14 * expected.abs(), "{found}, not {expected}");
}

#[test]
fn counts_are_equal() {
    let new = Accuracy::new().top_k(2);
    for (merged, whole) in merged_and_whole(&new, Accuracy::update, Accuracy::merge) {
        assert_eq!(merged, whole);
    }
    let new = ConfusionMatrix::new(CLASSES);
    for (merged, whole) in merged_and_whole(&new, ConfusionMatrix::update, ConfusionMatrix::merge) {
        assert_eq!(merged, whole);
    }
}

#[test]
fn areas_are_equal_in_any_order_of_the_shards() {
    let new = Auroc::with_classes(CLASSES);
    let prepend = |all: &mut Auroc, other: &Auroc| {
        let mut first = other.clone();
        first.merge(all);
        *all = first;
    };
    for (merged, whole) in merged_and_whole(&new, Auroc::update, prepend) {
        assert_eq!(merged.per_class(), whole.per_class());
    }
    for (merged, whole) in merged_and_whole(&new, Auroc::update, Auroc::merge) {
        assert_eq!(merged.state_dict(), whole.state_dict());
    }
}

#[test]
fn sums_are_equal_up_to_rounding() {
    let update = |mean: &mut Mean, logits: &Tensor, targets: &[usize]| {
        mean.update(logits.mean().item(), targets.len());
    };
    for (merged, whole) in merged_and_whole(&Mean::new(), update, Mean::merge) {
        assert_eq!(merged.count(), whole.count());
        // The means of batches are rounded to `f32`.
        assert!((merged.value() - whole.value()).abs() < 1e-7);
    }
    let update = |perplexity: &mut Perplexity, logits: &Tensor, targets: &[usize]| {
        let sum: f64 = logits.to_vec().into_iter().map(f64::from).sum();
        perplexity.update(sum / targets.len() as f64, targets.len());
    };
    for (merged, whole) in merged_and_whole(&Perplexity::new(), update, Perplexity::merge) {
        assert_close(merged.value(), whole.value());
    }
    // Targets far from 0, of different means in the two outputs.
    let update = |errors: &mut RegressionErrors, logits: &Tensor, _: &[usize]| {
        let targets = logits.narrow(1, 0, 2) + Tensor::from([1000.0, -5000.0]);
        errors.update(&(&targets + logits.narrow(1, 2, 2)), &targets);
    };
    let new = RegressionErrors::with_outputs(2);
    for (merged, whole) in merged_and_whole(&new, update, RegressionErrors::merge) {
        assert_eq!(merged.count(), whole.count());
        for (merged, whole) in merged.per_output().iter().zip(whole.per_output()) {
            assert_close(merged.mse(), whole.mse());
            assert_close(merged.mae(), whole.mae());
            assert!((merged.r2() - whole.r2()).abs() < 1e-12 * whole.r2().abs());
        }
    }
}

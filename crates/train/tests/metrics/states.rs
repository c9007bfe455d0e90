//! States of metrics: saved in the middle of an epoch, and resumed to the bit.

use adamant_checkpoint::{Checkpoint, load_safetensors, save_safetensors};
use adamant_tensor::{Array, Generator, StateDict, Stateful, Tensor, Value};
use adamant_train::*;

/// Updates a metric by some batches; saved and loaded after each of them, it ends in the same
/// state. A reset metric is in the state of a new one.
fn assert_resumes<M: Stateful + Clone>(
    new: &M,
    update: impl Fn(&mut M, &mut Generator),
    reset: impl Fn(&mut M),
) {
    const BATCHES: usize = 5;
    let rngs: Vec<Generator> = (0..BATCHES as u64).map(Generator::seed).collect();
    let mut straight = new.clone();
    rngs.clone().iter_mut().for_each(|rng| update(&mut straight, rng));
    assert_ne!(straight.state_dict(), new.state_dict());
    for saved_after in 0..=BATCHES {
        let mut first = new.clone();
        let mut batches = rngs.clone();
        let (before, after) = batches.split_at_mut(saved_after);
        before.iter_mut().for_each(|rng| update(&mut first, rng));
        let state = first.state_dict();
        // Into a metric that is not new.
        let mut second = new.clone();
        update(&mut second, &mut Generator::seed(99));
        second.check_state_dict(&state).unwrap();
        second.load_state_dict(&state).unwrap();
        assert_eq!(second.state_dict(), state);
        after.iter_mut().for_each(|rng| update(&mut second, rng));
        assert_eq!(second.state_dict(), straight.state_dict(), "saved after {saved_after}");
    }
    reset(&mut straight);
    assert_eq!(straight.state_dict(), new.state_dict());
}

fn logits(rng: &mut Generator) -> Tensor {
    Tensor::rand([7, 3], rng)
}

const TARGETS: [usize; 7] = [0, 2, 1, 1, 0, 2, 1];

#[test]
fn a_saved_metric_resumes_to_the_bit() {
    let loss = |rng: &mut Generator| logits(rng).mean().item();
    assert_resumes(&Mean::new(), |mean, rng| mean.update(loss(rng), 7), Mean::reset);
    let update = |perplexity: &mut Perplexity, rng: &mut Generator| {
        perplexity.update(loss(rng), 7);
    };
    assert_resumes(&Perplexity::new(), update, Perplexity::reset);
    let update = |accuracy: &mut Accuracy, rng: &mut Generator| {
        accuracy.update(&logits(rng), &TARGETS);
    };
    assert_resumes(&Accuracy::new().top_k(2), update, Accuracy::reset);
    let update = |matrix: &mut ConfusionMatrix, rng: &mut Generator| {
        matrix.update(&logits(rng), &TARGETS);
    };
    assert_resumes(&ConfusionMatrix::new(3), update, ConfusionMatrix::reset);
    let update = |auroc: &mut Auroc, rng: &mut Generator| {
        auroc.update(&logits(rng), &TARGETS);
    };
    assert_resumes(&Auroc::with_classes(3), update, Auroc::reset);
    let update = |auroc: &mut Auroc, rng: &mut Generator| {
        auroc.update(&logits(rng).select(1, 0), &TARGETS.map(|target| target % 2));
    };
    assert_resumes(&Auroc::new(), update, Auroc::reset);
    let update = |errors: &mut RegressionErrors, rng: &mut Generator| {
        errors.update(&logits(rng), &logits(rng));
    };
    assert_resumes(&RegressionErrors::with_outputs(3), update, RegressionErrors::reset);
}

/// Saves states to both kinds of files and loads them again: of new metrics, whose arrays are empty,
/// and of metrics that have become NaN.
#[test]
fn files_keep_every_bit() {
    let nan = Tensor::full([1, 3], f64::NAN);
    let mut mean = Mean::new();
    mean.update(-f64::NAN, 1);
    let mut auroc = Auroc::with_classes(3);
    auroc.update(&nan, &[2]);
    let mut errors = RegressionErrors::with_outputs(3);
    errors.update(&nan, &nan);
    let folder = tempfile::tempdir().unwrap();
    let (new, several) = (Auroc::new(), Auroc::with_classes(3));
    let metrics: [&dyn Stateful; 7] =
        [&mean, &auroc, &errors, &new, &several, &ConfusionMatrix::new(2), &Accuracy::new()];
    for (i, metric) in metrics.into_iter().enumerate() {
        let state = metric.state_dict();
        let path = folder.path().join(i.to_string());
        Checkpoint::new().with("metric", metric).save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap().part("metric"), Some(&state));
        let path = path.with_extension("safetensors");
        save_safetensors(&state, &path).unwrap();
        let loaded = load_safetensors(&path).unwrap();
        metric.check_state_dict(&loaded).unwrap();
        state.iter().for_each(|(name, value)| assert_eq!(&loaded[name], value));
    }
}

/// Asserts that a state with these entries is refused for these reasons alone, and that the metric
/// does not change.
#[track_caller]
fn assert_refused<M: Stateful, const N: usize>(
    metric: &mut M,
    entries: [(&str, Value); N],
    mismatches: &[&str],
) {
    let before = metric.state_dict();
    let mut state = before.clone();
    entries.into_iter().for_each(|(name, value)| state.insert(name, value));
    let error = metric.load_state_dict(&state).unwrap_err();
    assert_eq!(error.mismatches(), mismatches);
    assert_eq!(metric.check_state_dict(&state).unwrap_err(), error);
    assert_eq!(metric.state_dict(), before);
}

fn vector(values: &[i64]) -> Value {
    Value::I64(Array::from_slice([values.len()].into(), values))
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut mean = Mean::new();
    mean.update(0.5, 2);
    assert_refused(
        &mut mean,
        [("count", Value::from(-3)), ("sum", Value::from(1.0)), ("mean", Value::from(1.0))],
        &[
            "`mean`: found the float 1, expected nothing of this name",
            "`sum`: found the float 1, expected f64 []",
            "`count`: found -3, expected at least 0",
        ],
    );
    let mut accuracy = Accuracy::new();
    accuracy.update_predictions(&[1], &[1]);
    assert_refused(
        &mut accuracy,
        [("top_k", Value::from(5)), ("correct", Value::from(2))],
        &["`top_k`: found 5, expected 1", "`correct`: found 2, expected at most `count`, 1"],
    );
    let mut matrix = ConfusionMatrix::new(2);
    matrix.update_predictions(&[1], &[0]);
    let counts = ConfusionMatrix::new(3).state_dict()["counts"].clone();
    let wrong = ["`counts`: found i64 [3, 3], expected i64 [2, 2]"];
    assert_refused(&mut matrix, [("counts", counts)], &wrong);
    let counts = Value::I64(Array::from_slice([2, 2].into(), &[1, 2, -1, 0]));
    let wrong = ["`counts`: found -1, expected at least 0"];
    assert_refused(&mut matrix, [("counts", counts)], &wrong);

    let mut auroc = Auroc::new();
    auroc.update(&Tensor::from([0.5f32, 0.25]), &[0, 1]);
    let wrong = ["`scores`: found f64 [2, 1], expected f64 [3, 1]"];
    assert_refused(&mut auroc, [("targets", vector(&[0, 1, 1]))], &wrong);
    let wrong = ["`targets`: found 2, expected classes below 2"];
    assert_refused(&mut auroc, [("targets", vector(&[0, 2]))], &wrong);
    let wrong = ["`targets`: found the integer 2, expected i64 [N]"];
    assert_refused(&mut auroc, [("targets", Value::from(2))], &wrong);

    let mut errors = RegressionErrors::new();
    errors.update(&Tensor::from([0.5f32, 0.25]), &Tensor::from([0.5f32, 0.0]));
    let two = || Value::F64(Array::full([2].into(), 1.0));
    assert_refused(
        &mut errors,
        [("absolute", two()), ("mean", two())],
        &["`absolute`: found f64 [2], expected f64 [1]", "`mean`: found f64 [2], expected f64 [1]"],
    );
    let error = errors.load_state_dict(&StateDict::new()).unwrap_err();
    assert_eq!(error.mismatches().len(), 6, "{error}");
}

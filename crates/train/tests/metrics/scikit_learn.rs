//! Metrics equal scikit-learn's. Fixtures: `fixtures.py` in this folder.

use adamant_tensor::Tensor;
use adamant_train::*;
use serde_json::Value as Json;

/// The cases of a kind, by name.
fn cases(kind: &str) -> Vec<(String, Json)> {
    let fixtures: Json = serde_json::from_str(include_str!("fixtures.json")).unwrap();
    let cases = fixtures[kind].as_object().unwrap();
    assert!(!cases.is_empty());
    cases.iter().map(|(name, case)| (name.clone(), case.clone())).collect()
}

/// A number, or NaN where scikit-learn does not define the value.
fn number(json: &Json) -> f64 {
    if json.is_null() { f64::NAN } else { json.as_f64().unwrap() }
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(number).collect()
}

fn integers(json: &Json) -> Vec<usize> {
    json.as_array().unwrap().iter().map(|json| json.as_u64().unwrap() as usize).collect()
}

/// Asserts that two numbers differ by rounding only, or are both NaN.
#[track_caller]
fn assert_close(found: f64, expected: f64, what: &str) {
    let close = (found - expected).abs() <= 1e-13 * expected.abs().max(1.0);
    assert!(close || (found.is_nan() && expected.is_nan()), "{what}: {found}, not {expected}");
}

#[track_caller]
fn assert_all_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    found.iter().zip(expected).for_each(|(f, e)| assert_close(*f, *e, what));
}

/// Rows `[N, columns]` and targets, in batches of 7.
fn batches<'a, T>(
    rows: &'a [f64],
    columns: usize,
    targets: &'a [T],
) -> impl Iterator<Item = (Tensor<f64>, &'a [T])> {
    rows.chunks(7 * columns).zip(targets.chunks(7)).map(move |(rows, targets)| {
        (Tensor::from_vec(rows.to_vec(), [targets.len(), columns]).unwrap(), targets)
    })
}

#[test]
fn scores_of_classes() {
    for (name, case) in cases("classification") {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let (logits, targets) = (numbers(&case["logits"]), integers(&case["targets"]));
        let (mut accuracy, mut matrix) = (Accuracy::new(), ConfusionMatrix::new(classes));
        let mut of_predictions = (accuracy, matrix.clone());
        for (logits, targets) in batches(&logits, classes, &targets) {
            accuracy.update(&logits, targets);
            matrix.update(&logits, targets);
            of_predictions.0.update_predictions(&logits.argmax(1), targets);
            of_predictions.1.update_predictions(&logits.argmax(1), targets);
        }
        assert_eq!(accuracy.value(), number(&case["accuracy"]), "{name}");
        assert_eq!(matrix.accuracy(), accuracy.value(), "{name}");
        assert_eq!(of_predictions, (accuracy, matrix.clone()), "{name}");
        let counts: Vec<usize> = matrix.rows().flatten().map(|&count| count as usize).collect();
        assert_eq!(counts, integers(&case["confusion"]), "{name}");

        type Averaged = fn(&ConfusionMatrix, Average) -> f64;
        type OfClass = fn(&ClassCounts) -> f64;
        let scores: [(&str, Averaged, OfClass); 3] = [
            ("precision", ConfusionMatrix::precision, ClassCounts::precision),
            ("recall", ConfusionMatrix::recall, ClassCounts::recall),
            ("f1", ConfusionMatrix::f1, ClassCounts::f1),
        ];
        for (score, averaged, of_class) in scores {
            let what = format!("{name}: {score}");
            let per_class: Vec<f64> = matrix.per_class().iter().map(of_class).collect();
            assert_all_close(&per_class, &numbers(&case[score]["per_class"]), &what);
            for (average, key) in [
                (Average::Micro, "micro"),
                (Average::Macro, "macro"),
                (Average::Weighted, "weighted"),
            ] {
                let expected = number(&case[score][key]);
                assert_close(averaged(&matrix, average), expected, &format!("{what} {key}"));
            }
        }
    }
}

#[test]
fn top_k_accuracy() {
    let mut compared = 0;
    for (name, case) in cases("classification") {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let (logits, targets) = (numbers(&case["logits"]), integers(&case["targets"]));
        let Some(top_k) = case.get("top_k") else { continue };
        for (k, expected) in numbers(top_k).into_iter().enumerate() {
            let mut accuracy = Accuracy::new().top_k(k + 1);
            for (logits, targets) in batches(&logits, classes, &targets) {
                accuracy.update(&logits, targets);
            }
            assert_eq!(accuracy.value(), expected, "{name}, k = {}", k + 1);
            compared += 1;
        }
    }
    assert!(compared > 10);
}

#[test]
fn perplexity() {
    for (name, case) in cases("classification") {
        let mut perplexity = Perplexity::new();
        for nll in numbers(&case["nll"]).chunks(7) {
            perplexity.update(nll.iter().sum::<f64>() / nll.len() as f64, nll.len());
        }
        assert_close(perplexity.value(), number(&case["perplexity"]), &name);
    }
}

#[test]
fn auroc_of_two_classes() {
    for (name, case) in cases("binary") {
        let (scores, targets) = (numbers(&case["scores"]), integers(&case["targets"]));
        let mut auroc = Auroc::new();
        for (scores, targets) in batches(&scores, 1, &targets) {
            auroc.update(&scores, targets);
        }
        assert_close(auroc.value(), number(&case["value"]), &name);
        let mut of_vector = Auroc::new();
        of_vector.update(&Tensor::from_vec(scores, [targets.len()]).unwrap(), &targets);
        assert_eq!(of_vector, auroc, "{name}");
    }
}

#[test]
fn auroc_of_one_class_against_the_rest() {
    for (name, case) in cases("multiclass") {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let (scores, targets) = (numbers(&case["scores"]), integers(&case["targets"]));
        let mut auroc = Auroc::with_classes(classes);
        for (scores, targets) in batches(&scores, classes, &targets) {
            auroc.update(&scores, targets);
        }
        assert_all_close(&auroc.per_class(), &numbers(&case["per_class"]), &name);
        assert_close(auroc.value(), number(&case["value"]), &name);
    }
}

#[test]
fn errors_of_regression() {
    for (name, case) in cases("regression") {
        let outputs = case["outputs"].as_u64().unwrap() as usize;
        let (predictions, targets) = (numbers(&case["predictions"]), numbers(&case["targets"]));
        let mut errors = RegressionErrors::with_outputs(outputs);
        let rows: Vec<&[f64]> = targets.chunks(outputs).collect();
        for (predictions, targets) in batches(&predictions, outputs, &rows) {
            let targets = Tensor::from_vec(targets.concat(), [targets.len(), outputs]).unwrap();
            errors.update(&predictions, &targets);
        }
        assert_eq!(errors.count() as usize, rows.len());
        assert_close(errors.mse(), number(&case["mse"]), &format!("{name}: mse"));
        assert_close(errors.rmse(), number(&case["rmse"]), &format!("{name}: rmse"));
        assert_close(errors.mae(), number(&case["mae"]), &format!("{name}: mae"));
        assert_close(errors.r2(), number(&case["r2"]), &format!("{name}: r2"));
        let r2: Vec<f64> = errors.per_output().iter().map(OutputErrors::r2).collect();
        assert_all_close(&r2, &numbers(&case["r2_per_output"]), &format!("{name}: r2"));
    }
}

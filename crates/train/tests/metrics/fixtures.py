"""Metrics in scikit-learn: writes fixtures.json beside this file.

pip install scikit-learn; python crates/train/tests/metrics/fixtures.py

`scikit_learn.rs` compares. A value that scikit-learn does not define is null.
"""

import json
import math
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics

warnings.filterwarnings("ignore", category=sklearn.exceptions.UndefinedMetricWarning)
warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
rng = np.random.default_rng(0)


def number(x):
    return None if math.isnan(x) else float(x)


def numbers(xs):
    return [number(x) for x in np.ravel(xs)]


def classification(classes, targets, logits):
    targets, predictions = np.array(targets), np.argmax(logits, axis=1)
    labels = range(classes)
    scores = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    case = {
        "classes": classes,
        "targets": targets.tolist(),
        "logits": numbers(logits),
        "accuracy": metrics.accuracy_score(targets, predictions),
        "confusion": metrics.confusion_matrix(targets, predictions, labels=labels).ravel().tolist(),
    }
    if all(len(set(row)) == classes for row in logits):  # ties are ordered differently
        top_k = lambda k: metrics.top_k_accuracy_score(targets, logits, k=k, labels=labels)
        case["top_k"] = [top_k(k) for k in range(1, classes)] if classes > 2 else []
    for name, score in scores.items():
        case[name] = {average: number(score(targets, predictions, average=average))
                      for average in ["micro", "macro", "weighted"]}
        case[name]["per_class"] = numbers(score(targets, predictions, labels=labels, average=None))
    log_likelihood = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    probabilities = np.exp(log_likelihood)
    case["nll"] = numbers(-log_likelihood[np.arange(len(targets)), targets])
    case["perplexity"] = math.exp(metrics.log_loss(targets, probabilities, labels=labels))
    return case


def of_classes(samples, classes, without=(), spread=1.5):
    targets = rng.choice([c for c in range(classes) if c not in without], samples)
    return targets, rng.normal(size=(samples, classes)) + spread * np.eye(classes)[targets]


def never_predicted():
    targets, logits = of_classes(40, 4)
    logits[:, 2] -= 10.0
    return targets, logits


def tied():
    targets, logits = of_classes(60, 3)
    return targets, np.round(logits)


def binary(targets, scores):
    return {"targets": np.array(targets).tolist(), "scores": numbers(scores),
            "value": number(metrics.roc_auc_score(targets, scores))}


def multiclass(targets, logits):
    exp = np.exp(logits)
    scores, labels = exp / exp.sum(1, keepdims=True), range(logits.shape[1])
    areas = metrics.roc_auc_score(targets, scores, multi_class="ovr", labels=labels, average=None)
    value = metrics.roc_auc_score(targets, scores, multi_class="ovr", labels=labels, average="macro")
    return {"classes": len(labels), "targets": np.array(targets).tolist(), "scores": numbers(scores),
            "value": number(value), "per_class": numbers(areas)}


def regression(targets, predictions):
    t, p = np.asarray(targets, dtype=float), np.asarray(predictions, dtype=float)
    raw = lambda score: numbers(score(t, p, multioutput="raw_values"))
    return {
        "outputs": 1 if t.ndim == 1 else t.shape[1],
        "targets": numbers(t),
        "predictions": numbers(p),
        "mse": metrics.mean_squared_error(t, p),
        "rmse": metrics.root_mean_squared_error(t, p),
        "mae": metrics.mean_absolute_error(t, p),
        "r2": number(metrics.r2_score(t, p)),
        "r2_per_output": raw(metrics.r2_score) if len(t) > 1 else [None],
    }


coin = rng.integers(0, 2, 200)
noisy = rng.normal(size=200)
three = rng.normal(size=(50, 3)) * [1.0, 10.0, 0.1] + [0.0, 100.0, 5.0]
constant_output = three.copy()
constant_output[:, 1] = 7.0

cases = {
    "made_with": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}",
    "classification": {
        "two classes": classification(2, *of_classes(50, 2)),
        "five classes": classification(5, *of_classes(100, 5)),
        "never predicted": classification(4, *never_predicted()),
        "without targets": classification(5, *of_classes(60, 5, without=[1, 3])),
        "tied": classification(3, *tied()),
        "all correct": classification(3, *of_classes(20, 3, spread=100.0)),
        "one sample": classification(3, np.array([1]), np.array([[0.5, 0.1, 0.9]])),
    },
    "binary": {
        "distinct": binary(coin, noisy + coin),
        "tied": binary(coin, np.round(noisy + coin)),
        "all tied": binary(coin, np.full(200, 0.25)),
        "perfect": binary([0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.8, 0.9]),
        "reversed": binary([1, 1, 0, 0, 0], [0.1, 0.2, 0.7, 0.8, 0.9]),
        "rare": binary([0] * 99 + [1], np.round(rng.random(100), 1)),
        "only positive": binary([1, 1, 1], [0.1, 0.2, 0.3]),
        "only negative": binary([0, 0, 0], [0.1, 0.2, 0.3]),
    },
    "multiclass": {
        "three classes": multiclass(*of_classes(80, 3)),
        "tied": multiclass(*tied()),
        "without targets": multiclass(*of_classes(30, 4, without=[2])),
    },
    "regression": {
        "one output": regression(three[:, 1], three[:, 1] + rng.normal(size=50)),
        "worse than the mean": regression(three[:, 0], -three[:, 0]),
        "far from zero": regression(three[:, 0] + 1e7, three[:, 0] + 1e7 + 0.25 * rng.normal(size=50)),
        "constant": regression([0.5] * 6, [0.5, 0.25, 0.5, 1.0, 0.5, 0.5]),
        "constant, exact": regression([0.5] * 6, [0.5] * 6),
        "exact": regression(three[:, 0], three[:, 0]),
        "one sample": regression([2.0], [3.0]),
        "three outputs": regression(three, three + rng.normal(size=three.shape)),
        "a constant output": regression(constant_output, three),
    },
}


def lines(value, depth):
    """JSON with a line for each entry of the outer dictionaries."""
    if depth == 0 or not isinstance(value, dict):
        return json.dumps(value)
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v, depth - 1)}" for k, v in value.items()) + "\n}"


(pathlib.Path(__file__).parent / "fixtures.json").write_text(lines(cases, 3) + "\n")

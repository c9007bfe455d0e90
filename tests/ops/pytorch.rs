//! Values and gradients equal PyTorch's, also at special values.

use crate::common::fixture;
use crate::inputs::{Trial, arriving, trials};
use crate::table::{Output, Row, table, tensors};
use adamant::prelude::*;
use adamant::tensor::{Float, Value};
use std::collections::BTreeSet;

/// The table for the Python script, a line for each row.
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ops.jsonl");

#[test]
fn the_fixtures_match_the_table() {
    let rows = table().into_iter().flat_map(|section| section.rows);
    let mut seen = BTreeSet::new();
    let line = |row: Row| {
        let trials: Vec<String> = trials(&row).iter().map(|trial| trial.json()).collect();
        let (pytorch, trials) = (row.pytorch, trials.join(", "));
        assert!(seen.insert(pytorch), "two rows with the key {pytorch}");
        format!("{{\"pytorch\": {pytorch:?}, \"trials\": [{trials}]}}\n")
    };
    crate::common::up_to_date(DESCRIPTION, &rows.map(line).collect::<String>());
}

#[test]
fn f32_values_and_gradients_equal_pytorchs() {
    compare::<f32>("ops_f32", |row| row.f32, 2e-6);
}

#[test]
fn f64_values_and_gradients_equal_pytorchs() {
    compare::<f64>("ops_f64", |row| row.f64, 1e-13);
}

type Op<T> = fn(&[Tensor<T>]) -> Vec<Output<T>>;

fn compare<T: Float>(name: &str, op: impl Fn(&Row) -> Op<T>, tolerance: f64) {
    let expected = fixture(name);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for row in table().into_iter().flat_map(|section| section.rows) {
        for (i, trial) in trials(&row).iter().enumerate() {
            let inputs: Vec<_> =
                trial.inputs::<T>().into_iter().map(Tensor::requires_grad).collect();
            let elementwise = matches!(trial, Trial::Grid(_));
            let outputs = tensors(op(&row)(&inputs));
            let mut check = |kind: &str, found: &Tensor<T>| {
                let key = format!("{}|{i}|{kind}", row.pytorch);
                let Some(expected) = expected.get(&key).and_then(Value::array::<T>) else {
                    wrong.push(format!("{key}: no fixture; run tests/fixtures/ops.py"));
                    return;
                };
                let expected = expected.clone().into();
                let known = NOT_FOLLOWED.iter().find(|known| known.key == key);
                seen.extend(known.map(|known| known.key));
                match differences(found, &expected, tolerance, elementwise) {
                    Err(shapes) => wrong.push(format!("{key}: {shapes}")),
                    Ok(differing) => match known {
                        Some(known) => known.check(T::DTYPE, &differing, &mut wrong),
                        None if differing.is_empty() => {}
                        None => wrong.push(format!("{key}: {}", describe(&differing))),
                    },
                }
            };
            for (k, output) in outputs.iter().enumerate() {
                check(&format!("out{k}"), output);
            }
            if !outputs.iter().any(Tensor::is_tracked) {
                continue;
            }
            for (k, output) in outputs.iter().enumerate().filter(|(_, y)| y.is_tracked()) {
                // Recorded again for each output, since a pass frees the graph.
                let again = op(&row)(&inputs).swap_remove(k).into_tensor();
                again.backward_with(&arriving(k, output.shape()));
            }
            for (k, input) in inputs.iter().enumerate() {
                let zeros = || Tensor::zeros(input.shape());
                check(&format!("grad{k}"), &input.grad().unwrap_or_else(zeros));
            }
        }
    }
    let gone = NOT_FOLLOWED.iter().filter(|known| !seen.contains(known.key));
    wrong.extend(gone.map(|known| format!("{}: not found", known.key)));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// An array in which some of PyTorch's elements are not followed.
struct NotFollowed {
    key: &'static str,
    /// The exact number of elements that differ, in `f32` and in `f64`.
    elements: [usize; 2],
    /// The property of our elements there.
    are: fn(f64) -> bool,
    _why: &'static str,
}

const NOT_FOLLOWED: &[NotFollowed] = &[
    NotFollowed {
        key: "F.gelu(x)|0|out0",
        elements: [1, 0],
        are: f64::is_infinite,
        _why: "gelu(∞) is ∞, but NaN in its f32 vector loop",
    },
    NotFollowed {
        key: "F.elu(x, 1.0)|0|grad0",
        elements: [0, 1],
        are: f64::is_finite,
        _why: "the gradient of NaN is g, but NaN in its f64 vector loop",
    },
    NotFollowed {
        key: "F.selu(x)|0|grad0",
        elements: [0, 1],
        are: f64::is_finite,
        _why: "as above",
    },
    NotFollowed {
        key: "F.celu(x, 0.5)|0|grad0",
        elements: [0, 1],
        are: f64::is_finite,
        _why: "as above",
    },
    NotFollowed {
        key: "F.hardswish(x)|0|grad0",
        elements: [0, 1],
        are: f64::is_finite,
        _why: "as above",
    },
    NotFollowed {
        key: "F.conv_transpose1d(x, y, z, stride=2)|1|out0",
        elements: [3, 0],
        are: f64::is_finite,
        _why: "its f32 path multiplies infinities by the zeros that it inserts",
    },
    NotFollowed {
        key: "F.conv_transpose2d(x, y, z, stride=2, padding=1, output_padding=(1, 0))|1|grad0",
        elements: [16, 0],
        are: f64::is_nan,
        _why: "its f32 path skips the padding; its f64 path yields NaN, as here",
    },
    NotFollowed {
        key: "F.conv_transpose2d(x, y, z, stride=2, padding=1, output_padding=(1, 0))|1|grad1",
        elements: [18, 0],
        are: f64::is_nan,
        _why: "as above",
    },
    NotFollowed {
        key: "F.conv2d(x, y, padding='same', dilation=(1, 3))|1|out0",
        elements: [6, 0],
        are: f64::is_nan,
        _why: "as above",
    },
    NotFollowed {
        key: "x.prod()|7|grad0",
        elements: [24, 24],
        are: f64::is_nan,
        _why: "where two elements are 0, it ignores that another is NaN",
    },
    NotFollowed {
        key: "x.cumprod(0)|7|grad0",
        elements: [6, 6],
        are: f64::is_finite,
        _why: "it divides by the element, even if that is subnormal or infinite",
    },
];

impl NotFollowed {
    fn check(&self, dtype: &str, differing: &[Difference], wrong: &mut Vec<String>) {
        let elements = self.elements[usize::from(dtype == "f64")];
        let right = differing.iter().all(|difference| (self.are)(difference.found));
        if differing.len() != elements || !right {
            let (key, n, text) = (self.key, differing.len(), describe(differing));
            wrong.push(format!("{key}: {n} elements differ, expected {elements}: {text}"));
        }
    }
}

/// An element that differs from PyTorch's.
struct Difference {
    at: usize,
    found: f64,
    expected: f64,
}

fn describe(differing: &[Difference]) -> String {
    let one = |Difference { at, found, expected }: &Difference| {
        format!("[{at}] {found:e}, not {expected:e}")
    };
    differing.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The elements that differ. The tolerance is relative to the element for an elementwise operation,
/// and to the largest element for others, which may add.
fn differences<T: Float>(
    found: &Tensor<T>,
    expected: &Tensor<T>,
    tolerance: f64,
    elementwise: bool,
) -> Result<Vec<Difference>, String> {
    if found.shape() != expected.shape() {
        return Err(format!("shape {:?}, PyTorch {:?}", found.shape(), expected.shape()));
    }
    let tiniest = if T::DTYPE == "f32" { f64::from(f32::from_bits(1)) } else { f64::from_bits(1) };
    let values = |x: &Tensor<T>| -> Vec<f64> { x.to_vec().into_iter().map(T::to_f64).collect() };
    let (found, expected) = (values(found), values(expected));
    let finite = expected.iter().filter(|x| x.is_finite()).map(|x| x.abs());
    let largest = if elementwise { 0.0 } else { finite.fold(0.0, f64::max) };
    let same = |a: f64, b: f64| {
        let allowed = (tolerance * b.abs().max(largest)).max(tiniest);
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= allowed
    };
    let pairs = found.iter().zip(&expected).enumerate();
    let wrong = pairs.filter(|(_, (a, b))| !same(**a, **b));
    Ok(wrong.map(|(at, (&found, &expected))| Difference { at, found, expected }).collect())
}

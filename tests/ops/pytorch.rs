//! Values and gradients are PyTorch's, at special values too.

use crate::common::fixture;
use crate::inputs::{Trial, arriving, trials};
use crate::table::{Row, table};
use adamant::prelude::*;
use adamant::tensor::{Float, Value};
use std::collections::BTreeSet;

/// What the Python script needs to know of the table; a line for each row.
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ops.jsonl");

#[test]
fn the_fixtures_are_of_this_table() {
    let rows = table().into_iter().flat_map(|section| section.rows);
    let line = |row: Row| {
        let trials: Vec<String> = trials(&row).iter().map(|trial| trial.json()).collect();
        let (ours, pytorch, trials) = (row.ours, row.pytorch, trials.join(", "));
        format!("{{\"ours\": {ours:?}, \"pytorch\": {pytorch:?}, \"trials\": [{trials}]}}\n")
    };
    crate::common::up_to_date(DESCRIPTION, &rows.map(line).collect::<String>());
}

#[test]
fn f32_values_and_gradients_are_pytorchs() {
    compare::<f32>("ops_f32", |row| row.f32, 2e-6);
}

#[test]
fn f64_values_and_gradients_are_pytorchs() {
    compare::<f64>("ops_f64", |row| row.f64, 1e-13);
}

type Op<T> = fn(&[Tensor<T>]) -> Vec<Tensor<T>>;

fn compare<T: Float>(name: &str, op: impl Fn(&Row) -> Op<T>, tolerance: f64) {
    let expected = fixture(name);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for row in table().into_iter().flat_map(|section| section.rows) {
        for (i, trial) in trials(&row).iter().enumerate() {
            let inputs: Vec<_> =
                trial.inputs::<T>().into_iter().map(Tensor::requires_grad).collect();
            let elementwise = matches!(trial, Trial::Grid(_));
            let outputs = op(&row)(&inputs);
            let what = format!("{}|{i}", row.ours);
            let mut check = |kind: &str, found: &Tensor<T>| {
                let key = format!("{what}|{kind}");
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
                        None => wrong.push(format!("{key}: {}", said(&differing))),
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
                // Each alone, over a view of its own: outputs may share what was recorded.
                let again = op(&row)(&inputs).swap_remove(k);
                again.backward_with(&arriving(k, output.shape()));
            }
            for (k, input) in inputs.iter().enumerate() {
                let zeros = || Tensor::zeros(input.shape());
                check(&format!("grad{k}"), &input.grad().unwrap_or_else(zeros));
            }
        }
    }
    let gone = NOT_FOLLOWED.iter().filter(|known| !seen.contains(known.key));
    wrong.extend(gone.map(|known| format!("{}: there is no such array", known.key)));
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// An array in which PyTorch's own answer is not one to follow.
struct NotFollowed {
    key: &'static str,
    /// How many elements differ, in `f32` and in `f64`: no more and no fewer.
    elements: [usize; 2],
    /// What these are here.
    are: fn(f64) -> bool,
    _why: &'static str,
}

const NOT_FOLLOWED: &[NotFollowed] = &[
    NotFollowed {
        key: "x.gelu()|0|out0",
        elements: [1, 0],
        are: f64::is_infinite,
        _why: "gelu(∞) is ∞, but NaN in its f32 vector loop",
    },
    NotFollowed {
        key: "x.elu(1.0)|0|grad0",
        elements: [0, 1],
        are: f64::is_finite,
        _why: "the gradient of NaN is g, but NaN in its f64 vector loop",
    },
    NotFollowed {
        key: "x.conv_transpose1d(y, Some(z), Conv1dOptions::default().stride(2))|1|out0",
        elements: [3, 0],
        are: f64::is_finite,
        _why: "its f32 path multiplies infinities by the zeros it puts between elements",
    },
    NotFollowed {
        key: "x.conv_transpose2d(y, Some(z), \
              Conv2dOptions::default().stride(2).padding(1).output_padding([1, 0]))|1|grad0",
        elements: [16, 0],
        are: f64::is_nan,
        _why: "its f32 path leaves out what meets the padding, its f64 path makes NaN of it, as here",
    },
    NotFollowed {
        key: "x.conv_transpose2d(y, Some(z), \
              Conv2dOptions::default().stride(2).padding(1).output_padding([1, 0]))|1|grad1",
        elements: [18, 0],
        are: f64::is_nan,
        _why: "as above",
    },
    NotFollowed {
        key: "x.conv2d(y, None, Conv2dOptions::default().padding_same().dilation([1, 3]))|1|out0",
        elements: [6, 0],
        are: f64::is_nan,
        _why: "as above",
    },
    NotFollowed {
        key: "x.prod()|7|grad0",
        elements: [24, 24],
        are: f64::is_nan,
        _why: "where two elements are 0, it does not see that another is NaN",
    },
    NotFollowed {
        key: "x.cumprod(0)|7|grad0",
        elements: [6, 6],
        are: f64::is_finite,
        _why: "it divides by the element, also where that is subnormal or infinite",
    },
];

impl NotFollowed {
    fn check(&self, dtype: &str, differing: &[Difference], wrong: &mut Vec<String>) {
        let elements = self.elements[usize::from(dtype == "f64")];
        let right = differing.iter().all(|difference| (self.are)(difference.found));
        if differing.len() != elements || !right {
            let (key, n, said) = (self.key, differing.len(), said(differing));
            wrong.push(format!("{key}: {n} elements differ, {elements} were known to: {said}"));
        }
    }
}

/// An element that is not PyTorch's.
struct Difference {
    at: usize,
    found: f64,
    expected: f64,
}

fn said(differing: &[Difference]) -> String {
    let said = |Difference { at, found, expected }: &Difference| {
        format!("[{at}] {found:e}, not {expected:e}")
    };
    differing.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// What differs, element by element. An elementwise operation is compared relative to
/// the element, one that adds relative to the largest.
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
    let numbers = |x: &Tensor<T>| -> Vec<f64> { x.to_vec().into_iter().map(T::to_f64).collect() };
    let (found, expected) = (numbers(found), numbers(expected));
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

//! The inputs of the operations. `tests/fixtures/ops.py` makes the same values.

use crate::common::numbers;
use crate::table::{Row, Tried};
use adamant::prelude::*;
use adamant::tensor::Float;

/// One set of inputs.
pub(crate) enum Trial {
    /// Every combination of special values, for this number of operands.
    Grid(usize),
    /// Ordinary values in a range.
    Plain(Vec<Vec<usize>>, f64, f64),
    /// Special values, some of them equal, in random order.
    Special(Vec<Vec<usize>>),
}

pub(crate) fn trials(row: &Row) -> Vec<Trial> {
    match row.tried.clone() {
        Tried::Elementwise(operands, _) => vec![Trial::Grid(operands)],
        Tried::Shapes(lists, range) => {
            let both = |shapes: Vec<Vec<usize>>| {
                [Trial::Plain(shapes.clone(), range.start, range.end), Trial::Special(shapes)]
            };
            lists.into_iter().flat_map(both).collect()
        }
        Tried::Apart(lists) => {
            let both = |shapes: Vec<Vec<usize>>| {
                [Trial::Plain(shapes.clone(), -2.0, 2.0), Trial::Special(shapes)]
            };
            lists.into_iter().flat_map(both).collect()
        }
    }
}

impl Trial {
    /// For `tests/fixtures/ops.jsonl`.
    pub(crate) fn json(&self) -> String {
        match self {
            Trial::Grid(operands) => format!(r#"{{"grid": {operands}}}"#),
            Trial::Plain(shapes, low, high) => {
                format!(r#"{{"shapes": {shapes:?}, "low": {low:?}, "high": {high:?}}}"#)
            }
            Trial::Special(shapes) => format!(r#"{{"shapes": {shapes:?}}}"#),
        }
    }

    pub(crate) fn inputs<T: Float>(&self) -> Vec<Tensor<T>> {
        let seeds = 1..;
        match self {
            Trial::Grid(operands) => {
                let values = special::<T>(if *operands < 3 { 28 } else { 11 });
                let n = values.len();
                let operand = |i: usize| {
                    let repeat = n.pow((operands - 1 - i) as u32);
                    let value = |at: usize| values[at / repeat % n];
                    let len = n.pow(*operands as u32);
                    Tensor::from_vec((0..len).map(value).collect(), [len]).unwrap()
                };
                (0..*operands).map(operand).collect()
            }
            Trial::Plain(shapes, low, high) => {
                let (middle, scale) = (T::from_f64((low + high) / 2.0), high - low);
                let input =
                    |(shape, seed): (&Vec<usize>, u64)| numbers::<T>(seed, shape, scale) + middle;
                shapes.iter().zip(seeds).map(input).collect()
            }
            Trial::Special(shapes) => {
                let values = special::<T>(16);
                let input = |(shape, seed): (&Vec<usize>, u64)| {
                    let drawn = numbers::<T>(seed, shape, 16.0).to_vec().into_iter();
                    let value = |x: T| values[(x.to_f64() + 8.0) as usize];
                    Tensor::from_vec(drawn.map(value).collect(), &shape[..]).unwrap()
                };
                shapes.iter().zip(seeds).map(input).collect()
            }
        }
    }
}

/// The first `n` values at which functions are special, or which are at the limits of a type.
fn special<T: Float>(n: usize) -> Vec<T> {
    let (tiny, max) = match T::DTYPE {
        "f32" => (f64::from(f32::from_bits(1)), f64::from(f32::MAX)),
        _ => (f64::from_bits(1), f64::MAX),
    };
    let values = [
        f64::NAN,
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        tiny,
        -tiny,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        1.5,
        -1.5,
        3.0,
        2.5,
        -2.5,
        0.1,
        -0.1,
        20.0,
        -20.0,
        100.0,
        -100.0,
        1e10,
        -1e10,
        max,
        -max,
    ];
    values[..n].iter().map(|&value| T::from_f64(value)).collect()
}

/// The incoming gradient of output `i`.
pub(crate) fn arriving<T: Float>(i: usize, shape: &[usize]) -> Tensor<T> {
    numbers::<T>(100 + i as u64, shape, 1.0) + T::ONE
}

//! Every row of the table of operations.

use crate::hashes::Hashes;
use crate::inputs::trials;
use crate::table::{Output, Row, Tried, table, tensors};
use adamant::prelude::*;
use adamant::tensor::Float;

pub(crate) fn add(hashes: &mut Hashes) {
    for section in table() {
        for row in &section.rows {
            add_row::<f32>(hashes, section.title, row, row.f32);
            add_row::<f64>(hashes, section.title, row, row.f64);
        }
    }
}

fn add_row<T: Float>(
    hashes: &mut Hashes,
    section: &str,
    row: &Row,
    run: fn(&[Tensor<T>]) -> Vec<Output<T>>,
) {
    let mut all: Vec<Vec<Tensor<T>>> = trials(row).iter().map(|trial| trial.inputs()).collect();
    // Enough for whole vectors, and a rest.
    if let Tried::Elementwise(operands, range) = row.tried.clone() {
        let rng = &mut Generator::seed(1);
        let mut draw = |shape| Tensor::uniform(shape, range.start, range.end, rng);
        all.push((0..operands).map(|i| draw([[67, 131], [67, 1], [1, 131]][i])).collect());
    }
    for (i, inputs) in all.into_iter().enumerate() {
        let leaves: Vec<_> = inputs.into_iter().map(Tensor::requires_grad).collect();
        let name = format!("{section}: {}, {i}", row.ours);
        hashes.add_with_gradients(&name, tensors(run(&leaves)), &leaves);
    }
}

//! First and second derivatives of every operation against differences, over shapes and layouts.

use crate::table::{Row, Tried, table, tensors};
use adamant::prelude::*;
use std::ops::Range;

/// The memory layout of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Contiguous,
    Transposed,
    Sliced,
    Broadcast,
}

const LAYOUTS: [Layout; 4] =
    [Layout::Contiguous, Layout::Transposed, Layout::Sliced, Layout::Broadcast];

impl Layout {
    /// A tensor of this shape and layout, from tensors that `draw` returns.
    fn lay(self, shape: &[usize], draw: &mut dyn FnMut(&[usize]) -> Tensor<f64>) -> Tensor<f64> {
        match self {
            Layout::Contiguous => draw(shape),
            Layout::Transposed => {
                let reversed: Vec<usize> = shape.iter().rev().copied().collect();
                let order: Vec<usize> = (0..shape.len()).rev().collect();
                draw(&reversed).permute(&order[..])
            }
            Layout::Sliced => {
                let Some(last) = shape.len().checked_sub(1) else { return draw(shape) };
                let mut larger = shape.to_vec();
                larger[last] = 2 * larger[last] + 3;
                draw(&larger).narrow(last, 1, 2 * shape[last]).slice(last, .., 2)
            }
            Layout::Broadcast => {
                let smaller: Vec<usize> = shape.iter().map(|&size| size.min(1)).collect();
                draw(&smaller).broadcast_to(shape)
            }
        }
    }
}

/// Shapes that broadcast in every way: equal, left, right, both, scalars, one element, empty.
fn elementwise_shapes(operands: usize) -> Vec<Vec<Vec<usize>>> {
    let lists: &[&[&[usize]]] = match operands {
        1 => &[&[&[2, 3]], &[&[]], &[&[1]], &[&[0, 3]], &[&[2, 1, 3]]],
        2 => &[
            &[&[2, 3], &[2, 3]],
            &[&[2, 3], &[3]],
            &[&[3], &[2, 3]],
            &[&[2, 1], &[1, 3]],
            &[&[], &[2, 1]],
            &[&[1], &[]],
            &[&[0, 3], &[1]],
        ],
        _ => &[
            &[&[2, 3], &[2, 3], &[2, 3]],
            &[&[3], &[2, 1], &[]],
            &[&[], &[], &[1]],
            &[&[0, 3], &[3], &[1]],
        ],
    };
    lists.iter().map(|list| list.iter().map(|shape| shape.to_vec()).collect()).collect()
}

/// Elements that are far from each other and from 0, in random order.
fn far_apart(shape: &[usize], rng: &mut Generator) -> Tensor<f64> {
    let n = shape.iter().product::<usize>();
    let mut values: Vec<f64> = (0..n).map(|i| (i as f64 - n as f64 / 2.0 + 0.31) * 0.25).collect();
    rng.shuffle(&mut values);
    Tensor::from_vec(values, shape).unwrap() + 0.01 * rng.uniform()
}

fn check(row: &Row) {
    let mut rng = Generator::seed(0);
    let (lists, range): (_, Option<Range<f64>>) = match row.tried.clone() {
        Tried::Elementwise(operands, range) => (elementwise_shapes(operands), Some(range)),
        Tried::Shapes(lists, range) => (lists, Some(range)),
        Tried::Apart(lists) => (lists, None),
    };
    for shapes in lists {
        for layout in LAYOUTS {
            if range.is_none() && layout == Layout::Broadcast {
                continue; // broadcasting makes equal elements
            }
            let mut draw = |shape: &[usize]| match &range {
                Some(range) => Tensor::uniform(shape, range.start, range.end, &mut rng),
                None => far_apart(shape, &mut rng),
            };
            let inputs: Vec<_> = shapes.iter().map(|shape| layout.lay(shape, &mut draw)).collect();
            // All outputs in one tensor: their gradients must not mix.
            let f = |inputs: &[Tensor<f64>]| {
                let flat = |output: &Tensor<f64>| output.reshape([output.numel()]);
                let outputs: Vec<_> = tensors((row.f64)(inputs)).iter().map(flat).collect();
                Tensor::cat(&outputs.iter().collect::<Vec<_>>(), 0)
            };
            let orders = [("first", gradcheck(f, &inputs)), ("second", gradgradcheck(f, &inputs))];
            for (order, result) in orders {
                if let Err(error) = result {
                    let ours = &row.ours;
                    panic!("{ours}: {order} derivative, {layout:?} inputs of {shapes:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn first_and_second_derivatives_match_differences() {
    for row in table().iter().flat_map(|section| &section.rows) {
        check(row);
    }
}

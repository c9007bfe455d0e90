//! Random views, broadcasting and sums, compared with their definitions.
//!
//! All elements are small integers, so sums are exact and results are equal, not just close.

mod reference;

use adamant_tensor::{Tensor, keepdim};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reference::{
    chain, draws, indices, numel, order, row_major, scattered, shapes, small, unbroadcast,
};
use std::panic::catch_unwind;

/// The same cases in every run, without files in the source tree.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Two shapes, most of which broadcast.
fn shape_pairs() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let change = || vec(0..8usize, 4);
    (shapes(), change(), change(), 0..5usize, 0..5usize).prop_map(|(shape, a, b, i, j)| {
        let changed = |change: Vec<usize>, lead: usize| -> Vec<usize> {
            let sizes = shape.iter().zip(change).map(|(&size, change)| match change {
                0..3 => 1,
                3 if size > 2 => 2, // which broadcasts only with itself and 1
                _ => size,
            });
            sizes.skip(lead.saturating_sub(2)).collect()
        };
        (changed(a, i), changed(b, j))
    })
}

/// The shape to which both broadcast, by the definition.
fn common(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let dims = a.len().max(b.len());
    let padded = |shape: &[usize]| [vec![1; dims - shape.len()], shape.to_vec()].concat();
    let sizes = padded(a).into_iter().zip(padded(b));
    sizes.map(|(a, b)| if a == 1 { Some(b) } else { (b == 1 || a == b).then_some(a) }).collect()
}

/// Whether all elements are equal, or both NaN.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_chain_of_views_matches_its_definition(shape in shapes(), draws in vec(draws(), 0..8)) {
        let original: Vec<f64> = (0..numel(&shape)).map(|i| i as f64).collect();
        let x = Tensor::from_vec(original.clone(), &shape[..]).unwrap();
        for (view, x, elements) in chain(&x, &draws) {
            prop_assert_eq!(x.shape(), &elements.shape[..], "{:?}", view);
            prop_assert_eq!(x.to_vec(), elements.values(&original), "{:?}", view);
        }
    }

    #[test]
    fn the_gradient_of_a_view_matches_its_definition(
        shape in shapes(),
        draws in vec(draws(), 1..8),
    ) {
        let x = Tensor::from_vec(small(numel(&shape), 1), &shape[..]).unwrap().requires_grad();
        let Some((_, view, elements)) = chain(&x, &draws).pop() else { return Ok(()) };
        let w = small(view.numel(), 2);
        (view * Tensor::from_vec(w.clone(), &elements.shape[..]).unwrap()).sum().backward();
        let mut expected = vec![0.0; x.numel()];
        elements.of.iter().zip(w).for_each(|(&i, w)| expected[i] += w);
        prop_assert_eq!(x.grad().unwrap().to_vec(), expected);
    }

    #[test]
    fn broadcasting_matches_its_definition(
        (shape_a, shape_b) in shape_pairs(),
        draw_a in draws(),
        draw_b in draws(),
    ) {
        let (a, a_values) = scattered(&shape_a, draw_a);
        let (b, b_values) = scattered(&shape_b, draw_b);
        type Op = (fn(&Tensor<f64>, &Tensor<f64>) -> Tensor<f64>, fn(f64, f64) -> f64);
        let ops: [Op; 4] = [
            (|a, b| a + b, |a, b| a + b),
            (|a, b| a - b, |a, b| a - b),
            (|a, b| a * b, |a, b| a * b),
            (|a, b| a / b, |a, b| a / b),
        ];
        for (op, f) in ops {
            let Some(shape) = common(&shape_a, &shape_b) else {
                let refused = catch_unwind(|| op(&a, &b)).unwrap_err().downcast::<String>().unwrap();
                let shapes = format!("shapes {shape_a:?} and {shape_b:?} do not broadcast");
                prop_assert!(refused.contains(&shapes), "{}", refused);
                continue;
            };
            let value = |index: Vec<usize>| {
                let at = |shape: &[usize]| row_major(shape, &unbroadcast(&index, shape));
                f(a_values[at(&shape_a)], b_values[at(&shape_b)])
            };
            let expected: Vec<f64> = indices(&shape).map(value).collect();
            let found = op(&a, &b);
            prop_assert_eq!(found.shape(), &shape[..]);
            prop_assert!(same(&found.to_vec(), &expected), "{:?} {:?}", found, expected);
        }
    }

    #[test]
    fn a_broadcast_operand_sums_its_gradients(
        (shape_a, shape_b) in shape_pairs(),
        draw_a in draws(),
        draw_b in draws(),
    ) {
        let Some(shape) = common(&shape_a, &shape_b) else { return Ok(()) };
        let (a, _) = scattered(&shape_a, draw_a);
        let (b, b_values) = scattered(&shape_b, draw_b);
        let (a, w) = (a.requires_grad(), small(numel(&shape), 3));
        (&a * &b * Tensor::from_vec(w.clone(), &shape[..]).unwrap()).sum().backward();
        let mut expected = vec![0.0; a.numel()];
        for (index, w) in indices(&shape).zip(w) {
            let at = |shape: &[usize]| row_major(shape, &unbroadcast(&index, shape));
            expected[at(&shape_a)] += w * b_values[at(&shape_b)];
        }
        prop_assert_eq!(a.grad().unwrap().to_vec(), expected);
    }

    #[test]
    fn sums_and_means_are_over_the_dims_they_name(
        shape in shapes(),
        draw in draws(),
        dims in (0..5040usize, 1..6usize, 0..32usize),
        kept in any::<bool>(),
    ) {
        let (x, values) = scattered(&shape, draw);
        let (ordered, count, from_the_back) = dims;
        let named: Vec<usize> = order(shape.len(), ordered).into_iter().take(count).collect();
        let signed = |&dim: &usize| match from_the_back >> dim & 1 {
            0 => dim as isize,
            _ => dim as isize - shape.len() as isize,
        };
        let signed: Vec<isize> = match shape.len() {
            0 => vec![-((ordered % 2) as isize)], // a scalar has no dimensions, but accepts 0 and -1
            _ => named.iter().map(signed).collect(),
        };
        let without = |kept: bool, list: &[usize]| -> Vec<usize> {
            let left = |(dim, &size): (usize, &usize)| match named.contains(&dim) {
                true => kept.then_some(1),
                false => Some(size),
            };
            list.iter().enumerate().filter_map(left).collect()
        };
        let reduced = without(false, &shape);
        let mut sums = vec![0.0; numel(&reduced)];
        for (index, value) in indices(&shape).zip(values) {
            let kept = index.iter().enumerate().filter(|(dim, _)| !named.contains(dim));
            let kept: Vec<usize> = kept.map(|(_, &i)| i).collect();
            sums[row_major(&reduced, &kept)] += value;
        }
        let count = named.iter().map(|&dim| shape[dim]).product::<usize>() as f64;
        let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let dims = &signed[..];
        let (sum, mean) = match kept {
            true => (x.sum_dim(keepdim(dims)), x.mean_dim(keepdim(dims))),
            false => (x.sum_dim(dims), x.mean_dim(dims)),
        };
        prop_assert_eq!(sum.shape(), &without(kept, &shape)[..]);
        prop_assert_eq!(mean.shape(), sum.shape());
        prop_assert_eq!(sum.to_vec(), sums);
        prop_assert!(same(&mean.to_vec(), &means), "{:?} {:?}", mean, means);
    }
}

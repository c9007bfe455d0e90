//! Every operation has equal bits on any number of threads.

use crate::inputs::{arriving, trials};
use crate::table::{Tried, table, tensors};
use adamant::prelude::*;
use adamant::tensor::{Conv2dParams, Indices, MaxPool2dOptions};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A digest of every bit of every operation's values and gradients.
fn digest() -> u64 {
    let mut digest = DefaultHasher::new();
    for row in table().into_iter().flat_map(|section| section.rows) {
        let mut all: Vec<Vec<Tensor>> = trials(&row).iter().map(|trial| trial.inputs()).collect();
        // Large enough for several threads.
        if let Tried::Elementwise(operands, range) = row.tried.clone() {
            let mut rng = Generator::seed(1);
            let mut draw = |shape| Tensor::uniform(shape, range.start, range.end, &mut rng);
            all.push((0..operands).map(|i| draw([[211, 403], [211, 1], [1, 403]][i])).collect());
        }
        for inputs in all {
            let leaves: Vec<_> = inputs.into_iter().map(Tensor::requires_grad).collect();
            add(&mut digest, &tensors((row.f32)(&leaves)), &leaves);
        }
    }
    large(&mut digest);
    digest.finish()
}

/// Hashes reductions, moves, indexing and products of tensors large enough for several threads.
fn large(digest: &mut DefaultHasher) {
    let mut rng = Generator::seed(2);
    let mut leaf = |shape: &[usize]| Tensor::<f32>::randn(shape, &mut rng).requires_grad();
    let x = leaf(&[50, 61, 43]);
    let (a, b) = (leaf(&[300, 170]), leaf(&[170, 210]));
    let classes = leaf(&[2100, 170]);
    let (image, kernel) = (leaf(&[9, 8, 20, 21]), leaf(&[16, 8, 3, 3]));
    let (p, q) = (leaf(&[20, 30, 40]), leaf(&[20, 40, 50]));
    let rows: Vec<usize> = (0..5000).map(|i| i * 7 % 300).collect();
    let columns: Vec<usize> = (0..5000).map(|i| i * 3 % 170).collect();
    let reduced = [
        x.sum(),
        x.sum_dim(0),
        x.sum_dim([0, 2]),
        x.mean_dim(keepdim(1)),
        x.var(1),
        x.std_dim([1, 2], 1),
        x.amax(0),
        x.max_dim(1).0,
        x.prod_dim(2),
        x.logsumexp(1),
        x.norm(2.0),
        x.cumsum(1),
        x.softmax(1),
        x.log_softmax(2),
        x.sort_descending(2).0,
        x.permute([2, 0, 1]).flip(0),
        cross_entropy(&a, &[3; 300]),
        linear_cross_entropy(&a, &classes, None, &[3; 300]),
    ];
    add(digest, &reduced, &[x, a.clone(), classes]);
    let r = leaf(&[9, 170, 210]);
    let products = [
        a.matmul(&b),
        p.bmm(&q),
        a.index_select(0, &rows).matmul(&b),
        a.index((&Indices::from(&rows[..]), &Indices::from(&columns[..]))),
        a.matmul(&r),
        r.transpose(1, 2).matmul(&b),
    ];
    add(digest, &products, &[a, b, p, q, r]);
    let images = [
        image.conv2d(&kernel, None, Conv2dParams::default().padding(1)),
        image.max_pool2d(2, MaxPool2dOptions::default()),
    ];
    add(digest, &images, &[image, kernel]);
    let (q, k, v) = (leaf(&[2, 6, 150, 32]), leaf(&[2, 2, 150, 32]), leaf(&[2, 2, 150, 32]));
    let (cos, sin) = (leaf(&[150, 16]), leaf(&[150, 16]));
    let options = || AttentionOptions::default().causal(true).enable_gqa(true);
    let turned = [q.rotary(&cos, &sin), q.rotary_interleaved(&cos, &sin)];
    let attended = turned.map(|q| scaled_dot_product_attention(&q, &k, &v, options()));
    add(digest, &attended, &[q, k, v, cos, sin]);
}

fn add(digest: &mut DefaultHasher, outputs: &[Tensor], leaves: &[Tensor]) {
    let mut bits = |x: &Tensor| x.to_vec().into_iter().for_each(|x| x.to_bits().hash(digest));
    let tracked = outputs.iter().filter(|output| output.is_tracked());
    let weighted = tracked.map(|output| (output * arriving(0, output.shape())).sum());
    if let Some(total) = weighted.reduce(|a, b| a + b) {
        total.backward();
    }
    outputs.iter().for_each(&mut bits);
    leaves.iter().filter_map(Tensor::grad).for_each(|grad| bits(&grad));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let test = "determinism::bits_do_not_depend_on_the_number_of_threads";
    crate::threads::assert_same_on_any_number_of_threads(test, digest);
}

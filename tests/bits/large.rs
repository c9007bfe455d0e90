//! Operations on tensors that are large enough for several threads, and for sums in parts.

use crate::hashes::Hashes;
use adamant::prelude::*;
use adamant::tensor::{
    Conv1dParams, Conv2dParams, Float, Indices, MaxPool2dOptions, scaled_dot_product_attention,
};

pub(crate) fn add(hashes: &mut Hashes) {
    all::<f32>(hashes);
    all::<f64>(hashes);
}

fn all<T: Float>(hashes: &mut Hashes) {
    let mut case = |name: &str, shapes: &[&[usize]], run: &dyn Fn(&[Tensor<T>]) -> Tensor<T>| {
        let rng = &mut Generator::seed(2);
        let leaf = |shape: &&[usize]| Tensor::uniform(*shape, -1.0, 1.0, rng).requires_grad();
        let leaves: Vec<_> = shapes.iter().map(leaf).collect();
        hashes.add_with_gradients(&format!("large: {name}"), vec![run(&leaves)], &leaves);
    };

    let x: &[&[usize]] = &[&[50, 61, 43]];
    case("exp", x, &|x| x[0].exp());
    case("tanh", x, &|x| x[0].tanh());
    case("gelu", x, &|x| x[0].gelu());
    case("log", x, &|x| x[0].square().log());
    case("sin", x, &|x| (&x[0] * T::from_f64(1000.0)).sin());
    case("sum", x, &|x| x[0].sum());
    case("sum 0", x, &|x| x[0].sum_dim(0));
    case("sum 0 2", x, &|x| x[0].sum_dim([0, 2]));
    case("mean", x, &|x| x[0].mean_dim(keepdim(1)));
    case("var", x, &|x| x[0].var(1));
    case("std", x, &|x| x[0].std_dim([1, 2], 1));
    case("amax", x, &|x| x[0].amax(0));
    case("prod", x, &|x| x[0].prod_dim(2));
    case("logsumexp", x, &|x| x[0].logsumexp(1));
    case("norm", x, &|x| x[0].norm(3.0));
    case("cumsum", x, &|x| x[0].cumsum(1));
    case("cumprod", x, &|x| x[0].cumprod(2));
    case("softmax", x, &|x| x[0].softmax(1));
    case("softmax last", x, &|x| x[0].softmax(-1));
    case("log_softmax", x, &|x| x[0].log_softmax(2));
    case("sort", x, &|x| x[0].sort_descending(2).0);
    case("permute", x, &|x| x[0].permute([2, 0, 1]).flip(0));
    case("cross_entropy", &[&[300, 170]], &|x| cross_entropy(&x[0], &[3; 300]));
    let classes: &[&[usize]] = &[&[90, 70], &[2100, 70]];
    case("linear_cross_entropy", classes, &|x| linear_cross_entropy(&x[0], &x[1], None, &[3; 90]));

    case("matmul", &[&[70, 600], &[600, 90]], &|x| x[0].matmul(&x[1]));
    case("matmul of transposes", &[&[600, 70], &[90, 600]], &|x| x[0].t().matmul(&x[1].t()));
    case("row", &[&[1, 600], &[600, 300]], &|x| x[0].matmul(&x[1]));
    case("column", &[&[300, 600], &[600, 1]], &|x| x[0].matmul(&x[1]));
    case("row of a transpose", &[&[1, 600], &[300, 600]], &|x| x[0].matmul(&x[1].t()));
    case("dot", &[&[1, 3000], &[3000, 1]], &|x| x[0].matmul(&x[1]));
    case("linear", &[&[7, 11, 300], &[40, 300], &[40]], &|x| x[0].linear(&x[1], Some(&x[2])));
    case("bmm", &[&[9, 30, 40], &[9, 40, 50]], &|x| x[0].bmm(&x[1]));
    case("batched", &[&[4, 9, 300], &[300, 20]], &|x| x[0].matmul(&x[1]));
    case("bf16", &[&[19, 600]], &|x| {
        let weight = Parameter::new(Tensor::uniform([80, 600], -1.0, 1.0, &mut Generator::seed(3)));
        weight.set_requires_grad(false);
        if T::DTYPE == "f32" {
            weight.store_as(Storage::Bf16);
        }
        x[0].linear(&weight, None)
    });
    let rows: Vec<usize> = (0..900).map(|i| i * 7 % 300).collect();
    case("index_select", &[&[300, 170]], &|x| x[0].index_select(0, &rows));
    let columns: Vec<usize> = (0..900).map(|i| i * 3 % 170).collect();
    let pairs = (Indices::from(&rows[..]), Indices::from(&columns[..]));
    case("index", &[&[300, 170]], &|x| x[0].index((&pairs.0, &pairs.1)));

    let conv = Conv2dParams::default();
    let image = &[5, 40, 12, 13][..];
    case("conv 3", &[image, &[48, 40, 3, 3], &[48]], &|x| {
        x[0].conv2d(&x[1], Some(&x[2]), conv.padding(1))
    });
    case("conv 1", &[image, &[48, 40, 1, 1]], &|x| x[0].conv2d(&x[1], None, conv));
    case("conv stride", &[image, &[16, 40, 5, 3]], &|x| x[0].conv2d(&x[1], None, conv.stride(2)));
    case("conv dilated", &[image, &[16, 20, 3, 3]], &|x| {
        x[0].conv2d(&x[1], None, conv.dilation([2, 1]).groups(2))
    });
    case("conv depthwise", &[image, &[40, 1, 3, 3]], &|x| {
        x[0].conv2d(&x[1], None, conv.padding(1).groups(40))
    });
    case("conv few", &[&[9, 1, 28, 28], &[8, 1, 5, 5]], &|x| x[0].conv2d(&x[1], None, conv));
    let line = Conv1dParams::default();
    case("conv line", &[&[4, 24, 90], &[16, 24, 15]], &|x| x[0].conv1d(&x[1], None, line));
    case("max_pool", &[image], &|x| x[0].max_pool2d(2, MaxPool2dOptions::default()));

    let heads: &[&[usize]] = &[&[2, 6, 70, 32], &[2, 2, 70, 32], &[2, 2, 70, 32], &[70, 16]];
    let options = || AttentionOptions::default().causal(true).enable_gqa(true);
    case("attention", heads, &|x| scaled_dot_product_attention(&x[0], &x[1], &x[2], options()));
    case("rotary", heads, &|x| x[0].rotary(&x[3].cos(), &x[3].sin()));
    case("rotary_interleaved", heads, &|x| x[0].rotary_interleaved(&x[3].cos(), &x[3].sin()));
}

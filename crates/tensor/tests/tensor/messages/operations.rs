//! Shapes, dimensions and indices that do not fit.

use crate::mistakes::{Mistakes, here};
use adamant_tensor::{
    AttentionOptions, Conv1dParams, Conv2dParams, Generator, Indices, Mask, MaxPool2dOptions,
    PadMode, REST, Tensor, cross_entropy, linear_cross_entropy, linear_cross_entropy_losses,
    scaled_dot_product_attention, swiglu,
};

#[test]
fn operation_mistakes_panic_at_the_callers_line() {
    let x = Tensor::<f32>::ones([2, 3]);
    let (row, vector, scalar) = (Tensor::ones([2]), Tensor::ones([3]), Tensor::scalar(1.0));
    let (batch, image) = (Tensor::<f32>::ones([4, 2, 3]), Tensor::<f32>::ones([1, 2, 5, 5]));
    let two = Mask::from([true, false]);
    let index = |i: [usize; 2]| Indices::from(i);
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    // Shapes that do not broadcast.
    let fit = "shapes [2, 3] and [2] do not broadcast: aligned at the last dimension, sizes must \
               be equal or one of them must be 1";
    check(&format!("add: {fit}"), &|| here!(&x + &row));
    check(&format!("sub: {fit}"), &|| here!(&x - &row));
    check(&format!("mul: {fit}"), &|| here!(&x * &row));
    check(&format!("div: {fit}"), &|| here!(&x / &row));
    check(&format!("pow: {fit}"), &|| here!(x.pow(&row)));
    check(&format!("atan2: {fit}"), &|| here!(x.atan2(&row)));
    check(&format!("maximum: {fit}"), &|| here!(x.maximum(&row)));
    check(&format!("clamp: {fit}"), &|| here!(x.clamp(&row, &row)));
    check(&format!("clamp_min: {fit}"), &|| here!(x.clamp_min(&row)));
    check(&format!("div_floor: {fit}"), &|| here!(x.div_floor(&row)));
    check(&format!("lt: {fit}"), &|| here!(x.lt(&row)));
    check(&format!("where_: {fit}"), &|| here!(x.where_(&x.gt(0.0), &row)));
    check(&format!("masked_fill: {fit}"), &|| here!(x.masked_fill(&two, 0.0)));
    check(&format!("masked_select: {fit}"), &|| here!(x.masked_select(&two)));
    check(&format!("lerp: {fit}"), &|| here!(x.lerp(&row, 0.5)));
    check(&format!("bitand: {fit}"), &|| here!(x.gt(0.0) & &two));
    check("broadcast_to: a tensor of shape [2, 3] does not broadcast to [3]", &|| {
        here!(x.broadcast_to([3]));
    });
    check("expand: a tensor of shape [2, 3] has no size to keep in a new dimension", &|| {
        here!(x.expand([REST, 2, 3]));
    });

    // Dimensions that do not exist.
    let third =
        "dimension 2 of a tensor of shape [2, 3], which has dimensions 0 to 1 (or -2 to -1)";
    check(&format!("sum_dim: {third}"), &|| here!(x.sum_dim(2)));
    check(&format!("mean_dim: {third}"), &|| here!(x.mean_dim(2)));
    check(&format!("var_dim: {third}"), &|| here!(x.var_dim(2, 1)));
    check(&format!("amax: {third}"), &|| here!(x.amax([0, 2])));
    check(&format!("max_dim: {third}"), &|| here!(x.max_dim(2)));
    check(&format!("prod_dim: {third}"), &|| here!(x.prod_dim(2)));
    check(&format!("logsumexp: {third}"), &|| here!(x.logsumexp(2)));
    check(&format!("norm_dim: {third}"), &|| here!(x.norm_dim(2.0, 2)));
    check(&format!("argmax: {third}"), &|| here!(x.argmax(2)));
    check(&format!("argmin: {third}"), &|| here!(x.argmin(2)));
    check(&format!("cumsum: {third}"), &|| here!(x.cumsum(2)));
    check(&format!("cumprod: {third}"), &|| here!(x.cumprod(2)));
    check(&format!("softmax: {third}"), &|| here!(x.softmax(2)));
    check(&format!("log_softmax: {third}"), &|| here!(x.log_softmax(2)));
    check(&format!("sort: {third}"), &|| here!(x.sort(2)));
    check(&format!("sort_descending: {third}"), &|| here!(x.sort_descending(2)));
    check(&format!("topk_smallest: {third}"), &|| here!(x.topk_smallest(1, 2)));
    check(&format!("topk: {third}"), &|| here!(x.topk(1, 2)));
    check(&format!("transpose: {third}"), &|| here!(x.transpose(0, 2)));
    check(&format!("permute: {third}"), &|| here!(x.permute([0, 2])));
    check(&format!("squeeze: {third}"), &|| here!(x.squeeze(2)));
    check(&format!("flip: {third}"), &|| here!(x.flip(2)));
    check(&format!("roll: {third}"), &|| here!(x.roll(1, 2)));
    check(&format!("select: {third}"), &|| here!(x.select(2, 0)));
    check(&format!("narrow: {third}"), &|| here!(x.narrow(2, 0, 1)));
    check(&format!("slice: {third}"), &|| here!(x.slice(2, .., 1)));
    check(&format!("split: {third}"), &|| here!(x.split(1, 2)));
    check(&format!("chunk: {third}"), &|| here!(x.chunk(1, 2)));
    check(&format!("unfold: {third}"), &|| here!(x.unfold(2, 1, 1)));
    check(&format!("diagonal: {third}"), &|| here!(x.diagonal(0, 0, 2)));
    check(&format!("flatten: {third}"), &|| here!(x.flatten(0, 2)));
    check(&format!("cat: {third}"), &|| here!(Tensor::cat(&[&x, &x], 2)));
    check(&format!("gather: {third}"), &|| here!(x.gather(2, &index([0, 0]))));
    check(&format!("index_select: {third}"), &|| here!(x.index_select(2, &[0])));
    check(&format!("any_dim: {third}"), &|| here!(x.gt(0.0).any_dim(2)));
    check("unsqueeze: dimension 3 of a tensor of shape [2, 3, 1]", &|| here!(x.unsqueeze(3)));
    check("stack: dimension 3 of a tensor of shape", &|| here!(Tensor::stack(&[&x, &x], 3)));
    check("cumsum: dimension -3 of a tensor of shape [2, 3]", &|| here!(x.cumsum(-3)));
    check("softmax: dimension 1 of a tensor of shape [], which has none", &|| {
        here!(scalar.softmax(1));
    });
    check("sum_dim: dimensions [1, -1] of a tensor of shape [2, 3]: one is named twice", &|| {
        here!(x.sum_dim([1, -1]));
    });
    check("permute: [0, 0] does not hold each dimension of a tensor of shape [2, 3] once", &|| {
        here!(x.permute([0, 0]));
    });

    // Indices out of range.
    check("select: index 3 of dimension 1 of a tensor of shape [2, 3], which has 3", &|| {
        here!(x.select(1, 3));
    });
    check(
        "narrow: 2 elements from 2 on are not in dimension 1 of a tensor of shape [2, 3]",
        &|| {
            here!(x.narrow(1, 2, 2));
        },
    );
    check("slice: a step of 0 along dimension 1 of a tensor of shape [2, 3]", &|| {
        here!(x.slice(1, .., 0));
    });
    check(
        "gather: index 9 at position 1; expected less than 3, the size of dimension 0 of a tensor of shape [3]",
        &|| {
            here!(vector.gather(0, &index([0, 9])));
        },
    );
    check("gather: indices of shape [2] along dimension 0 of a tensor of shape [2, 3]", &|| {
        here!(x.gather(0, &index([0, 0])));
    });
    check("scatter_add: a source of shape [2, 3] with indices of shape [2]", &|| {
        here!(vector.scatter_add(0, &index([0, 0]), &x));
    });
    check(
        "index_select: index 2 at position 0; expected less than 2, the size of dimension 0",
        &|| {
            here!(x.index_select(0, &[2]));
        },
    );
    check("index_add: a source of shape [2, 3] for 1 indices of dimension 0 of a tensor", &|| {
        here!(x.index_add(0, &[0], &x));
    });
    check(
        "embedding: index 2 at position 1; expected less than 2, the size of dimension 0",
        &|| {
            here!(x.embedding(&index([0, 2])));
        },
    );
    check("embedding: a table of shape [3]; expected [entries, features]", &|| {
        here!(vector.embedding(&index([0, 0])));
    });
    check("topk: 4 elements of dimension 1 of a tensor of shape [2, 3], which has 3", &|| {
        here!(x.topk(4, 1));
    });
    check("unfold: windows of 4 elements, 1 apart, along dimension 1 of a tensor", &|| {
        here!(x.unfold(1, 4, 1));
    });
    check("cross_entropy: target 3 in row 1, but logits of shape [2, 3] have 3 classes", &|| {
        here!(cross_entropy(&x, &[0, 3]));
    });
    check("cross_entropy: 1 targets for logits of shape [2, 3]", &|| {
        here!(cross_entropy(&x, &[0]));
    });
    let (weight, ones) = (Tensor::ones([4, 3]), Tensor::ones([4]));
    check(
        "linear_cross_entropy: an input of shape [3] and a weight of shape [4, 3]; expected [rows, \
         features] and [classes, features]",
        &|| here!(linear_cross_entropy(&vector, &weight, None, &[0])),
    );
    check(
        "linear_cross_entropy: an input of shape [2, 3] and a weight of shape [2, 2]; expected equal \
         last dimensions",
        &|| here!(linear_cross_entropy(&x, &Tensor::ones([2, 2]), None, &[0, 1])),
    );
    check("linear_cross_entropy: a bias of shape [3] for a weight of shape [4, 3]", &|| {
        here!(linear_cross_entropy(&x, &weight, Some(&vector), &[0, 1]));
    });
    check("linear_cross_entropy: 1 targets for an input of shape [2, 3]", &|| {
        here!(linear_cross_entropy(&x, &weight, Some(&ones), &[0]));
    });
    check("linear_cross_entropy: target 4 in row 1; expected less than 4, the rows of", &|| {
        here!(linear_cross_entropy(&x, &weight, None, &[0, 4]));
    });
    check("linear_cross_entropy: class weights of shape [3] for 4 classes", &|| {
        here!(linear_cross_entropy_losses(&x, &weight, None, &[0, 1], Some(&vector), 0.0));
    });
    check("linear_cross_entropy: label_smoothing is 1.5; expected 0 to 1", &|| {
        here!(linear_cross_entropy_losses(&x, &weight, None, &[0, 1], None, 1.5));
    });
    check("swiglu: a gate of shape [2, 3] and an input of shape [3]; expected the same", &|| {
        here!(swiglu(&x, &vector));
    });
    check("celu: alpha is 0; expected another number than 0", &|| here!(x.celu(0.0)));

    check(
        "index: index -3 at position 1; expected from -2 to below 2, the size of dimension 0",
        &|| {
            here!(x.index([0, -3]));
        },
    );
    check("index: index 3 at position 0; expected less than 3, the size of dimension 1", &|| {
        here!(x.index((.., &index([3, 0]))));
    });
    check("index: indices of 3 dimensions for a tensor of shape [2, 3]", &|| {
        here!(x.index(([0], .., ..)));
    });
    check("index: shapes [2] and [3] do not broadcast", &|| {
        here!(x.index(([0, 1], [0, 1, 2])));
    });
    check("index: a mask of shape [2] for dimensions 1..2 of a tensor of shape [2, 3]", &|| {
        here!(x.index((.., &Mask::from([true, false]))));
    });
    check("index_put: a tensor of shape [2] does not broadcast to [1, 3]", &|| {
        here!(x.index_put([0], &row));
    });
    check("index_put_accumulate: a tensor of shape [2] does not broadcast to [1, 3]", &|| {
        here!(x.index_put_accumulate([0], &row));
    });
    check("index_copy: a source of shape [3] for 1 indices of dimension 0 of a tensor", &|| {
        here!(x.index_copy(0, &[0], &vector));
    });
    check("masked_scatter: a source of shape [3] for 6 true elements of the mask", &|| {
        here!(x.masked_scatter(&x.ge(f32::NEG_INFINITY), &vector));
    });
    check("split_with_sizes: parts of [1, 1] elements of dimension 1 of a tensor of", &|| {
        here!(x.split_with_sizes(&[1, 1], 1));
    });

    // Shapes that do not fit an operation.
    check("pad_mode: (-2, -2) takes more from dimension 1 of a tensor of shape [2, 3]", &|| {
        here!(x.pad_mode(&[(-2, -2)], PadMode::Replicate));
    });
    check("reshape: a tensor of shape [2, 3] has 6 elements, which do not fit shape [4]", &|| {
        here!(x.reshape([4]));
    });
    check(
        "reshape: a tensor of shape [2, 3] has 6 elements, which do not fit shape [4, REST]",
        &|| {
            here!(x.reshape([4, REST]));
        },
    );
    check("reshape: shape [REST, REST] contains REST more than once", &|| {
        here!(x.reshape([REST, REST]));
    });
    check("t: a tensor of shape [4, 2, 3]; expected at most 2 dimensions", &|| here!(batch.t()));
    check("tril: a tensor of shape [3]; expected at least 2 dimensions", &|| here!(vector.tril(0)));
    check("repeat: [2] times a tensor of shape [2, 3]", &|| here!(x.repeat(&[2])));
    check("pad: (-2, -2) takes more from dimension 1 of a tensor of shape [2, 3]", &|| {
        here!(x.pad(&[(-2, -2)], 0.0));
    });
    check("cat: tensor 1 has shape [3], which along dimension 0 does not continue [2, 3]", &|| {
        here!(Tensor::cat(&[&x, &vector], 0));
    });
    check("cat: no tensors; expected at least one", &|| here!(Tensor::<f32>::cat(&[], 0)));
    check("stack: tensor 1 has shape [3], the first [2, 3]; expected the same", &|| {
        here!(Tensor::stack(&[&x, &vector], 0));
    });
    check("matmul: shapes [2, 3] and [2, 3]: the inner dimensions 3 and 2 differ", &|| {
        here!(x.matmul(&x));
    });
    check("matmul: shapes [2, 3] and []: a scalar has no inner dimension", &|| {
        here!(x.matmul(&scalar));
    });
    check(
        "matmul: shapes [4, 2, 3] and [3, 3, 2]: the leading dimensions do not broadcast",
        &|| {
            here!(batch.matmul(&Tensor::ones([3, 3, 2])));
        },
    );
    check("bmm: shapes [4, 2, 3] and [2, 3]; expected [B, M, K] and [B, K, N]", &|| {
        here!(batch.bmm(&x));
    });
    check("dot: shapes [2] and [3]; expected two vectors of one length", &|| {
        here!(row.dot(&vector));
    });
    check("outer: shapes [2] and [2, 3]; expected two vectors", &|| here!(row.outer(&x)));
    check("addmm: a tensor of shape [3] does not broadcast to [2, 2]", &|| {
        here!(vector.addmm(&x, &x.t(), 1.0, 1.0));
    });
    check("linear: the input has shape [2], which a weight of shape [2, 3] does not fit", &|| {
        here!(row.linear(&x, None));
    });
    check("linear: the bias has shape [3], the weight [2, 3]", &|| {
        here!(x.linear(&x, Some(&vector)));
    });
    check(
        "einsum: 'j' of \"ij,jk\" has size 2 in operand 1, which has shape [2, 3], but 3",
        &|| {
            here!(Tensor::einsum("ij,jk", &[&x, &x]));
        },
    );
    check("einsum: \"ij,jk\" names 2 operands, but 1 were given", &|| {
        here!(Tensor::einsum("ij,jk", &[&x]));
    });
    check("einsum: '+' in \"i+j\"; expected letters, ',', '...' and one \"->\"", &|| {
        here!(Tensor::einsum("i+j", &[&x]));
    });
    check("einsum: \"i\" names 1 dimensions of operand 0, which has shape [2, 3]", &|| {
        here!(Tensor::einsum("i", &[&x]));
    });
    check("einsum: 'i' of \"ii\" appears twice in operand 0, which has shape [2, 3]", &|| {
        here!(Tensor::einsum("ii", &[&x]));
    });
    check("einsum: 'k' of the result of \"ij->k\" must be a letter of an operand", &|| {
        here!(Tensor::einsum("ij->k", &[&x]));
    });
    check("conv1d: an input of shape [3]; expected [N, C, L], or [C, L] for one image", &|| {
        here!(vector.conv1d(&batch, None, Conv1dParams::default()));
    });
    check("conv2d: a weight of shape [4, 2, 3]; expected 4 dimensions", &|| {
        here!(image.conv2d(&batch, None, Conv2dParams::default()));
    });
    check("conv_transpose2d: an input of shape [1, 2, 5, 5] has 2 channels, but a weight", &|| {
        here!(image.conv_transpose2d(&image, None, Conv2dParams::default()));
    });
    check("conv2d: an input of shape [1, 2, 5, 5] has 2 channels, but a weight of shape", &|| {
        here!(image.conv2d(&Tensor::ones([4, 3, 3, 3]), None, Conv2dParams::default()));
    });
    check("max_pool2d: ", &|| here!(x.max_pool2d(2, MaxPool2dOptions::default())));
    check("cross_entropy: logits of shape [3]; expected [batch, classes]", &|| {
        here!(cross_entropy(&vector, &[0]));
    });

    // Empty tensors where elements are needed, and invalid arguments.
    let empty = Tensor::<f32>::ones([2, 0]);
    check("max: a tensor of shape [2, 0] has nothing to choose from", &|| here!(empty.max()));
    check("amin: a tensor of shape [2, 0] has nothing to choose from", &|| {
        here!(empty.amin(1));
    });
    check("argmax: dimension 1 of a tensor of shape [2, 0] is empty", &|| here!(empty.argmax(1)));
    check("max_dim: dimension 1 of a tensor of shape [2, 0] is empty", &|| {
        here!(empty.max_dim(1));
    });
    check("item: the tensor has shape [2, 3]; expected a single element", &|| here!(x.item()));
    check("norm: a tensor of shape [2, 0] has nothing to choose from", &|| {
        here!(empty.norm(-1.0));
    });
    let nan = f64::NAN;
    check("batch_norm: eps is 0.0; expected more than 0", &|| here!(x.batch_norm(None, None, 0.0)));
    check("batch_norm: eps is NaN; expected more than 0", &|| here!(x.batch_norm(None, None, nan)));
    check("batch_norm: eps is -1.0; expected 0 or more", &|| {
        here!(x.batch_norm_with(&vector, &vector, None, None, -1.0));
    });
    check("group_norm: eps is NaN; expected a number", &|| here!(x.group_norm(1, None, None, nan)));
    check("layer_norm: eps is NaN; expected a number", &|| {
        here!(x.layer_norm(&[3], None, None, nan));
    });
    check("rms_norm: eps is NaN; expected a number", &|| here!(x.rms_norm(&[3], None, nan)));
    check("scaled_dot_product_attention: the scale is NaN; expected a number", &|| {
        here!(AttentionOptions::<f32>::default().scale(nan));
    });
    let heads = |heads| Tensor::<f32>::ones([1, heads, 2, 4]);
    let gqa = || AttentionOptions::default().enable_gqa(true);
    check(
        "scaled_dot_product_attention: enable_gqa with queries of shape [1, 4, 2, 4], keys of \
         [1, 3, 2, 4], values of [1, 3, 2, 4]; expected […, Hq, L, E], […, H, S, E] and \
         […, H, S, Ev], where H divides Hq",
        &|| here!(scaled_dot_product_attention(&heads(4), &heads(3), &heads(3), gqa())),
    );
    check("keys of [1, 2, 2, 4], values of [1, 4, 2, 4]; expected […, Hq, L, E]", &|| {
        here!(scaled_dot_product_attention(&heads(4), &heads(2), &heads(4), gqa()));
    });
    check("enable_gqa with queries of shape [2, 3], keys of [2, 3], values of [2, 3]", &|| {
        here!(scaled_dot_product_attention(&x, &x, &x, gqa()));
    });
    let hidden = Mask::from_vec([[true; 4], [false; 4]].concat(), [2, 2, 2]).unwrap();
    check(
        "a mask of shape [2, 2, 2] does not broadcast to the scores of queries of shape",
        &|| {
            let options = gqa().mask(&hidden);
            here!(scaled_dot_product_attention(&heads(4), &heads(2), &heads(2), options));
        },
    );
    check("query [1, 0] of the scores, which are [2, 2, 2], may look at no key", &|| {
        let options = gqa().mask(&hidden);
        here!(scaled_dot_product_attention(&heads(2), &heads(1), &heads(1), options));
    });
    let expected = "expected […, D], […, P] and […, P], where P is at most D / 2 and the leading \
                    dimensions broadcast to those of the input";
    check(
        &format!(
            "rotary: an input of shape [4, 2, 3], cosines of [2, 2], sines of [2, 2]; {expected}"
        ),
        &|| here!(batch.rotary(&Tensor::ones([2, 2]), &Tensor::ones([2, 2]))),
    );
    check("rotary_interleaved: an input of shape [2, 3], cosines of [2, 1], sines of [1]", &|| {
        here!(x.rotary_interleaved(&Tensor::ones([2, 1]), &Tensor::ones([1])));
    });
    check("rotary: an input of shape [2, 3], cosines of [4, 2, 1], sines of [4, 2, 1]", &|| {
        here!(x.rotary(&Tensor::ones([4, 2, 1]), &Tensor::ones([4, 2, 1])));
    });
    check("rotary: an input of shape [], cosines of [], sines of []", &|| {
        here!(scalar.rotary(&scalar, &scalar));
    });
    check("hardtanh: the bounds 1 and -1; expected them in order", &|| {
        here!(x.hardtanh(1.0, -1.0));
    });
    check("split: parts of 0 elements of a tensor of shape [2, 3]", &|| here!(x.split(0, 0)));
    check("chunk: a tensor of shape [2, 3] in 0 parts", &|| here!(x.chunk(0, 0)));
    check("arange: ", &|| here!(Tensor::<f32>::arange(0.0, 1.0, 0.0)));
    check("linspace: start is -1000000", &|| here!(Tensor::<f32>::linspace(-1e39, 1.0, 3)));
    let rng = || Generator::seed(0);
    let range = "expected finite numbers of f32 at a finite distance, low not above high";
    check(&format!("uniform: low is 1 and high is 0; {range}"), &|| {
        here!(Tensor::<f32>::uniform([2], 1.0, 0.0, &mut rng()));
    });
    check("uniform: low is NaN and high is 1; expected", &|| {
        here!(Tensor::<f32>::uniform([2], f64::NAN, 1.0, &mut rng()));
    });
    check("bernoulli_mask: p is NaN; expected a probability, from 0 to 1", &|| {
        here!(rng().bernoulli_mask(&mut [0.0f32], f64::NAN, 1.0));
    });
    check("one_hot: ", &|| here!(index([0, 3]).one_hot::<f32>(3)));
    check("is too large", &|| here!(Tensor::<f32>::zeros([usize::MAX, 2])));

    mistakes.none_was_wrong();
}

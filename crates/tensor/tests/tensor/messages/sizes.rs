//! Sizes that do not fit in memory, or overflow.

use crate::mistakes::{Mistakes, here};
use adamant_tensor::{
    AttentionOptions, AvgPool2dOptions, Conv1dParams, Conv2dParams, Generator, Indices, Mask,
    MaxPool2dOptions, PadMode, Tensor, cross_entropy, scaled_dot_product_attention,
};

const MANY: usize = 1 << 56;

#[test]
fn out_of_memory_names_the_operation() {
    let many = &Tensor::<f32>::ones([1]).broadcast_to([MANY]);
    let half = Tensor::<f32>::ones([1]).broadcast_to([1 << 28]);
    let (column, row) = (&half.unsqueeze(1), &half.unsqueeze(0));
    let (pair, first) = (&Tensor::<f32>::ones([2]), &Tensor::from([1.0f32]));
    let mask = &Mask::from([true]).broadcast_to([MANY]);
    let image = &Tensor::<f32>::ones([1]).broadcast_to([1, 1, 1 << 28, 1 << 28]);
    let planes = &Tensor::<f32>::ones([1]).broadcast_to([1, MANY, 1, 1]);
    let kernel = &Tensor::<f32>::ones([1, 1, 1, 1]);
    let mut mistakes = Mistakes::default();
    let mut check = |op: &str, mistake: &dyn Fn()| {
        mistakes.check(&format!("\n{op}: out of memory: a tensor of shape ["), mistake);
    };

    // Creation.
    check("zeros", &|| here!(Tensor::<f32>::zeros([MANY])));
    check("ones", &|| here!(Tensor::<f32>::ones([MANY])));
    check("full", &|| here!(Tensor::<f32>::full([MANY], 2.0)));
    check("build", &|| here!(Tensor::<f32>::build([MANY], |_| {})));
    check("eye", &|| here!(Tensor::<f32>::eye(1 << 28)));
    check("eye_rectangular", &|| here!(Tensor::<f32>::eye_rectangular(MANY, 1)));
    check("arange", &|| here!(Tensor::<f32>::arange(0.0, MANY as f64, 1.0)));
    check("linspace", &|| here!(Tensor::<f32>::linspace(0.0, 1.0, MANY)));
    check("zeros_like", &|| here!(many.zeros_like()));
    check("ones_like", &|| here!(many.ones_like()));
    check("full_like", &|| here!(many.full_like(2.0)));
    check("rand", &|| here!(Tensor::<f32>::rand([MANY], &mut Generator::seed(1))));
    check("randn_like", &|| here!(many.randn_like(&mut Generator::seed(1))));
    check("uniform", &|| {
        here!(Tensor::<f32>::uniform([MANY], 0.0, 1.0, &mut Generator::seed(1)));
    });
    check("bernoulli", &|| here!(many.bernoulli(&mut Generator::seed(1))));
    check("randint", &|| here!(Indices::randint(0, 2, [MANY], &mut Generator::seed(1))));
    check("randperm", &|| here!(Indices::randperm(MANY, &mut Generator::seed(1))));
    check("to_vec", &|| here!(many.to_vec()));
    check("from", &|| here!(Indices::from(0..MANY)));
    check("one_hot", &|| here!(Indices::from([0]).one_hot::<f32>(MANY)));

    // Element by element.
    check("exp", &|| here!(many.exp()));
    check("log", &|| here!(many.log()));
    check("sin", &|| here!(many.sin()));
    check("tanh", &|| here!(many.tanh()));
    check("relu", &|| here!(many.relu()));
    check("gelu", &|| here!(many.gelu()));
    check("softplus", &|| here!(many.softplus(1.0, 20.0)));
    check("abs", &|| here!(many.abs()));
    check("floor", &|| here!(many.floor()));
    check("powf", &|| here!(many.powf(3.0)));
    check("neg", &|| here!(-many));
    check("add", &|| here!(many + 1.0));
    check("add", &|| here!(column + row));
    check("sub", &|| here!(many - many));
    check("mul", &|| here!(many * many));
    check("div", &|| here!(2.0 / many));
    check("atan2", &|| here!(many.atan2(many)));
    check("lerp", &|| here!(many.lerp(many, 0.5)));
    check("maximum", &|| here!(many.maximum(1.0)));
    check("clamp", &|| here!(many.clamp(0.0, 1.0)));
    check("clamp_min", &|| here!(many.clamp_min(0.0)));
    check("where_", &|| here!(many.where_(mask, 0.0)));
    check("masked_fill", &|| here!(many.masked_fill(mask, 0.0)));
    check("tanh", &|| here!(many.broadcast_to([2, MANY]).tanh()));

    // Comparisons and masks.
    check("gt", &|| here!(many.gt(0.0)));
    check("eq", &|| here!(many.eq(many)));
    check("isnan", &|| here!(many.isnan()));
    check("isfinite", &|| here!(many.isfinite()));
    check("count_nonzero", &|| here!(many.count_nonzero()));
    check("any", &|| here!(many.any()));
    check("all_dim", &|| here!(many.all_dim(0)));
    check("not", &|| here!(!mask));
    check("bitand", &|| here!(mask & mask));
    check("count", &|| here!(mask.count()));
    check("any_dim", &|| here!(mask.any_dim(0)));
    check("to_tensor", &|| here!(mask.to_tensor::<f32>()));

    // Reductions.
    check("sum_dim", &|| here!(many.unsqueeze(1).sum_dim(1)));
    check("max", &|| here!(many.max()));
    check("amin", &|| here!(many.amin(0)));
    check("max_dim", &|| here!(many.max_dim(0)));
    check("argmax", &|| here!(many.argmax(0)));
    check("argmin", &|| here!(many.unsqueeze(1).argmin(1)));
    check("prod_dim", &|| here!(many.prod_dim(0)));
    check("logsumexp", &|| here!(many.logsumexp(0)));
    check("norm", &|| here!(many.norm(3.0)));
    check("norm_dim", &|| here!(many.norm_dim(1.0, 0)));
    check("var_dim", &|| here!(many.unsqueeze(1).var_dim(1, 1.0)));
    check("std_dim", &|| here!(many.unsqueeze(1).std_dim(1, 1.0)));
    check("cumsum", &|| here!(many.cumsum(0)));
    check("cumprod", &|| here!(many.cumprod(0)));

    // Products.
    check("matmul", &|| here!(column.matmul(row)));
    check("bmm", &|| here!(column.unsqueeze(0).bmm(&row.unsqueeze(0))));
    check("addmm", &|| here!(first.addmm(column, row, 1.0, 1.0)));
    check("linear", &|| here!(column.linear(column, None)));
    check("linear", &|| here!(pair.linear(&many.unsqueeze(1).broadcast_to([MANY, 2]), Some(many))));

    // Indices.
    check("index_select", &|| here!(many.index_select(0, &[0])));
    check("index_add", &|| here!(many.index_add(0, &[0], first)));
    check("index_copy", &|| here!(many.index_copy(0, &[0], first)));
    check("scatter_add", &|| here!(many.scatter_add(0, &Indices::from([0]), first)));
    check("masked_select", &|| here!(many.masked_select(mask)));
    check("masked_scatter", &|| here!(many.masked_scatter(mask, many)));
    check("index", &|| here!(many.index(mask)));
    check("sort", &|| here!(many.sort(0)));
    check("topk", &|| here!(many.topk(1, 0)));
    check("flip", &|| here!(many.flip(0)));
    check("roll", &|| here!(many.roll(1, 0)));

    // Shapes.
    check("reshape", &|| {
        here!(pair.unsqueeze(1).broadcast_to([2, MANY]).reshape([2 * MANY]));
    });
    check("cat", &|| here!(Tensor::cat(&[many, many], 0)));
    check("pad", &|| here!(pair.pad(&[(0, MANY as isize)], 0.0)));
    check("pad_mode", &|| here!(pair.pad_mode(&[(0, MANY as isize)], PadMode::Replicate)));
    check("tril", &|| here!(image.squeeze(0).squeeze(0).tril(0)));

    // Layers.
    check("softmax", &|| here!(many.softmax(0)));
    check("log_softmax", &|| here!(many.log_softmax(0)));
    check("cross_entropy", &|| here!(cross_entropy(&many.unsqueeze(0), &[0])));
    check("layer_norm", &|| here!(many.layer_norm(&[MANY], None, None, 1e-5)));
    check("rms_norm", &|| here!(many.rms_norm(&[MANY], None, 1e-5)));
    check("batch_norm", &|| here!(image.batch_norm(None, None, 1e-5)));
    check("batch_norm", &|| here!(Tensor::<f32>::zeros([0, MANY]).batch_norm(None, None, 1e-5)));
    check("group_norm", &|| here!(image.group_norm(1, None, None, 1e-5)));
    check("conv2d", &|| here!(image.conv2d(kernel, None, Conv2dParams::default())));
    check("conv1d", &|| {
        here!(image.squeeze(1).conv1d(
            &half.reshape([1, 1 << 28, 1]),
            None,
            Conv1dParams::default()
        ));
    });
    check("conv_transpose2d", &|| {
        here!(image.conv_transpose2d(kernel, None, Conv2dParams::default()));
    });
    check("max_pool2d", &|| here!(planes.max_pool2d(1, MaxPool2dOptions::default())));
    check("avg_pool2d", &|| here!(planes.avg_pool2d(1, AvgPool2dOptions::default())));
    check("adaptive_avg_pool2d", &|| here!(planes.adaptive_avg_pool2d(1)));
    check("adaptive_max_pool2d", &|| here!(planes.adaptive_max_pool2d(1)));
    check("scaled_dot_product_attention", &|| {
        let q = &many.unsqueeze(1);
        here!(scaled_dot_product_attention(q, q, q, AttentionOptions::default()));
    });
    check("rotary", &|| {
        let (rows, angle) = (many.unsqueeze(1), &Tensor::ones([1, 0]));
        here!(rows.rotary(angle, angle));
    });

    // These are composed of other operations, which are named.
    check("mul", &|| here!(half.outer(&half)));
    check("mul", &|| here!(Tensor::einsum("ai,ib->ab", &[column, row])));
    check("cat", &|| here!(Tensor::stack(&[many, many], 0)));

    mistakes.none_was_wrong();
}

#[test]
fn sorting_an_empty_tensor_allocates_nothing() {
    let empty = Tensor::<f32>::zeros([MANY, 0]);
    assert_eq!(empty.sort(0).0.shape(), [MANY, 0]);
    assert_eq!(empty.topk(MANY, 0).0.shape(), [MANY, 0]);
}

#[test]
fn out_of_memory_reports_shape_and_bytes() {
    let many = &Tensor::<f32>::ones([1]).broadcast_to([MANY]);
    let mut mistakes = Mistakes::default();
    let mut check = |op: &str, shape: &[usize], bytes: usize, mistake: &dyn Fn()| {
        let shape = format!("a tensor of shape {shape:?} takes {bytes} bytes");
        mistakes.check(&format!("{op}: out of memory: {shape}"), mistake);
    };

    check("exp", &[MANY], 4 * MANY, &|| here!(many.exp()));
    check("gt", &[MANY], MANY, &|| here!(many.gt(0.0)));
    check("flip", &[MANY], 8 * MANY, &|| here!(many.flip(0)));
    check("cat", &[2 * MANY], 8 * MANY, &|| here!(Tensor::cat(&[many, many], 0)));
    check("eye", &[1 << 28, 1 << 28], 4 * MANY, &|| here!(Tensor::<f32>::eye(1 << 28)));

    mistakes.none_was_wrong();
}

#[test]
fn sizes_that_overflow_are_refused() {
    let one = Tensor::<f32>::ones([1]);
    let long = one.broadcast_to([1 << 40]);
    let (column, row) = (&long.unsqueeze(1), &long.unsqueeze(0));
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    let large = "the result would have shape";
    let square = format!("{large} [{0}, {0}], which is too large", 1u64 << 40);
    check("a tensor of shape [18446744073709551615, 2] is too large", &|| {
        here!(Tensor::<f32>::zeros([usize::MAX, 2]));
    });
    check(
        &format!("broadcast_to: {large} [{0}, {0}], which is too large", usize::MAX / 2),
        &|| {
            here!(one.broadcast_to([usize::MAX / 2; 2]));
        },
    );
    check(&format!("expand: {square}"), &|| here!(one.expand([1 << 40, 1 << 40])));
    check(&format!("add: {square}"), &|| here!(column + row));
    check(&format!("where_: {square}"), &|| here!(column.where_(&one.gt(0.0), row)));
    check(&format!("cat: {large} [{}]", 1u64 << 60), &|| {
        let part = one.broadcast_to([1 << 59]);
        here!(Tensor::cat(&[&part, &part], 0));
    });
    check(&format!("unfold: {large}"), &|| here!(long.unfold(0, 1 << 39, 1)));
    check("is too large", &|| here!(column.matmul(row)));
    check("is too large", &|| here!(Tensor::einsum("ai,ib->ab", &[column, row])));
    check("is too large", &|| here!(Tensor::einsum("a,b->ab", &[&long, &long])));
    check("is too large", &|| here!(long.outer(&long)));
    check("repeat: [18446744073709551615] times a tensor of shape [1099511627776]", &|| {
        here!(long.repeat(&[usize::MAX]));
    });
    check("is too large", &|| here!(one.repeat(&[usize::MAX])));

    mistakes.none_was_wrong();
}

#[test]
fn sizes_near_the_largest_do_not_overflow() {
    const MAX: usize = usize::MAX;
    let (x, weight) = (&Tensor::<f32>::ones([1, 1, 2, 2]), &Tensor::ones([1, 1, 2, 2]));
    let plain = Conv2dParams::default;
    assert_eq!(x.conv2d(weight, None, plain().stride(MAX)).to_vec(), [4.0]);
    assert_eq!(x.max_pool2d(1, MaxPool2dOptions::default().stride(MAX)).to_vec(), [1.0]);
    assert_eq!(x.avg_pool2d(2, AvgPool2dOptions::default().stride(MAX)).to_vec(), [1.0]);
    let ceil = MaxPool2dOptions::default().stride(MAX).dilation(MAX).ceil_mode(true);
    assert_eq!(x.max_pool2d(3, ceil).to_vec(), [1.0]);
    // Over padding, a kernel may have any size.
    let wide = MaxPool2dOptions::default().padding(1 << 39);
    assert_eq!(x.max_pool2d(1 << 40, wide).shape(), [1, 1, 1, 1]);
    let wide = AvgPool2dOptions::default().padding(1 << 39);
    assert_eq!(x.avg_pool2d(1 << 40, wide).to_vec(), [4.0 * (-80f32).exp2()]);
    let far = plain().padding(1 << 40).stride(1 << 40);
    assert_eq!(x.conv2d(weight, None, far).to_vec()[4], 4.0);
    assert_eq!(x.reshape([2, 2]).unfold(0, 1, MAX).shape(), [1, 2, 1]);
    assert_eq!(x.reshape([4]).slice(0, .., MAX).shape(), [1]);

    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);
    let spans = format!(
        "conv2d: the kernel of a weight of shape [1, 1, 2, 2] spans [{MAX}, {MAX}] with its \
         dilation, more than the images of shape [1, 1, 2, 2]"
    );
    check(&spans, &|| here!(x.conv2d(weight, None, plain().dilation(MAX))));
    check(&spans, &|| {
        here!(x.conv2d(weight, None, plain().dilation(MAX).padding(7)));
    });
    check("conv2d: an image of [2, 2] is too large with a padding of", &|| {
        here!(x.conv2d(weight, None, plain().dilation(MAX).padding_same()));
    });
    check("conv2d: an image of [2, 2] is too large with a padding of", &|| {
        here!(x.conv2d(weight, None, plain().padding(MAX)));
    });
    check("conv2d: the result would have shape [1, 1, ", &|| {
        here!(x.conv2d(weight, None, plain().padding(MAX / 16)));
    });
    check("conv2d: groups = 18446744073709551615 does not divide", &|| {
        here!(x.conv2d(weight, None, plain().groups(MAX)));
    });
    check("conv_transpose2d: no image is left of an input of shape [1, 1, 2, 2]", &|| {
        here!(x.conv_transpose2d(weight, None, plain().stride(MAX)));
    });
    check("conv_transpose2d: no image is left", &|| {
        here!(x.conv_transpose2d(weight, None, plain().padding(MAX)));
    });
    check("conv_transpose2d: no image is left", &|| {
        here!(x.conv_transpose2d(weight, None, plain().dilation(MAX)));
    });
    check("conv_transpose2d: the result would have shape [1, 1, ", &|| {
        here!(x.conv_transpose2d(weight, None, plain().stride(1 << 40)));
    });
    check("conv2d: an output_padding of", &|| {
        here!(x.conv2d(weight, None, plain().output_padding(MAX)));
    });
    check("max_pool2d: a padding of", &|| {
        here!(x.max_pool2d(2, MaxPool2dOptions::default().padding(MAX)));
    });
    check("max_pool2d: an image of [2, 2] is too large with a padding of", &|| {
        here!(x.max_pool2d(MAX, MaxPool2dOptions::default().padding(MAX / 2)));
    });
    check("max_pool2d: images of [2, 2], padded to [2, 2], are smaller than a kernel", &|| {
        here!(x.max_pool2d(MAX, MaxPool2dOptions::default()));
    });
    check("avg_pool2d: images of [2, 2], padded to [2, 2], are smaller than a kernel", &|| {
        here!(x.avg_pool2d(MAX, AvgPool2dOptions::default()));
    });
    check("is too large", &|| here!(x.adaptive_avg_pool2d(MAX)));
    check("conv2d: the result would have shape", &|| {
        here!(x.conv2d(weight, None, plain().padding(MAX).padding_mode(PadMode::Replicate)));
    });

    mistakes.none_was_wrong();
}

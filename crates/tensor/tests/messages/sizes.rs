//! Sizes that no memory holds, or no number counts.

use crate::mistakes::{Mistakes, here};
use adamant_tensor::{AvgPool2dOptions, Conv2dOptions, Indices, MaxPool2dOptions, PadMode, Tensor};

const MANY: usize = 1 << 56;

#[test]
fn what_has_no_memory_is_said_at_the_line_that_asks_for_it() {
    let many = Tensor::<f32>::ones([1]).broadcast_to([MANY]);
    let half = Tensor::<f32>::ones([1]).broadcast_to([1 << 28]);
    let (column, row) = (&half.unsqueeze(1), &half.unsqueeze(0));
    let none = "out of memory: a tensor of shape";
    let line = format!("{none} [{MANY}] takes {} bytes", 4 * MANY);
    let matrix = format!("{none} [268435456, 268435456] takes {} bytes", 4 * MANY);
    let mut mistakes = Mistakes::default();
    let mut check = |expected: &str, mistake: &dyn Fn()| mistakes.check(expected, mistake);

    check(&line, &|| here!(Tensor::<f32>::zeros([MANY])));
    check(&line, &|| here!(Tensor::<f32>::arange(0.0, MANY as f64, 1.0)));
    check(&line, &|| here!(many.exp()));
    check(&line, &|| here!(&many + 1.0));
    check(&line, &|| here!(&many * &many));
    check(&line, &|| here!(many.relu()));
    check(&line, &|| here!(many.abs()));
    check(&line, &|| here!(many.maximum(1.0)));
    check(&line, &|| here!(many.powf(3.0)));
    check(&line, &|| here!(many.norm(3.0)));
    check(&line, &|| here!(many.to_vec()));
    check(&line, &|| here!(many.softmax(0)));
    check(&line, &|| here!(many.cumsum(0)));
    check(&line, &|| here!(many.sort(0, false)));
    check(&line, &|| here!(many.argmax(0)));
    check(&line, &|| here!(many.index_select(0, &[0])));
    check(&line, &|| here!(many.logsumexp(0, false)));
    check(&line, &|| here!(many.layer_norm(&[MANY], None, None, 1e-5)));
    check(&format!("{none} [{}] takes {} bytes", 2 * MANY, 8 * MANY), &|| {
        here!(Tensor::cat(&[&many, &many], 0));
    });
    check(none, &|| here!(many.gt(0.0)));
    check(none, &|| here!(many.broadcast_to([2, MANY]).tanh()));
    check(none, &|| here!(Indices::from([0]).one_hot::<f32>(MANY)));
    check(&matrix, &|| here!(column.matmul(row)));
    check(&matrix, &|| here!(column + row));
    check(&matrix, &|| here!(Tensor::<f32>::eye(1 << 28)));
    check(none, &|| here!(Tensor::einsum("ai,ib->ab", &[column, row])));
    check(none, &|| here!(column.linear(column, None)));
    check(none, &|| here!(Tensor::<f32>::ones([2]).pad(&[(0, MANY as isize)], 0.0)));
    check(none, &|| {
        here!(Tensor::<f32>::ones([2]).pad_mode(&[(0, MANY as isize)], PadMode::Replicate));
    });

    mistakes.none_was_wrong();
}

#[test]
fn what_cannot_be_counted_is_said_at_the_line_that_asks_for_it() {
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
    let plain = Conv2dOptions::default;
    assert_eq!(x.conv2d(weight, None, plain().stride(MAX)).to_vec(), [4.0]);
    assert_eq!(x.max_pool2d(1, MaxPool2dOptions::default().stride(MAX)).to_vec(), [1.0]);
    assert_eq!(x.avg_pool2d(2, AvgPool2dOptions::default().stride(MAX)).to_vec(), [1.0]);
    let ceil = MaxPool2dOptions::default().stride(MAX).dilation(MAX).ceil_mode(true);
    assert_eq!(x.max_pool2d(3, ceil).to_vec(), [1.0]);
    // Over the padding, a kernel may be as large as one likes.
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

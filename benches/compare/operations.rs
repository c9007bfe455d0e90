//! The operations of `tests/ops/table.rs` on inputs of about 4 million elements.
//!
//! A row of the table whose expression fixes small sizes (`[2, 0, 2]` as an index) is left out with
//! the reason, or replaced by one of [`replacements`]. A row that is new and fits no rule stops the
//! list with its name.

use crate::table::{Output, Row, Tried, table};
use crate::{Sizes, Work, timed};
use adamant::prelude::*;
use std::ops::Range;

type Run = Box<dyn Fn(&[Tensor]) -> Vec<Output<f32>>>;

/// An operation with the sizes to time it on.
struct Operation {
    ours: String,
    /// The expression in PyTorch, which identifies the operation.
    pytorch: &'static str,
    /// Python statements that run once, before the expression is timed.
    setup: &'static str,
    shapes: Vec<Vec<usize>>,
    range: Range<f64>,
    /// Whether a gradient reaches an input.
    is_differentiable: bool,
    make: Box<dyn FnOnce() -> Run>,
}

const SIDE: usize = 2048;
const IMAGES: [usize; 4] = [64, 64, 32, 32];
const SIGNALS: [usize; 3] = [64, 64, 1024];

/// The shapes for a row, or the reason why it is left out.
fn shapes(row: &Row) -> Result<Vec<Vec<usize>>, &'static str> {
    let trials = match &row.tried {
        Tried::Elementwise(operands, _) => return Ok(vec![vec![SIDE, SIDE]; *operands]),
        Tried::Shapes(trials, _) | Tried::Apart(trials) => trials,
    };
    if trials.len() == 1 && trials[0][0].is_empty() {
        return Err("a scalar");
    }
    let sizes: &[&[usize]] = match row.pytorch {
        "F.cross_entropy(x, torch.tensor([2, 0]))"
        | "F.linear_cross_entropy(x, y, torch.tensor([2, 0]), linear_bias=z)"
        | "F.linear_cross_entropy(x, y, torch.tensor([2, 0]), weight=torch.tensor([0.5, 2.0, 1.25]), label_smoothing=0.1, reduction='none')"
        | "F.scaled_dot_product_attention(x, y, z, torch.ones(2, 5).tril(3).bool())"
        | "x.gather(1, torch.tensor([[0, 0, 2], [2, 1, 1]]))"
        | "x.scatter_add(1, torch.tensor([[0, 0, 2], [2, 1, 1]]), y)"
        | "F.embedding(torch.tensor([[1, 1], [3, 0]]), x)"
        | "x[torch.tensor([0, 1, 1]), torch.tensor([2, 0, 0])]"
        | "x.index_put((torch.tensor([0, 1]), torch.tensor([2, -1])), y)"
        | "x.index_put((torch.tensor([[1, 1], [0, 1]]), torch.tensor([2, 0])), y, True)"
        | "F.layer_norm(x, (2, 3), y, z, 0.1)"
        | "F.rms_norm(x, (3,), y, 0.1)" => {
            return Err("it fixes small sizes: replaced by a large one");
        }
        "x.expand(2, 3, 4)"
        | "x.broadcast_to((2, 3, 4))"
        | "x[torch.tensor(True)]"
        | "x + torch.zeros(2, 3)"
        | "x + torch.ones(2, 3)"
        | "x + torch.full((2, 3), 0.5)"
        | "x + torch.eye(3)"
        | "x + torch.eye(2, 3)"
        | "x + torch.arange(1.0, 0.0, -0.4)"
        | "x + torch.linspace(-1.0, 2.0, 5)"
        | "x + F.one_hot(torch.tensor([2, 0]), 4)"
        | "x + torch.tensor([[1.0, 2.0], [3.0, 4.0]])" => return Err("it fixes a small result"),

        "torch.minimum(x, y)" | "torch.maximum(x, y)" | "F.silu(x) * y" => {
            &[&[SIDE, SIDE], &[SIDE, SIDE]]
        }
        // Shapes.
        "x.reshape(3, -1)" => &[&[1536, 2730]],
        "x.squeeze()" | "x.squeeze(0)" => &[&[1, SIDE * SIDE, 1]],
        "x.split(2, 0)" | "x.chunk(3, 0)" | "x.unfold(0, 3, 1)" => &[&[5, 838_860]],
        "x.split([1, 0, 3], 0)" => &[&[4, 1 << 20]],
        "torch.cat([x, y], 1)" | "torch.stack([x, y], -1)" => {
            &[&[SIDE, SIDE / 2], &[SIDE, SIDE / 2]]
        }
        "x.repeat(2, 1, 3)" => &[&[836, 836]],
        // Indexing: a few rows or columns, each of them long.
        "x.index_select(0, torch.tensor([2, 0, 2]))" => &[&[3, 1_398_101]],
        "x.index_add(1, torch.tensor([1, 0, 1]), y)" => &[&[1_398_101, 2], &[1_398_101, 3]],
        "x[:, [-1, 0], [0, 2]]" => &[&[699_050, 2, 3]],
        "x[torch.tensor([[0], [1]]), :, [0, -1]]" => &[&[2, 1 << 20, 2]],
        "x[torch.tensor([True, False, True])]" => &[&[3, 1_398_101]],
        "x[:, torch.tensor([[True, False], [True, True]])]" => &[&[1 << 20, 2, 2]],
        "torch.ops.aten.index_put(x, [None, torch.tensor([0, 0])], y, True)" => {
            &[&[1_398_101, 3], &[1_398_101, 2]]
        }
        "x.index_copy(1, torch.tensor([2, 0]), y)" => &[&[1_398_101, 3], &[1_398_101, 2]],
        "x.masked_select(torch.tensor([True, False, True]))" => &[&[1_398_101, 3]],
        "x.masked_scatter(torch.tensor([True, False, True]), y)" => {
            &[&[1_398_101, 3], &[2_796_202]]
        }
        // Products.
        "x @ y" => &[&[SIDE, SIDE], &[SIDE, SIDE]],
        "x.bmm(y)" | "torch.einsum('bij,bjk->bik', x, y)" => &[&[64, 256, 256], &[64, 256, 256]],
        "x.dot(y)" => &[&[SIDE * SIDE], &[SIDE * SIDE]],
        "x.outer(y)" => &[&[SIDE], &[SIDE]],
        "x.addmm(y, z, beta=2.0, alpha=0.5)" => &[&[1024, 1024], &[1024, 1024], &[1024, 1024]],
        "F.linear(x, y, z)" => &[&[4096, 1024], &[1024, 1024], &[1024]],
        "torch.einsum('...ij,...jk->...ik', x, y)" => &[&[16, 1, 256, 256], &[4, 256, 256]],
        "torch.einsum('...i,...i', x, y)" => &[&[64, 1, 1024], &[64, 1024]],
        "torch.einsum('ij,jk->ik', x, y)" => &[&[SIDE, 1], &[SIDE, SIDE]],
        "torch.einsum('ii,i', x, y)" => &[&[SIDE, SIDE], &[SIDE]],
        // Normalization.
        "F.batch_norm(x, None, None, y, z, True, eps=0.1)" => &[&IMAGES, &[64], &[64]],
        "F.batch_norm(x, torch.ones(3), torch.full((3,), 2.0), y, z, eps=0.1)" => {
            &[&[1366, 3, 1024], &[3], &[3]]
        }
        "F.group_norm(x, 2, y, z, 0.1)" => &[&SIGNALS, &[64], &[64]],
        // Convolution and pooling.
        "F.conv1d(x, y, z, stride=2, padding=1, dilation=2, groups=2)" => {
            &[&SIGNALS, &[64, 32, 3], &[64]]
        }
        "F.conv2d(x, y, z)" => &[&IMAGES, &[64, 64, 3, 3], &[64]],
        "F.conv2d(x, y, stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2)" => {
            &[&IMAGES, &[64, 32, 3, 2]]
        }
        "F.conv2d(x, y, padding='same', dilation=(1, 3))" => &[&IMAGES, &[64, 64, 3, 3]],
        "F.conv1d(F.pad(x, (1, 2), mode='reflect'), y)" => &[&SIGNALS, &[64, 64, 4]],
        "F.conv_transpose1d(x, y, z, stride=2)" => &[&SIGNALS, &[64, 64, 3], &[64]],
        "F.conv_transpose2d(x, y, z, stride=2, padding=1, output_padding=(1, 0))" => {
            &[&IMAGES, &[64, 64, 3, 2], &[64]]
        }
        "F.adaptive_avg_pool1d(x, 3)"
        | "F.adaptive_max_pool1d(x, 3)"
        | "F.adaptive_max_pool1d(x, 5, return_indices=True)" => &[&SIGNALS],
        // Attention: queries, keys and values.
        "F.scaled_dot_product_attention(x, y, z)"
        | "F.scaled_dot_product_attention(x, y, z, is_causal=True, scale=0.3)"
        | "(w := (0.3 * x @ y.mT).softmax(-1)) @ z, w" => {
            &[&[64, 512, 64], &[64, 512, 64], &[64, 512, 64]]
        }
        "F.scaled_dot_product_attention(x, y, z, enable_gqa=True)" => {
            &[&[4, 16, 512, 64], &[4, 4, 512, 64], &[4, 4, 512, 64]]
        }
        // Rows, cosines and sines; the second rotates the first four features.
        "torch.cat([(a := x.chunk(2, -1))[0] * y - a[1] * z, a[1] * y + a[0] * z], -1)" => {
            &[&[64, 512, 64], &[512, 32], &[512, 32]]
        }
        "torch.cat([torch.stack([(a := x[..., 0:4:2]) * y - (b := x[..., 1:4:2]) * z, b * y + a * z], -1).flatten(-2), x[..., 4:]], -1)" => {
            &[&[64, 512, 64], &[512, 2], &[512, 2]]
        }

        other => match &trials[0][..] {
            [shape] => match shape.len() {
                1 => &[&[SIDE * SIDE]],
                2 => &[&[SIDE, SIDE]],
                3 => &[&[64, 256, 256]],
                4 => &[&IMAGES],
                _ => panic!("`{other}` needs shapes in benches/compare/operations.rs"),
            },
            _ => panic!("`{other}` needs shapes in benches/compare/operations.rs"),
        },
    };
    Ok(sizes.iter().map(|shape| shape.to_vec()).collect())
}

/// The range of a row's inputs; products of many elements stay finite.
fn range(row: &Row) -> Range<f64> {
    match &row.tried {
        _ if row.pytorch.contains("prod(") => 0.999..1.001,
        Tried::Elementwise(_, range) | Tried::Shapes(_, range) => range.clone(),
        Tried::Apart(_) => -2.0..2.0,
    }
}

/// Whether a gradient reaches an input of a row, tried on small ones.
fn is_differentiable(row: &Row) -> bool {
    let shapes = match &row.tried {
        Tried::Elementwise(operands, _) => &vec![vec![2, 3]; *operands],
        Tried::Shapes(trials, _) | Tried::Apart(trials) => &trials[0],
    };
    let leaf = |shape: &Vec<usize>| Tensor::<f32>::full(&shape[..], 0.7).requires_grad();
    let inputs: Vec<Tensor> = shapes.iter().map(leaf).collect();
    let mut outputs = (row.f32)(&inputs).into_iter();
    outputs.any(|output| matches!(output, Output::Tensor(y) if y.is_tracked()))
}

/// Every operation that is timed, and the rows that are not, with the reason.
fn operations() -> (Vec<Operation>, Vec<(&'static str, &'static str)>) {
    let (mut timed, mut left_out) = (replacements(), Vec::new());
    for row in table().into_iter().flat_map(|section| section.rows) {
        match shapes(&row) {
            Err(reason) => left_out.push((row.pytorch, reason)),
            Ok(shapes) => timed.push(Operation {
                range: range(&row),
                is_differentiable: is_differentiable(&row),
                ours: row.ours,
                pytorch: row.pytorch,
                setup: "",
                shapes,
                make: Box::new(move || Box::new(row.f32)),
            }),
        }
    }
    (timed, left_out)
}

/// `i · 7919 mod below` for each `i < len`, as the `setup` of each replacement computes it.
fn spread(len: usize, below: usize) -> Vec<usize> {
    (0..len).map(|i| i * 7919 % below).collect()
}

/// Large versions of rows that fix small sizes, and sizes that matter of their own.
fn replacements() -> Vec<Operation> {
    let square = || Indices::from_vec(spread(SIDE * SIDE, SIDE), [SIDE, SIDE]).unwrap();
    let pairs = || (Indices::from(spread(1 << 20, 2039)), Indices::from(spread(1 << 20, SIDE)));
    let one = |x: Tensor| vec![Output::Tensor(x)];
    let operation =
        |ours: &str, pytorch, setup, shapes: &[&[usize]], make: Box<dyn FnOnce() -> Run>| {
            let shapes = shapes.iter().map(|shape| shape.to_vec()).collect();
            let (ours, range) = (ours.into(), -2.0..2.0);
            Operation { ours, pytorch, setup, shapes, range, is_differentiable: true, make }
        };
    const SQUARE: &str = "i = (torch.arange(2048 * 2048) * 7919 % 2048).view(2048, 2048)";
    const PAIRS: &str =
        "i = torch.arange(1 << 20) * 7919 % 2039; j = torch.arange(1 << 20) * 7919 % 2048";
    vec![
        operation(
            "cross_entropy(x, &targets)",
            "F.cross_entropy(x, i)",
            "i = torch.arange(4096) * 7919 % 1024",
            &[&[4096, 1024]],
            Box::new(move || {
                let targets = spread(4096, 1024);
                Box::new(move |x| one(cross_entropy(&x[0], &targets)))
            }),
        ),
        operation(
            "linear_cross_entropy(x, y, None, &targets)",
            "F.linear_cross_entropy(x, y, i)",
            "i = torch.arange(512) * 7919 % 8192",
            &[&[512, 256], &[8192, 256]],
            Box::new(move || {
                let targets = spread(512, 8192);
                Box::new(move |x| one(linear_cross_entropy(&x[0], &x[1], None, &targets)))
            }),
        ),
        operation(
            "scaled_dot_product_attention(x, y, z, …causal_offset(448))",
            "F.scaled_dot_product_attention(x, y, z, i)",
            "i = torch.ones(64, 512).tril(448).bool()",
            &[&[64, 64, 64], &[64, 512, 64], &[64, 512, 64]],
            Box::new(move || {
                Box::new(move |x| {
                    let options = AttentionOptions::default().causal(true).causal_offset(448);
                    one(scaled_dot_product_attention(&x[0], &x[1], &x[2], options))
                })
            }),
        ),
        operation(
            "x.gather(1, &i)",
            "x.gather(1, i)",
            SQUARE,
            &[&[SIDE, SIDE]],
            Box::new(move || {
                let i = square();
                Box::new(move |x| one(x[0].gather(1, &i)))
            }),
        ),
        operation(
            "x.scatter_add(1, &i, y)",
            "x.scatter_add(1, i, y)",
            SQUARE,
            &[&[SIDE, SIDE], &[SIDE, SIDE]],
            Box::new(move || {
                let i = square();
                Box::new(move |x| one(x[0].scatter_add(1, &i, &x[1])))
            }),
        ),
        operation(
            "x.index_select(0, &i)",
            "x.index_select(0, i)",
            "i = torch.arange(2048) * 7919 % 2048",
            &[&[SIDE, SIDE]],
            Box::new(move || {
                let i = spread(SIDE, SIDE);
                Box::new(move |x| one(x[0].index_select(0, &i)))
            }),
        ),
        operation(
            "x.index_add(0, &i, y)",
            "x.index_add(0, i, y)",
            "i = torch.arange(2048) * 7919 % 2048",
            &[&[SIDE, SIDE], &[SIDE, SIDE]],
            Box::new(move || {
                let i = spread(SIDE, SIDE);
                Box::new(move |x| one(x[0].index_add(0, &i, &x[1])))
            }),
        ),
        operation(
            "x.embedding(&i)",
            "F.embedding(i, x)",
            "i = (torch.arange(8192) * 7919 % 8192).view(64, 128)",
            &[&[8192, 512]],
            Box::new(move || {
                let i = Indices::from_vec(spread(8192, 8192), [64, 128]).unwrap();
                Box::new(move |x| one(x[0].embedding(&i)))
            }),
        ),
        operation(
            "x.index((&i, &j))",
            "x[i, j]",
            PAIRS,
            &[&[SIDE, SIDE]],
            Box::new(move || {
                let (i, j) = pairs();
                Box::new(move |x| one(x[0].index((&i, &j))))
            }),
        ),
        operation(
            "x.index_put((&i, &j), y)",
            "x.index_put((i, j), y)",
            PAIRS,
            &[&[SIDE, SIDE], &[1 << 20]],
            Box::new(move || {
                let (i, j) = pairs();
                Box::new(move |x| one(x[0].index_put((&i, &j), &x[1])))
            }),
        ),
        operation(
            "x.index_put_accumulate((&i, &j), y)",
            "x.index_put((i, j), y, True)",
            PAIRS,
            &[&[SIDE, SIDE], &[1 << 20]],
            Box::new(move || {
                let (i, j) = pairs();
                Box::new(move |x| one(x[0].index_put_accumulate((&i, &j), &x[1])))
            }),
        ),
        operation(
            "x.layer_norm(&[1024], Some(y), Some(z), 1e-5)",
            "F.layer_norm(x, (1024,), y, z, 1e-5)",
            "",
            &[&[4096, 1024], &[1024], &[1024]],
            Box::new(move || {
                Box::new(move |x| one(x[0].layer_norm(&[1024], Some(&x[1]), Some(&x[2]), 1e-5)))
            }),
        ),
        operation(
            "x.rms_norm(&[1024], Some(y), 1e-5)",
            "F.rms_norm(x, (1024,), y, 1e-5)",
            "",
            &[&[4096, 1024], &[1024]],
            Box::new(move || Box::new(move |x| one(x[0].rms_norm(&[1024], Some(&x[1]), 1e-5)))),
        ),
        operation(
            "x.mean_dim(-1)",
            "x.mean(-1)",
            "",
            &[&[1 << 16, 64]],
            Box::new(move || Box::new(move |x| one(x[0].mean_dim(-1)))),
        ),
        operation(
            "x.topk(32, -1)",
            "x.topk(32, -1)",
            "",
            &[&[SIDE, SIDE]],
            Box::new(move || {
                Box::new(move |x| {
                    let (values, indices) = x[0].topk(32, -1);
                    vec![Output::Tensor(values), Output::Indices(indices)]
                })
            }),
        ),
        operation(
            "x.t().reshape([REST])",
            "x.t().reshape(-1)",
            "",
            &[&[SIDE, SIDE]],
            Box::new(move || Box::new(move |x| one(x[0].t().reshape([REST])))),
        ),
        operation(
            "x.dropout",
            "F.dropout(x, 0.1)",
            "",
            &[&[SIDE, SIDE]],
            Box::new(move || {
                let dropout = Dropout::new(0.1, &mut Generator::seed(0));
                Box::new(move |x| one(dropout.forward(&x[0])))
            }),
        ),
    ]
}

/// Prints the operations for `run.py`: fields that end at tabs. A first field of `-` marks a row
/// that is left out, with the reason.
pub(crate) fn list() {
    let (timed, left_out) = operations();
    for operation in timed {
        let Operation { ours, pytorch, setup, shapes, range, is_differentiable, .. } = operation;
        let sizes: Vec<String> = shapes
            .iter()
            .map(|shape| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
            .collect();
        let (sizes, Range { start, end }) = (sizes.join(";"), range);
        println!("{ours}\t{pytorch}\t{setup}\t{sizes}\t{start},{end}\t{is_differentiable}");
    }
    for (pytorch, reason) in left_out {
        println!("-\t{pytorch}\t{reason}");
    }
}

/// One operation, identified by its expression in PyTorch.
pub(crate) fn prepare(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let name = sizes.text("expression");
    let operation = operations().0.into_iter().find(|operation| operation.pytorch == name);
    let Operation { shapes, range, make, .. } =
        operation.unwrap_or_else(|| panic!("`{name}` is not timed"));
    let mut input = |shape: &Vec<usize>| Tensor::uniform(&shape[..], range.start, range.end, rng);
    let (inputs, run): (Vec<Tensor>, Run) = (shapes.iter().map(&mut input).collect(), make());
    if !sizes.backward() {
        return timed(move || run(&inputs));
    }
    let inputs: Vec<Tensor> = inputs.into_iter().map(Tensor::requires_grad).collect();
    // The gradient arrives at the first output that has one.
    let tracked = |outputs: Vec<Output<f32>>| {
        outputs.into_iter().find_map(|output| match output {
            Output::Tensor(y) if y.is_tracked() => Some(y),
            _ => None,
        })
    };
    let gradient = Tensor::ones(tracked(run(&inputs)).expect("a differentiable operation").shape());
    timed(move || {
        inputs.iter().for_each(Tensor::zero_grad);
        tracked(run(&inputs)).expect("as before").backward_with(&gradient);
    })
}

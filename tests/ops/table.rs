//! Every operation, once: the expressions here and in PyTorch, and the inputs to test it on. The
//! tests of gradients, PyTorch's values, documentation and determinism all use this table, and so
//! does `benches/compare`.

use adamant::prelude::*;
use adamant::tensor::{
    AttentionOptions, AvgPool2dOptions, Conv1dParams, Conv2dParams, Float, Indices, Mask,
    MaxPool2dOptions, REST, linear_cross_entropy_losses, scaled_dot_product_attention,
    scaled_dot_product_attention_with_weights,
};
use std::ops::Range;

pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// An expression in tensors `x`, `y` and `z`.
pub(crate) struct Row {
    pub(crate) ours: String,
    pub(crate) pytorch: &'static str,
    /// The difference from PyTorch, if there is one.
    pub(crate) note: &'static str,
    pub(crate) tried: Tried,
    pub(crate) f32: fn(&[Tensor<f32>]) -> Vec<Output<f32>>,
    #[cfg(test)] // half the time to compile `benches/compare`
    pub(crate) f64: fn(&[Tensor<f64>]) -> Vec<Output<f64>>,
}

/// The inputs to test an operation on.
#[derive(Clone)]
pub(crate) enum Tried {
    /// This number of operands, of any shapes that broadcast, with elements from a range in which
    /// the operation is smooth.
    Elementwise(usize, Range<f64>),
    /// Operands of these shapes, a list for each trial.
    Shapes(Vec<Vec<Vec<usize>>>, Range<f64>),
    /// Like `Shapes`, for an operation with kinks at equal elements: the elements are far apart.
    Apart(Vec<Vec<Vec<usize>>>),
}

impl Row {
    fn note(self, note: &'static str) -> Row {
        Row { note, ..self }
    }
}

/// A result of an operation, as the operation returns it.
pub(crate) enum Output<T: Float> {
    Tensor(Tensor<T>),
    Mask(Mask),
    Indices(Indices),
    Value(f64),
}

impl<T: Float> Output<T> {
    pub(crate) fn into_tensor(self) -> Tensor<T> {
        match self {
            Output::Tensor(tensor) => tensor,
            Output::Mask(mask) => mask.to_tensor(),
            Output::Indices(indices) => {
                let values = indices.to_vec().into_iter().map(|i| T::from_f64(i as f64)).collect();
                Tensor::from_vec(values, indices.shape()).unwrap()
            }
            Output::Value(value) => Tensor::scalar(T::from_f64(value)),
        }
    }
}

/// The results of a row as tensors.
pub(crate) fn tensors<T: Float>(outputs: Vec<Output<T>>) -> Vec<Tensor<T>> {
    outputs.into_iter().map(Output::into_tensor).collect()
}

/// Collects the results of an operation.
trait Outputs<T: Float> {
    fn outputs(self) -> Vec<Output<T>>;
}

impl<T: Float> Outputs<T> for Tensor<T> {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Tensor(self)]
    }
}

impl<T: Float> Outputs<T> for Mask {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Mask(self)]
    }
}

impl<T: Float> Outputs<T> for bool {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Value(f64::from(self))]
    }
}

impl<T: Float> Outputs<T> for usize {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Value(self as f64)]
    }
}

impl<T: Float> Outputs<T> for Indices {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Indices(self)]
    }
}

impl<T: Float> Outputs<T> for Vec<usize> {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Indices(Indices::from(self))]
    }
}

impl<T: Float> Outputs<T> for Vec<Tensor<T>> {
    fn outputs(self) -> Vec<Output<T>> {
        self.into_iter().map(Output::Tensor).collect()
    }
}

impl<T: Float> Outputs<T> for (Tensor<T>, Tensor<T>) {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Tensor(self.0), Output::Tensor(self.1)]
    }
}

impl<T: Float> Outputs<T> for (Tensor<T>, Indices) {
    fn outputs(self) -> Vec<Output<T>> {
        vec![Output::Tensor(self.0), Output::Indices(self.1)]
    }
}

/// A row: `op!(tried, |x, y| ours, "PyTorch's")`.
macro_rules! op {
    ($tried:expr, |$($x:ident),*| $ours:expr, $pytorch:literal) => {
        Row {
            ours: stringify!($ours).split_whitespace().collect::<Vec<_>>().join(" "),
            pytorch: $pytorch,
            note: "",
            tried: $tried,
            f32: |inputs| {
                let [$($x),*] = inputs else { panic!("one input for each name in the row") };
                Outputs::<f32>::outputs($ours)
            },
            #[cfg(test)]
            f64: |inputs| {
                let [$($x),*] = inputs else { panic!("one input for each name in the row") };
                Outputs::<f64>::outputs($ours)
            },
        }
    };
}

fn section(title: &'static str, rows: Vec<Row>) -> Section {
    Section { title, rows }
}

/// One trial for each list of shapes: `shapes(&[&[&[2, 3], &[3]], …])`.
fn lists(trials: &[&[&[usize]]]) -> Vec<Vec<Vec<usize>>> {
    trials.iter().map(|trial| trial.iter().map(|shape| shape.to_vec()).collect()).collect()
}

fn shapes(trials: &[&[&[usize]]]) -> Tried {
    Tried::Shapes(lists(trials), -2.0..2.0)
}

fn positive(trials: &[&[&[usize]]]) -> Tried {
    Tried::Shapes(lists(trials), 0.5..2.0)
}

fn apart(trials: &[&[&[usize]]]) -> Tried {
    Tried::Apart(lists(trials))
}

pub(crate) fn table() -> Vec<Section> {
    let one = || Tried::Elementwise(1, -2.0..2.0);
    let two = || Tried::Elementwise(2, -2.0..2.0);
    let above_zero = || Tried::Elementwise(1, 0.5..2.0);
    let two_above_zero = || Tried::Elementwise(2, 0.5..2.0);
    // Inputs of reductions and changes of shape.
    let any = || shapes(&[&[&[2, 3]], &[&[]], &[&[1]], &[&[0, 3]], &[&[2, 3, 4]]]);
    let any_full = || shapes(&[&[&[2, 3]], &[&[]], &[&[1]], &[&[2, 3, 4]]]);
    let dims = || shapes(&[&[&[2, 3]], &[&[1, 1]], &[&[0, 3]], &[&[2, 3, 4]]]);
    let several = || shapes(&[&[&[2, 3]], &[&[7]], &[&[2, 3, 4]]]);
    let dims_apart = || apart(&[&[&[2, 3]], &[&[1, 1]], &[&[2, 3, 4]]]);
    let three_dims = || shapes(&[&[&[2, 3, 4]], &[&[2, 1, 3]], &[&[1, 3, 0]]]);
    let matrix = || shapes(&[&[&[3, 4]], &[&[1, 1]], &[&[0, 2]]]);
    vec![
        section(
            "Arithmetic",
            vec![
                op!(two(), |x, y| x + y, "x + y"),
                op!(two(), |x, y| x - y, "x - y"),
                op!(two(), |x, y| x * y, "x * y"),
                op!(two_above_zero(), |x, y| x / y, "x / y"),
                op!(one(), |x| x + 1.5, "x + 1.5"),
                op!(one(), |x| 1.5 - x, "1.5 - x"),
                op!(one(), |x| x - 1.5, "x - 1.5"),
                op!(one(), |x| x * 3.0, "x * 3.0"),
                op!(one(), |x| x / 3.0, "x / 3.0"),
                op!(above_zero(), |x| 3.0 / x, "3.0 / x"),
                op!(one(), |x| -x, "-x"),
                op!(two_above_zero(), |x, y| x.div_trunc(y), "x.div(y, rounding_mode='trunc')"),
                op!(two_above_zero(), |x, y| x.div_floor(y), "x.div(y, rounding_mode='floor')"),
                op!(one(), |x| x.div_floor(-0.1), "x.div(-0.1, rounding_mode='floor')"),
            ],
        ),
        section(
            "Functions of each element",
            vec![
                op!(one(), |x| x.abs(), "x.abs()"),
                op!(one(), |x| x.sign(), "x.sign()"),
                op!(one(), |x| x.square(), "x.square()"),
                op!(above_zero(), |x| x.sqrt(), "x.sqrt()"),
                op!(above_zero(), |x| x.rsqrt(), "x.rsqrt()"),
                op!(above_zero(), |x| x.reciprocal(), "x.reciprocal()"),
                op!(one(), |x| x.exp(), "x.exp()"),
                op!(one(), |x| x.expm1(), "x.expm1()"),
                op!(above_zero(), |x| x.log(), "x.log()"),
                op!(above_zero(), |x| x.log1p(), "x.log1p()"),
                op!(above_zero(), |x| x.log2(), "x.log2()"),
                op!(one(), |x| x.sin(), "x.sin()"),
                op!(one(), |x| x.cos(), "x.cos()"),
                op!(two_above_zero(), |x, y| x.atan2(y), "x.atan2(y)"),
                op!(one(), |x| x.tanh(), "x.tanh()"),
                op!(one(), |x| x.sigmoid(), "x.sigmoid()"),
                op!(one(), |x| x.relu(), "x.relu()"),
                op!(one(), |x| x.leaky_relu(0.01), "F.leaky_relu(x, 0.01)"),
                op!(one(), |x| x.elu(1.0), "F.elu(x, 1.0)"),
                op!(one(), |x| x.gelu(), "F.gelu(x)"),
                op!(one(), |x| x.gelu_tanh(), "F.gelu(x, approximate='tanh')"),
                op!(one(), |x| x.silu(), "F.silu(x)"),
                op!(one(), |x| x.softplus(1.0, 20.0), "F.softplus(x, 1.0, 20.0)"),
                op!(one(), |x| x.softplus(2.0, 1.0), "F.softplus(x, 2.0, 1.0)"),
                op!(one(), |x| x.softsign(), "F.softsign(x)"),
                op!(one(), |x| x.hardtanh(-1.0, 1.0), "F.hardtanh(x, -1.0, 1.0)"),
                op!(one(), |x| x.relu6(), "F.relu6(x)"),
                op!(one(), |x| x.threshold(0.1, 20.0), "F.threshold(x, 0.1, 20.0)"),
                op!(one(), |x| x.hardsigmoid(), "F.hardsigmoid(x)"),
                op!(one(), |x| x.hardswish(), "F.hardswish(x)"),
                op!(one(), |x| x.mish(), "F.mish(x)"),
                op!(one(), |x| x.logsigmoid(), "F.logsigmoid(x)"),
                op!(one(), |x| x.selu(), "F.selu(x)"),
                op!(one(), |x| x.celu(0.5), "F.celu(x, 0.5)"),
                op!(
                    shapes(&[&[&[2, 3], &[2, 3]], &[&[], &[]], &[&[0, 3], &[0, 3]]]),
                    |x, y| swiglu(x, y),
                    "F.silu(x) * y"
                ),
                op!(one(), |x| x.erf(), "x.erf()"),
                op!(one(), |x| x.powf(2.0), "x.pow(2.0)"),
                op!(above_zero(), |x| x.powf(2.5), "x.pow(2.5)"),
                op!(above_zero(), |x| x.powf(0.5), "x.pow(0.5)"),
                op!(above_zero(), |x| x.powf(-0.5), "x.pow(-0.5)"),
                op!(one(), |x| x.powf(0.0), "x.pow(0.0)"),
                op!(one(), |x| x.powf(1.0), "x.pow(1.0)"),
                op!(one(), |x| x.powi(3), "x.pow(3)"),
                op!(above_zero(), |x| x.powi(-2), "x.pow(-2)"),
                op!(two_above_zero(), |x, y| x.pow(y), "x.pow(y)"),
                op!(one(), |x| x.clamp(-1.0, 0.5), "x.clamp(-1.0, 0.5)"),
                op!(one(), |x| x.clamp(0.0, f64::INFINITY), "x.clamp(0.0, float('inf'))"),
                op!(one(), |x| x.clamp_min(0.5), "x.clamp_min(0.5)"),
                op!(one(), |x| x.clamp_max(0.5), "x.clamp(max=0.5)"),
                op!(two(), |x, y| x.clamp_min(y), "x.clamp(min=y)"),
                op!(two(), |x, y| x.clamp_max(y), "x.clamp_max(y)"),
                op!(Tried::Elementwise(3, -2.0..2.0), |x, y, z| x.clamp(y, z), "x.clamp(y, z)"),
                op!(one(), |x| x.clamp(1.0, -1.0), "x.clamp(1.0, -1.0)"),
                op!(
                    Tried::Apart(lists(&[&[&[2, 3], &[3]], &[&[], &[2]], &[&[0, 2], &[1]]])),
                    |x, y| x.minimum(y),
                    "torch.minimum(x, y)"
                ),
                op!(
                    Tried::Apart(lists(&[&[&[2, 3], &[3]], &[&[], &[2]], &[&[0, 2], &[1]]])),
                    |x, y| x.maximum(y),
                    "torch.maximum(x, y)"
                ),
                op!(two(), |x, y| x.where_(&x.gt(0.5), y), "x.where(x > 0.5, y)"),
                op!(one(), |x| x.masked_fill(&x.gt(0.5), 2.0), "x.masked_fill(x > 0.5, 2.0)"),
                op!(two(), |x, y| x.lerp(y, 0.25), "x.lerp(y, 0.25)"),
                op!(Tried::Elementwise(3, -2.0..2.0), |x, y, z| x.lerp(y, z), "x.lerp(y, z)"),
                op!(one(), |x| x.floor(), "x.floor()"),
                op!(one(), |x| x.ceil(), "x.ceil()"),
                op!(one(), |x| x.round(), "x.round()"),
                op!(one(), |x| x.round_decimals(1), "x.round(decimals=1)"),
                op!(one(), |x| x.round_decimals(-1), "x.round(decimals=-1)"),
            ],
        ),
        section(
            "Comparisons",
            vec![
                op!(two(), |x, y| x.eq(y), "x == y"),
                op!(two(), |x, y| x.ne(y), "x != y"),
                op!(two(), |x, y| x.lt(y), "x < y"),
                op!(two(), |x, y| x.le(y), "x <= y"),
                op!(two(), |x, y| x.gt(y), "x > y"),
                op!(two(), |x, y| x.ge(y), "x >= y"),
                op!(one(), |x| x.ge(1.0), "x >= 1.0"),
                op!(one(), |x| x.isnan(), "x.isnan()"),
                op!(one(), |x| x.isfinite(), "x.isfinite()"),
                op!(any(), |x| x.gt(0.0).any(), "(x > 0).any()"),
                op!(any(), |x| x.gt(0.0).all(), "(x > 0).all()"),
                op!(dims(), |x| x.gt(0.0).any_dim(keepdim(1)), "(x > 0).any(1, True)"),
                op!(dims(), |x| x.gt(0.0).all_dim(0), "(x > 0).all(0)"),
                op!(any(), |x| x.gt(0.0).count(), "(x > 0).count_nonzero()"),
                op!(dims(), |x| x.gt(0.0).count_dim([0, -1]), "(x > 0).count_nonzero((0, -1))"),
                op!(any(), |x| x.any(), "x.any()"),
                op!(any(), |x| x.all(), "x.all()"),
                op!(any(), |x| x.count_nonzero(), "x.count_nonzero()"),
                op!(dims(), |x| x.any_dim([0, 1]), "x.any((0, 1))"),
                op!(dims(), |x| x.all_dim(keepdim(-1)), "x.all(-1, True)"),
                op!(dims(), |x| x.count_nonzero_dim(1), "x.count_nonzero(1)"),
                op!(shapes(&[&[&[]]]), |x| x.any_dim(keepdim(0)), "x.any(0, True)"),
                op!(shapes(&[&[&[]]]), |x| x.all_dim(-1), "x.all(-1)"),
                op!(shapes(&[&[&[]]]), |x| x.count_nonzero_dim(0), "x.count_nonzero(0)"),
            ],
        ),
        section(
            "Reductions",
            vec![
                op!(any(), |x| x.sum(), "x.sum()"),
                op!(dims(), |x| x.sum_dim(0), "x.sum(0)"),
                op!(dims(), |x| x.sum_dim(keepdim([0, -1])), "x.sum((0, -1), True)"),
                op!(shapes(&[&[&[]]]), |x| x.sum_dim(keepdim(-1)), "x.sum(-1, True)"),
                op!(any_full(), |x| x.mean(), "x.mean()"),
                op!(dims(), |x| x.mean_dim(keepdim(1)), "x.mean(1, True)"),
                op!(several(), |x| x.var(1), "x.var()"),
                op!(dims(), |x| x.var_dim(-1, 0), "x.var(-1, correction=0)"),
                op!(apart(&[&[&[2, 3]], &[&[2, 3, 4]]]), |x| x.std(1), "x.std()"),
                op!(
                    apart(&[&[&[2, 3]], &[&[2, 3, 4]]]),
                    |x| x.std_dim(keepdim(1), 1),
                    "x.std(1, keepdim=True)"
                ),
                op!(several(), |x| x.var(1.5), "x.var(correction=1.5)"),
                op!(
                    shapes(&[&[&[2, 3]], &[&[2, 3, 4]]]),
                    |x| x.var_dim([0, -1], 2.5),
                    "x.var((0, -1), correction=2.5)"
                ),
                op!(
                    apart(&[&[&[2, 3]], &[&[2, 3, 4]]]),
                    |x| x.std_dim(keepdim([0, 1]), 0.5),
                    "x.std((0, 1), correction=0.5, keepdim=True)"
                ),
                op!(dims_apart(), |x| x.max(), "x.max()"),
                op!(dims_apart(), |x| x.min(), "x.min()"),
                op!(dims_apart(), |x| x.max_dim(1), "x.max(1)"),
                op!(dims_apart(), |x| x.min_dim(keepdim(0)), "x.min(0, True)"),
                op!(dims_apart(), |x| x.amax([0, 1]), "x.amax((0, 1))"),
                op!(dims_apart(), |x| x.amin(keepdim(-1)), "x.amin(-1, True)"),
                op!(any_full(), |x| x.prod(), "x.prod()"),
                op!(dims(), |x| x.prod_dim(1), "x.prod(1)"),
                op!(dims(), |x| x.logsumexp(1), "x.logsumexp(1)"),
                op!(
                    any_full(),
                    |x| x.logsumexp(keepdim(..)),
                    "x.logsumexp(tuple(range(x.dim())), True)"
                ),
                op!(dims_apart(), |x| x.norm(1.0), "x.norm(1)"),
                op!(dims_apart(), |x| x.norm(2.0), "x.norm()"),
                op!(dims_apart(), |x| x.norm_dim(2.0, 1), "x.norm(2, 1)"),
                op!(dims_apart(), |x| x.norm(0.0), "x.norm(0)"),
                op!(dims_apart(), |x| x.norm(0.5), "x.norm(0.5)"),
                op!(dims_apart(), |x| x.norm(1.5), "x.norm(1.5)"),
                op!(dims_apart(), |x| x.norm_dim(3.0, 1), "x.norm(3, 1)"),
                op!(dims_apart(), |x| x.norm_dim(-1.0, 1), "x.norm(-1, 1)"),
                op!(dims_apart(), |x| x.norm(f64::NEG_INFINITY), "x.norm(float('-inf'))"),
                op!(
                    dims_apart(),
                    |x| x.norm_dim(f64::INFINITY, keepdim(0)),
                    "x.norm(float('inf'), 0, True)"
                ),
                op!(dims_apart(), |x| x.argmax(1), "x.argmax(1).flatten()")
                    .note("a `Vec<usize>`, row-major"),
                op!(dims_apart(), |x| x.argmin(0), "x.argmin(0).flatten()")
                    .note("a `Vec<usize>`, row-major"),
                op!(dims(), |x| x.cumsum(1), "x.cumsum(1)"),
                op!(
                    positive(&[&[&[2, 3]], &[&[1, 1]], &[&[0, 3]], &[&[2, 3, 4]]]),
                    |x| x.cumprod(0),
                    "x.cumprod(0)"
                ),
                op!(dims(), |x| x.softmax(1), "x.softmax(1)"),
                op!(dims(), |x| x.log_softmax(-1), "x.log_softmax(-1)"),
                op!(shapes(&[&[&[]]]), |x| x.softmax(0), "x.softmax(0)"),
                op!(shapes(&[&[&[]]]), |x| x.log_softmax(0), "x.log_softmax(0)"),
                op!(shapes(&[&[&[]]]), |x| x.cumsum(-1), "x.cumsum(-1)"),
                op!(shapes(&[&[&[]]]), |x| x.cumprod(-1), "x.cumprod(-1)"),
                op!(shapes(&[&[&[]]]), |x| x.max_dim(keepdim(0)), "x.max(0, True)"),
                op!(shapes(&[&[&[]]]), |x| x.min_dim(0), "x.min(0)"),
                op!(shapes(&[&[&[]]]), |x| x.sort(-1), "x.sort(dim=-1, stable=True)"),
                op!(shapes(&[&[&[]]]), |x| x.topk_smallest(1, 0), "x.topk(1, 0, largest=False)"),
                op!(shapes(&[&[&[]]]), |x| x.argmax(0), "x.argmax(0).flatten()"),
                op!(shapes(&[&[&[]]]), |x| x.argmin(-1), "x.argmin(-1).flatten()"),
                op!(dims_apart(), |x| x.flatten(0, -1).argmax(0), "x.argmax().flatten()"),
                op!(dims_apart(), |x| x.max_dim(keepdim(1)).1, "x.argmax(1, keepdim=True)"),
                op!(
                    shapes(&[&[&[2, 3]], &[&[2, 4]]]),
                    |x| cross_entropy(x, &[2, 0]),
                    "F.cross_entropy(x, torch.tensor([2, 0]))"
                ),
                op!(
                    shapes(&[&[&[2, 4], &[3, 4], &[3]]]),
                    |x, y, z| linear_cross_entropy(x, y, Some(z), &[2, 0]),
                    "F.linear_cross_entropy(x, y, torch.tensor([2, 0]), linear_bias=z)"
                ),
                op!(
                    shapes(&[&[&[2, 4], &[3, 4]]]),
                    |x, y| linear_cross_entropy_losses(
                        x,
                        y,
                        None,
                        &[2, 0],
                        Some(&Tensor::from([0.5, 2.0, 1.25])),
                        0.1
                    ),
                    "F.linear_cross_entropy(x, y, torch.tensor([2, 0]), weight=torch.tensor([0.5, 2.0, 1.25]), label_smoothing=0.1, reduction='none')"
                ),
            ],
        ),
        section(
            "Shapes",
            vec![
                op!(shapes(&[&[&[2, 6]]]), |x| x.reshape([3, REST]), "x.reshape(3, -1)"),
                op!(dims(), |x| x.flatten(0, -1), "x.flatten()"),
                op!(dims(), |x| x.unsqueeze(-1), "x.unsqueeze(-1)"),
                op!(shapes(&[&[&[1, 3, 1]]]), |x| x.squeeze(..), "x.squeeze()"),
                op!(shapes(&[&[&[1, 3, 1]]]), |x| x.squeeze(0), "x.squeeze(0)"),
                op!(dims(), |x| x.transpose(0, -1), "x.transpose(0, -1)"),
                op!(matrix(), |x| x.t(), "x.t()"),
                op!(three_dims(), |x| x.permute([2, 0, 1]), "x.permute(2, 0, 1)"),
                op!(shapes(&[&[&[3, 1]], &[&[1]]]), |x| x.expand([2, 3, 4]), "x.expand(2, 3, 4)"),
                op!(
                    shapes(&[&[&[3, 1]], &[&[]]]),
                    |x| x.broadcast_to([2, 3, 4]),
                    "x.broadcast_to((2, 3, 4))"
                ),
                op!(shapes(&[&[&[2, 5]]]), |x| x.narrow(1, 1, 3), "x.narrow(1, 1, 3)"),
                op!(shapes(&[&[&[2, 5]]]), |x| x.slice(1, 1.., 2), "x[:, 1::2]"),
                op!(dims(), |x| x.select(-1, 0), "x.select(-1, 0)"),
                op!(shapes(&[&[&[5, 2]]]), |x| x.split(2, 0), "x.split(2, 0)"),
                op!(
                    shapes(&[&[&[4, 2]]]),
                    |x| x.split_with_sizes(&[1, 0, 3], 0),
                    "x.split([1, 0, 3], 0)"
                ),
                op!(shapes(&[&[&[5, 2]]]), |x| x.chunk(3, 0), "x.chunk(3, 0)"),
                op!(
                    shapes(&[&[&[2, 3], &[2, 1]], &[&[0, 2], &[0, 2]]]),
                    |x, y| Tensor::cat(&[x, y], 1),
                    "torch.cat([x, y], 1)"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2, 3]]]),
                    |x, y| Tensor::stack(&[x, y], -1),
                    "torch.stack([x, y], -1)"
                ),
                op!(dims(), |x| x.flip([0, 1]), "x.flip((0, 1))"),
                op!(shapes(&[&[&[2, 3]]]), |x| x.repeat(&[2, 1, 3]), "x.repeat(2, 1, 3)"),
                op!(dims(), |x| x.roll(-2, 1), "x.roll(-2, 1)").note("one dimension at a time"),
                op!(
                    shapes(&[&[&[2, 3]]]),
                    |x| x.pad(&[(1, -1), (0, 2)], 0.5),
                    "F.pad(x, (1, -1, 0, 2), value=0.5)"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]], &[&[0, 2, 3]]]),
                    |x| x.pad_mode(&[(3, 1), (1, 2)], PadMode::Circular),
                    "F.pad(x, (3, 1, 1, 2), mode='circular')"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]]]),
                    |x| x.pad_mode(&[(3, 1), (0, 2)], PadMode::Reflect),
                    "F.pad(x, (3, 1, 0, 2), mode='reflect')"
                ),
                op!(
                    shapes(&[&[&[2, 3, 1]]]),
                    |x| x.pad_mode(&[(3, 1), (0, 5)], PadMode::Replicate),
                    "F.pad(x, (3, 1, 0, 5), mode='replicate')"
                ),
                op!(
                    shapes(&[&[&[2, 3]]]),
                    |x| x.pad(&[(-2, 3), (3, -2)], 0.5),
                    "F.pad(x, (-2, 3, 3, -2), value=0.5)"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]]]),
                    |x| x.pad_mode(&[(-1, 2), (1, -1)], PadMode::Circular),
                    "F.pad(x, (-1, 2, 1, -1), mode='circular')"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]]]),
                    |x| x.pad_mode(&[(-1, 2), (2, -1)], PadMode::Reflect),
                    "F.pad(x, (-1, 2, 2, -1), mode='reflect')"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]]]),
                    |x| x.pad_mode(&[(-5, 6), (2, -1)], PadMode::Replicate),
                    "F.pad(x, (-5, 6, 2, -1), mode='replicate')"
                ),
                op!(dims(), |x| x.tril(0), "x.tril()"),
                op!(dims(), |x| x.triu(-1), "x.triu(-1)"),
                op!(three_dims(), |x| x.diagonal(1, 0, 2), "x.diagonal(1, 0, 2)"),
                op!(shapes(&[&[&[5, 2]]]), |x| x.unfold(0, 3, 1), "x.unfold(0, 3, 1)"),
            ],
        ),
        section(
            "Indexing",
            vec![
                op!(
                    shapes(&[&[&[2, 3]], &[&[3, 4]]]),
                    |x| x.gather(1, &Indices::from([[0, 0, 2], [2, 1, 1]])),
                    "x.gather(1, torch.tensor([[0, 0, 2], [2, 1, 1]]))"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2, 3]]]),
                    |x, y| x.scatter_add(1, &Indices::from([[0, 0, 2], [2, 1, 1]]), y),
                    "x.scatter_add(1, torch.tensor([[0, 0, 2], [2, 1, 1]]), y)"
                )
                .note("source and indices have equal shapes"),
                op!(
                    shapes(&[&[&[3, 2]]]),
                    |x| x.index_select(0, &[2, 0, 2]),
                    "x.index_select(0, torch.tensor([2, 0, 2]))"
                ),
                op!(
                    shapes(&[&[&[]]]),
                    |x| x.index_select(0, &[0]),
                    "x.index_select(0, torch.tensor([0]))"
                ),
                op!(
                    shapes(&[&[&[3, 2], &[3, 3]]]),
                    |x, y| x.index_add(1, &[1, 0, 1], y),
                    "x.index_add(1, torch.tensor([1, 0, 1]), y)"
                ),
                op!(
                    shapes(&[&[&[4, 3]]]),
                    |x| x.embedding(&Indices::from([[1, 1], [3, 0]])),
                    "F.embedding(torch.tensor([[1, 1], [3, 0]]), x)"
                )
                .note("the table comes first"),
                op!(
                    shapes(&[&[&[2, 3]], &[&[2, 3, 2]]]),
                    |x| x.index((&Indices::from([0, 1, 1]), &Indices::from([2, 0, 0]))),
                    "x[torch.tensor([0, 1, 1]), torch.tensor([2, 0, 0])]"
                ),
                op!(
                    shapes(&[&[&[2, 2, 3]], &[&[0, 2, 3]]]),
                    |x| x.index((.., [-1, 0], [0, 2])),
                    "x[:, [-1, 0], [0, 2]]"
                ),
                op!(
                    shapes(&[&[&[2, 3, 2]], &[&[2, 3, 2, 2]]]),
                    |x| x.index((&Indices::from([[0], [1]]), .., [0, -1])),
                    "x[torch.tensor([[0], [1]]), :, [0, -1]]"
                ),
                op!(dims_apart(), |x| x.index(&x.gt(0.5)), "x[x > 0.5]"),
                op!(
                    shapes(&[&[&[3, 2]], &[&[3]]]),
                    |x| x.index(&Mask::from([true, false, true])),
                    "x[torch.tensor([True, False, True])]"
                ),
                op!(
                    shapes(&[&[&[2, 2, 2]]]),
                    |x| x.index((.., &Mask::from([[true, false], [true, true]]))),
                    "x[:, torch.tensor([[True, False], [True, True]])]"
                ),
                op!(
                    shapes(&[&[&[]], &[&[2]]]),
                    |x| x.index(&Mask::from(true)),
                    "x[torch.tensor(True)]"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2]], &[&[2, 3, 2], &[1]], &[&[2, 3], &[]]]),
                    |x, y| x.index_put(([0, 1], [2, -1]), y),
                    "x.index_put((torch.tensor([0, 1]), torch.tensor([2, -1])), y)"
                )
                .note("the last of equal indices wins"),
                op!(
                    dims_apart(),
                    |x| x.index_put(&x.gt(0.5), 2.0),
                    "x.index_put((x > 0.5,), torch.tensor(2.0))"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2, 2]], &[&[2, 3], &[2]], &[&[2, 3, 2], &[2, 1, 1]]]),
                    |x, y| {
                        x.index_put_accumulate((&Indices::from([[1, 1], [0, 1]]), [2, 0]), y)
                    },
                    "x.index_put((torch.tensor([[1, 1], [0, 1]]), torch.tensor([2, 0])), y, True)"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2, 2]], &[&[0, 3], &[2]]]),
                    |x, y| x.index_put_accumulate((.., [0, 0]), y),
                    "torch.ops.aten.index_put(x, [None, torch.tensor([0, 0])], y, True)"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[2, 2]], &[&[0, 3], &[0, 2]]]),
                    |x, y| x.index_copy(1, &[2, 0], y),
                    "x.index_copy(1, torch.tensor([2, 0]), y)"
                )
                .note("the last of equal indices wins"),
                op!(
                    shapes(&[&[&[], &[1]]]),
                    |x, y| x.index_copy(0, &[0], y),
                    "x.index_copy(0, torch.tensor([0]), y)"
                ),
                op!(dims_apart(), |x| x.masked_select(&x.gt(0.5)), "x.masked_select(x > 0.5)"),
                op!(
                    shapes(&[&[&[2, 3]], &[&[2, 1]], &[&[]]]),
                    |x| x.masked_select(&Mask::from([true, false, true])),
                    "x.masked_select(torch.tensor([True, False, True]))"
                ),
                op!(
                    shapes(&[&[&[2, 3], &[4]], &[&[2, 1], &[2, 3]]]),
                    |x, y| x.masked_scatter(&Mask::from([true, false, true]), y),
                    "x.masked_scatter(torch.tensor([True, False, True]), y)"
                ),
                op!(dims_apart(), |x| x.topk(1, 0), "x.topk(1, 0)"),
                op!(dims_apart(), |x| x.topk_smallest(1, -1), "x.topk(1, -1, largest=False)"),
                op!(dims_apart(), |x| x.sort(1), "x.sort(dim=1, stable=True)")
                    .note("always stable"),
                op!(
                    dims_apart(),
                    |x| x.sort_descending(0),
                    "x.sort(dim=0, descending=True, stable=True)"
                ),
            ],
        ),
        section(
            "Products of matrices",
            vec![
                op!(
                    shapes(&[
                        &[&[2, 3], &[3, 4]],
                        &[&[3], &[3]],
                        &[&[3], &[3, 2]],
                        &[&[2, 3], &[3]],
                        &[&[2, 0], &[0, 3]],
                        &[&[2, 2, 3], &[3, 2]],
                        &[&[2, 3], &[2, 3, 2]],
                        &[&[2, 1, 2, 3], &[3, 3, 2]],
                        &[&[0, 2, 3], &[3, 2]],
                    ]),
                    |x, y| x.matmul(y),
                    "x @ y"
                ),
                op!(shapes(&[&[&[2, 2, 3], &[2, 3, 2]]]), |x, y| x.bmm(y), "x.bmm(y)"),
                op!(shapes(&[&[&[3], &[3]], &[&[0], &[0]]]), |x, y| x.dot(y), "x.dot(y)"),
                op!(shapes(&[&[&[3], &[2]]]), |x, y| x.outer(y), "x.outer(y)"),
                op!(
                    shapes(&[&[&[2, 2], &[2, 3], &[3, 2]], &[&[2], &[2, 3], &[3, 2]]]),
                    |x, y, z| x.addmm(y, z, 2.0, 0.5),
                    "x.addmm(y, z, beta=2.0, alpha=0.5)"
                ),
                op!(
                    shapes(&[
                        &[&[2, 3], &[4, 3], &[4]],
                        &[&[3], &[4, 3], &[4]],
                        &[&[2, 2, 3], &[4, 3], &[4]]
                    ]),
                    |x, y, z| x.linear(y, Some(z)),
                    "F.linear(x, y, z)"
                ),
                op!(
                    shapes(&[&[&[2, 3, 2], &[2, 2, 4]]]),
                    |x, y| Tensor::einsum("bij,bjk->bik", &[x, y]),
                    "torch.einsum('bij,bjk->bik', x, y)"
                ),
                op!(
                    shapes(&[&[&[2, 1, 2, 3], &[4, 3, 2]]]),
                    |x, y| Tensor::einsum("...ij,...jk->...ik", &[x, y]),
                    "torch.einsum('...ij,...jk->...ik', x, y)"
                ),
                op!(
                    shapes(&[&[&[2, 3, 4]]]),
                    |x| Tensor::einsum("j...i", &[x]),
                    "torch.einsum('j...i', x)"
                ),
                op!(
                    shapes(&[&[&[2, 1, 3], &[4, 3]]]),
                    |x, y| Tensor::einsum("...i,...i", &[x, y]),
                    "torch.einsum('...i,...i', x, y)"
                ),
                op!(
                    shapes(&[&[&[2, 1], &[3, 4]]]),
                    |x, y| Tensor::einsum("ij,jk->ik", &[x, y]),
                    "torch.einsum('ij,jk->ik', x, y)"
                ),
                op!(
                    shapes(&[&[&[3, 3], &[3]]]),
                    |x, y| Tensor::einsum("ii,i", &[x, y]),
                    "torch.einsum('ii,i', x, y)"
                ),
            ],
        ),
        section(
            "Normalization",
            vec![
                op!(
                    shapes(&[&[&[4, 3], &[3], &[3]], &[&[2, 3, 2, 3], &[3], &[3]]]),
                    |x, y, z| x.batch_norm(Some(y), Some(z), 0.1).0,
                    "F.batch_norm(x, None, None, y, z, True, eps=0.1)"
                )
                .note("also returns mean and variance"),
                op!(
                    shapes(&[&[&[2, 3, 4], &[3], &[3]]]),
                    |x, y, z| x.batch_norm_with(
                        &Tensor::ones([3]),
                        &Tensor::full([3], 2.0),
                        Some(y),
                        Some(z),
                        0.1
                    ),
                    "F.batch_norm(x, torch.ones(3), torch.full((3,), 2.0), y, z, eps=0.1)"
                ),
                op!(
                    shapes(&[&[&[2, 4, 3], &[4], &[4]], &[&[3, 4], &[4], &[4]]]),
                    |x, y, z| x.group_norm(2, Some(y), Some(z), 0.1),
                    "F.group_norm(x, 2, y, z, 0.1)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 3], &[2, 3], &[2, 3]]]),
                    |x, y, z| x.layer_norm(&[2, 3], Some(y), Some(z), 0.1),
                    "F.layer_norm(x, (2, 3), y, z, 0.1)"
                ),
                op!(
                    shapes(&[&[&[4, 3], &[3]]]),
                    |x, y| x.rms_norm(&[3], Some(y), 0.1),
                    "F.rms_norm(x, (3,), y, 0.1)"
                ),
            ],
        ),
        section(
            "Convolution and pooling",
            vec![
                op!(
                    shapes(&[
                        &[&[2, 4, 7], &[6, 2, 3], &[6]],
                        &[&[4, 7], &[2, 2, 2], &[2]],
                        &[&[0, 4, 7], &[2, 2, 2], &[2]]
                    ]),
                    |x, y, z| x.conv1d(
                        y,
                        Some(z),
                        Conv1dParams::default().stride(2).padding(1).dilation(2).groups(2)
                    ),
                    "F.conv1d(x, y, z, stride=2, padding=1, dilation=2, groups=2)"
                ),
                op!(
                    shapes(&[
                        &[&[2, 2, 4, 5], &[3, 2, 2, 3], &[3]],
                        &[&[2, 4, 5], &[3, 2, 1, 1], &[3]]
                    ]),
                    |x, y, z| x.conv2d(y, Some(z), Conv2dParams::default()),
                    "F.conv2d(x, y, z)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5, 6], &[4, 1, 3, 2]]]),
                    |x, y| x.conv2d(
                        y,
                        None,
                        Conv2dParams::default()
                            .stride([2, 1])
                            .padding([1, 2])
                            .dilation([1, 3])
                            .groups(2)
                    ),
                    "F.conv2d(x, y, stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5, 6], &[3, 2, 2, 3]], &[&[2, 1, 2], &[1, 2, 4, 1]]]),
                    |x, y| x.conv2d(
                        y,
                        None,
                        Conv2dParams::default().padding_same().dilation([1, 3])
                    ),
                    "F.conv2d(x, y, padding='same', dilation=(1, 3))"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5], &[3, 2, 4]]]),
                    |x, y| x.conv1d(
                        y,
                        None,
                        Conv1dParams::default().padding_same().padding_mode(PadMode::Reflect)
                    ),
                    "F.conv1d(F.pad(x, (1, 2), mode='reflect'), y)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 4], &[2, 3, 3], &[3]]]),
                    |x, y, z| x.conv_transpose1d(y, Some(z), Conv1dParams::default().stride(2)),
                    "F.conv_transpose1d(x, y, z, stride=2)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 3, 4], &[2, 3, 3, 2], &[3]]]),
                    |x, y, z| x.conv_transpose2d(
                        y,
                        Some(z),
                        Conv2dParams::default().stride(2).padding(1).output_padding([1, 0])
                    ),
                    "F.conv_transpose2d(x, y, z, stride=2, padding=1, output_padding=(1, 0))"
                ),
                op!(
                    apart(&[&[&[2, 2, 5, 6]], &[&[2, 4, 4]]]),
                    |x| x.max_pool2d(2, MaxPool2dOptions::default()),
                    "F.max_pool2d(x, 2)"
                ),
                op!(
                    apart(&[&[&[1, 2, 6, 7]]]),
                    |x| x.max_pool2d_with_indices(
                        [3, 2],
                        MaxPool2dOptions::default()
                            .stride([2, 1])
                            .padding(1)
                            .dilation([1, 2])
                            .ceil_mode(true)
                    ),
                    "F.max_pool2d(x, (3, 2), (2, 1), 1, (1, 2), ceil_mode=True, return_indices=True)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5, 6]], &[&[2, 4, 4]]]),
                    |x| x.avg_pool2d(2, AvgPool2dOptions::default()),
                    "F.avg_pool2d(x, 2)"
                ),
                op!(
                    shapes(&[&[&[1, 2, 6, 7]]]),
                    |x| x.avg_pool2d(
                        [3, 2],
                        AvgPool2dOptions::default()
                            .stride(2)
                            .padding(1)
                            .ceil_mode(true)
                            .count_include_pad(false)
                    ),
                    "F.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True, count_include_pad=False)"
                ),
                op!(
                    shapes(&[&[&[1, 2, 6, 7]]]),
                    |x| x.avg_pool2d(3, AvgPool2dOptions::default().divisor_override(2)),
                    "F.avg_pool2d(x, 3, divisor_override=2)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5, 7]], &[&[2, 2, 4]]]),
                    |x| x.adaptive_avg_pool2d([3, 2]),
                    "F.adaptive_avg_pool2d(x, (3, 2))"
                ),
                op!(
                    shapes(&[&[&[2, 2, 5, 7]], &[&[2, 2, 4]]]),
                    |x| x.adaptive_avg_pool2d([None, Some(3)]),
                    "F.adaptive_avg_pool2d(x, (None, 3))"
                ),
                op!(
                    shapes(&[&[&[2, 2, 7]], &[&[2, 4]]]),
                    |x| x.adaptive_avg_pool1d(3),
                    "F.adaptive_avg_pool1d(x, 3)"
                ),
                op!(
                    apart(&[&[&[2, 2, 5, 7]], &[&[2, 2, 4]]]),
                    |x| x.adaptive_max_pool2d([None, Some(3)]),
                    "F.adaptive_max_pool2d(x, (None, 3))"
                ),
                op!(
                    apart(&[&[&[2, 2, 5, 7]], &[&[2, 2, 4]]]),
                    |x| x.adaptive_max_pool2d_with_indices([3, 2]),
                    "F.adaptive_max_pool2d(x, (3, 2), return_indices=True)"
                ),
                op!(
                    apart(&[&[&[2, 2, 7]], &[&[2, 4]]]),
                    |x| x.adaptive_max_pool1d(3),
                    "F.adaptive_max_pool1d(x, 3)"
                ),
                op!(
                    apart(&[&[&[2, 2, 7]], &[&[2, 4]]]),
                    |x| x.adaptive_max_pool1d_with_indices(5),
                    "F.adaptive_max_pool1d(x, 5, return_indices=True)"
                ),
            ],
        ),
        section(
            "Attention",
            vec![
                op!(
                    shapes(&[&[&[2, 3, 4], &[2, 5, 4], &[2, 5, 2]], &[&[2, 3], &[2, 3], &[2, 3]]]),
                    |x, y, z| scaled_dot_product_attention(x, y, z, AttentionOptions::default()),
                    "F.scaled_dot_product_attention(x, y, z)"
                ),
                op!(
                    shapes(&[&[&[2, 5, 4], &[2, 3, 4], &[2, 3, 2]]]),
                    |x, y, z| scaled_dot_product_attention(
                        x,
                        y,
                        z,
                        AttentionOptions::default().causal(true).scale(0.3)
                    ),
                    "F.scaled_dot_product_attention(x, y, z, is_causal=True, scale=0.3)"
                ),
                op!(
                    shapes(&[&[&[2, 2, 4], &[2, 5, 4], &[2, 5, 2]]]),
                    |x, y, z| scaled_dot_product_attention(
                        x,
                        y,
                        z,
                        AttentionOptions::default().causal(true).causal_offset(3)
                    ),
                    "F.scaled_dot_product_attention(x, y, z, torch.ones(2, 5).tril(3).bool())"
                ),
                op!(
                    shapes(&[
                        &[&[2, 4, 3, 2], &[2, 2, 5, 2], &[2, 2, 5, 3]],
                        &[&[4, 3, 3], &[1, 5, 3], &[1, 5, 2]]
                    ]),
                    |x, y, z| scaled_dot_product_attention(
                        x,
                        y,
                        z,
                        AttentionOptions::default().enable_gqa(true)
                    ),
                    "F.scaled_dot_product_attention(x, y, z, enable_gqa=True)"
                ),
                op!(
                    shapes(&[&[&[2, 5, 4], &[2, 3, 4], &[2, 3, 2]]]),
                    |x, y, z| scaled_dot_product_attention_with_weights(
                        x,
                        y,
                        z,
                        AttentionOptions::default().scale(0.3)
                    ),
                    "(w := (0.3 * x @ y.mT).softmax(-1)) @ z, w"
                )
                .note("the second output holds the weights"),
                op!(
                    shapes(&[&[&[2, 3, 4], &[3, 2], &[3, 2]], &[&[2, 6], &[2, 3], &[2, 3]]]),
                    |x, y, z| x.rotary(y, z),
                    "torch.cat([(a := x.chunk(2, -1))[0] * y - a[1] * z, a[1] * y + a[0] * z], -1)"
                )
                .note("transformers: `apply_rotary_pos_emb`"),
                op!(
                    shapes(&[&[&[2, 3, 5], &[3, 2], &[3, 2]], &[&[2, 5], &[1, 2], &[1, 2]]]),
                    |x, y, z| x.rotary_interleaved(y, z),
                    "torch.cat([torch.stack([(a := x[..., 0:4:2]) * y - (b := x[..., 1:4:2]) * z, b * y + a * z], -1).flatten(-2), x[..., 4:]], -1)"
                )
                .note("the last element is not rotated"),
            ],
        ),
        section(
            "Creation",
            vec![
                op!(any(), |x| x.zeros_like(), "torch.zeros_like(x)"),
                op!(any(), |x| x.ones_like(), "torch.ones_like(x)"),
                op!(any(), |x| x.full_like(2.5), "torch.full_like(x, 2.5)"),
                op!(shapes(&[&[&[3]]]), |x| x.gt(0.0).to_tensor(), "(x > 0).to(x.dtype)"),
                op!(shapes(&[&[&[3]]]), |x| x + Tensor::zeros([2, 3]), "x + torch.zeros(2, 3)"),
                op!(shapes(&[&[&[3]]]), |x| x + Tensor::ones([2, 3]), "x + torch.ones(2, 3)"),
                op!(
                    shapes(&[&[&[3]]]),
                    |x| x + Tensor::full([2, 3], 0.5),
                    "x + torch.full((2, 3), 0.5)"
                ),
                op!(shapes(&[&[&[3]]]), |x| x + Tensor::eye(3), "x + torch.eye(3)"),
                op!(
                    shapes(&[&[&[3]]]),
                    |x| x + Tensor::eye_rectangular(2, 3),
                    "x + torch.eye(2, 3)"
                ),
                op!(
                    shapes(&[&[&[3]]]),
                    |x| x + Tensor::arange(1.0, 0.0, -0.4),
                    "x + torch.arange(1.0, 0.0, -0.4)"
                ),
                op!(
                    shapes(&[&[&[5]]]),
                    |x| x + Tensor::linspace(-1.0, 2.0, 5),
                    "x + torch.linspace(-1.0, 2.0, 5)"
                ),
                op!(
                    shapes(&[&[&[4]]]),
                    |x| x + Indices::from([2, 0]).one_hot(4),
                    "x + F.one_hot(torch.tensor([2, 0]), 4)"
                ),
                op!(
                    shapes(&[&[&[2]]]),
                    |x| x + Tensor::from([[1.0, 2.0], [3.0, 4.0]]),
                    "x + torch.tensor([[1.0, 2.0], [3.0, 4.0]])"
                ),
            ],
        ),
    ]
}

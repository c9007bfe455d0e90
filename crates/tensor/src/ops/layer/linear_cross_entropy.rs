//! The loss of classifiers with many classes, from the input of their last layer.
//!
//! One operation that never holds all logits: forward keeps two values for each row of them, and
//! backward recomputes them, a block at a time. If only `x` needs a gradient, forward computes that too:
//! it is a mean of the weight's rows by softmax, which can be kept up to date as maxima rise.

use crate::ops::layer::linear_cross_entropy_call::{Call, Losses, NAME};
use crate::tape::mode::{is_grad_enabled, is_pass_recorded};
use crate::tape::node::Gradients;
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use crate::tape::weight::Weight;
use adamant_kernels::Float;
use smallvec::SmallVec;

/// The mean over the rows of `−log_softmax(x Wᵀ + b)[target]`: `[N, K], [C, K], [C] → []`.
///
/// It is `cross_entropy(x.linear(weight, bias), targets)`, but the logits `[N, C]` are never all in
/// memory, not even for the gradients (except for gradients that are to be differentiated again).
/// The price is that backward computes them a second time, unless weight and bias are frozen. For
/// language models, whose logits are larger than all else. The loss of an empty batch is NaN.
///
/// PyTorch: `torch.nn.functional.linear_cross_entropy(x, weight, targets, linear_bias=bias)`. Its
/// options are those of the crate `adamant-nn`'s `CrossEntropyLoss::loss_of_linear`.
///
/// # Panics
/// As [`linear_cross_entropy_losses`].
///
/// ```
/// use adamant_tensor::{Tensor, cross_entropy, linear_cross_entropy};
/// let (x, weight) = (Tensor::<f32>::from([[1.0, 2.0]]), Tensor::from([[1.0, 0.0], [0.0, 1.0]]));
/// let loss = linear_cross_entropy(&x, &weight, None, &[1]);
/// assert_eq!(loss.item(), cross_entropy(&x.linear(&weight, None), &[1]).item());
/// ```
#[must_use]
#[track_caller]
pub fn linear_cross_entropy<T: Float>(
    x: &Tensor<T>,
    weight: impl Into<Weight<T>>,
    bias: Option<&Tensor<T>>,
    targets: &[usize],
) -> Tensor<T> {
    linear_cross_entropy_losses(x, weight, bias, targets, None, 0.0).mean()
}

/// The terms of [`linear_cross_entropy`], with class weights and label smoothing:
/// `[N, K], [C, K], [C] → [N]`.
///
/// With the log-probabilities `p = log_softmax(x Wᵀ + b)` and the smoothing `ε`, the loss of a row is
/// `−(1 − ε) w[target] p[target] − ε/C Σ w p`. The class weights `w` are 1 if they are `None`; they
/// get no gradient.
///
/// PyTorch: `torch.nn.functional.linear_cross_entropy` with `reduction="none"`.
///
/// # Panics
/// If the shapes do not fit, there is not one target for each row, a target is not a class, or
/// `label_smoothing` is not within `[0, 1]`.
///
/// ```
/// use adamant_tensor::{Tensor, linear_cross_entropy_losses};
/// let (x, weight) = (Tensor::<f32>::ones([2, 3]), Tensor::zeros([2, 3]));
/// let class_weight = Tensor::from([1.0, 0.5]);
/// let losses =
///     linear_cross_entropy_losses(&x, &weight, None, &[0, 1], Some(&class_weight), 0.0);
/// assert_eq!(losses.to_vec(), [2f32.ln(), 2f32.ln() / 2.0]);
/// ```
#[must_use]
#[track_caller]
pub fn linear_cross_entropy_losses<T: Float>(
    x: &Tensor<T>,
    weight: impl Into<Weight<T>>,
    bias: Option<&Tensor<T>>,
    targets: &[usize],
    class_weight: Option<&Tensor<T>>,
    label_smoothing: f64,
) -> Tensor<T> {
    let weight = weight.into();
    let classes = check(x, &weight, bias, targets);
    assert!(
        (0.0..=1.0).contains(&label_smoothing),
        "{NAME}: label_smoothing is {label_smoothing}; expected 0 to 1"
    );
    let class_weights = match class_weight {
        Some(weight) => {
            let shape = weight.array.shape();
            assert!(
                **shape == [classes],
                "{NAME}: class weights of shape {shape} for {classes} classes; expected one for each"
            );
            weight.array.to_vec()
        }
        None => vec![T::ONE; classes],
    };
    let [own, share] = [1.0 - label_smoothing, label_smoothing / classes as f64].map(T::from_f64);
    let call = Call {
        x: x.clone(),
        weight: weight.clone(),
        bias: bias.cloned(),
        targets: targets.to_vec(),
        own: targets.iter().map(|&target| own * class_weights[target]).collect(),
        shares: (label_smoothing > 0.0)
            .then(|| class_weights.into_iter().map(|weight| share * weight).collect()),
    };
    let constant = weight.node.is_none() && bias.is_none_or(|bias| !bias.is_tracked());
    let only_x = constant && x.is_tracked() && is_grad_enabled();
    let Losses { losses, stats, of_x } = call.losses(only_x);
    let weight = weight.input();
    let inputs: SmallVec<[&Tensor<T>; 3]> = [x, &weight].into_iter().chain(bias).collect();
    record_many(NAME, &inputs, losses, move |ctx| {
        if is_pass_recorded() {
            return call.backward_in_operations(ctx);
        }
        match &of_x {
            Some(of_x) => {
                let g = ctx.grad().reshape([call.targets.len(), 1]);
                let mut gradients = Gradients::from_iter([Some(of_x * g), None]);
                gradients.extend(call.bias.as_ref().map(|_| None));
                gradients
            }
            None => call.backward(ctx, &stats),
        }
    })
}

/// Returns the number of classes.
#[track_caller]
fn check<T: Float>(
    x: &Tensor<T>,
    weight: &Weight<T>,
    bias: Option<&Tensor<T>>,
    targets: &[usize],
) -> usize {
    let (sx, sw) = (x.array.shape(), weight.value.shape());
    let (&[rows, features], &[classes, inner]) = (&**sx, &**sw) else {
        panic!(
            "{NAME}: an input of shape {sx} and a weight of shape {sw}; expected [rows, features] \
             and [classes, features]"
        )
    };
    assert!(
        features == inner,
        "{NAME}: an input of shape {sx} and a weight of shape {sw}; expected equal last dimensions"
    );
    if let Some(bias) = bias {
        let sb = bias.array.shape();
        assert!(
            **sb == [classes],
            "{NAME}: a bias of shape {sb} for a weight of shape {sw}; expected [{classes}]"
        );
    }
    assert!(
        targets.len() == rows,
        "{NAME}: {} targets for an input of shape {sx}; expected one for each row",
        targets.len()
    );
    if let Some((row, target)) = targets.iter().enumerate().find(|&(_, &target)| target >= classes)
    {
        panic!(
            "{NAME}: target {target} in row {row}; expected less than {classes}, the rows of a weight \
             of shape {sw}"
        );
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::layer::linear_cross_entropy_call::BLOCK;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Generator, GradOptions, Parameter, Storage, cross_entropy, grad};

    #[test]
    fn gradients() {
        let weights = Tensor::from([0.5, 2.0, 1.5]);
        for class_weight in [None, Some(&weights)] {
            for smoothing in [0.0, 0.2, 1.0] {
                let losses = |x: &[Tensor<f64>], bias: Option<&Tensor<f64>>| {
                    let t = [2, 0, 1, 2];
                    linear_cross_entropy_losses(&x[0], &x[1], bias, &t, class_weight, smoothing)
                };
                check_op(|x| losses(x, None), &[&[4, 2], &[3, 2]], -2.0..2.0);
                check_op(|x| losses(x, Some(&x[2])), &[&[4, 2], &[3, 2], &[3]], -2.0..2.0);
            }
        }
    }

    /// More than a block of rows and of classes.
    #[test]
    fn blocks_add_up_to_the_loss_of_whole_logits() {
        let (rows, classes, inner) = (BLOCK + 3, 2 * BLOCK + 1, 3);
        let mut rng = Generator::seed(0);
        let mut leaf = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        let (x, weight, bias) = (leaf(&[rows, inner]), leaf(&[classes, inner]), leaf(&[classes]));
        let targets: Vec<usize> = (0..rows).map(|r| r * 7919 % classes).collect();
        let fused = linear_cross_entropy(&x, &weight, Some(&bias), &targets);
        let whole = cross_entropy(&x.linear(&weight, Some(&bias)), &targets);
        assert!((fused.item() - whole.item()).abs() < 1e-13);
        let mut gradients = [fused, whole].map(|loss| {
            [&x, &weight, &bias].iter().for_each(|leaf| leaf.zero_grad());
            loss.backward();
            [&x, &weight, &bias].map(|leaf| leaf.grad().unwrap())
        });
        let [found, expected] = &mut gradients;
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found - &*expected).abs().max().item();
            assert!(difference < 1e-16, "{difference}");
        }
    }

    /// The gradient that forward computes.
    #[test]
    fn gradients_past_a_constant_weight() {
        let weights = Tensor::from([0.5, 2.0, 1.5]);
        let w = Tensor::<f64>::from([[0.5, 2.0], [1.5, -1.0], [0.25, 0.0]]);
        let bias = Tensor::from([0.5, -0.5, 2.0]);
        for class_weight in [None, Some(&weights)] {
            for smoothing in [0.0, 0.2, 1.0] {
                for bias in [None, Some(&bias)] {
                    let losses = |x: &[Tensor<f64>]| {
                        let t = [2, 0, 1, 2];
                        linear_cross_entropy_losses(&x[0], &w, bias, &t, class_weight, smoothing)
                    };
                    check_op(losses, &[&[4, 2]], -2.0..2.0);
                }
            }
        }
    }

    /// The maxima rise from block to block.
    #[test]
    fn a_constant_weight_has_the_gradient_of_whole_logits() {
        let (rows, classes, inner) = (BLOCK + 3, 2 * BLOCK + 1, 3);
        let mut rng = Generator::seed(0);
        let mut leaf = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng);
        let (x, weight, bias) = (leaf(&[rows, inner]), leaf(&[classes, inner]), leaf(&[classes]));
        let bias = bias + Tensor::from(Vec::from_iter((0..classes).map(|c| c as f64 / 100.0)));
        let x = x.requires_grad();
        let targets: Vec<usize> = (0..rows).map(|r| r * 7919 % classes).collect();
        let fused = linear_cross_entropy(&x, &weight, Some(&bias), &targets);
        let whole = cross_entropy(&x.linear(&weight, Some(&bias)), &targets);
        let [found, expected] =
            [fused, whole].map(|loss| grad(&loss, &[&x], GradOptions::default()).remove(0));
        let difference = (&found - &expected).abs().max().item();
        assert!(difference < 1e-15, "{difference}");
    }

    #[test]
    fn a_bf16_weight_has_the_bits_of_the_same_weight_in_full() {
        let classes = BLOCK + 5;
        let mut rng = Generator::seed(0);
        let weight = Parameter::new(Tensor::<f32>::randn([classes, 40], &mut rng));
        let x = Tensor::randn([3, 40], &mut rng).requires_grad();
        let bias = Tensor::randn([classes], &mut rng).requires_grad();
        weight.set_requires_grad(false);
        weight.store_as(Storage::Bf16);
        let results = [Weight::from(&weight.tensor()), Weight::from(&weight)].map(|weight| {
            let loss = linear_cross_entropy(&x, weight, Some(&bias), &[3, 0, classes - 1]);
            let gradients = grad(&loss, &[&x, &bias], GradOptions::default());
            [loss.to_vec(), gradients[0].to_vec(), gradients[1].to_vec()]
        });
        assert_eq!(results[0], results[1]);
    }

    #[test]
    fn gradients_past_a_bf16_weight() {
        let weight = Parameter::new(Tensor::<f64>::from([[0.5, 2.0], [1.5, -1.0], [0.25, 0.0]]));
        weight.set_requires_grad(false);
        weight.store_as(Storage::Bf16);
        let loss = |x: &[Tensor<f64>]| linear_cross_entropy(&x[0], &weight, Some(&x[1]), &[2, 0]);
        check_op(loss, &[&[2, 2], &[3]], -2.0..2.0);
    }

    #[test]
    fn large_logits_are_exact() {
        let x = Tensor::from([[1e4f64]]).requires_grad();
        let weight = Tensor::from([[-1.0], [1.0], [0.0]]);
        let loss = linear_cross_entropy(&x, &weight, None, &[0]);
        loss.backward();
        assert_eq!((loss.item(), x.grad().unwrap().item()), (2e4, 2.0));
    }

    #[test]
    fn the_loss_of_an_empty_batch_is_nan() {
        for shape in [[0, 3], [0, 0]] {
            let (x, weight) =
                (Tensor::<f32>::ones(shape).requires_grad(), Tensor::ones([2, shape[1]]));
            let weight = weight.requires_grad();
            let loss = linear_cross_entropy(&x, &weight, None, &[]);
            loss.backward();
            assert!(loss.item().is_nan());
            assert_eq!(x.grad().unwrap().shape(), shape);
            assert!(weight.grad().unwrap().to_vec().iter().all(|&g| g == 0.0));
        }
    }
}

//! The losses of classifiers: the target of each row is a class, or a distribution over classes.

use super::Reduction;
use adamant_tensor::{Float, Indices, Tensor, Weight, cross_entropy, linear_cross_entropy_losses};
use std::borrow::Cow;

/// The mean of `−x[target]`, where `x` are log-probabilities: `[N, C], N → []`.
///
/// PyTorch: `torch.nn.functional.nll_loss(x, targets)`.
///
/// # Panics
/// If there is not one target for each row, or a target is not less than `C`.
///
/// ```
/// use adamant_nn::nll_loss;
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::from([[-1.0, -2.0], [-3.0, -4.0]]);
/// assert_eq!(nll_loss(&x, &[0, 1]).item(), 2.5);
/// ```
#[must_use]
#[track_caller]
pub fn nll_loss<T: Float>(x: &Tensor<T>, targets: &[usize]) -> Tensor<T> {
    NllLoss::new().loss(x, targets)
}

/// The class of each row: a row-major list (`&[2, 0]`, a `&Vec<usize>`), or [`Indices`] of the
/// rows' shape.
#[derive(Clone, Debug)]
pub struct Classes<'t> {
    list: Cow<'t, [usize]>,
    shape: Option<Vec<usize>>,
}

impl<'t> From<&'t [usize]> for Classes<'t> {
    fn from(list: &'t [usize]) -> Self {
        Classes { list: list.into(), shape: None }
    }
}

impl<'t, const N: usize> From<&'t [usize; N]> for Classes<'t> {
    fn from(list: &'t [usize; N]) -> Self {
        list.as_slice().into()
    }
}

impl<'t> From<&'t Vec<usize>> for Classes<'t> {
    fn from(list: &'t Vec<usize>) -> Self {
        list.as_slice().into()
    }
}

impl From<&Indices> for Classes<'_> {
    fn from(indices: &Indices) -> Self {
        Classes { list: indices.to_vec().into(), shape: Some(indices.shape().to_vec()) }
    }
}

/// The targets: a class for each row, or a tensor of probabilities of the logits' shape.
#[derive(Clone, Debug)]
pub enum Targets<'t, T: Float> {
    /// The class of each row.
    Classes(Classes<'t>),
    /// The probability of each class in each row.
    Probabilities(&'t Tensor<T>),
}

impl<'t, T: Float, C: Into<Classes<'t>>> From<C> for Targets<'t, T> {
    fn from(classes: C) -> Self {
        Targets::Classes(classes.into())
    }
}

impl<'t, T: Float> From<&'t Tensor<T>> for Targets<'t, T> {
    fn from(probabilities: &'t Tensor<T>) -> Self {
        Targets::Probabilities(probabilities)
    }
}

/// The options that the losses of classifiers share.
macro_rules! class_options {
    ($Loss:ident $(. $inner:ident)?) => {
        impl<T: Float> $Loss<T> {
            /// The weight of each class; default 1. The mean is weighted: the sum is divided by the
            /// sum of the targets' weights.
            #[must_use]
            pub fn weight(mut self, weight: &Tensor<T>) -> Self {
                self$(.$inner)?.weight = Some(weight.detach());
                self
            }

            /// A target whose rows are ignored: they have a loss of 0 and do not count in the mean;
            /// default: none. It need not be a class.
            #[must_use]
            pub fn ignore_index(mut self, ignore_index: usize) -> Self {
                self$(.$inner)?.ignore_index = Some(ignore_index);
                self
            }

            /// The reduction of the rows' losses; default their mean.
            #[must_use]
            pub fn reduction(mut self, reduction: Reduction) -> Self {
                self$(.$inner)?.reduction = reduction;
                self
            }
        }

        impl<T: Float> Default for $Loss<T> {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// [`nll_loss`] with options, for `[N, C]`, `[C]`, or `[N, C, d₁, …]` with targets `[N, d₁, …]`.
///
/// PyTorch: `torch.nn.NLLLoss(weight, ignore_index, reduction)`.
///
/// ```
/// use adamant_nn::{NllLoss, Reduction};
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::from([[-1.0, -2.0], [-3.0, -4.0]]);
/// let loss = NllLoss::new().weight(&Tensor::from([1.0, 0.5])).reduction(Reduction::None);
/// assert_eq!(loss.loss(&x, &[0, 1]).to_vec(), [1.0, 2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct NllLoss<T: Float = f32> {
    weight: Option<Tensor<T>>,
    ignore_index: Option<usize>,
    reduction: Reduction,
}

class_options!(NllLoss);

impl<T: Float> NllLoss<T> {
    /// A loss with PyTorch's defaults: no weights, and the mean.
    #[must_use]
    pub fn new() -> Self {
        NllLoss { weight: None, ignore_index: None, reduction: Reduction::Mean }
    }

    /// The loss of the log-probabilities `x`.
    ///
    /// # Panics
    /// Like [`nll_loss`], or if the shapes do not match.
    #[must_use]
    #[track_caller]
    pub fn loss<'t>(&self, x: &Tensor<T>, targets: impl Into<Classes<'t>>) -> Tensor<T> {
        let rows = Rows::new("nll_loss", x);
        let (rows, targets) = self.chosen("nll_loss", rows, &targets.into());
        self.finish("nll_loss", &rows, &targets, &rows.x, 0.0)
    }

    /// The rows that are not ignored, and their targets.
    #[track_caller]
    fn chosen(&self, op: &str, mut rows: Rows<T>, targets: &Classes<'_>) -> (Rows<T>, Vec<usize>) {
        let (len, list) = (rows.x.shape()[0], &targets.list);
        let fits = match &targets.shape {
            Some(shape) => *shape == rows.shape,
            None => list.len() == len,
        };
        assert!(
            fits,
            "{op}: {} targets{} for an input of shape {:?}; expected one for each row: {:?}",
            list.len(),
            targets.shape.as_ref().map_or(String::new(), |shape| format!(" of shape {shape:?}")),
            rows.input,
            rows.shape
        );
        let is_kept = |row: &usize| Some(list[*row]) != self.ignore_index;
        let kept: Vec<usize> = (0..len).filter(is_kept).collect();
        if let Some(&row) = kept.iter().find(|&&row| list[row] >= rows.classes) {
            panic!(
                "{op}: target {} in row {row} of an input of shape {:?}; expected less than {}, the \
                 number of classes",
                list[row], rows.input, rows.classes
            );
        }
        let targets = kept.iter().map(|&row| list[row]).collect();
        if kept.len() < len {
            rows.x = rows.x.index_select(0, &kept);
            rows.kept = Some((kept, len));
        }
        (rows, targets)
    }

    /// The loss of the rows, with `smoothing` of each target spread over all classes.
    #[track_caller]
    fn finish(
        &self,
        op: &str,
        rows: &Rows<T>,
        targets: &[usize],
        log_p: &Tensor<T>,
        smoothing: f64,
    ) -> Tensor<T> {
        let count = targets.len();
        let index = Indices::from(targets).reshape([count, 1]);
        let mut losses = -log_p.gather(1, &index).reshape([count]);
        let weight = class_weight(op, self.weight.as_ref(), rows.classes);
        if let Some(weight) = weight {
            losses *= weight.index_select(0, targets);
        }
        if smoothing > 0.0 {
            let all = weight.map_or_else(|| log_p.clone(), |weight| log_p * weight);
            let share = T::from_f64(smoothing / rows.classes as f64);
            losses = losses * T::from_f64(1.0 - smoothing) - all.sum_dim(1) * share;
        }
        self.reduced(rows, targets, losses)
    }

    /// The losses of the rows that are not ignored, reduced.
    #[track_caller]
    fn reduced(&self, rows: &Rows<T>, targets: &[usize], losses: Tensor<T>) -> Tensor<T> {
        match (self.reduction, &self.weight) {
            (Reduction::Mean, None) => losses.sum() / T::from_f64(targets.len() as f64),
            (Reduction::Mean, Some(weight)) => {
                losses.sum() / weight.index_select(0, targets).sum().item()
            }
            (Reduction::Sum, _) => losses.sum(),
            (Reduction::None, _) => rows.put_back(losses),
        }
    }
}

/// `−log_softmax(logits)[target]` with options: class weights, label smoothing, an ignored target,
/// probabilities as targets, images of classes. With the defaults it is
/// [`cross_entropy`](fn@cross_entropy).
///
/// Logits are `[N, C]`, `[C]`, or `[N, C, d₁, …]` with targets `[N, d₁, …]`; targets that are
/// probabilities have the shape of the logits.
///
/// PyTorch: `torch.nn.CrossEntropyLoss(weight, ignore_index, reduction, label_smoothing)`.
///
/// ```
/// use adamant_nn::{CrossEntropyLoss, cross_entropy};
/// use adamant_tensor::{Indices, Tensor};
/// let logits = Tensor::<f32>::from([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [9.0, 9.0, 9.0]]);
/// let loss = CrossEntropyLoss::new().ignore_index(2).loss(&logits, &[0, 1, 2]);
/// assert_eq!(loss.item(), cross_entropy(&logits.narrow(0, 0, 2), &[0, 1]).item());
///
/// let smooth = CrossEntropyLoss::new().label_smoothing(0.3);
/// let soft = Tensor::from([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]);
/// let (a, b) = (smooth.loss(&logits, &[0, 1, 2]), CrossEntropyLoss::new().loss(&logits, &soft));
/// assert!((a.item() - b.item()).abs() < 1e-6);
///
/// let (images, targets) = (Tensor::<f32>::zeros([8, 3, 5, 5]), Indices::from([[[1; 5]; 5]; 8]));
/// assert!((CrossEntropyLoss::new().loss(&images, &targets).item() - 3f32.ln()).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct CrossEntropyLoss<T: Float = f32> {
    nll: NllLoss<T>,
    label_smoothing: f64,
}

class_options!(CrossEntropyLoss.nll);

impl<T: Float> CrossEntropyLoss<T> {
    /// A loss with PyTorch's defaults: no weights, no smoothing, and the mean.
    #[must_use]
    pub fn new() -> Self {
        CrossEntropyLoss { nll: NllLoss::new(), label_smoothing: 0.0 }
    }

    /// The part of each target that is spread evenly over all classes; default 0.
    ///
    /// # Panics
    /// If it is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn label_smoothing(self, label_smoothing: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&label_smoothing),
            "cross_entropy: label_smoothing is {label_smoothing}; expected 0 to 1"
        );
        CrossEntropyLoss { label_smoothing, ..self }
    }

    /// The loss of the logits.
    ///
    /// # Panics
    /// If the shapes do not match, a target is not a class, or there is an `ignore_index` and the
    /// targets are probabilities.
    #[must_use]
    #[track_caller]
    pub fn loss<'t>(&self, logits: &Tensor<T>, targets: impl Into<Targets<'t, T>>) -> Tensor<T> {
        match targets.into() {
            Targets::Classes(classes) => self.of_classes(logits, &classes),
            Targets::Probabilities(probabilities) => self.of_probabilities(logits, probabilities),
        }
    }

    /// The loss of the logits `x Wᵀ + b` of a last linear layer, `[…, K], [C, K], [C] → []`, which
    /// are never all in memory: as [`linear_cross_entropy`](fn@adamant_tensor::linear_cross_entropy),
    /// with the options of this loss.
    ///
    /// There is one target for each row of `x`, without a dimension of classes, and without
    /// reduction one loss for each. Probabilities as targets would be as large as the logits: for
    /// those, call [`loss`](CrossEntropyLoss::loss).
    ///
    /// PyTorch: `torch.nn.LinearCrossEntropyLoss`, which also owns `W` and `b`, and takes `x` as
    /// `[N, K]` or `[K]` only.
    ///
    /// # Panics
    /// If the shapes do not match, or a target is not a class.
    ///
    /// ```
    /// use adamant_nn::CrossEntropyLoss;
    /// use adamant_tensor::Tensor;
    /// let (x, weight) = (Tensor::<f32>::ones([2, 3, 4]), Tensor::zeros([5, 4]));
    /// let loss = CrossEntropyLoss::new().ignore_index(9);
    /// let loss = loss.loss_of_linear(&x, &weight, None, &[0, 4, 9, 9, 1, 2]);
    /// assert!((loss.item() - 5f32.ln()).abs() < 1e-6);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn loss_of_linear<'t>(
        &self,
        x: &Tensor<T>,
        weight: impl Into<Weight<T>>,
        bias: Option<&Tensor<T>>,
        targets: impl Into<Classes<'t>>,
    ) -> Tensor<T> {
        let (op, weight) = ("linear_cross_entropy", weight.into());
        let rows = Rows::of_linear(op, x, &weight);
        let (rows, targets) = self.nll.chosen(op, rows, &targets.into());
        let class_weight = self.nll.weight.as_ref();
        let losses = linear_cross_entropy_losses(
            &rows.x,
            weight,
            bias,
            &targets,
            class_weight,
            self.label_smoothing,
        );
        self.nll.reduced(&rows, &targets, losses)
    }

    #[track_caller]
    fn of_classes(&self, logits: &Tensor<T>, classes: &Classes<'_>) -> Tensor<T> {
        let rows = Rows::new("cross_entropy", logits);
        let (rows, targets) = self.nll.chosen("cross_entropy", rows, classes);
        let is_plain = self.nll.weight.is_none() && self.label_smoothing == 0.0;
        if is_plain && self.nll.reduction == Reduction::Mean {
            return cross_entropy(&rows.x, &targets); // fused
        }
        let log_p = rows.x.log_softmax(1);
        self.nll.finish("cross_entropy", &rows, &targets, &log_p, self.label_smoothing)
    }

    #[track_caller]
    fn of_probabilities(&self, logits: &Tensor<T>, probabilities: &Tensor<T>) -> Tensor<T> {
        let op = "cross_entropy";
        assert!(
            logits.shape() == probabilities.shape(),
            "{op}: probabilities of shape {:?} for logits of shape {:?}; expected the same",
            probabilities.shape(),
            logits.shape()
        );
        assert!(
            self.nll.ignore_index.is_none(),
            "{op}: an ignore_index, but the targets are probabilities"
        );
        let rows = Rows::new(op, logits);
        let mut p = Rows::new(op, probabilities).x;
        if self.label_smoothing > 0.0 {
            let share = T::from_f64(self.label_smoothing / rows.classes as f64);
            p = p * T::from_f64(1.0 - self.label_smoothing) + share;
        }
        if let Some(weight) = class_weight(op, self.nll.weight.as_ref(), rows.classes) {
            p *= weight;
        }
        let losses = -(rows.x.log_softmax(1) * p).sum_dim(1);
        // As in PyTorch, the plain mean over the rows, also if classes have weights.
        self.nll.reduction.apply(rows.put_back(losses))
    }
}

/// The class weights, checked to be one for each class.
#[track_caller]
fn class_weight<'w, T: Float>(
    op: &str,
    weight: Option<&'w Tensor<T>>,
    classes: usize,
) -> Option<&'w Tensor<T>> {
    let weight = weight?;
    assert!(
        *weight.shape() == [classes],
        "{op}: weights of shape {:?} for {classes} classes; expected one for each",
        weight.shape()
    );
    Some(weight)
}

/// An input as a matrix, with a row for each target.
struct Rows<T: Float> {
    /// `[rows, classes]`, or `[rows, features]` before a linear layer, without the ignored rows.
    x: Tensor<T>,
    /// The shape of the input.
    input: Vec<usize>,
    classes: usize,
    /// The shape of the losses.
    shape: Vec<usize>,
    /// The rows in `x` and the number of all rows, if some are ignored.
    kept: Option<(Vec<usize>, usize)>,
}

impl<T: Float> Rows<T> {
    #[track_caller]
    fn new(op: &str, x: &Tensor<T>) -> Self {
        let input = x.shape().to_vec();
        let (classes, x, shape) = match *x.shape() {
            [classes] => (classes, x.reshape([1, classes]), Vec::new()),
            [batch, classes] => (classes, x.clone(), vec![batch]),
            [batch, classes, ref positions @ ..] => {
                let each = positions.iter().product();
                let x = x.reshape([batch, classes, each]).transpose(1, 2);
                let shape = [batch].iter().chain(positions).copied().collect();
                (classes, x.reshape([batch * each, classes]), shape)
            }
            [] => panic!("{op}: an input of shape []; expected [N, C], [C] or [N, C, d1, …]"),
        };
        assert!(
            classes > 0,
            "{op}: an input of shape {:?} has no classes; expected at least one",
            x.shape()
        );
        Rows { x, input, classes, shape, kept: None }
    }

    /// The input of a linear layer with this weight.
    #[track_caller]
    fn of_linear(op: &str, x: &Tensor<T>, weight: &Weight<T>) -> Self {
        let ([shape @ .., features], &[classes, inner]) = (x.shape(), weight.shape()) else {
            panic!(
                "{op}: an input of shape {:?} and a weight of shape {:?}; expected [..., K] and [C, K]",
                x.shape(),
                weight.shape()
            )
        };
        assert!(
            *features == inner,
            "{op}: an input of shape {:?} and a weight of shape {:?}; expected equal last dimensions",
            x.shape(),
            weight.shape()
        );
        let rows = x.reshape([shape.iter().product(), inner]);
        Rows { x: rows, input: x.shape().to_vec(), classes, shape: shape.to_vec(), kept: None }
    }

    /// The losses of all rows, with 0 for the ignored ones.
    #[track_caller]
    fn put_back(&self, losses: Tensor<T>) -> Tensor<T> {
        let all = match &self.kept {
            None => losses,
            Some((kept, len)) => Tensor::zeros([*len]).index_add(0, kept, &losses),
        };
        all.reshape(&self.shape[..])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use adamant_tensor::{Generator, GradOptions, grad};

    const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

    #[test]
    fn gradients() {
        let weight = Tensor::from([0.5, 2.0, 1.5]);
        for reduction in REDUCTIONS {
            let loss = CrossEntropyLoss::new().reduction(reduction);
            check(1, |x| loss.loss(&x[0], &[2, 0]));
            let smooth = loss.clone().weight(&weight).label_smoothing(0.2);
            check(1, |x| smooth.loss(&x[0], &[2, 0]));
            check(1, |x| smooth.clone().ignore_index(0).loss(&x[0], &[2, 0]));
            check(2, |x| smooth.loss(&x[0], &x[1].softmax(1)));
            check(1, |x| smooth.loss(&x[0].reshape([1, 3, 2]), &[2, 0]));
            let nll = NllLoss::new().reduction(reduction).weight(&weight).ignore_index(9);
            check(1, |x| nll.loss(&x[0].square(), &[9, 1]));
        }
    }

    #[test]
    fn the_defaults_are_the_plain_function() {
        let x = Tensor::<f64>::from([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]]);
        let plain = cross_entropy(&x, &[2, 0]).item();
        let [mean, sum, none] = REDUCTIONS
            .map(|reduction| CrossEntropyLoss::new().reduction(reduction).loss(&x, &[2, 0]));
        assert_eq!(none.shape(), [2]);
        for found in [mean.item(), sum.item() / 2.0, none.mean().item()] {
            assert!((found - plain).abs() < 1e-15, "{found} {plain}");
        }
    }

    #[test]
    fn the_loss_of_a_linear_layer_is_that_of_its_logits() {
        let mut rng = Generator::seed(0);
        let mut leaf = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        let leaves = [leaf(&[2, 3, 4]), leaf(&[5, 4]), leaf(&[5])];
        let [x, w, b] = &leaves;
        let targets = Indices::from([[0, 4, 9], [2, 9, 0]]);
        let weight = Tensor::from([0.5, 2.0, 1.5, 0.0, 1.0]);
        for reduction in REDUCTIONS {
            for loss in [
                CrossEntropyLoss::new(),
                CrossEntropyLoss::new().weight(&weight),
                CrossEntropyLoss::new().weight(&weight).label_smoothing(0.3),
            ] {
                let loss = loss.reduction(reduction).ignore_index(9);
                let linear = loss.loss_of_linear(x, w, Some(b), &targets);
                let whole = loss.loss(&x.linear(w, Some(b)).transpose(1, 2), &targets);
                let gradient = |loss: &Tensor<f64>| {
                    grad(&loss.square().sum(), &[x, w, b], GradOptions::default())
                };
                let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                    assert_eq!(a.shape(), b.shape());
                    assert!((a - b).abs().max().item() < 1e-13, "{a} {b}");
                };
                close(&linear, &whole);
                gradient(&linear).iter().zip(&gradient(&whole)).for_each(|(a, b)| close(a, b));
            }
        }
    }

    #[test]
    fn ignored_rows_do_not_spread_nan() {
        let x = Tensor::<f32>::from([[0.0, 0.0], [f32::NAN, f32::INFINITY]]).requires_grad();
        let loss = CrossEntropyLoss::new().ignore_index(9).reduction(Reduction::None);
        let losses = loss.loss(&x, &[0, 9]);
        losses.sum().backward();
        assert_eq!(losses.to_vec(), [2f32.ln(), 0.0]);
        assert_eq!(x.grad().unwrap().to_vec(), [-0.5, 0.5, 0.0, 0.0]);
    }

    /// As in PyTorch: NaN, with gradients of 0 if all targets are ignored, and of NaN if they have no
    /// weight.
    #[test]
    fn the_mean_of_nothing_is_nan() {
        let x = || Tensor::<f32>::ones([2, 3]).requires_grad();
        let plain = CrossEntropyLoss::new;
        let none = Tensor::<f32>::ones([0, 3]).requires_grad();
        for loss in [
            plain().loss(&none, &[0; 0]),
            plain().loss(&none, &Tensor::ones([0, 3])),
            nll_loss(&none, &[]),
        ] {
            loss.backward();
            assert!(loss.item().is_nan());
        }
        assert_eq!(none.grad().unwrap().shape(), [0, 3]);
        for weight in [None, Some(Tensor::ones([3]))] {
            let (x, loss) = (x(), plain().ignore_index(5));
            let loss = weight.iter().fold(loss, |loss, weight| loss.weight(weight));
            let loss = loss.loss(&x, &[5, 5]);
            loss.backward();
            assert!(loss.item().is_nan());
            assert_eq!(x.grad().unwrap().to_vec(), [0.0; 6]);
        }
        let x = x();
        let loss = plain().weight(&Tensor::from([0.0, 1.0, 1.0])).loss(&x, &[0, 0]);
        loss.backward();
        assert!(loss.item().is_nan() && x.grad().unwrap().to_vec().iter().all(|g| g.is_nan()));
    }

    #[test]
    fn mistakes_are_refused() {
        let x = || Tensor::<f32>::ones([2, 3]);
        let plain = CrossEntropyLoss::new;
        type Case<'c> = (&'c dyn Fn() -> Tensor, &'c str);
        let linear = |x: Tensor, weight: Tensor, targets: &[usize]| {
            plain().loss_of_linear(&x, &weight, None, targets)
        };
        let cases: [Case<'_>; 11] = [
            (
                &|| plain().weight(&Tensor::ones([2])).loss(&x(), &[0, 0]),
                "cross_entropy: weights of shape [2] for 3 classes",
            ),
            (
                &|| plain().loss(&x(), &Tensor::ones([2])),
                "cross_entropy: probabilities of shape [2] for logits of shape [2, 3]",
            ),
            (
                &|| plain().ignore_index(0).loss(&x(), &x()),
                "cross_entropy: an ignore_index, but the targets are probabilities",
            ),
            (
                &|| plain().loss(&Tensor::ones([2, 3, 4]), &Indices::from([[0; 2]; 4])),
                "8 targets of shape [4, 2] for an input of shape [2, 3, 4]; expected one for each \
                 row: [2, 4]",
            ),
            (&|| nll_loss(&x(), &[0]), "nll_loss: 1 targets for an input of shape [2, 3]"),
            (
                &|| nll_loss(&x(), &[0, 3]),
                "nll_loss: target 3 in row 1 of an input of shape [2, 3]; expected less than 3",
            ),
            (
                &|| nll_loss(&Tensor::ones([2, 0]), &[0, 0]),
                "nll_loss: an input of shape [2, 0] has no",
            ),
            (
                &|| linear(x(), Tensor::ones([3]), &[0, 0]),
                "linear_cross_entropy: an input of shape [2, 3] and a weight of shape [3]; expected",
            ),
            (
                &|| linear(x(), Tensor::ones([5, 2]), &[0, 0]),
                "linear_cross_entropy: an input of shape [2, 3] and a weight of shape [5, 2]; \
                 expected equal",
            ),
            (
                &|| linear(x(), Tensor::ones([5, 3]), &[0]),
                "linear_cross_entropy: 1 targets for an input of shape [2, 3]; expected one for \
                 each row: [2]",
            ),
            (
                &|| linear(x(), Tensor::ones([5, 3]), &[0, 5]),
                "linear_cross_entropy: target 5 in row 1 of an input of shape [2, 3]; expected \
                 less than 5",
            ),
        ];
        for (f, expected) in cases {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
            let message = panic.downcast_ref::<String>().map_or_else(
                || panic.downcast_ref::<&str>().expect("a message").to_string(),
                String::clone,
            );
            assert!(message.contains(expected), "{message}\nis not\n{expected}");
        }
    }
}

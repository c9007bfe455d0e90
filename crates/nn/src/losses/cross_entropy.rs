//! The loss of a classifier's logits: the target of each row is a class, or a distribution over classes.

use super::Reduction;
use super::nll_loss::{NllLoss, class_options, class_weight};
use super::targets::{Classes, Rows, Targets};
use adamant_tensor::{Float, Tensor, Weight, cross_entropy, linear_cross_entropy_losses};

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

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::nll_loss;
    use adamant_tensor::{Generator, GradOptions, Indices, grad};

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

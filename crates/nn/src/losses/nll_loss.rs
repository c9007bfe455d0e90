//! The loss of log-probabilities, and what it shares with the loss of logits.

use super::Reduction;
use super::targets::{Classes, Rows};
use adamant_tensor::{Float, Indices, Tensor};

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
    pub(super) weight: Option<Tensor<T>>,
    pub(super) ignore_index: Option<usize>,
    pub(super) reduction: Reduction,
}

pub(super) use class_options;

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
    pub(super) fn chosen(
        &self,
        op: &str,
        mut rows: Rows<T>,
        targets: &Classes<'_>,
    ) -> (Rows<T>, Vec<usize>) {
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
    pub(super) fn finish(
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
    pub(super) fn reduced(
        &self,
        rows: &Rows<T>,
        targets: &[usize],
        losses: Tensor<T>,
    ) -> Tensor<T> {
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

/// The class weights, checked to be one for each class.
#[track_caller]
pub(super) fn class_weight<'w, T: Float>(
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

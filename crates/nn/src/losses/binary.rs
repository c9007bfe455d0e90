//! Binary cross-entropy: one probability, or its logit, for each element.

use super::{Reduction, check_elements, same_shape};
use crate::check::broadcasts;
use adamant_tensor::{Float, Tensor};

/// The mean of `−(y ln x + (1 − y) ln(1 − x))`, where `x` are probabilities.
///
/// As in PyTorch, logarithms are at least −100, so that a wrong prediction of 0 or 1 does not make
/// the loss infinite. [`bce_with_logits`] needs no such bound.
///
/// PyTorch: `torch.nn.functional.binary_cross_entropy(x, y)`.
///
/// # Panics
/// If the shapes are not the same, or an element is not within `[0, 1]`.
///
/// ```
/// use adamant_nn::bce_loss;
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::from([1.0, 0.0]);
/// assert_eq!(bce_loss(&x, &Tensor::from([1.0, 1.0])).item(), 50.0);
/// ```
#[must_use]
#[track_caller]
pub fn bce_loss<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    BceLoss::new().loss(x, y)
}

/// The mean of `−(y ln σ(x) + (1 − y) ln(1 − σ(x)))`, accurate for logits of any size.
///
/// PyTorch: `torch.nn.functional.binary_cross_entropy_with_logits(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::bce_with_logits;
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::from([1e4, -1e4]);
/// assert_eq!(bce_with_logits(&x, &Tensor::from([1.0, 1.0])).item(), 5e3);
/// ```
#[must_use]
#[track_caller]
pub fn bce_with_logits<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    BceWithLogitsLoss::new().loss(x, y)
}

/// [`bce_loss`] with options. PyTorch: `torch.nn.BCELoss(weight, reduction)`.
///
/// ```
/// use adamant_nn::{BceLoss, Reduction};
/// use adamant_tensor::Tensor;
/// let (x, y) = (Tensor::<f32>::from([1.0, 0.0]), Tensor::from([1.0, 1.0]));
/// let loss = BceLoss::new().weight(&Tensor::from([1.0, 0.5])).reduction(Reduction::Sum);
/// assert_eq!(loss.loss(&x, &y).item(), 50.0);
/// ```
#[derive(Clone, Debug)]
pub struct BceLoss<T: Float = f32> {
    weight: Option<Tensor<T>>,
    reduction: Reduction,
}

impl<T: Float> BceLoss<T> {
    /// A loss with PyTorch's defaults: no weights, and the mean.
    #[must_use]
    pub fn new() -> Self {
        BceLoss { weight: None, reduction: Reduction::Mean }
    }

    /// The factor of each loss before the reduction; broadcasts; default 1.
    #[must_use]
    pub fn weight(self, weight: &Tensor<T>) -> Self {
        BceLoss { weight: Some(weight.clone()), ..self }
    }

    /// The reduction of the elements' losses; default their mean.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        BceLoss { reduction, ..self }
    }

    /// The loss of the probabilities `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`bce_loss`], or if the weights do not broadcast to the shape of `x`.
    #[must_use]
    #[track_caller]
    pub fn loss(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("bce_loss", x, y);
        check_probabilities("input", x);
        check_probabilities("target", y);
        let losses = weighted("bce_loss", entropy(x, y), self.weight.as_ref());
        self.reduction.apply(losses)
    }
}

impl<T: Float> Default for BceLoss<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn check_probabilities<T: Float>(what: &str, x: &Tensor<T>) {
    let are = x.ge(T::ZERO) & x.le(T::ONE); // false for NaN
    check_elements("bce_loss", what, x, &are, "0 to 1");
}

/// The loss of each element. A custom operation: the derivative of the bounded logarithm would be
/// 0 · ∞, NaN.
#[track_caller]
fn entropy<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    let value = {
        let (x, y) = (x.detach(), y.detach());
        let [log_x, log_1_x] = [x.log(), (-&x).log1p()].map(|log| log.clamp_min(-100.0));
        (&y - T::ONE) * log_1_x - y * log_x
    };
    let (x_saved, y_saved) = (x.clone(), y.clone());
    Tensor::custom("bce_loss", &[x, y], value, move |g| {
        let (x, y) = (&x_saved, &y_saved);
        let slope = (x - y) / ((-x + T::ONE) * x).clamp_min(1e-12);
        let for_y = y.is_tracked().then(|| g * ((-x).log1p() - x.log()));
        vec![Some(g * slope), for_y]
    })
}

/// [`bce_with_logits`] with options.
///
/// PyTorch: `torch.nn.BCEWithLogitsLoss(weight, reduction, pos_weight)`.
///
/// ```
/// use adamant_nn::{BceWithLogitsLoss, bce_with_logits};
/// use adamant_tensor::Tensor;
/// let (x, ones) = (Tensor::<f32>::from([[0.5, -1.0]]), Tensor::from([[1.0, 1.0]]));
/// let thrice = BceWithLogitsLoss::new().pos_weight(&Tensor::from([3.0, 3.0])).loss(&x, &ones);
/// assert!((thrice.item() - 3.0 * bce_with_logits(&x, &ones).item()).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct BceWithLogitsLoss<T: Float = f32> {
    weight: Option<Tensor<T>>,
    pos_weight: Option<Tensor<T>>,
    reduction: Reduction,
}

impl<T: Float> BceWithLogitsLoss<T> {
    /// A loss with PyTorch's defaults: no weights, and the mean.
    #[must_use]
    pub fn new() -> Self {
        BceWithLogitsLoss { weight: None, pos_weight: None, reduction: Reduction::Mean }
    }

    /// The factor of each loss before the reduction; broadcasts; default 1.
    #[must_use]
    pub fn weight(self, weight: &Tensor<T>) -> Self {
        BceWithLogitsLoss { weight: Some(weight.clone()), ..self }
    }

    /// The factor of the losses of positive targets; broadcasts; default 1. More than 1 raises
    /// recall, less than 1 precision.
    #[must_use]
    pub fn pos_weight(self, pos_weight: &Tensor<T>) -> Self {
        BceWithLogitsLoss { pos_weight: Some(pos_weight.clone()), ..self }
    }

    /// The reduction of the elements' losses; default their mean.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        BceWithLogitsLoss { reduction, ..self }
    }

    /// The loss of the logits `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`bce_with_logits`], or if weights do not broadcast to the shape of `x`.
    #[must_use]
    #[track_caller]
    pub fn loss(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("bce_with_logits", x, y);
        // −ln σ(x). Above 40, ln(1 + e⁻ˣ) adds nothing to −x even in f64.
        let mut positive = (-x).softplus(1.0, 40.0);
        if let Some(weight) = &self.pos_weight {
            check_broadcast("bce_with_logits", "pos_weight", weight, x);
            positive *= (weight - T::ONE) * y + T::ONE;
        }
        let losses = (-y + T::ONE) * x + positive;
        let losses = weighted("bce_with_logits", losses, self.weight.as_ref());
        self.reduction.apply(losses)
    }
}

impl<T: Float> Default for BceWithLogitsLoss<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn weighted<T: Float>(op: &str, losses: Tensor<T>, weight: Option<&Tensor<T>>) -> Tensor<T> {
    let Some(weight) = weight else { return losses };
    check_broadcast(op, "weight", weight, &losses);
    losses * weight
}

#[track_caller]
fn check_broadcast<T: Float>(op: &str, what: &str, weight: &Tensor<T>, x: &Tensor<T>) {
    let (found, shape) = (weight.shape(), x.shape());
    assert!(
        broadcasts(found, shape),
        "{op}: a {what} of shape {found:?} does not broadcast to an input of shape {shape:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn gradients() {
        let weight = Tensor::from([0.5, 2.0, 1.5]);
        check(2, |x| bce_loss(&x[0].sigmoid(), &x[1].sigmoid()));
        let loss = BceLoss::new().weight(&weight).reduction(Reduction::None);
        check(2, |x| loss.loss(&x[0].sigmoid(), &x[1].sigmoid()));
        check(2, |x| bce_with_logits(&x[0], &x[1]));
        let loss = BceWithLogitsLoss::new().weight(&weight).pos_weight(&weight);
        check(2, |x| loss.loss(&x[0], &x[1]));
    }

    #[test]
    fn predictions_of_0_and_1_are_as_in_pytorch() {
        let x = Tensor::<f32>::from([0.0, 1.0, 0.0]).requires_grad();
        let losses = BceLoss::new().reduction(Reduction::None);
        let losses = losses.loss(&x, &Tensor::from([1.0, 1.0, 0.0]));
        losses.sum().backward();
        assert_eq!(losses.to_vec(), [100.0, 0.0, 0.0]);
        assert_eq!(x.grad().unwrap().to_vec(), [-1e12, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "bce_loss: element 1 of the input, of shape [2], is 1.5; expected 0")]
    fn a_value_above_1_is_refused() {
        let _ = bce_loss(&Tensor::<f32>::from([0.5, 1.5]), &Tensor::from([0.0, 1.0]));
    }

    #[test]
    #[should_panic(expected = "bce_loss: element 0 of the target, of shape [1], is NaN")]
    fn nan_is_refused() {
        let _ = bce_loss(&Tensor::<f32>::from([0.5]), &Tensor::from([f32::NAN]));
    }

    #[test]
    #[should_panic(
        expected = "bce_with_logits: a pos_weight of shape [2] does not broadcast to an \
                               input of shape [2, 3]"
    )]
    fn a_weight_of_another_shape_is_refused() {
        let x = Tensor::<f32>::ones([2, 3]);
        let _ = BceWithLogitsLoss::new().pos_weight(&Tensor::ones([2])).loss(&x, &x);
    }
}

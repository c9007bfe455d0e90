//! How far one distribution is from another.

use super::{Reduction, check_elements, same_shape};
use adamant_tensor::{Float, Tensor};

/// The mean of `y (ln y − x)`, where `x` are logarithms of probabilities and `y` probabilities.
///
/// As in PyTorch this is the mean over all elements, although the divergence of Kullback and Leibler
/// is a sum over classes: for that see [`KlDivLoss::batchmean`]. PyTorch:
/// `torch.nn.functional.kl_div(x, y)`.
///
/// # Panics
/// If the shapes are not the same, or empty, or an element of `y` is negative or NaN.
///
/// ```
/// use adamant_nn::kl_div;
/// use adamant_tensor::Tensor;
/// let y = Tensor::<f32>::from([0.0, 0.5, 0.5]);
/// assert_eq!(kl_div(&Tensor::from([-2.0, 0.5f32.ln(), 0.5f32.ln()]), &y).item(), 0.0);
/// ```
#[must_use]
#[track_caller]
pub fn kl_div<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    KlDivLoss::new().loss(x, y)
}

/// [`kl_div`] with options. PyTorch: `torch.nn.KLDivLoss(reduction, log_target)`.
///
/// ```
/// use adamant_nn::KlDivLoss;
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::zeros([4, 3]).log_softmax(1);
/// let y = Tensor::from([1.0, 0.0, 0.0]).broadcast_to([4, 3]);
/// let loss = KlDivLoss::new().batchmean().loss(&x, &y);
/// assert!((loss.item() - 3f32.ln()).abs() < 1e-6);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KlDivLoss {
    log_target: bool,
    batchmean: bool,
    reduction: Reduction,
}

impl KlDivLoss {
    /// With PyTorch's defaults: the targets are probabilities, and the mean over all elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the targets are logarithms of probabilities; they are not unless set.
    #[must_use]
    pub fn log_target(self, log_target: bool) -> Self {
        KlDivLoss { log_target, ..self }
    }

    /// What becomes of the losses of the single elements; their mean unless set.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        KlDivLoss { reduction, batchmean: false, ..self }
    }

    /// The sum over all elements, divided by the size of the first dimension: the mean divergence.
    ///
    /// PyTorch: `reduction="batchmean"`.
    #[must_use]
    pub fn batchmean(self) -> Self {
        KlDivLoss { reduction: Reduction::Sum, batchmean: true, ..self }
    }

    /// The loss of the logarithms of probabilities `x`, where `y` is the target.
    ///
    /// # Panics
    /// As [`kl_div`].
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("kl_div", x, y);
        let losses = if self.log_target {
            y.exp() * (y - x)
        } else {
            // NaN is none.
            check_elements("kl_div", "target", y, &y.ge(T::ZERO), "a probability");
            // y ln y is 0 at 0, and so is what it says of its slope, which is infinite.
            let log = y.masked_fill(&y.eq(T::ZERO), T::ONE).log();
            y * log - y * x
        };
        let loss = self.reduction.apply("kl_div", losses);
        if !self.batchmean {
            return loss;
        }
        // Without dimensions, PyTorch takes it for a batch of one.
        let batch = x.shape().first().copied().unwrap_or(1);
        assert!(batch > 0, "kl_div: the mean of an empty batch: an input of shape {:?}", x.shape());
        loss / T::from_f64(batch as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn gradients() {
        check(2, |x| kl_div(&x[0], &x[1].exp()));
        check(2, |x| KlDivLoss::new().log_target(true).batchmean().loss(&x[0], &x[1]));
    }

    #[test]
    fn a_target_of_zero_has_no_nan() {
        let y = Tensor::<f32>::from([0.0, 1.0]).requires_grad();
        let loss = kl_div(&Tensor::from([-1.0, -2.0]), &y);
        loss.backward();
        assert_eq!((loss.item(), y.grad().unwrap().to_vec()), (1.0, vec![0.5, 1.5]));
    }

    #[test]
    #[should_panic(expected = "kl_div: element 1 of the target, of shape [2], is -0.5; expected a")]
    fn a_negative_probability_is_refused() {
        let _ = kl_div(&Tensor::<f32>::ones([2]), &Tensor::from([1.5, -0.5]));
    }

    #[test]
    #[should_panic(expected = "kl_div: element 1 of the target, of shape [2], is NaN; expected a")]
    fn nan_is_no_probability() {
        let _ = kl_div(&Tensor::<f32>::ones([2]), &Tensor::from([0.5, f32::NAN]));
    }
}

//! The Kullback–Leibler divergence.

use super::{Reduction, same_shape};
use adamant_tensor::{Float, Tensor};

/// The mean of `y (ln y − x)`, where `x` are log-probabilities and `y` probabilities.
///
/// NaN if an element of `y` is negative or NaN.
///
/// As in PyTorch, this is the mean over all elements, although the divergence is a sum over classes;
/// for that see [`KlDivLoss::batchmean`].
///
/// PyTorch: `torch.nn.functional.kl_div(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
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
    /// A loss with PyTorch's defaults: targets are probabilities, and the mean over all elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the targets are log-probabilities; default false.
    #[must_use]
    pub fn log_target(self, log_target: bool) -> Self {
        KlDivLoss { log_target, ..self }
    }

    /// The reduction of the elements' losses; default their mean.
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

    /// The loss of the log-probabilities `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`kl_div`].
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("kl_div", x, y);
        let losses = if self.log_target {
            y.exp() * (y - x)
        } else {
            // At 0, y ln y is 0. Its derivative is infinite; as in PyTorch, 0 is used instead.
            let log = y.masked_fill(&y.eq(T::ZERO), T::ONE).log();
            y * log - y * x
        };
        let loss = self.reduction.apply(losses);
        if !self.batchmean {
            return loss;
        }
        // As in PyTorch, a scalar is a batch of one.
        let batch = x.shape().first().copied().unwrap_or(1);
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
    fn a_target_of_zero_is_not_nan() {
        let y = Tensor::<f32>::from([0.0, 1.0]).requires_grad();
        let loss = kl_div(&Tensor::from([-1.0, -2.0]), &y);
        loss.backward();
        assert_eq!((loss.item(), y.grad().unwrap().to_vec()), (1.0, vec![0.5, 1.5]));
    }

    #[test]
    fn negative_targets_yield_nan() {
        // F.kl_div(x, y, reduction="none"), and the gradients of its sum
        for odd in [-0.5, f32::NAN] {
            let x = Tensor::<f32>::from([-1.0, -2.0]).requires_grad();
            let y = Tensor::from([1.5, odd]).requires_grad();
            let losses = KlDivLoss::new().reduction(Reduction::None).loss(&x, &y);
            losses.sum().backward();
            assert!((losses.to_vec()[0] - 2.108_197_7).abs() < 1e-6 && losses.to_vec()[1].is_nan());
            let (gx, gy) = (x.grad().unwrap().to_vec(), y.grad().unwrap().to_vec());
            assert!(gx[0] == -1.5 && (gx[1] == 0.5 || odd.is_nan() && gx[1].is_nan()));
            assert!((gy[0] - 2.405_465_1).abs() < 1e-6 && gy[1].is_nan());
        }
    }
}

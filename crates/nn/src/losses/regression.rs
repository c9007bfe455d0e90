//! The losses of regression.

use super::{Reduction, options, same_shape};
use adamant_tensor::{Float, Tensor};

/// The mean of `(x − y)²`. PyTorch: `torch.nn.functional.mse_loss(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::mse_loss;
/// use adamant_tensor::Tensor;
/// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
/// assert_eq!(mse_loss(&x, &y).item(), 2.0);
/// ```
#[must_use]
#[track_caller]
pub fn mse_loss<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    MseLoss::new().loss(x, y)
}

/// The mean of `|x − y|`. PyTorch: `torch.nn.functional.l1_loss(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::l1_loss;
/// use adamant_tensor::Tensor;
/// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
/// assert_eq!(l1_loss(&x, &y).item(), 1.0);
/// ```
#[must_use]
#[track_caller]
pub fn l1_loss<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    L1Loss::new().loss(x, y)
}

/// The mean of `d² / 2` where `d = |x − y| < 1`, and of `d − ½` elsewhere.
///
/// PyTorch: `torch.nn.functional.smooth_l1_loss(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::smooth_l1_loss;
/// use adamant_tensor::Tensor;
/// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
/// assert_eq!(smooth_l1_loss(&x, &y).item(), 0.75);
/// ```
#[must_use]
#[track_caller]
pub fn smooth_l1_loss<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    SmoothL1Loss::new().loss(x, y)
}

/// The mean of `d² / 2` where `d = |x − y| < 1`, and of `d − ½` elsewhere.
///
/// PyTorch: `torch.nn.functional.huber_loss(x, y)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::huber_loss;
/// use adamant_tensor::Tensor;
/// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
/// assert_eq!(huber_loss(&x, &y).item(), 0.75);
/// ```
#[must_use]
#[track_caller]
pub fn huber_loss<T: Float>(x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
    HuberLoss::new().loss(x, y)
}

options!(
    /// [`mse_loss`] with another reduction. PyTorch: `torch.nn.MSELoss(reduction)`.
    MseLoss {}
);

impl MseLoss {
    /// The loss of `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`mse_loss`].
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("mse_loss", x, y);
        self.reduction.apply((x - y).square())
    }
}

options!(
    /// [`l1_loss`] with another reduction. PyTorch: `torch.nn.L1Loss(reduction)`.
    L1Loss {}
);

impl L1Loss {
    /// The loss of `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`l1_loss`].
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        same_shape("l1_loss", x, y);
        self.reduction.apply((x - y).abs())
    }
}

options!(
    /// [`smooth_l1_loss`] with options: `d² / 2β` where `d = |x − y| < β`, and `d − β/2` elsewhere.
    ///
    /// PyTorch: `torch.nn.SmoothL1Loss(reduction, beta)`.
    ///
    /// ```
    /// use adamant_nn::SmoothL1Loss;
    /// use adamant_tensor::Tensor;
    /// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
    /// assert_eq!(SmoothL1Loss::new().beta(4.0).loss(&x, &y).item(), 0.25);
    /// ```
    SmoothL1Loss {
        /// The distance at which the parabola becomes a line; default 1. With 0 this is [`l1_loss`].
        beta: f64 = 1.0
    }
);

impl SmoothL1Loss {
    /// The loss of `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`smooth_l1_loss`], or if `beta` is negative.
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        let beta = self.beta;
        assert!(beta >= 0.0, "smooth_l1_loss: beta is {beta}; expected at least 0");
        same_shape("smooth_l1_loss", x, y);
        let losses = match beta {
            0.0 => (x - y).abs(),
            _ => huber(x - y, beta) / T::from_f64(beta),
        };
        self.reduction.apply(losses)
    }
}

options!(
    /// [`huber_loss`] with options: `d² / 2` where `d = |x − y| < δ`, and `δ (d − δ/2)` elsewhere.
    ///
    /// PyTorch: `torch.nn.HuberLoss(reduction, delta)`.
    ///
    /// ```
    /// use adamant_nn::HuberLoss;
    /// use adamant_tensor::Tensor;
    /// let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
    /// assert_eq!(HuberLoss::new().delta(4.0).loss(&x, &y).item(), 1.0);
    /// ```
    HuberLoss {
        /// The distance at which the parabola becomes a line; default 1.
        delta: f64 = 1.0
    }
);

impl HuberLoss {
    /// The loss of `x`, where `y` is the target.
    ///
    /// # Panics
    /// Like [`huber_loss`], or if `delta` is not positive.
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        let delta = self.delta;
        assert!(delta > 0.0, "huber_loss: delta is {delta}; expected more than 0");
        same_shape("huber_loss", x, y);
        self.reduction.apply(huber(x - y, delta))
    }
}

/// `d² / 2` where `|d| < δ`, and `δ (|d| − δ/2)` elsewhere: both are `c (d − c/2)`, where `c` is
/// `d` clamped to `±δ`.
#[track_caller]
fn huber<T: Float>(d: Tensor<T>, delta: f64) -> Tensor<T> {
    let clamped = d.clamp(-delta, delta);
    &clamped * (d - &clamped * T::from_f64(0.5))
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn gradients() {
        check(2, |x| MseLoss::new().reduction(Reduction::None).loss(&x[0], &x[1]));
        check(2, |x| mse_loss(&x[0], &x[1]));
        check(2, |x| L1Loss::new().reduction(Reduction::Sum).loss(&x[0], &x[1]) * x[0].sum());
        check(2, |x| smooth_l1_loss(&x[0], &x[1]));
        check(2, |x| SmoothL1Loss::new().beta(0.3).loss(&x[0], &x[1]));
        check(2, |x| SmoothL1Loss::new().beta(0.0).loss(&x[0], &x[1]) * x[1].sum());
        check(2, |x| HuberLoss::new().delta(0.3).loss(&x[0], &x[1]));
    }

    #[test]
    #[should_panic(expected = "mse_loss: an input of shape [2, 1] and a target of shape [2]")]
    fn shapes_that_would_broadcast_are_refused() {
        let _ = mse_loss(&Tensor::<f32>::ones([2, 1]), &Tensor::ones([2]));
    }

    #[test]
    fn the_sum_of_an_empty_batch_is_zero() {
        let none = Tensor::<f32>::ones([0, 3]);
        assert_eq!(MseLoss::new().reduction(Reduction::Sum).loss(&none, &none).item(), 0.0);
    }
}

//! Losses of vectors that should be close to each other, or apart.

use super::{Reduction, options};
use adamant_tensor::{Float, Tensor};

/// The mean of `1 − cos(x₁, x₂)` for similar pairs, whose target is 1, and of `max(0, cos(x₁, x₂))`
/// for dissimilar pairs, whose target is −1: `[N, D], [N, D], [N]`, or `[D], [D], []`. The loss of a
/// pair with another target is 0.
///
/// PyTorch: `torch.nn.functional.cosine_embedding_loss(x1, x2, target)`.
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use adamant_nn::cosine_embedding_loss;
/// use adamant_tensor::Tensor;
/// let (x1, x2) = (Tensor::<f32>::from([[1.0, 0.0], [1.0, 0.0]]), Tensor::from([[0.0, 2.0], [0.0, 2.0]]));
/// assert_eq!(cosine_embedding_loss(&x1, &x2, &Tensor::from([1.0, -1.0])).item(), 0.5);
/// ```
#[must_use]
#[track_caller]
pub fn cosine_embedding_loss<T: Float>(
    x1: &Tensor<T>,
    x2: &Tensor<T>,
    target: &Tensor<T>,
) -> Tensor<T> {
    CosineEmbeddingLoss::new().loss(x1, x2, target)
}

options!(
    /// [`cosine_embedding_loss`] with options.
    ///
    /// PyTorch: `torch.nn.CosineEmbeddingLoss(margin, reduction)`.
    ///
    /// ```
    /// use adamant_nn::CosineEmbeddingLoss;
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::from([3.0, 4.0]);
    /// let loss = CosineEmbeddingLoss::new().margin(0.5).loss(&x, &x, &Tensor::from(-1.0));
    /// assert_eq!(loss.item(), 0.5);
    /// ```
    CosineEmbeddingLoss {
        /// The cosine up to which pairs with target −1 have no loss; default 0.
        margin: f64 = 0.0
    }
);

impl CosineEmbeddingLoss {
    /// The loss of the pairs of `x1` and `x2`.
    ///
    /// # Panics
    /// Like [`cosine_embedding_loss`].
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(&self, x1: &Tensor<T>, x2: &Tensor<T>, target: &Tensor<T>) -> Tensor<T> {
        let (s1, s2, pairs) = (x1.shape(), x2.shape(), target.shape());
        assert!(
            s1 == s2 && matches!(s1, [n @ .., _] if n == pairs && n.len() < 2),
            "cosine_embedding_loss: inputs of shapes {s1:?} and {s2:?} with a target of shape \
             {pairs:?}; expected [N, D], [N, D] and [N]"
        );
        let (same, different) = (target.eq(T::ONE), target.eq(-T::ONE));
        let dot = |a: &Tensor<T>, b: &Tensor<T>| (a * b).sum_dim(-1);
        let square = |x| dot(x, x) + T::from_f64(1e-12); // PyTorch's, for vectors of zeros
        let cosine = dot(x1, x2) / (square(x1) * square(x2)).sqrt();
        let apart = (&cosine - T::from_f64(self.margin)).clamp_min(0.0);
        let losses = (-cosine + T::ONE).where_(&same, apart.where_(&different, T::ZERO));
        self.reduction.apply(losses)
    }
}

/// The mean of `max(0, d(a, p) − d(a, n) + 1)`, where `d` is the Euclidean distance: an anchor `a`
/// should be closer to the positive `p` than to the negative `n`. All three are `[N, D]`, or `[D]`.
///
/// PyTorch: `torch.nn.functional.triplet_margin_loss(a, p, n)`.
///
/// # Panics
/// If the shapes are not the same.
///
/// ```
/// use adamant_nn::triplet_margin_loss;
/// use adamant_tensor::Tensor;
/// let [a, p, n] = [0.0, 2.0, 1.0].map(|x| Tensor::<f64>::from([[x, 0.0]]));
/// assert!((triplet_margin_loss(&a, &p, &n).item() - 2.0).abs() < 1e-5);
/// ```
#[must_use]
#[track_caller]
pub fn triplet_margin_loss<T: Float>(
    anchor: &Tensor<T>,
    positive: &Tensor<T>,
    negative: &Tensor<T>,
) -> Tensor<T> {
    TripletMarginLoss::new().loss(anchor, positive, negative)
}

/// [`triplet_margin_loss`] with options.
///
/// PyTorch: `torch.nn.TripletMarginLoss(margin, p, eps, swap, reduction)`.
///
/// ```
/// use adamant_nn::TripletMarginLoss;
/// use adamant_tensor::Tensor;
/// let [a, p, n] = [0.0, 2.0, 1.0].map(|x| Tensor::<f64>::from([[x, 0.0]]));
/// let loss = TripletMarginLoss::new().margin(0.25).loss(&a, &p, &n);
/// assert!((loss.item() - 1.25).abs() < 1e-5);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TripletMarginLoss {
    margin: f64,
    p: f64,
    eps: f64,
    swap: bool,
    reduction: Reduction,
}

impl TripletMarginLoss {
    /// A loss with PyTorch's defaults.
    #[must_use]
    pub fn new() -> Self {
        let reduction = Reduction::Mean;
        TripletMarginLoss { margin: 1.0, p: 2.0, eps: 1e-6, swap: false, reduction }
    }

    /// How much closer the positive should be; default 1.
    #[must_use]
    pub fn margin(self, margin: f64) -> Self {
        TripletMarginLoss { margin, ..self }
    }

    /// The order of the norm that measures distances, any that
    /// [`norm`](Tensor::norm) accepts; default 2.
    #[must_use]
    pub fn p(self, p: f64) -> Self {
        TripletMarginLoss { p, ..self }
    }

    /// Added to each difference, since the distance of equal vectors has no derivative; default
    /// 1e-6.
    ///
    /// # Panics
    /// If it is NaN.
    #[must_use]
    #[track_caller]
    pub fn eps(self, eps: f64) -> Self {
        assert!(!eps.is_nan(), "triplet_margin_loss: eps is NaN; expected a number");
        TripletMarginLoss { eps, ..self }
    }

    /// Whether the distance of the negative is that to the positive, if it is closer to that than
    /// to the anchor; default false.
    #[must_use]
    pub fn swap(self, swap: bool) -> Self {
        TripletMarginLoss { swap, ..self }
    }

    /// The reduction of the triplets' losses; default their mean.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        TripletMarginLoss { reduction, ..self }
    }

    /// The loss of the triplets.
    ///
    /// # Panics
    /// Like [`triplet_margin_loss`], or if the margin is 0 or less.
    #[must_use]
    #[track_caller]
    pub fn loss<T: Float>(
        &self,
        anchor: &Tensor<T>,
        positive: &Tensor<T>,
        negative: &Tensor<T>,
    ) -> Tensor<T> {
        let [sa, sp, sn] = [anchor, positive, negative].map(Tensor::shape);
        assert!(
            sa == sp && sa == sn && matches!(sa.len(), 1 | 2),
            "triplet_margin_loss: an anchor of shape {sa:?}, a positive of {sp:?} and a negative \
             of {sn:?}; expected the same, [N, D] or [D]"
        );
        let Self { margin, p, eps, .. } = *self;
        // NaN makes the loss NaN, as in PyTorch.
        assert!(
            margin > 0.0 || margin.is_nan(),
            "triplet_margin_loss: margin is {margin}; expected more than 0"
        );
        let distance = |a: &Tensor<T>, b: &Tensor<T>| (a - b + T::from_f64(eps)).norm_dim(p, -1);
        let mut far = distance(anchor, negative);
        if self.swap {
            far = far.minimum(distance(positive, negative));
        }
        let losses = distance(anchor, positive) - far + T::from_f64(margin);
        self.reduction.apply(losses.clamp_min(0.0))
    }
}

impl Default for TripletMarginLoss {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;

    #[test]
    fn gradients() {
        let target = Tensor::from([1.0, -1.0]);
        let loss = CosineEmbeddingLoss::new().margin(-0.9).reduction(Reduction::None);
        check(2, |x| loss.loss(&x[0], &x[1], &target));
        check(3, |x| triplet_margin_loss(&x[0], &x[1], &x[2]));
        let loss = TripletMarginLoss::new().margin(3.0).swap(true);
        check(3, |x| loss.loss(&x[0], &x[1], &x[2]));
        check(3, |x| loss.p(1.0).loss(&x[0], &x[1], &x[2]) * x[0].sum());
        check(3, |x| loss.p(0.5).loss(&x[0], &x[1], &x[2]));
        check(3, |x| loss.p(3.0).loss(&x[0], &x[1], &x[2]));
    }

    #[test]
    fn other_targets_have_no_loss() {
        // F.cosine_embedding_loss(x, y, target, reduction="none")
        let x = Tensor::<f32>::from([1.0, 0.0]).broadcast_to([4, 2]).requires_grad();
        let (y, target) = (Tensor::ones([4, 2]), Tensor::from([-1.0, 0.0, f32::NAN, 2.0]));
        let losses = CosineEmbeddingLoss::new().reduction(Reduction::None).loss(&x, &y, &target);
        losses.sum().backward();
        assert!((losses.to_vec()[0] - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(losses.to_vec()[1..], [0.0; 3]);
        assert_eq!(x.grad().unwrap().to_vec()[2..], [0.0; 6]);
    }

    #[test]
    #[should_panic(
        expected = "triplet_margin_loss: an anchor of shape [2, 3], a positive of [2, 3] \
                               and a negative of [1, 3]; expected the same"
    )]
    fn triplets_of_different_shapes_are_refused() {
        let x = Tensor::<f32>::ones([2, 3]);
        let _ = triplet_margin_loss(&x, &x, &Tensor::ones([1, 3]));
    }
}

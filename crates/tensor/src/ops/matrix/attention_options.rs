//! The options of scaled dot-product attention.

use crate::arrays::mask::Mask;
use crate::state::generator::Generator;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// The options of [`scaled_dot_product_attention`](crate::scaled_dot_product_attention()).
///
/// ```
/// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention};
/// let x = Tensor::<f32>::ones([2, 5, 3]);
/// let options = AttentionOptions::default().causal(true).scale(0.5);
/// assert_eq!(scaled_dot_product_attention(&x, &x, &x, options).shape(), [2, 5, 3]);
/// ```
#[derive(Debug)]
pub struct AttentionOptions<'a, T: Float = f32> {
    pub(crate) causal: bool,
    pub(crate) mask: Option<&'a Mask>,
    pub(crate) bias: Option<&'a Tensor<T>>,
    pub(crate) scale: Option<f64>,
    pub(crate) dropout: Option<(f64, &'a mut Generator)>,
}

impl<T: Float> Default for AttentionOptions<'_, T> {
    fn default() -> Self {
        AttentionOptions { causal: false, mask: None, bias: None, scale: None, dropout: None }
    }
}

impl<'a, T: Float> AttentionOptions<'a, T> {
    /// Whether query `i` attends only to keys `0..=i`; default `false`.
    ///
    /// PyTorch: `is_causal`.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        AttentionOptions { causal, ..self }
    }

    /// The pairs of queries and keys that take part in attention: **true takes part**. Broadcasts
    /// to `[…, L, S]`; default all.
    ///
    /// PyTorch: a boolean `attn_mask`.
    #[must_use]
    pub fn mask(self, mask: &'a Mask) -> Self {
        AttentionOptions { mask: Some(mask), ..self }
    }

    /// Values added to the scores; −∞ excludes a pair. Broadcasts to `[…, L, S]`; default none.
    ///
    /// Computing its gradient takes a buffer of all scores, `[…, L, S]`.
    ///
    /// PyTorch: an `attn_mask` of floats.
    #[must_use]
    pub fn bias(self, bias: &'a Tensor<T>) -> Self {
        AttentionOptions { bias: Some(bias), ..self }
    }

    /// The factor of the products of queries and keys; default `1/√E`.
    ///
    /// PyTorch: `scale`.
    ///
    /// # Panics
    /// If it is NaN.
    #[must_use]
    #[track_caller]
    pub fn scale(self, scale: f64) -> Self {
        assert!(
            !scale.is_nan(),
            "scaled_dot_product_attention: the scale is NaN; expected a number"
        );
        AttentionOptions { scale: Some(scale), ..self }
    }

    /// Sets weights to 0 with probability `p` and multiplies the others by `1 / (1 − p)`; default
    /// none. Draws a single number from `rng` to seed the mask.
    ///
    /// PyTorch: `dropout_p`.
    ///
    /// # Panics
    /// If `p` is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn dropout(self, p: f64, rng: &'a mut Generator) -> Self {
        assert!(
            (0.0..=1.0).contains(&p),
            "scaled_dot_product_attention: the dropout is {p}; expected 0 to 1"
        );
        AttentionOptions { dropout: (p > 0.0).then_some((p, rng)), ..self }
    }
}

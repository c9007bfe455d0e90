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
    pub(crate) causal_offset: usize,
    pub(crate) enable_gqa: bool,
    pub(crate) mask: Option<&'a Mask>,
    pub(crate) bias: Option<&'a Tensor<T>>,
    pub(crate) scale: Option<f64>,
    pub(crate) dropout: Option<(f64, &'a mut Generator)>,
}

impl<T: Float> Default for AttentionOptions<'_, T> {
    fn default() -> Self {
        AttentionOptions {
            causal: false,
            causal_offset: 0,
            enable_gqa: false,
            mask: None,
            bias: None,
            scale: None,
            dropout: None,
        }
    }
}

impl<'a, T: Float> AttentionOptions<'a, T> {
    /// Whether query `i` attends only to keys `0..=i`; default false.
    ///
    /// PyTorch: `is_causal`.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        AttentionOptions { causal, ..self }
    }

    /// With [`causal`](AttentionOptions::causal), the number of keys before the first query's own:
    /// query `i` attends to keys `0..=i + offset`; default 0.
    ///
    /// For queries that continue a sequence whose earlier keys are cached, it is the number of
    /// cached keys.
    ///
    /// PyTorch: `attn_mask=torch.nn.attention.bias.causal_lower_right(L, S)` has offset `S − L`.
    ///
    /// ```
    /// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention};
    /// let (q, k) = (Tensor::<f32>::zeros([2, 1]), Tensor::zeros([3, 1])); // the last 2 of 3
    /// let v = Tensor::from([[1.0], [3.0], [5.0]]);
    /// let options = AttentionOptions::default().causal(true).causal_offset(1);
    /// assert_eq!(scaled_dot_product_attention(&q, &k, &v, options).to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    pub fn causal_offset(self, offset: usize) -> Self {
        AttentionOptions { causal_offset: offset, ..self }
    }

    /// Whether groups of query heads share the keys and values of one head: head `h` of the `Hq`
    /// heads of queries `[…, Hq, L, E]` attends to head `h / (Hq / H)` of the `H` heads of keys
    /// `[…, H, S, E]` and values `[…, H, S, Ev]`, where `H` divides `Hq`; default false.
    ///
    /// Nothing is repeated in memory. Mask and bias broadcast to `[…, Hq, L, S]`.
    ///
    /// PyTorch: `enable_gqa`.
    ///
    /// ```
    /// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention};
    /// let (q, k) = (Tensor::<f32>::zeros([4, 1, 1]), Tensor::zeros([2, 1, 1]));
    /// let v = Tensor::from([[[1.0]], [[3.0]]]);
    /// let options = AttentionOptions::default().enable_gqa(true);
    /// let y = scaled_dot_product_attention(&q, &k, &v, options);
    /// assert_eq!(y.to_vec(), [1.0, 1.0, 3.0, 3.0]);
    /// ```
    #[must_use]
    pub fn enable_gqa(self, enable_gqa: bool) -> Self {
        AttentionOptions { enable_gqa, ..self }
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

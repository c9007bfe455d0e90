//! Attention with several heads.

use crate::buffer::Training;
use crate::module::{Leaf, Path};
use crate::shape::broadcasts;
use crate::state::lock;
use crate::summary::observe;
use crate::{Forward, Linear, Module, init};
use adamant_tensor::{
    AttentionOptions, Float, Generator, Mask, Parameter, Tensor, scaled_dot_product_attention,
};
use std::sync::Mutex;

/// What the queries may look at.
///
/// **In every mask, true means: may be looked at.** That is the meaning that
/// PyTorch's `scaled_dot_product_attention` gives a mask; its `MultiheadAttention`
/// and `TransformerEncoderLayer` mean the opposite (true: ignore), so a mask
/// that comes from there is to be negated: `!&mask`. They say true or false only: numbers that are
/// added to scores are a [`bias`](AttentionOptions::bias) of the function.
///
/// Together they must leave each query a key. With sequences padded on the left, and `causal`, the
/// queries of the padding have none; a `mask` instead of the padding, `|` the identity, lets each
/// see at least itself.
///
/// ```
/// use adamant_nn::{AttentionMasks, MultiheadAttention};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = MultiheadAttention::new(8, 2, &mut Generator::seed(0));
/// let x = Tensor::ones([2, 3, 8]);
/// let tokens = Tensor::from([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]).gt(0.5); // the second is shorter
/// let masks = AttentionMasks::default().causal(true).padding(&tokens);
/// assert_eq!(layer.attend(&x, &x, &x, masks).shape(), [2, 3, 8]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionMasks<'a> {
    causal: bool,
    mask: Option<&'a Mask>,
    padding: Option<&'a Mask>,
}

impl<'a> AttentionMasks<'a> {
    /// Whether query `i` sees the keys up to `i` only.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        AttentionMasks { causal, ..self }
    }

    /// Where a query may look at a key (true): `[L, S]`, or what broadcasts to
    /// `[N, heads, L, S]`.
    #[must_use]
    pub fn mask(self, mask: &'a Mask) -> Self {
        AttentionMasks { mask: Some(mask), ..self }
    }

    /// Which keys are there (true) and which fill a shorter sequence up (false): `[N, S]`, or
    /// `[S]` for one sequence.
    #[must_use]
    pub fn padding(self, tokens: &'a Mask) -> Self {
        AttentionMasks { padding: Some(tokens), ..self }
    }

    /// All masks as one that broadcasts to the scores, `[N, heads, L, S]`.
    #[track_caller]
    fn joined(&self, scores: [usize; 4]) -> Option<Mask> {
        let [batch, .., keys] = scores;
        if let Some(mask) = self.mask {
            assert!(
                broadcasts(mask.shape(), &scores),
                "MultiheadAttention: a mask of shape {:?} does not broadcast to the scores, which \
                 are {scores:?}",
                mask.shape()
            );
        }
        let mut padding = None;
        if let Some(tokens) = self.padding {
            assert!(
                *tokens.shape() == [batch, keys] || (batch, tokens.shape()) == (1, &[keys]),
                "MultiheadAttention: a padding mask of shape {:?}; expected [{batch}, {keys}], an \
                 element for each key of each sequence",
                tokens.shape()
            );
            padding = Some(tokens.reshape([batch, 1, 1, keys]));
        }
        match (self.mask, padding) {
            (Some(mask), Some(padding)) => Some(mask & padding),
            (mask, padding) => padding.or_else(|| mask.cloned()),
        }
    }
}

/// The options of [`MultiheadAttention::with_options`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug)]
pub struct MultiheadAttentionOptions {
    bias: bool,
    dropout: f64,
}

impl Default for MultiheadAttentionOptions {
    fn default() -> Self {
        MultiheadAttentionOptions { bias: true, dropout: 0.0 }
    }
}

impl MultiheadAttentionOptions {
    /// Whether the projections have biases; they have unless set.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        MultiheadAttentionOptions { bias, ..self }
    }

    /// With which probability a weight is dropped while training; 0 unless set.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Self {
        MultiheadAttentionOptions { dropout, ..self }
    }
}

/// Attention in several heads, each on its part of the width:
/// `concat(softmax(Qₕ Kₕᵀ / √(E / heads)) Vₕ) Wₒᵀ + bₒ`, where Q, K and V are projections of
/// queries, keys and values: `[N, L, E], [N, S, E], [N, S, E] → [N, L, E]`, or without `N` for
/// one sequence.
///
/// The batch comes first, always (PyTorch: `batch_first=True`). `in_proj_weight` is
/// `[3 E, E]`, the projections of queries, keys and values below each other, xavier-uniform;
/// `in_proj_bias` `[3 E]` and `out_proj.bias` start at 0. Masks: [`AttentionMasks`], where
/// **true means may be looked at**, the opposite of PyTorch's layer.
///
/// PyTorch: `torch.nn.MultiheadAttention(…, batch_first=True)`, called with
/// `need_weights=False`.
///
/// ```
/// use adamant_nn::{Forward, MultiheadAttention};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = MultiheadAttention::new(8, 2, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::ones([4, 5, 8])).shape(), [4, 5, 8]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T)]
pub struct MultiheadAttention<T: Float = f32> {
    /// `[3 E, E]`
    pub in_proj_weight: Parameter<T>,
    /// `[3 E]`
    pub in_proj_bias: Option<Parameter<T>>,
    /// `[E, E]`, `[E]`
    pub out_proj: Linear<T>,
    dropout: Option<WeightDropout>,
    #[module(skip)]
    heads: usize,
}

/// The dropout of attention weights: the operation draws.
#[derive(Debug)]
struct WeightDropout {
    p: f64,
    training: Training,
    rng: Mutex<Generator>,
}

impl<T: Float> Module<T> for WeightDropout {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.child("rng", |path| Module::<T>::visit(&self.rng, path, visit));
    }
    fn set_training(&mut self, training: bool) {
        Module::<T>::set_training(&mut self.training, training);
    }
}

impl MultiheadAttention {
    /// A layer with PyTorch's defaults, in `f32`. For another type, without biases or with
    /// dropout: [`with_options`](MultiheadAttention::with_options).
    ///
    /// # Panics
    /// If `heads` does not divide `width`.
    #[must_use]
    #[track_caller]
    pub fn new(width: usize, heads: usize, rng: &mut Generator) -> Self {
        MultiheadAttention::with_options(width, heads, MultiheadAttentionOptions::default(), rng)
    }
}

impl<T: Float> MultiheadAttention<T> {
    /// A layer of any type.
    ///
    /// # Panics
    /// If `heads` does not divide `width`, or the dropout is no probability.
    #[must_use]
    #[track_caller]
    pub fn with_options(
        width: usize,
        heads: usize,
        options: MultiheadAttentionOptions,
        rng: &mut Generator,
    ) -> Self {
        assert!(
            heads > 0 && width > 0 && width.is_multiple_of(heads),
            "MultiheadAttention: {heads} heads for a width of {width}; expected a divisor of it"
        );
        let MultiheadAttentionOptions { bias, dropout: p } = options;
        assert!(
            (0.0..=1.0).contains(&p),
            "MultiheadAttention: the dropout is {p}; expected 0 to 1"
        );
        let out_proj = Linear::with_bias(width, width, bias, rng);
        if let Some(bias) = &out_proj.bias {
            bias.set_value(&Tensor::zeros([width]));
        }
        MultiheadAttention {
            in_proj_weight: Parameter::new(init::xavier_uniform([3 * width, width], 1.0, rng)),
            in_proj_bias: bias.then(|| Parameter::new(Tensor::zeros([3 * width]))),
            out_proj,
            dropout: (p > 0.0).then(|| WeightDropout {
                p,
                training: Training::default(),
                rng: Mutex::new(rng.fork()),
            }),
            heads,
        }
    }

    /// What the queries find among the keys: `[N, L, E], [N, S, E], [N, S, E] → [N, L, E]`, or
    /// without `N` for one sequence.
    ///
    /// PyTorch: `attention(query, key, value, need_weights=False)[0]`.
    ///
    /// # Panics
    /// If the shapes do not fit, or the masks leave a query no key.
    #[must_use]
    #[track_caller]
    pub fn attend(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        masks: AttentionMasks<'_>,
    ) -> Tensor<T> {
        self.check(query, key, value);
        let same = std::ptr::eq(query, key) && std::ptr::eq(key, value);
        if query.shape().len() == 3 {
            return observe(self, self.attend_batch(query, key, value, same, masks));
        }
        // One sequence is a batch of one.
        let [q, k, v] = [query, key, value].map(|x| x.unsqueeze(0));
        let [k, v] = if same { [&q, &q] } else { [&k, &v] };
        observe(self, self.attend_batch(&q, k, v, same, masks).squeeze(0))
    }

    /// `[N, L, E], [N, S, E], [N, S, E] → [N, L, E]`; of one tensor, if it is the same.
    #[track_caller]
    fn attend_batch(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        same: bool,
        masks: AttentionMasks<'_>,
    ) -> Tensor<T> {
        let width = self.width();
        let (weight, bias) = (self.in_proj_weight.tensor(), self.in_proj_bias.as_ref());
        let bias = bias.map(Parameter::tensor);
        let [q, k, v] = if same {
            // One product, then its parts.
            let all = query.linear(&weight, bias.as_ref());
            [0, 1, 2].map(|i| all.narrow(2, i * width, width))
        } else {
            let project = |x: &Tensor<T>, i: usize| {
                let part = |rows: &Tensor<T>| rows.narrow(0, i * width, width);
                x.linear(&part(&weight), bias.as_ref().map(part).as_ref())
            };
            [project(query, 0), project(key, 1), project(value, 2)]
        };
        let [batch, len, keys] = [query.shape()[0], query.shape()[1], key.shape()[1]];
        let heads = |x: Tensor<T>, len: usize| {
            x.reshape([batch, len, self.heads, width / self.heads]).transpose(1, 2)
        };
        let mask = masks.joined([batch, self.heads, len, keys]);
        let mut options = AttentionOptions::default().causal(masks.causal);
        if let Some(mask) = &mask {
            options = options.mask(mask);
        }
        let (q, k, v) = (heads(q, len), heads(k, keys), heads(v, keys));
        let y = match &self.dropout {
            Some(dropout) if dropout.training.on() => {
                let mut rng = lock(&dropout.rng);
                scaled_dot_product_attention(&q, &k, &v, options.dropout(dropout.p, &mut rng))
            }
            _ => scaled_dot_product_attention(&q, &k, &v, options),
        };
        self.out_proj.forward(&y.transpose(1, 2).reshape([batch, len, width]))
    }

    fn width(&self) -> usize {
        self.out_proj.weight.shape()[0]
    }

    #[track_caller]
    fn check(&self, query: &Tensor<T>, key: &Tensor<T>, value: &Tensor<T>) {
        let (shapes, width) = ([query.shape(), key.shape(), value.shape()], self.width());
        let fits = match shapes {
            [[n @ .., _, e], [nk @ .., s, ek], [nv @ .., sv, ev]] => {
                [*e, *ek, *ev] == [width; 3] && n.len() < 2 && n == nk && n == nv && s == sv
            }
            _ => false,
        };
        assert!(
            fits,
            "MultiheadAttention: queries of shape {:?}, keys of {:?}, values of {:?}; expected \
             [N, L, {width}], [N, S, {width}], [N, S, {width}], or without N for one sequence",
            shapes[0], shapes[1], shapes[2]
        );
    }
}

impl<T: Float> Forward<T> for MultiheadAttention<T> {
    /// Of `x` to itself, without a mask.
    ///
    /// # Panics
    /// If `x` is not `[N, L, E]` or `[L, E]`.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        self.attend(x, x, x, AttentionMasks::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_start_as_pytorchs() {
        let layer = MultiheadAttention::new(50, 5, &mut Generator::seed(0));
        let largest = |x: &Parameter| x.tensor().abs().max().item();
        let bound = (6f32 / 200.0).sqrt();
        assert!((0.99 * bound..=bound).contains(&largest(&layer.in_proj_weight)));
        assert_eq!(largest(layer.in_proj_bias.as_ref().unwrap()), 0.0);
        assert_eq!(largest(layer.out_proj.bias.as_ref().unwrap()), 0.0);
        let names: Vec<_> = layer.named_parameters().into_iter().map(|(name, _)| name).collect();
        let expected = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"];
        assert_eq!(names, expected);
    }

    #[test]
    fn dropout_acts_in_training_only() {
        let rng = &mut Generator::seed(0);
        let options = MultiheadAttentionOptions::default().dropout(0.5);
        let mut layer = MultiheadAttention::<f32>::with_options(4, 2, options, rng);
        let x = Tensor::randn([1, 3, 4], rng);
        assert_ne!(layer.forward(&x).to_vec(), layer.forward(&x).to_vec());
        layer.eval();
        assert_eq!(layer.forward(&x).to_vec(), layer.forward(&x).to_vec());
    }
}

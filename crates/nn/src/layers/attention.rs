//! Multi-head attention.

use crate::check::broadcasts;
use crate::layers::dropout::DropMask;
use crate::tree::observe::observe;
use crate::{Forward, Linear, LinearOptions, Module, check, init};
use adamant_tensor::{
    AttentionOptions, Float, Generator, Mask, Parameter, REST, Tensor,
    scaled_dot_product_attention, scaled_dot_product_attention_with_weights,
};

const NAME: &str = "MultiheadAttention";

/// The keys that each query may attend to; default: all.
///
/// **In every mask, true means: may be attended to.** PyTorch's `scaled_dot_product_attention`
/// uses this convention; its `MultiheadAttention` and `TransformerEncoderLayer` use the opposite
/// one (true: ignore), so negate a mask that comes from there: `!&mask`. Masks are boolean only;
/// values added to the scores are a [`bias`](AttentionOptions::bias) of the function.
///
/// Together the masks must leave each query a key. With sequences padded on the left and `causal`,
/// the queries of the padding have none: then use a `mask` that includes the padding, `|` the
/// identity, so that each query attends at least to itself.
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
    /// Whether query `i` attends only to the keys up to `i`; default false.
    #[must_use]
    pub fn causal(self, causal: bool) -> Self {
        AttentionMasks { causal, ..self }
    }

    /// Which keys each query may attend to (true): `[L, S]`, or a shape that broadcasts to
    /// `[N, heads, L, S]`; default: all.
    #[must_use]
    pub fn mask(self, mask: &'a Mask) -> Self {
        AttentionMasks { mask: Some(mask), ..self }
    }

    /// Which keys are tokens (true) and which are padding (false): `[N, S]`, or `[S]` for one
    /// sequence; default: all are tokens.
    #[must_use]
    pub fn padding(self, tokens: &'a Mask) -> Self {
        AttentionMasks { padding: Some(tokens), ..self }
    }

    /// `mask` and `padding` as one mask that broadcasts to the scores, `[N, heads, L, S]`.
    #[track_caller]
    fn joined(&self, scores: [usize; 4]) -> Option<Mask> {
        let [batch, .., keys] = scores;
        if let Some(mask) = self.mask {
            assert!(
                broadcasts(mask.shape(), &scores),
                "{NAME}: a mask of shape {:?} does not broadcast to the scores, which \
                 are {scores:?}",
                mask.shape()
            );
        }
        let mut padding = None;
        if let Some(tokens) = self.padding {
            assert!(
                *tokens.shape() == [batch, keys] || (batch, tokens.shape()) == (1, &[keys]),
                "{NAME}: a padding mask of shape {:?}; expected [{batch}, {keys}], an \
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

    /// All masks, `causal` included, as one, with `extra` more keys at the end that every query
    /// may attend to; `scores` does not count these.
    #[track_caller]
    fn joined_with_extra(&self, scores: [usize; 4], extra: usize) -> Option<Mask> {
        let joined = self.joined(scores);
        if joined.is_none() && !self.causal {
            return None;
        }
        let [.., len, keys] = scores;
        let mut shape = joined.as_ref().map_or(&[][..], Mask::shape).to_vec();
        shape.truncate(shape.len().saturating_sub(2));
        shape.extend([len, keys]);
        let seen = joined.map(|mask| mask.broadcast_to(&shape[..]).to_vec());
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let mut all = Vec::with_capacity(rows * (keys + extra));
        for row in 0..rows {
            let may = |key: usize| {
                let later = self.causal && key > row % len;
                !later && seen.as_ref().is_none_or(|seen| seen[row * keys + key])
            };
            all.extend((0..keys).map(may));
            all.extend((0..extra).map(|_| true));
        }
        *shape.last_mut().expect("two or more") = keys + extra;
        Some(Mask::from_vec(all, shape).expect("a value for each score"))
    }
}

/// The options of a [`MultiheadAttention`], with PyTorch's defaults.
///
/// ```
/// use adamant_nn::{MultiheadAttention, MultiheadAttentionOptions};
/// use adamant_tensor::Generator;
/// let options = MultiheadAttentionOptions::default().kdim(6).vdim(5).add_bias_kv(true);
/// let layer = MultiheadAttention::<f64>::with_options(8, 2, options, &mut Generator::seed(0));
/// assert_eq!(layer.k_proj_weight.unwrap().shape(), [8, 6]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiheadAttentionOptions {
    dropout: f64,
    bias: bool,
    add_bias_kv: bool,
    add_zero_attn: bool,
    kdim: Option<usize>,
    vdim: Option<usize>,
}

impl Default for MultiheadAttentionOptions {
    fn default() -> Self {
        MultiheadAttentionOptions {
            dropout: 0.0,
            bias: true,
            add_bias_kv: false,
            add_zero_attn: false,
            kdim: None,
            vdim: None,
        }
    }
}

impl MultiheadAttentionOptions {
    /// The probability with which an attention weight is dropped in training; default 0.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Self {
        MultiheadAttentionOptions { dropout, ..self }
    }

    /// Whether the projections have biases; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        MultiheadAttentionOptions { bias, ..self }
    }

    /// Whether a learned key and value, `bias_k` and `bias_v`, follow the projected ones; default
    /// false. Masks do not apply to them.
    #[must_use]
    pub fn add_bias_kv(self, add_bias_kv: bool) -> Self {
        MultiheadAttentionOptions { add_bias_kv, ..self }
    }

    /// Whether a key and a value of zeros follow the projected ones; default false. Masks do not
    /// apply to them.
    #[must_use]
    pub fn add_zero_attn(self, add_zero_attn: bool) -> Self {
        MultiheadAttentionOptions { add_zero_attn, ..self }
    }

    /// The width of the keys; default `embed_dim`.
    #[must_use]
    pub fn kdim(self, kdim: usize) -> Self {
        MultiheadAttentionOptions { kdim: Some(kdim), ..self }
    }

    /// The width of the values; default `embed_dim`.
    #[must_use]
    pub fn vdim(self, vdim: usize) -> Self {
        MultiheadAttentionOptions { vdim: Some(vdim), ..self }
    }
}

/// Attention with several heads, each on its part of the width:
/// `concat(softmax(Qₕ Kₕᵀ / √(E / heads)) Vₕ) Wₒᵀ + bₒ`, where Q, K and V are projections of
/// queries, keys and values: `[N, L, E], [N, S, kdim], [N, S, vdim] → [N, L, E]`, or without `N`
/// for one sequence.
///
/// The batch is always the first dimension (PyTorch: `batch_first=True`). The weights of the
/// projections start xavier-uniform: if `kdim` and `vdim` are `E`, they are the three parts of
/// `in_proj_weight`, else each has its own parameter. `in_proj_bias` and `out_proj.bias` start as
/// 0. In masks, **true means: may be attended to**, the opposite of PyTorch's layer; see
/// [`AttentionMasks`].
///
/// PyTorch: `torch.nn.MultiheadAttention(…, batch_first=True)`.
///
/// ```
/// use adamant_nn::{Forward, MultiheadAttention};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = MultiheadAttention::new(8, 2, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::ones([4, 5, 8])).shape(), [4, 5, 8]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct MultiheadAttention<T: Float = f32> {
    /// `[E, E]`, if there is no `in_proj_weight`.
    pub q_proj_weight: Option<Parameter<T>>,
    /// `[E, kdim]`, if there is no `in_proj_weight`.
    pub k_proj_weight: Option<Parameter<T>>,
    /// `[E, vdim]`, if there is no `in_proj_weight`.
    pub v_proj_weight: Option<Parameter<T>>,
    /// `[3 E, E]`: the projections of queries, keys and values, stacked, if all three have the
    /// width `E`.
    pub in_proj_weight: Option<Parameter<T>>,
    /// `[3 E]`
    pub in_proj_bias: Option<Parameter<T>>,
    /// `[1, 1, E]`, starts normal with variance `1 / E`.
    pub bias_k: Option<Parameter<T>>,
    /// `[1, 1, E]`, starts normal with variance `1 / E`.
    pub bias_v: Option<Parameter<T>>,
    /// `[E, E]`, `[E]`
    pub out_proj: Linear<T>,
    /// Of the attention weights, drawn by the operation.
    dropout: Option<DropMask>,
    /// The widths of queries, keys and values.
    #[module(skip)]
    widths: [usize; 3],
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    add_zero_attn: bool,
}

impl MultiheadAttention {
    /// A layer with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If `num_heads` does not divide `embed_dim`, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(embed_dim: usize, num_heads: usize, rng: &mut Generator) -> Self {
        let options = MultiheadAttentionOptions::default();
        MultiheadAttention::with_options(embed_dim, num_heads, options, rng)
    }
}

impl<T: Float> MultiheadAttention<T> {
    /// A layer with these options, of any type.
    ///
    /// # Panics
    /// If `num_heads` does not divide `embed_dim`, the dropout is not from 0 to 1, or the
    /// parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(
        embed_dim: usize,
        num_heads: usize,
        options: MultiheadAttentionOptions,
        rng: &mut Generator,
    ) -> Self {
        let MultiheadAttentionOptions { dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim } =
            options;
        check::at_least_one(NAME, "embed_dim", embed_dim);
        assert!(
            num_heads > 0 && embed_dim.is_multiple_of(num_heads),
            "{NAME}: num_heads is {num_heads}; expected a divisor of embed_dim = {embed_dim}"
        );
        check::probability(NAME, "dropout", dropout);
        let widths = [embed_dim, kdim.unwrap_or(embed_dim), vdim.unwrap_or(embed_dim)];
        let [_, kdim, vdim] = widths;
        check::fits::<T>(
            NAME,
            format_args!("embed_dim = {embed_dim}, kdim = {kdim}, vdim = {vdim}"),
            &[embed_dim, embed_dim.max(kdim).max(vdim)],
        );
        let packed = widths == [embed_dim; 3];
        let mut weight = |exists: bool, rows: usize, width: usize| {
            let draw = || Parameter::new(init::xavier_uniform([rows, width], 1.0, rng));
            exists.then(draw)
        };
        let in_proj_weight = weight(packed, 3 * embed_dim, embed_dim);
        let [q_proj_weight, k_proj_weight, v_proj_weight] =
            widths.map(|width| weight(!packed, embed_dim, width));
        let linear = LinearOptions::default().bias(bias);
        let out_proj = Linear::with_options(embed_dim, embed_dim, linear, rng);
        if let Some(bias) = &out_proj.bias {
            bias.set_value(&Tensor::zeros([embed_dim]));
        }
        let mut learned = || {
            let draw = || Parameter::new(init::xavier_normal([1, 1, embed_dim], 1.0, rng));
            add_bias_kv.then(draw)
        };
        MultiheadAttention {
            q_proj_weight,
            k_proj_weight,
            v_proj_weight,
            in_proj_weight,
            in_proj_bias: bias.then(|| Parameter::new(Tensor::zeros([3 * embed_dim]))),
            bias_k: learned(),
            bias_v: learned(),
            out_proj,
            dropout: (dropout > 0.0).then(|| DropMask::new(dropout, rng)),
            widths,
            heads: num_heads,
            add_zero_attn,
        }
    }

    /// The attention of the queries to the keys:
    /// `[N, L, E], [N, S, kdim], [N, S, vdim] → [N, L, E]`, or without `N` for one sequence.
    ///
    /// PyTorch: `attention(query, key, value, need_weights=False)[0]`.
    ///
    /// # Panics
    /// If the shapes do not match, or the masks leave a query no key.
    #[must_use]
    #[track_caller]
    pub fn attend(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        masks: AttentionMasks<'_>,
    ) -> Tensor<T> {
        self.run(query, key, value, masks, Need::Result).0
    }

    /// [`attend`](MultiheadAttention::attend), and the attention weights averaged over the heads:
    /// `[N, L, S]`, or `[L, S]` for one sequence.
    ///
    /// The keys of `add_bias_kv` and `add_zero_attn` come last. In training, the weights are those
    /// after the dropout. All weights are held in memory; for long sequences use
    /// [`attend`](MultiheadAttention::attend).
    ///
    /// PyTorch: `attention(query, key, value)`.
    ///
    /// # Panics
    /// Like [`attend`](MultiheadAttention::attend).
    ///
    /// ```
    /// use adamant_nn::{AttentionMasks, MultiheadAttention};
    /// use adamant_tensor::{Generator, Tensor};
    /// let layer = MultiheadAttention::new(8, 2, &mut Generator::seed(0));
    /// let (x, masks) = (Tensor::ones([4, 5, 8]), AttentionMasks::default());
    /// let (y, weights) = layer.attend_with_weights(&x, &x, &x, masks);
    /// assert_eq!((y.shape(), weights.shape()), (&[4, 5, 8][..], &[4, 5, 5][..]));
    /// assert_eq!(layer.attend_with_head_weights(&x, &x, &x, masks).1.shape(), [4, 2, 5, 5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn attend_with_weights(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        masks: AttentionMasks<'_>,
    ) -> (Tensor<T>, Tensor<T>) {
        let (y, weights) = self.attend_with_head_weights(query, key, value, masks);
        (y, weights.mean_dim(-3))
    }

    /// [`attend_with_weights`](MultiheadAttention::attend_with_weights), with the weights of each
    /// head: `[N, heads, L, S]`, or `[heads, L, S]` for one sequence.
    ///
    /// PyTorch: `attention(query, key, value, average_attn_weights=False)`.
    ///
    /// # Panics
    /// Like [`attend`](MultiheadAttention::attend).
    #[must_use]
    #[track_caller]
    pub fn attend_with_head_weights(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        masks: AttentionMasks<'_>,
    ) -> (Tensor<T>, Tensor<T>) {
        let (y, weights) = self.run(query, key, value, masks, Need::Weights);
        (y, weights.expect("computed as needed"))
    }

    #[track_caller]
    fn run(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        masks: AttentionMasks<'_>,
        need: Need,
    ) -> (Tensor<T>, Option<Tensor<T>>) {
        self.check(query, key, value);
        let same = std::ptr::eq(query, key) && std::ptr::eq(key, value);
        if query.shape().len() == 3 {
            let (y, weights) = self.run_batch(query, key, value, same, masks, need);
            return (observe(self, y), weights);
        }
        // One sequence is a batch of one.
        let [q, k, v] = [query, key, value].map(|x| x.unsqueeze(0));
        let [k, v] = if same { [&q, &q] } else { [&k, &v] };
        let (y, weights) = self.run_batch(&q, k, v, same, masks, need);
        (observe(self, y.squeeze(0)), weights.map(|weights| weights.squeeze(0)))
    }

    /// The result for `[N, L, E], [N, S, kdim], [N, S, vdim]`, and the weights of each head if they
    /// are needed. `same`: all three are one tensor.
    #[track_caller]
    fn run_batch(
        &self,
        query: &Tensor<T>,
        key: &Tensor<T>,
        value: &Tensor<T>,
        same: bool,
        masks: AttentionMasks<'_>,
        need: Need,
    ) -> (Tensor<T>, Option<Tensor<T>>) {
        let [q, k, v] = self.projected([query, key, value], same);
        let [k, v] = [(k, &self.bias_k), (v, &self.bias_v)].map(|(x, end)| self.extended(x, end));
        let (batch, keys) = (query.shape()[0], key.shape()[1]);
        let width = self.widths[0] / self.heads;
        let heads = |x: Tensor<T>| {
            let len = x.shape()[1];
            x.reshape([batch, len, self.heads, width]).transpose(1, 2)
        };
        let scores = [batch, self.heads, query.shape()[1], keys];
        let (mask, causal) = match k.shape()[1] - keys {
            0 => (masks.joined(scores), masks.causal),
            extra => (masks.joined_with_extra(scores, extra), false),
        };
        let mut options = AttentionOptions::default().causal(causal);
        if let Some(mask) = &mask {
            options = options.mask(mask);
        }
        let mut drawn = self.dropout.as_ref().and_then(DropMask::active);
        if let Some((p, rng)) = &mut drawn {
            options = options.dropout(*p, rng);
        }
        let (q, k, v) = (heads(q), heads(k), heads(v));
        let (y, weights) = match need {
            Need::Result => (scaled_dot_product_attention(&q, &k, &v, options), None),
            Need::Weights => {
                let (y, weights) = scaled_dot_product_attention_with_weights(&q, &k, &v, options);
                (y, Some(weights))
            }
        };
        let y = y.transpose(1, 2).reshape([batch, query.shape()[1], self.widths[0]]);
        (self.out_proj.forward(&y), weights)
    }

    /// Queries, keys and values after their projections, `[N, L, E]` or `[N, S, E]`.
    #[track_caller]
    fn projected(&self, inputs: [&Tensor<T>; 3], same: bool) -> [Tensor<T>; 3] {
        let width = self.widths[0];
        let bias = self.in_proj_bias.as_ref().map(Parameter::tensor);
        let part = |x: &Tensor<T>, dim: usize, i: usize| x.narrow(dim, i * width, width);
        let weights = match &self.in_proj_weight {
            Some(weight) if same => {
                // One product, then its parts.
                let all = inputs[0].linear(weight, bias.as_ref());
                return [0, 1, 2].map(|i| part(&all, 2, i));
            }
            Some(weight) => {
                let weight = weight.tensor();
                [0, 1, 2].map(|i| part(&weight, 0, i))
            }
            None => [&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight]
                .map(|weight| weight.as_ref().expect("one or three weights").tensor()),
        };
        [0, 1, 2].map(|i| {
            let bias = bias.as_ref().map(|bias| part(bias, 0, i));
            inputs[i].linear(&weights[i], bias.as_ref())
        })
    }

    /// Projected keys or values, `[N, S, E]`, followed by the learned one and by zeros, where the
    /// options have them.
    #[track_caller]
    fn extended(&self, x: Tensor<T>, learned: &Option<Parameter<T>>) -> Tensor<T> {
        let one = [x.shape()[0], 1, self.widths[0]];
        let learned = learned.as_ref().map(|learned| learned.tensor().expand([one[0], REST, REST]));
        let zeros = self.add_zero_attn.then(|| Tensor::zeros(one));
        match (&learned, &zeros) {
            (None, None) => x,
            _ => {
                let parts: Vec<_> =
                    [Some(&x), learned.as_ref(), zeros.as_ref()].into_iter().flatten().collect();
                Tensor::cat(&parts, 1)
            }
        }
    }

    #[track_caller]
    fn check(&self, query: &Tensor<T>, key: &Tensor<T>, value: &Tensor<T>) {
        let (shapes, widths) = ([query.shape(), key.shape(), value.shape()], self.widths);
        let fits = match shapes {
            [[n @ .., _, e], [nk @ .., s, ek], [nv @ .., sv, ev]] => {
                [*e, *ek, *ev] == widths && n.len() < 2 && n == nk && n == nv && s == sv
            }
            _ => false,
        };
        let [embed_dim, kdim, vdim] = widths;
        assert!(
            fits,
            "{NAME}: queries of shape {:?}, keys of {:?}, values of {:?}; expected \
             [N, L, {embed_dim}], [N, S, {kdim}], [N, S, {vdim}], or without N for one sequence",
            shapes[0], shapes[1], shapes[2]
        );
    }
}

/// What a call of the layer computes.
#[derive(Clone, Copy)]
enum Need {
    /// The result only, by the fused operation.
    Result,
    /// The weights as well.
    Weights,
}

impl<T: Float> Forward<T> for MultiheadAttention<T> {
    /// The attention of `x` to itself, without masks.
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
        assert!((0.99 * bound..=bound).contains(&largest(layer.in_proj_weight.as_ref().unwrap())));
        assert_eq!(largest(layer.in_proj_bias.as_ref().unwrap()), 0.0);
        assert_eq!(largest(layer.out_proj.bias.as_ref().unwrap()), 0.0);
        let names: Vec<_> = layer.named_parameters().into_iter().map(|(name, _)| name).collect();
        let expected = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"];
        assert_eq!(names, expected);
    }

    #[test]
    fn separate_projections_start_as_pytorchs() {
        let options = MultiheadAttentionOptions::default().kdim(30).add_bias_kv(true);
        let rng = &mut Generator::seed(0);
        let layer = MultiheadAttention::<f32>::with_options(500, 5, options, rng);
        let parameters = layer.named_parameters();
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let expected = "q_proj_weight k_proj_weight v_proj_weight in_proj_bias bias_k bias_v \
                        out_proj.weight out_proj.bias";
        assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(parameters[1].1.shape(), [500, 30]);
        let bound = (6f32 / 530.0).sqrt();
        let largest = parameters[1].1.tensor().abs().max().item();
        assert!((0.99 * bound..=bound).contains(&largest));
        let bias_k = parameters[4].1.tensor();
        assert_eq!(bias_k.shape(), [1, 1, 500]);
        let variance = bias_k.square().mean().item();
        assert!((0.8 / 500.0..1.2 / 500.0).contains(&variance), "{variance}");
    }

    #[test]
    fn returning_the_weights_drops_the_same() {
        let options = MultiheadAttentionOptions::default().dropout(0.5).add_zero_attn(true);
        let layer = |seed| {
            MultiheadAttention::<f64>::with_options(4, 2, options, &mut Generator::seed(seed))
        };
        let x = Tensor::randn([2, 3, 4], &mut Generator::seed(1));
        let masks = AttentionMasks::default().causal(true);
        let y = layer(0).attend(&x, &x, &x, masks);
        let (z, weights) = layer(0).attend_with_head_weights(&x, &x, &x, masks);
        assert!((y - z).abs().max().item() < 1e-12);
        assert_eq!(weights.shape(), [2, 2, 3, 4]);
        assert!(weights.narrow(-1, 0, 1).to_vec().contains(&0.0)); // the first key is dropped too
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

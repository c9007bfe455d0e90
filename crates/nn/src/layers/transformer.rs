//! The encoder layer of a transformer.

use crate::layers::attention::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
use crate::layers::norm::{LayerNorm, LayerNormOptions};
use crate::tree::observe::observe;
use crate::{Dropout, Forward, Linear, LinearOptions, Module, check};
use adamant_tensor::{Float, Generator, Tensor};

/// The activation between the two linear maps of a [`TransformerEncoderLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransformerActivation {
    /// [`Tensor::relu`]
    #[default]
    Relu,
    /// [`Tensor::gelu`]
    Gelu,
}

/// The options of a [`TransformerEncoderLayer`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug)]
pub struct TransformerEncoderLayerOptions {
    dim_feedforward: usize,
    dropout: f64,
    activation: TransformerActivation,
    norm_first: bool,
    bias: bool,
    layer_norm_eps: f64,
}

impl Default for TransformerEncoderLayerOptions {
    fn default() -> Self {
        TransformerEncoderLayerOptions {
            dim_feedforward: 2048,
            dropout: 0.1,
            activation: TransformerActivation::Relu,
            norm_first: false,
            bias: true,
            layer_norm_eps: 1e-5,
        }
    }
}

impl TransformerEncoderLayerOptions {
    /// The width between the two linear maps; default 2048.
    #[must_use]
    pub fn dim_feedforward(self, dim_feedforward: usize) -> Self {
        TransformerEncoderLayerOptions { dim_feedforward, ..self }
    }

    /// The probability of all dropouts; default 0.1.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Self {
        TransformerEncoderLayerOptions { dropout, ..self }
    }

    /// The function between the two linear maps; default ReLU.
    #[must_use]
    pub fn activation(self, activation: TransformerActivation) -> Self {
        TransformerEncoderLayerOptions { activation, ..self }
    }

    /// Whether attention and feed-forward net each normalize their input, instead of the sum of
    /// their output and input; default false.
    #[must_use]
    pub fn norm_first(self, norm_first: bool) -> Self {
        TransformerEncoderLayerOptions { norm_first, ..self }
    }

    /// Whether the linear maps and norms have biases; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        TransformerEncoderLayerOptions { bias, ..self }
    }

    /// Added to the variance in both norms; default 1e-5.
    #[must_use]
    pub fn layer_norm_eps(self, layer_norm_eps: f64) -> Self {
        TransformerEncoderLayerOptions { layer_norm_eps, ..self }
    }
}

/// Attention of a sequence to itself and a feed-forward net, each added to its input:
/// `[N, L, E] → [N, L, E]`, or `[L, E] → [L, E]` for one sequence.
///
/// `x = norm1(x + attention(x))`, then `x = norm2(x + linear2(act(linear1(x))))`; with
/// `norm_first`, `x = x + attention(norm1(x))`, then `x = x + linear2(act(linear1(norm2(x))))`.
///
/// The batch is always the first dimension (PyTorch: `batch_first=True`). In masks, **true means:
/// may be attended to**, the opposite of PyTorch's layer; see [`AttentionMasks`].
///
/// PyTorch: `torch.nn.TransformerEncoderLayer(…, batch_first=True)`.
///
/// ```
/// use adamant_nn::{Forward, TransformerEncoderLayer};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = TransformerEncoderLayer::new(8, 2, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::ones([4, 5, 8])).shape(), [4, 5, 8]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct TransformerEncoderLayer<T: Float = f32> {
    /// The attention, of width `E`.
    pub self_attn: MultiheadAttention<T>,
    /// From `E` to `dim_feedforward`.
    pub linear1: Linear<T>,
    // None if the probability is 0: the state is then PyTorch's, without generators.
    dropout: Option<Dropout>,
    /// From `dim_feedforward` to `E`.
    pub linear2: Linear<T>,
    /// The norm of the attention, over `E`.
    pub norm1: LayerNorm<T>,
    /// The norm of the feed-forward net, over `E`.
    pub norm2: LayerNorm<T>,
    dropout1: Option<Dropout>,
    dropout2: Option<Dropout>,
    #[module(skip)]
    options: TransformerEncoderLayerOptions,
}

impl TransformerEncoderLayer {
    /// A layer with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If `nhead` does not divide `d_model`, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(d_model: usize, nhead: usize, rng: &mut Generator) -> Self {
        let options = TransformerEncoderLayerOptions::default();
        TransformerEncoderLayer::with_options(d_model, nhead, options, rng)
    }
}

impl<T: Float> TransformerEncoderLayer<T> {
    /// A layer with these options, of any type.
    ///
    /// # Panics
    /// If `nhead` does not divide `d_model`, the dropout is not from 0 to 1, `layer_norm_eps` is
    /// negative or NaN, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(
        d_model: usize,
        nhead: usize,
        options: TransformerEncoderLayerOptions,
        rng: &mut Generator,
    ) -> Self {
        let TransformerEncoderLayerOptions { dim_feedforward, dropout: p, bias, .. } = options;
        let eps = options.layer_norm_eps;
        check::probability("TransformerEncoderLayer", "dropout", p);
        check::eps("TransformerEncoderLayer", "layer_norm_eps", eps);
        let attention = MultiheadAttentionOptions::default().bias(bias).dropout(p);
        let linear = LinearOptions::default().bias(bias);
        let norm = LayerNormOptions::default().eps(eps).bias(bias);
        let self_attn = MultiheadAttention::with_options(d_model, nhead, attention, rng);
        let dropout = |rng: &mut Generator| (p > 0.0).then(|| Dropout::new(p, rng));
        TransformerEncoderLayer {
            self_attn,
            linear1: Linear::with_options(d_model, dim_feedforward, linear, rng),
            dropout: dropout(rng),
            linear2: Linear::with_options(dim_feedforward, d_model, linear, rng),
            norm1: LayerNorm::with_options([d_model], norm),
            norm2: LayerNorm::with_options([d_model], norm),
            dropout1: dropout(rng),
            dropout2: dropout(rng),
            options,
        }
    }

    /// The output for `x`, with masks for the attention.
    ///
    /// PyTorch: `layer(x, src_mask, src_key_padding_mask)`.
    ///
    /// # Panics
    /// If the shapes do not match, or the masks leave a query no key.
    #[must_use]
    #[track_caller]
    pub fn forward_masked(&self, x: &Tensor<T>, masks: AttentionMasks<'_>) -> Tensor<T> {
        let y = if self.options.norm_first {
            let x = &(x + self.attention(&self.norm1.forward(x), masks));
            x + self.feedforward(&self.norm2.forward(x))
        } else {
            let x = &self.norm1.forward(&(x + self.attention(x, masks)));
            self.norm2.forward(&(x + self.feedforward(x)))
        };
        observe(self, y)
    }

    #[track_caller]
    fn attention(&self, x: &Tensor<T>, masks: AttentionMasks<'_>) -> Tensor<T> {
        dropped(self.dropout1.as_ref(), self.self_attn.attend(x, x, x, masks))
    }

    #[track_caller]
    fn feedforward(&self, x: &Tensor<T>) -> Tensor<T> {
        let x = self.linear1.forward(x);
        let x = match self.options.activation {
            TransformerActivation::Relu => x.relu(),
            TransformerActivation::Gelu => x.gelu(),
        };
        let x = self.linear2.forward(&dropped(self.dropout.as_ref(), x));
        dropped(self.dropout2.as_ref(), x)
    }
}

fn dropped<T: Float>(dropout: Option<&Dropout>, x: Tensor<T>) -> Tensor<T> {
    match dropout {
        Some(dropout) => dropout.forward(&x),
        None => x,
    }
}

impl<T: Float> Forward<T> for TransformerEncoderLayer<T> {
    /// The output for `x`, without masks.
    ///
    /// # Panics
    /// If `x` is not `[N, L, E]` or `[L, E]`.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        self.forward_masked(x, AttentionMasks::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_pytorchs_names() {
        let layer = TransformerEncoderLayer::new(4, 2, &mut Generator::seed(0));
        let names: Vec<_> = layer.named_parameters().into_iter().map(|(name, _)| name).collect();
        let expected = "self_attn.in_proj_weight self_attn.in_proj_bias self_attn.out_proj.weight \
                        self_attn.out_proj.bias linear1.weight linear1.bias linear2.weight \
                        linear2.bias norm1.weight norm1.bias norm2.weight norm2.bias";
        assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn both_norms_take_the_eps() {
        let options = TransformerEncoderLayerOptions::default().dropout(0.0);
        let y = |options: TransformerEncoderLayerOptions| {
            let rng = &mut Generator::seed(0);
            let layer = TransformerEncoderLayer::<f32>::with_options(4, 2, options, rng);
            let x = Tensor::randn([3, 4], rng);
            [layer.norm1.forward(&x), layer.norm2.forward(&x)].map(|y| y.abs().max().item())
        };
        assert!(y(options).iter().all(|&largest| largest > 1.0));
        assert!(y(options.layer_norm_eps(1e6)).iter().all(|&largest| largest < 0.01));
    }

    #[test]
    fn dropout_acts_in_training_only() {
        let rng = &mut Generator::seed(0);
        let mut layer = TransformerEncoderLayer::new(4, 2, rng);
        let x = Tensor::randn([2, 3, 4], rng);
        assert_ne!(layer.forward(&x).to_vec(), layer.forward(&x).to_vec());
        layer.eval();
        assert_eq!(layer.forward(&x).to_vec(), layer.forward(&x).to_vec());
    }
}

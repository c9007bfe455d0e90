//! The decoder of Llama, which SmolLM2, Mistral and Qwen2 share.
//!
//! A token is a row of the embedding. Each layer adds to it what its attention gathers from the tokens
//! before, and what its feed-forward part makes of the sum; both see normalized rows. The head compares
//! the result with a row for each token, which scores how likely it is to come next.

mod config;
mod generate;
mod weights;

pub use self::config::LlamaConfig;
pub use self::generate::GenerateOptions;

use adamant_nn::{
    Embedding, Forward, KvCache, Linear, LinearOptions, Module, RmsNorm, RmsNormOptions,
    RotaryEmbedding, RotaryEmbeddingOptions, checkpoint_module, init,
};
use adamant_tensor::{
    AttentionOptions, Generator, Indices, REST, Tensor, linear_cross_entropy,
    scaled_dot_product_attention, swiglu,
};

/// A language model of Llama's shape: `[N, L]` tokens to `[N, L, vocab_size]` scores of the next token.
///
/// Its parameters have Hugging Face's names: `model.layers.0.self_attn.q_proj.weight`.
///
/// PyTorch: `transformers.LlamaForCausalLM`, also `MistralForCausalLM` and `Qwen2ForCausalLM`.
///
/// ```no_run
/// use adamant_models::{GenerateOptions, Llama};
/// use adamant_tensor::Generator;
/// let model = Llama::open("smollm2-135m.gguf")?; // or the folder of a Hugging Face model
/// let options = GenerateOptions::default().max_new_tokens(8);
/// let tokens = model.generate(&[504, 3575, 282], options, &mut Generator::seed(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct Llama {
    /// Everything but the head.
    pub model: LlamaModel,
    /// The scores of the tokens, `[vocab_size, hidden_size]`; often the embedding itself.
    pub lm_head: Linear,
    #[module(skip)]
    config: LlamaConfig,
}

/// The decoder without its head: `[N, L]` tokens to `[N, L, hidden_size]`.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct LlamaModel {
    /// `[vocab_size, hidden_size]`
    pub embed_tokens: Embedding,
    /// The layers, first to last.
    pub layers: Vec<LlamaLayer>,
    /// The normalization before the head.
    pub norm: RmsNorm,
    /// The number of layers, counted from the first, that run again in the backward pass.
    #[module(skip)]
    checkpointed: usize,
}

/// Attention and a feed-forward part, each added to its input.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct LlamaLayer {
    /// Attention to earlier tokens.
    pub self_attn: LlamaAttention,
    /// The feed-forward part.
    pub mlp: LlamaMlp,
    /// The normalization before attention.
    pub input_layernorm: RmsNorm,
    /// The normalization before the feed-forward part.
    pub post_attention_layernorm: RmsNorm,
}

/// Attention of each token to itself and those before it, with rotary embeddings of the positions.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct LlamaAttention {
    /// Queries: `[num_attention_heads · head_dim, hidden_size]`
    pub q_proj: Linear,
    /// Keys: `[num_key_value_heads · head_dim, hidden_size]`
    pub k_proj: Linear,
    /// Values: `[num_key_value_heads · head_dim, hidden_size]`
    pub v_proj: Linear,
    /// The output: `[hidden_size, num_attention_heads · head_dim]`
    pub o_proj: Linear,
    rotary: RotaryEmbedding,
    #[module(skip)]
    head_dim: usize,
}

/// `down(silu(gate(x)) · up(x))`.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct LlamaMlp {
    /// `[intermediate_size, hidden_size]`
    pub gate_proj: Linear,
    /// `[intermediate_size, hidden_size]`
    pub up_proj: Linear,
    /// `[hidden_size, intermediate_size]`
    pub down_proj: Linear,
}

/// What a [`Llama`] keeps of the tokens that it has seen, so that it sees each only once: the keys and
/// values of each layer.
pub type LlamaCache = Vec<KvCache>;

impl Llama {
    /// A model with new weights: normal with a standard deviation of 0.02, biases 0, normalizations 1.
    ///
    /// PyTorch: `transformers.LlamaForCausalLM(config)`.
    ///
    /// # Panics
    /// If a size is 0, the heads of keys do not divide those of queries, or the parameters do not fit
    /// in memory.
    #[must_use]
    #[track_caller]
    pub fn new(config: &LlamaConfig, rng: &mut Generator) -> Self {
        let model = init::skip_init(|| Llama::build(config));
        for weight in model.parameters().iter().filter(|parameter| parameter.shape().len() > 1) {
            weight.set_value(&init::normal(weight.shape(), 0.0, 0.02, rng));
        }
        model
    }

    /// A model with the weights that its layers start with, which are to be replaced.
    #[track_caller]
    fn build(config: &LlamaConfig) -> Self {
        let rng = &mut Generator::seed(0);
        let width = config.hidden_size;
        let norm = || {
            RmsNorm::with_options([width], RmsNormOptions::default().eps(Some(config.rms_norm_eps)))
        };
        let mut options = RotaryEmbeddingOptions::default().base(config.rope_theta);
        if let Some(scaling) = config.rope_scaling {
            options = options.scaling(scaling);
        }
        let rotary = RotaryEmbedding::with_options(config.head_dim, options);
        let mut layers = Vec::new();
        for _ in 0..config.num_hidden_layers {
            layers.push(LlamaLayer {
                self_attn: LlamaAttention::new(config, &rotary, rng),
                mlp: LlamaMlp::new(config, rng),
                input_layernorm: norm(),
                post_attention_layernorm: norm(),
            });
        }
        let embed_tokens = Embedding::new(config.vocab_size, width, rng);
        let mut lm_head = linear(width, config.vocab_size, false, rng);
        if config.tie_word_embeddings {
            lm_head.weight = embed_tokens.weight.clone();
        }
        let model = LlamaModel { embed_tokens, layers, norm: norm(), checkpointed: 0 };
        Llama { model, lm_head, config: config.clone() }
    }

    /// The sizes.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Trains with less memory, and with the same bits: the first `layers` layers, or all if there are
    /// fewer, run again in the backward pass, which recomputes their values instead of keeping them;
    /// default 0.
    ///
    /// Of all layers, a step takes about a third more time. The first layers save most: their values
    /// are recomputed when those of all others are no longer needed.
    ///
    /// PyTorch: `model.gradient_checkpointing_enable()`, for all layers.
    ///
    /// ```
    /// # use adamant_models::{Llama, LlamaConfig};
    /// fn with_little_memory(model: &mut Llama) {
    ///     model.checkpoint_layers(usize::MAX);
    /// }
    /// ```
    pub fn checkpoint_layers(&mut self, layers: usize) {
        self.model.checkpointed = layers;
    }

    /// The scores of the next token after each token: `[N, L] → [N, L, vocab_size]`.
    ///
    /// PyTorch: `model(tokens).logits`.
    ///
    /// # Panics
    /// If a token is not less than `vocab_size`.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, tokens: &Indices) -> Tensor {
        self.lm_head.forward(&self.model.forward(tokens))
    }

    /// The mean cross-entropy of the next tokens, one for each of the `[N, L]` tokens. The scores are
    /// never all in memory. They are those of the head's weight: an adapter of `lm_head` is not used.
    ///
    /// PyTorch: `cross_entropy(model(tokens).logits.flatten(0, 1), targets)`.
    ///
    /// # Panics
    /// If there is not one target for each token, or a token or target is not less than `vocab_size`.
    #[must_use]
    #[track_caller]
    pub fn loss(&self, tokens: &Indices, targets: &[usize]) -> Tensor {
        let rows = self.model.forward(tokens).flatten(0, 1);
        linear_cross_entropy(&rows, &self.lm_head.weight, None, targets)
    }
}

impl LlamaModel {
    /// The rows that the head compares: `[N, L] → [N, L, hidden_size]`.
    ///
    /// PyTorch: `model.model(tokens).last_hidden_state`.
    ///
    /// # Panics
    /// If a token is not less than `vocab_size`.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, tokens: &Indices) -> Tensor {
        let mut x = self.embed_tokens.forward(tokens);
        let (again, once) = self.layers.split_at(self.checkpointed.min(self.layers.len()));
        for layer in again {
            x = checkpoint_module(layer, move |layer| layer.forward(&x, None));
        }
        for layer in once {
            x = layer.forward(&x, None);
        }
        self.norm.forward(&x)
    }

    /// [`forward`](Self::forward) for tokens that follow those in the cache, which is empty at first.
    ///
    /// PyTorch: `model.model(tokens, past_key_values=cache)`.
    ///
    /// # Panics
    /// If a token is not less than `vocab_size`, the number of texts differs from the cache's, or
    /// gradients are recorded.
    #[must_use]
    #[track_caller]
    pub fn forward_cached(&self, tokens: &Indices, cache: &mut LlamaCache) -> Tensor {
        cache.resize_with(self.layers.len(), KvCache::new);
        let mut x = self.embed_tokens.forward(tokens);
        for (layer, cache) in self.layers.iter().zip(cache) {
            x = layer.forward(&x, Some(cache));
        }
        self.norm.forward(&x)
    }
}

impl LlamaLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor, cache: Option<&mut KvCache>) -> Tensor {
        let x = x + self.self_attn.forward(&self.input_layernorm.forward(x), cache);
        let y = self.mlp.forward(&self.post_attention_layernorm.forward(&x));
        x + y
    }
}

impl LlamaAttention {
    #[track_caller]
    fn new(config: &LlamaConfig, rotary: &RotaryEmbedding, rng: &mut Generator) -> Self {
        let LlamaConfig { hidden_size: width, head_dim, qkv_bias, o_bias, .. } = *config;
        let (queries, keys) = (config.num_attention_heads, config.num_key_value_heads);
        LlamaAttention {
            q_proj: linear(width, queries * head_dim, qkv_bias, rng),
            k_proj: linear(width, keys * head_dim, qkv_bias, rng),
            v_proj: linear(width, keys * head_dim, qkv_bias, rng),
            o_proj: linear(queries * head_dim, width, o_bias, rng),
            rotary: rotary.clone(), // shares its table
            head_dim,
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor, cache: Option<&mut KvCache>) -> Tensor {
        let &[n, len, _] = x.shape() else { unreachable!("rows of tokens") };
        let heads = |x: Tensor| x.reshape([n, len, REST, self.head_dim]).transpose(1, 2);
        let seen = cache.as_ref().map_or(0, |cache| cache.len());
        let q = self.rotary.rotate(&heads(self.q_proj.forward(x)), seen);
        let k = self.rotary.rotate(&heads(self.k_proj.forward(x)), seen);
        let v = heads(self.v_proj.forward(x));
        let (k, v) = match cache {
            Some(cache) => cache.append(&k, &v),
            None => (k, v),
        };
        let options = AttentionOptions::default().causal(true).causal_offset(seen).enable_gqa(true);
        let y = scaled_dot_product_attention(&q, &k, &v, options);
        self.o_proj.forward(&y.transpose(1, 2).flatten(2, 3))
    }
}

impl LlamaMlp {
    #[track_caller]
    fn new(config: &LlamaConfig, rng: &mut Generator) -> Self {
        let LlamaConfig { hidden_size: width, intermediate_size: inner, mlp_bias: bias, .. } =
            *config;
        LlamaMlp {
            gate_proj: linear(width, inner, bias, rng),
            up_proj: linear(width, inner, bias, rng),
            down_proj: linear(inner, width, bias, rng),
        }
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = swiglu(&self.gate_proj.forward(x), &self.up_proj.forward(x));
        self.down_proj.forward(&y)
    }
}

#[track_caller]
fn linear(inputs: usize, outputs: usize, bias: bool, rng: &mut Generator) -> Linear {
    Linear::with_options(inputs, outputs, LinearOptions::default().bias(bias), rng)
}

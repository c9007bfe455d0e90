//! BERT, an encoder of sentences, and the models of its shape, such as all-MiniLM-L6-v2.
//!
//! The names of the weights are those of `transformers`' `BertModel`.

use crate::config::{ConfigFile, check_sizes};
use crate::model_error::ModelError;
use adamant_checkpoint::Weights;
use adamant_files::FileError;
use adamant_nn::{
    Dropout, Embedding, EmbeddingOptions, Forward, LayerNorm, LayerNormOptions, Linear,
    LoadOptions, Module, SharedGenerator, Training, init, load_with,
};
use adamant_tensor::{
    AttentionOptions, Generator, Indices, Mask, Tensor, scaled_dot_product_attention,
};
use serde::Deserialize;
use std::path::Path;

/// The sizes of a BERT; the defaults are those of `bert-base-uncased`.
///
/// PyTorch: `transformers.BertConfig`, whose fields these are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// The number of tokens.
    pub vocab_size: usize,
    /// The number of features of a token.
    pub hidden_size: usize,
    /// The number of layers.
    pub num_hidden_layers: usize,
    /// The number of heads, which divides `hidden_size`.
    pub num_attention_heads: usize,
    /// The number of features within a layer.
    pub intermediate_size: usize,
    /// The activation within a layer.
    pub hidden_act: Activation,
    /// The probability of dropping a feature in training.
    pub hidden_dropout_prob: f64,
    /// The probability of dropping a weight of the attention in training.
    pub attention_probs_dropout_prob: f64,
    /// The most tokens of a sequence.
    pub max_position_embeddings: usize,
    /// The number of kinds of token: a pair of sentences has two.
    pub type_vocab_size: usize,
    /// Added to the variances of the layer normalizations.
    pub layer_norm_eps: f64,
    /// The token that fills shorter sequences of a batch.
    pub pad_token_id: usize,
}

impl Default for BertConfig {
    fn default() -> Self {
        BertConfig {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
        }
    }
}

impl BertConfig {
    /// Reads the `config.json` in the folder of a model.
    ///
    /// # Errors
    /// If the file cannot be read, is not that of a BERT, or has a size of 0.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let file = ConfigFile::open(folder.as_ref(), &["bert"])?;
        let config: BertConfig = file.parse()?;
        let heads = config.num_attention_heads;
        let sizes = [
            ("vocab_size", config.vocab_size),
            ("hidden_size", config.hidden_size),
            ("num_attention_heads", heads),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
        ];
        if let Err((found, expected)) = check_sizes(config.num_hidden_layers, &sizes) {
            return Err(file.mismatch(found, expected));
        }
        if config.pad_token_id >= config.vocab_size {
            let found = format!("`pad_token_id` {}", config.pad_token_id);
            return Err(file.mismatch(found, "a token below `vocab_size`"));
        }
        let dropouts = [config.hidden_dropout_prob, config.attention_probs_dropout_prob];
        if let Some(p) = dropouts.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(file.mismatch(format!("the dropout {p}"), "0 to 1"));
        }
        if !config.hidden_size.is_multiple_of(heads) {
            let expected = format!("a divisor of `hidden_size` {}", config.hidden_size);
            return Err(file.mismatch(format!("`num_attention_heads` {heads}"), expected));
        }
        Ok(config)
    }
}

/// An activation, by its name in `transformers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// `x · Φ(x)`.
    #[serde(rename = "gelu")]
    Gelu,
    /// The approximation of GELU with a hyperbolic tangent.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
}

/// An encoder of sentences: `[N, L]` tokens to `[N, L, hidden_size]` features.
///
/// PyTorch: `transformers.BertModel`.
///
/// ```
/// use adamant_models::{Bert, BertConfig};
/// use adamant_nn::Module;
/// use adamant_tensor::{Generator, Indices, Mask};
/// let config = BertConfig { hidden_size: 24, num_hidden_layers: 2, ..Default::default() };
/// let mut bert = Bert::new(&config, &mut Generator::seed(0));
/// bert.eval();
/// let tokens = Indices::from([[101usize, 7592, 102], [101, 102, 0]]);
/// let mask = Mask::from_vec(vec![true, true, true, true, true, false], [2, 3]).unwrap();
/// let features = bert.forward(&tokens, &mask);
/// assert_eq!(features.shape(), [2, 3, 24]);
/// assert_eq!(mean_of_tokens(&features, &mask).shape(), [2, 24]);
/// # use adamant_models::mean_of_tokens;
/// ```
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct Bert {
    /// The features of the tokens before the first layer.
    pub embeddings: BertEmbeddings,
    /// The layers.
    pub encoder: BertEncoder,
    /// A layer on the first token; files of sentence encoders may be without it.
    pub pooler: Option<BertPooler>,
}

/// The features of the tokens before the first layer.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct BertEmbeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    #[module(rename = "LayerNorm")]
    norm: LayerNorm,
    dropout: Dropout,
}

/// The layers, in order.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct BertEncoder {
    /// The layers: to train the last ones alone, freeze the others.
    pub layer: Vec<BertLayer>,
}

/// Attention and two linear layers, each with its input added, then normalized.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct BertLayer {
    attention: BertAttention,
    #[module(rename = "intermediate.dense")]
    widen: Linear,
    output: BertOutput,
    #[module(skip)]
    activation: Activation,
}

#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
struct BertAttention {
    #[module(rename = "self")]
    heads: BertHeads,
    output: BertOutput,
}

#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
struct BertHeads {
    query: Linear,
    key: Linear,
    value: Linear,
    rng: SharedGenerator,
    training: Training,
    #[module(skip)]
    num_heads: usize,
    #[module(skip)]
    dropout: f64,
}

/// The end of a half of a layer: `LayerNorm(dropout(dense(x)) + input)`.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
struct BertOutput {
    dense: Linear,
    dropout: Dropout,
    #[module(rename = "LayerNorm")]
    norm: LayerNorm,
}

/// `tanh(dense(x))` of the first token.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct BertPooler {
    dense: Linear,
}

impl Bert {
    /// A model with new weights: normal with a standard deviation of 0.02, biases and the padding's
    /// embedding 0, normalizations 1.
    ///
    /// PyTorch: `transformers.BertModel(config)`.
    ///
    /// # Panics
    /// If a size is 0, or the heads do not divide `hidden_size`.
    #[must_use]
    pub fn new(config: &BertConfig, rng: &mut Generator) -> Self {
        let model = init::skip_init(|| Bert::build(config, rng));
        for weight in model.parameters().iter().filter(|parameter| parameter.shape().len() > 1) {
            weight.set_value(&init::normal(weight.shape(), 0.0, 0.02, rng));
        }
        let width = config.hidden_size;
        let mut words = model.embeddings.word_embeddings.weight.value_mut();
        words[config.pad_token_id * width..][..width].fill(0.0);
        drop(words);
        model
    }

    /// A model with the weights that its layers start with, which are to be replaced.
    fn build(config: &BertConfig, rng: &mut Generator) -> Self {
        let width = config.hidden_size;
        let embedding = |rows, rng: &mut Generator| Embedding::new(rows, width, rng);
        let padded = EmbeddingOptions::default().padding_idx(config.pad_token_id);
        Bert {
            embeddings: BertEmbeddings {
                word_embeddings: Embedding::with_options(config.vocab_size, width, padded, rng),
                position_embeddings: embedding(config.max_position_embeddings, rng),
                token_type_embeddings: embedding(config.type_vocab_size, rng),
                norm: norm(config),
                dropout: Dropout::new(config.hidden_dropout_prob, rng),
            },
            encoder: BertEncoder {
                layer: (0..config.num_hidden_layers).map(|_| BertLayer::new(config, rng)).collect(),
            },
            pooler: Some(BertPooler { dense: Linear::new(width, width, rng) }),
        }
    }

    /// Opens a model: the folder of a Hugging Face model of the type `bert`, with `config.json` and the
    /// weights. The weights of a task are left out. Files without a pooler yield a model without one.
    /// The dropouts draw from `rng`.
    ///
    /// PyTorch: `transformers.BertModel.from_pretrained(folder)`.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged, or is not such a model; if the weights do not fit the
    /// configuration.
    pub fn open(folder: impl AsRef<Path>, rng: &mut Generator) -> Result<Self, ModelError> {
        let folder = folder.as_ref();
        let (config, weights) = (BertConfig::open(folder)?, Weights::open(folder)?);
        let mut model = init::skip_init(|| Bert::build(&config, rng));
        if !weights.entries().iter().any(|entry| entry.name().ends_with("pooler.dense.weight")) {
            model.pooler = None;
        }
        match load_with(&model, &weights, Bert::load_options()) {
            Ok(_) => Ok(model),
            Err(error) => Err(ModelError::weights(folder, error)),
        }
    }

    /// How to load the file of a `BertModel`, or of a model that contains one as `bert`: the parts that
    /// belong to a task are left out.
    #[must_use]
    pub fn load_options() -> LoadOptions {
        const TASKS: [&str; 3] = ["cls.", "classifier.", "qa_outputs."];
        let is_of_a_task = |name: &str| TASKS.iter().any(|task| name.starts_with(task));
        LoadOptions::default()
            .rename_prefix("bert.", "")
            .rename(move |name| {
                let skip = is_of_a_task(name) || name == "embeddings.position_ids";
                (!skip).then(|| name.to_string())
            })
            // The names of the first files.
            .rename(|name| {
                name.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")
            })
    }

    /// The number of features of a token.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.embeddings.word_embeddings.weight.shape()[1]
    }

    /// The features of each token: `[N, L] → [N, L, hidden_size]`. `mask` is true for tokens, false
    /// for padding: `[N, L]`.
    ///
    /// PyTorch: `model(input_ids, attention_mask).last_hidden_state`.
    ///
    /// # Panics
    /// If the shapes differ, a sequence is longer than `max_position_embeddings`, or one consists
    /// of padding only.
    #[must_use]
    pub fn forward(&self, tokens: &Indices, mask: &Mask) -> Tensor {
        let kinds = Indices::from_vec(vec![0; tokens.numel()], tokens.shape()).expect("its shape");
        self.forward_kinds(tokens, &kinds, mask)
    }

    /// [`forward`](Bert::forward) for pairs of sentences: `kinds` is 0 for the tokens of the first
    /// and 1 for those of the second.
    ///
    /// PyTorch: `model(input_ids, attention_mask, token_type_ids).last_hidden_state`.
    ///
    /// # Panics
    /// As [`forward`](Bert::forward).
    #[must_use]
    pub fn forward_kinds(&self, tokens: &Indices, kinds: &Indices, mask: &Mask) -> Tensor {
        let [n, len] = *tokens.shape() else {
            panic!("Bert: tokens of shape {:?}; expected [N, L]", tokens.shape())
        };
        assert!(
            mask.shape() == tokens.shape() && kinds.shape() == tokens.shape(),
            "Bert: a mask of shape {:?} and kinds of shape {:?}; expected {:?}, as the tokens",
            mask.shape(),
            kinds.shape(),
            tokens.shape()
        );
        let attended = mask.reshape([n, 1, 1, len]);
        let mut x = self.embeddings.forward(tokens, kinds);
        for layer in &self.encoder.layer {
            x = layer.forward(&x, &attended);
        }
        x
    }
}

/// The mean of the features of each sentence's tokens, without padding: `[N, L, H], [N, L] →
/// [N, H]`. The sentence encoders of `sentence-transformers` are trained with it.
#[must_use]
pub fn mean_of_tokens(features: &Tensor, mask: &Mask) -> Tensor {
    let weights = mask.to_tensor::<f32>().unsqueeze(-1);
    (features * &weights).sum_dim(1) / weights.sum_dim(1)
}

fn norm(config: &BertConfig) -> LayerNorm {
    let options = LayerNormOptions::default().eps(config.layer_norm_eps);
    LayerNorm::with_options([config.hidden_size], options)
}

impl BertEmbeddings {
    fn forward(&self, tokens: &Indices, kinds: &Indices) -> Tensor {
        let positions = Indices::from(Vec::from_iter(0..tokens.shape()[1]));
        let x = self.word_embeddings.forward(tokens) + self.token_type_embeddings.forward(kinds);
        let x = x + self.position_embeddings.forward(&positions);
        self.dropout.forward(&self.norm.forward(&x))
    }
}

impl BertLayer {
    fn new(config: &BertConfig, rng: &mut Generator) -> Self {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let heads = BertHeads {
            query: Linear::new(width, width, rng),
            key: Linear::new(width, width, rng),
            value: Linear::new(width, width, rng),
            rng: SharedGenerator::new(rng.fork()),
            training: Training::default(),
            num_heads: config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
        };
        BertLayer {
            attention: BertAttention { heads, output: BertOutput::new(width, config, rng) },
            widen: Linear::new(width, inner, rng),
            output: BertOutput::new(inner, config, rng),
            activation: config.hidden_act,
        }
    }

    fn forward(&self, x: &Tensor, attended: &Mask) -> Tensor {
        let x = self.attention.output.forward(&self.attention.heads.forward(x, attended), x);
        let inner = self.widen.forward(&x);
        let inner = match self.activation {
            Activation::Gelu => inner.gelu(),
            Activation::GeluTanh => inner.gelu_tanh(),
            Activation::Relu => inner.relu(),
        };
        self.output.forward(&inner, &x)
    }
}

impl BertHeads {
    fn forward(&self, x: &Tensor, attended: &Mask) -> Tensor {
        let [n, len, width] = *x.shape() else { unreachable!("the features of tokens") };
        let split = |linear: &Linear| {
            let heads = linear.forward(x).reshape([n, len, self.num_heads, width / self.num_heads]);
            heads.transpose(1, 2) // [N, heads, L, E]
        };
        let (q, k, v) = (split(&self.query), split(&self.key), split(&self.value));
        let options = AttentionOptions::default().mask(attended);
        let y = if self.training.on() && self.dropout > 0.0 {
            let mut rng = self.rng.lock();
            let options = options.dropout(self.dropout, &mut rng);
            scaled_dot_product_attention(&q, &k, &v, options)
        } else {
            scaled_dot_product_attention(&q, &k, &v, options)
        };
        y.transpose(1, 2).reshape([n, len, width])
    }
}

impl BertOutput {
    fn new(inputs: usize, config: &BertConfig, rng: &mut Generator) -> Self {
        BertOutput {
            dense: Linear::new(inputs, config.hidden_size, rng),
            dropout: Dropout::new(config.hidden_dropout_prob, rng),
            norm: norm(config),
        }
    }

    fn forward(&self, x: &Tensor, input: &Tensor) -> Tensor {
        self.norm.forward(&(self.dropout.forward(&self.dense.forward(x)) + input))
    }
}

impl BertPooler {
    /// `[N, L, H] → [N, H]`: BERT's feature of a whole sequence.
    ///
    /// PyTorch: `model(…).pooler_output`.
    #[must_use]
    pub fn forward(&self, features: &Tensor) -> Tensor {
        self.dense.forward(&features.select(1, 0)).tanh()
    }
}

//! The sizes of a model of Llama's shape, from Hugging Face's `config.json` or a GGUF file.

use crate::config::{ConfigFile, check_sizes};
use adamant_checkpoint::{MetadataValue, Weights};
use adamant_files::FileError;
use adamant_nn::RotaryScaling;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// The sizes of a [`Llama`](super::Llama), with the names of Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// The number of tokens.
    pub vocab_size: usize,
    /// The width of a token.
    pub hidden_size: usize,
    /// The width within a feed-forward layer.
    pub intermediate_size: usize,
    /// The number of layers.
    pub num_hidden_layers: usize,
    /// The number of heads of queries.
    pub num_attention_heads: usize,
    /// The number of heads of keys and values, each of which serves several heads of queries.
    pub num_key_value_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The longest text that the model was trained with, in tokens.
    pub max_position_embeddings: usize,
    /// What the normalizations add to the mean of squares.
    pub rms_norm_eps: f64,
    /// The base of the wavelengths of the rotary embedding.
    pub rope_theta: f64,
    /// How the rotary embedding is changed for texts longer than those of the first training.
    pub rope_scaling: Option<RotaryScaling>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// The token that begins a text.
    pub bos_token_id: Option<usize>,
    /// The tokens that end a text.
    pub eos_token_id: Vec<usize>,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether the output of attention has a bias.
    pub o_bias: bool,
    /// Whether the feed-forward layers have biases.
    pub mlp_bias: bool,
}

/// What Hugging Face writes of a model, as far as it matters here.
#[derive(Deserialize)]
struct HuggingFace {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    hidden_act: String,
    rope_theta: Option<f64>,
    rope_parameters: Option<Rope>,
    rope_scaling: Option<Rope>,
    sliding_window: Option<usize>,
    #[serde(default = "yes")]
    use_sliding_window: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: Option<usize>,
    eos_token_id: Option<OneOrMore>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(usize),
    More(Vec<usize>),
}

/// `rope_parameters`, or `rope_scaling` in older files.
#[derive(Deserialize)]
struct Rope {
    rope_type: Option<String>,
    /// An older name, which newer files have too.
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

impl Rope {
    fn kind(&self) -> &str {
        self.rope_type.as_deref().or(self.old_type.as_deref()).unwrap_or("default")
    }

    /// The scaling; `None` if it is of another type, lacks a parameter, or has one out of range.
    fn scaling(&self) -> Option<Option<RotaryScaling>> {
        let positive = |x: Option<f64>| x.filter(|x| *x > 0.0 && x.is_finite());
        let low = positive(self.low_freq_factor);
        Some(match self.kind() {
            "default" => None,
            "linear" => {
                Some(RotaryScaling::PositionInterpolation { factor: positive(self.factor)? })
            }
            "llama3" => Some(RotaryScaling::Llama3 {
                factor: positive(self.factor)?,
                low_freq_factor: low?,
                high_freq_factor: self.high_freq_factor.filter(|high| Some(*high) > low)?,
                original_max_position_embeddings: self
                    .original_max_position_embeddings
                    .filter(|length| *length > 0)?,
            }),
            _ => return None,
        })
    }
}

/// The JSON of [`Rope`].
fn rope_json(theta: f64, scaling: Option<RotaryScaling>) -> Value {
    match scaling {
        None => json!({ "rope_type": "default", "rope_theta": theta }),
        Some(RotaryScaling::PositionInterpolation { factor }) => {
            json!({ "rope_type": "linear", "rope_theta": theta, "factor": factor })
        }
        Some(RotaryScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        }) => json!({
            "rope_type": "llama3",
            "rope_theta": theta,
            "factor": factor,
            "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
    }
}

/// A float that a file has in 32 bits, as the decimal that it was: 1e-5, not 9.99999974737875e-6.
fn decimal(single: f64) -> f64 {
    (single as f32).to_string().parse().unwrap_or(single)
}

fn yes() -> bool {
    true
}

impl LlamaConfig {
    /// Reads the `config.json` of a folder with a model of the type `llama`, `mistral` or `qwen2`.
    pub(super) fn from_folder(folder: &Path) -> Result<Self, FileError> {
        let file = ConfigFile::open(folder, &["llama", "mistral", "qwen2"])?;
        let json: HuggingFace = file.parse()?;
        let qwen2 = file.model_type() == "qwen2";
        let error = |found: String, expected: &str| Err(file.mismatch(found, expected));
        if json.hidden_act != "silu" {
            return error(format!("`hidden_act` {:?}", json.hidden_act), "\"silu\"");
        }
        let (rope_theta, rope_scaling) =
            match json.rope_parameters.as_ref().or(json.rope_scaling.as_ref()) {
                None => (None, None),
                Some(rope) => match rope.scaling() {
                    Some(scaling) => (rope.rope_theta, scaling),
                    None => {
                        let found = format!("a rotary embedding of type {:?}", rope.kind());
                        let expected =
                            "\"default\", \"linear\" or \"llama3\", with parameters in range";
                        return error(found, expected);
                    }
                },
            };
        // Within its first window, a model with sliding windows attends to everything.
        let window = json.sliding_window.filter(|_| json.use_sliding_window);
        let config = LlamaConfig {
            vocab_size: json.vocab_size,
            hidden_size: json.hidden_size,
            intermediate_size: json.intermediate_size,
            num_hidden_layers: json.num_hidden_layers,
            num_attention_heads: json.num_attention_heads,
            num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
            head_dim: json.head_dim.unwrap_or(json.hidden_size / json.num_attention_heads.max(1)),
            max_position_embeddings: json.max_position_embeddings.min(window.unwrap_or(usize::MAX)),
            rms_norm_eps: json.rms_norm_eps,
            rope_theta: rope_theta.or(json.rope_theta).unwrap_or(10_000.0),
            rope_scaling,
            tie_word_embeddings: json.tie_word_embeddings,
            bos_token_id: json.bos_token_id,
            eos_token_id: match json.eos_token_id {
                None => Vec::new(),
                Some(OneOrMore::One(token)) => vec![token],
                Some(OneOrMore::More(tokens)) => tokens,
            },
            qkv_bias: json.attention_bias || qwen2,
            o_bias: json.attention_bias && !qwen2,
            mlp_bias: json.mlp_bias,
        };
        config.checked(file.path())
    }

    /// Reads the metadata of a GGUF file whose architecture is `llama` or `qwen2`. Its tensors show
    /// whether it has biases and a separate head.
    pub(super) fn from_gguf(file: &Weights, path: &Path) -> Result<Self, FileError> {
        let architecture = file.metadata_text("general.architecture")?;
        if !["llama", "qwen2"].contains(&architecture) {
            let found = format!("the architecture {architecture:?}");
            return Err(FileError::format(path, found, "\"llama\" or \"qwen2\""));
        }
        let key = |key: &str| format!("{architecture}.{key}");
        let size = |name: &str| {
            let value = file.metadata_int(&key(name))?;
            usize::try_from(value)
                .map_err(|_| FileError::format(path, format!("`{}`, {value}", key(name)), "a size"))
        };
        let or = |name: &str, default: usize| match file.metadata(&key(name)) {
            Some(_) => size(name),
            None => Ok(default),
        };
        let heads = size("attention.head_count")?;
        let hidden_size = size("embedding_length")?;
        let has = |name: &str| file.entry(name).is_some();
        let token = |name: &str| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let id = file.metadata(&key).map(|_| file.metadata_int(&key)).transpose()?;
            Ok::<_, FileError>(id.and_then(|id| usize::try_from(id).ok()))
        };
        if has("rope_freqs.weight") {
            let found = "scaled frequencies of the rotary embedding, as Llama 3.1 has";
            let expected =
                "a rotary embedding without scaling; the Hugging Face folder can be opened";
            return Err(FileError::format(path, found, expected));
        }
        let config = LlamaConfig {
            vocab_size: match file.metadata(&key("vocab_size")) {
                Some(_) => size("vocab_size")?,
                None => file.metadata_array("tokenizer.ggml.tokens")?.len(),
            },
            hidden_size,
            intermediate_size: size("feed_forward_length")?,
            num_hidden_layers: size("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: or("attention.head_count_kv", heads)?,
            head_dim: or("attention.key_length", hidden_size / heads.max(1))?,
            max_position_embeddings: size("context_length")?,
            rms_norm_eps: decimal(file.metadata_float(&key("attention.layer_norm_rms_epsilon"))?),
            rope_theta: match file.metadata(&key("rope.freq_base")) {
                Some(_) => decimal(file.metadata_float(&key("rope.freq_base"))?),
                None => 10_000.0,
            },
            rope_scaling: None,
            tie_word_embeddings: !has("output.weight"),
            bos_token_id: token("bos")?,
            eos_token_id: token("eos")?.into_iter().collect(),
            qkv_bias: has("blk.0.attn_q.bias"),
            o_bias: has("blk.0.attn_output.bias"),
            mlp_bias: has("blk.0.ffn_up.bias"),
        };
        if let Some(scaling) = file.metadata(&key("rope.scaling.type"))
            && scaling != MetadataValue::Text("none")
        {
            let found = format!("`{}`, {scaling}", key("rope.scaling.type"));
            return Err(FileError::format(path, found, "a rotary embedding without scaling"));
        }
        config.checked(path)
    }

    /// The configuration, if a model can be built with it.
    fn checked(self, path: &Path) -> Result<Self, FileError> {
        let LlamaConfig {
            num_attention_heads: heads, num_key_value_heads: groups, head_dim, ..
        } = self;
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", heads),
            ("num_key_value_heads", groups),
            ("head_dim", head_dim),
        ];
        let found = if let Err(found) = check_sizes(self.num_hidden_layers, &sizes) {
            found
        } else if !heads.is_multiple_of(groups) {
            (
                format!("{groups} heads of keys"),
                format!("a divisor of the {heads} heads of queries"),
            )
        } else if !head_dim.is_multiple_of(2) {
            (format!("heads of width {head_dim}"), "an even width".into())
        } else if !(self.rms_norm_eps >= 0.0
            && self.rope_theta > 0.0
            && self.rope_theta.is_finite())
        {
            let found =
                format!("the epsilon {} and the base {}", self.rms_norm_eps, self.rope_theta);
            (found, "an epsilon of at least 0 and a base above 0".into())
        } else {
            return Ok(self);
        };
        Err(FileError::format(path, found.0, found.1))
    }

    /// Whether it is one of Qwen2's: only these have a bias on queries, keys and values alone.
    pub(super) fn is_qwen2(&self) -> bool {
        self.qkv_bias && !self.o_bias
    }

    /// The `config.json` that Hugging Face reads.
    pub(super) fn to_json(&self) -> Value {
        let (model_type, class) = match self.is_qwen2() {
            true => ("qwen2", "Qwen2ForCausalLM"),
            false => ("llama", "LlamaForCausalLM"),
        };
        json!({
            "architectures": [class],
            "model_type": model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_parameters": rope_json(self.rope_theta, self.rope_scaling),
            "hidden_act": "silu",
            "tie_word_embeddings": self.tie_word_embeddings,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": match &self.eos_token_id[..] {
                [] => Value::Null,
                [one] => json!(one),
                more => json!(more),
            },
            "attention_bias": self.o_bias,
            "mlp_bias": self.mlp_bias,
            "dtype": "float32",
        })
    }
}

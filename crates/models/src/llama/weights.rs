//! Models of Llama's shape in files.

use super::{Llama, LlamaConfig};
use crate::model_error::ModelError;
use adamant_checkpoint::{TensorEntry, Weights, save_safetensors};
use adamant_files::{FileError, create_folder, write_atomically};
use adamant_nn::{LoadOptions, Module, Stateful, init, load_with};
use adamant_tensor::{REST, SourceError, StateSource, Storage, Tensor, Value, ValueKind};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The parts of a layer: their names in a GGUF file, and here.
const PARTS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl Llama {
    /// Opens a model: the folder of a Hugging Face model (`config.json` and `model.safetensors`, which
    /// may be sharded) of the type `llama`, `mistral` or `qwen2`; or a GGUF file of the architecture
    /// `llama` or `qwen2`. Its weights are converted to `f32`.
    ///
    /// PyTorch: `transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)`.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged, or is not such a model; if the weights do not fit the
    /// configuration.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Llama::open_prepared(path.as_ref(), &|_| {})
    }

    /// [`open`](Self::open) for adapters: all weights are frozen, and matrices are stored as `storage`
    /// from the start, so that they are never all in memory as `f32`.
    ///
    /// PyTorch: `from_pretrained(path, dtype=torch.bfloat16)`, which however also computes in 16 bits.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_frozen(path: impl AsRef<Path>, storage: Storage) -> Result<Self, ModelError> {
        Llama::open_prepared(path.as_ref(), &|model| {
            model.set_requires_grad(false);
            model.store_frozen_as(storage);
        })
    }

    /// Opens a model; `prepare` is called before its weights are read.
    fn open_prepared(path: &Path, prepare: &dyn Fn(&Llama)) -> Result<Self, ModelError> {
        let open = if path.is_dir() { Llama::open_folder } else { Llama::open_gguf };
        open(path, prepare)
    }

    fn open_folder(path: &Path, prepare: &dyn Fn(&Llama)) -> Result<Self, ModelError> {
        let config = LlamaConfig::from_folder(path)?;
        // Old files have the frequencies of the rotary embedding, too.
        let options = LoadOptions::default()
            .rename(|name| (!name.ends_with("rotary_emb.inv_freq")).then(|| name.to_string()));
        Llama::load(path, &config, prepare, &Weights::open(path)?, options)
    }

    fn open_gguf(path: &Path, prepare: &dyn Fn(&Llama)) -> Result<Self, ModelError> {
        let file = Weights::open(path)?;
        let config = LlamaConfig::from_gguf(&file, path)?;
        let heads = [config.num_attention_heads, config.num_key_value_heads];
        let names = file.entries().iter().map(TensorEntry::name);
        let source = HuggingFaceOrder {
            names: names.map(|name| (hugging_face_name(name), name)).collect(),
            // The converter reorders the rows of no other architecture.
            reordered: (file.metadata_text("general.architecture")? == "llama").then_some(heads),
            file: &file,
        };
        Llama::load(path, &config, prepare, &source, LoadOptions::default())
    }

    fn load(
        path: &Path,
        config: &LlamaConfig,
        prepare: &dyn Fn(&Llama),
        source: &dyn StateSource,
        options: LoadOptions,
    ) -> Result<Self, ModelError> {
        let model = init::skip_init(|| Llama::build(config));
        prepare(&model);
        match load_with(&model, source, options) {
            Ok(_) => Ok(model),
            Err(error) => Err(ModelError::weights(path, error)),
        }
    }

    /// Writes the model to a folder, which is created if it is missing: `config.json` and
    /// `model.safetensors`.
    ///
    /// PyTorch: `model.save_pretrained(folder)`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), FileError> {
        let folder = folder.as_ref();
        create_folder(folder)?;
        save_safetensors(&self.state_dict(), folder.join("model.safetensors"))?;
        let config = format!("{:#}\n", self.config.to_json());
        write_atomically(&folder.join("config.json"), |out| out.write_all(config.as_bytes()))
    }
}

/// The weights of a GGUF file as Hugging Face has them: under other names, and with the rows of queries
/// and keys in another order.
struct HuggingFaceOrder<'a> {
    file: &'a Weights,
    /// The name of each tensor, and its name in the file.
    names: BTreeMap<String, &'a str>,
    /// The heads of queries and of keys, if llama.cpp has reordered their rows.
    reordered: Option<[usize; 2]>,
}

impl StateSource for HuggingFaceOrder<'_> {
    fn kinds(&self) -> Vec<(&str, ValueKind)> {
        let kinds: HashMap<&str, ValueKind> = self.file.kinds().into_iter().collect();
        self.names.iter().map(|(name, stored)| (name.as_str(), kinds[stored].clone())).collect()
    }

    fn read(&self, name: &str) -> Result<Value, SourceError> {
        let value = self.file.read(self.names.get(name).copied().unwrap_or(name))?;
        let part = name.rsplit('.').nth(1);
        let heads = self.reordered.and_then(|[queries, keys]| match part {
            Some("q_proj") => Some(queries),
            Some("k_proj") => Some(keys),
            _ => None,
        });
        match (heads, value) {
            (Some(heads), Value::F32(rows)) => Ok(halves_apart(&rows.into(), heads).into()),
            (_, value) => Ok(value),
        }
    }
}

/// Hugging Face's name of a tensor of a GGUF file. A name that is not known stays as it is.
fn hugging_face_name(name: &str) -> String {
    let known = || {
        let (path, kind) = name.rsplit_once('.')?;
        let path = match path {
            "token_embd" => "model.embed_tokens".to_string(),
            "output_norm" => "model.norm".to_string(),
            "output" => "lm_head".to_string(),
            _ => {
                let (layer, part) = path.strip_prefix("blk.")?.split_once('.')?;
                let (_, part) = PARTS.iter().find(|(stored, _)| *stored == part)?;
                format!("model.layers.{layer}.{part}")
            }
        };
        Some(format!("{path}.{kind}"))
    };
    known().unwrap_or_else(|| name.to_string())
}

/// The rows of each head with those that the rotary embedding pairs half a head apart, `0, 2, 4, …, 1, 3,
/// 5, …`: llama.cpp has them side by side.
fn halves_apart(rows: &Tensor, heads: usize) -> Tensor {
    let shape = rows.shape();
    let pairs = shape[0] / heads / 2;
    let pairs = rows.reshape([heads, pairs, 2, REST]);
    pairs.transpose(1, 2).reshape(shape)
}

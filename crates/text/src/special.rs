//! The tokens of a model that have a meaning of their own.

use adamant_files::{FileError, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The index of each token with a meaning, as far as the model has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpecialTokens {
    pub(crate) bos: Option<usize>,
    pub(crate) eos: Option<usize>,
    pub(crate) pad: Option<usize>,
    pub(crate) unk: Option<usize>,
}

impl SpecialTokens {
    /// Reads those that the files beside a `tokenizer.json` name: `tokenizer_config.json` has tokens,
    /// and what it lacks is in `special_tokens_map.json`.
    pub(crate) fn beside(
        path: &Path,
        id: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, FileError> {
        let mut names = BTreeMap::new();
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = path.with_file_name(file);
            if path.exists() {
                let config: BTreeMap<String, Value> = serde_json::from_slice(&read(&path)?)
                    .map_err(|error| {
                        FileError::format(&path, format!("damaged JSON ({error})"), "an object")
                    })?;
                for (key, value) in config {
                    // A token, or an object with its text and how it is matched.
                    let text = value.as_str().or_else(|| value.get("content")?.as_str());
                    if let Some(text) = text {
                        names.entry(key).or_insert_with(|| text.to_string());
                    }
                }
            }
        }
        let token = |key: &str| names.get(key).and_then(|name| id(name));
        Ok(SpecialTokens {
            bos: token("bos_token"),
            eos: token("eos_token"),
            pad: token("pad_token"),
            unk: token("unk_token"),
        })
    }

    /// The contents of a `tokenizer_config.json`.
    pub(crate) fn config(self, token: impl Fn(usize) -> Option<String>) -> Value {
        let SpecialTokens { bos, eos, pad, unk } = self;
        let named =
            [("bos_token", bos), ("eos_token", eos), ("pad_token", pad), ("unk_token", unk)];
        let tokens = named.into_iter().filter_map(|(key, id)| Some((key, token(id?)?)));
        let mut config = json!({ "tokenizer_class": "PreTrainedTokenizerFast" });
        for (key, token) in tokens {
            config[key] = token.into();
        }
        config
    }
}

/// The bytes of a file; of one that is not JSON, such as a large GGUF file, only the first ones.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let io = |error| FileError::io(path, error);
    let (mut file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(64).read_to_end(&mut bytes).map_err(io)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        file.read_to_end(&mut bytes).map_err(io)?;
    }
    Ok(bytes)
}

//! The `config.json` in the folder of a Hugging Face model.

use adamant_files::{FileError, open};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest `config.json` that is read, in bytes.
const MOST: u64 = 1 << 20;

/// More layers than any model has.
const MOST_LAYERS: usize = 10_000;

/// A larger size than any model has. The product of three fits in 64 bits.
const MOST_SIZE: usize = 1 << 20;

/// What was found and what was expected, if a model with these sizes cannot be built.
pub(crate) fn check_sizes(layers: usize, sizes: &[(&str, usize)]) -> Result<(), (String, String)> {
    if layers > MOST_LAYERS {
        return Err((format!("{layers} layers"), format!("at most {MOST_LAYERS}")));
    }
    match sizes.iter().find(|(_, size)| !(1..=MOST_SIZE).contains(size)) {
        Some((name, size)) => Err((format!("`{name}` {size}"), format!("1 to {MOST_SIZE}"))),
        None => Ok(()),
    }
}

/// An open `config.json`.
pub(crate) struct ConfigFile {
    path: PathBuf,
    json: Value,
}

impl ConfigFile {
    /// Opens the one in `folder`, if it is that of one of these model types.
    pub(crate) fn open(folder: &Path, types: &[&str]) -> Result<Self, FileError> {
        let path = folder.join("config.json");
        let mut text = String::new();
        let read = open(&path)?.0.take(MOST).read_to_string(&mut text);
        read.map_err(|error| FileError::io(&path, error))?;
        let json = serde_json::from_str(&text)
            .map_err(|error| FileError::format(&path, error.to_string(), "a JSON object"))?;
        let file = ConfigFile { path, json };
        if types.contains(&file.model_type()) {
            return Ok(file);
        }
        let quoted: Vec<String> = types.iter().map(|name| format!("{name:?}")).collect();
        let expected = match &quoted[..] {
            [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            one => one.concat(),
        };
        Err(file.mismatch(format!("`model_type` {:?}", file.model_type()), expected))
    }

    pub(crate) fn model_type(&self) -> &str {
        self.json.get("model_type").and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn parse<C: DeserializeOwned>(&self) -> Result<C, FileError> {
        C::deserialize(&self.json)
            .map_err(|error| self.mismatch(error.to_string(), "the configuration of a model"))
    }

    /// The error of a configuration that no model can be built with.
    pub(crate) fn mismatch(&self, found: String, expected: impl Into<String>) -> FileError {
        FileError::format(&self.path, found, expected)
    }
}

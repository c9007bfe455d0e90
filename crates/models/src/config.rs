//! The `config.json` in the folder of a Hugging Face model.

use adamant_files::{FileError, open};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// The longest `config.json` that is read, in bytes.
const MOST: u64 = 1 << 20;

/// Reads `config.json` in `folder`: that of one of these model types. `check` returns what was found
/// and what was expected.
pub(crate) fn read_config<C: DeserializeOwned>(
    folder: &Path,
    types: &[&str],
    check: impl FnOnce(&C) -> Result<(), (String, String)>,
) -> Result<C, FileError> {
    let path = &folder.join("config.json");
    let (file, _) = open(path)?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).map_err(|error| FileError::io(path, error))?;
    let damaged = |error: serde_json::Error| {
        FileError::format(path, format!("damage ({error})"), "the configuration of a model")
    };
    let value: Value = serde_json::from_str(&text).map_err(damaged)?;
    let found = value.get("model_type").and_then(Value::as_str).unwrap_or("none");
    if !types.contains(&found) {
        let found = format!("the model type `{found}`");
        return Err(FileError::format(path, found, format!("`{}`", types.join("` or `"))));
    }
    let config = serde_json::from_value(value).map_err(damaged)?;
    match check(&config) {
        Ok(()) => Ok(config),
        Err((found, expected)) => Err(FileError::format(path, found, expected)),
    }
}

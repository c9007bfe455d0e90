//! The safetensors format: named arrays, readable by PyTorch and many others.
//!
//! Numbers and texts have no place among its arrays. They go to its metadata, which maps texts
//! to texts, as one entry: a JSON object under the key [`KEY`]. Other readers pass over it.

use crate::atomic::{check_is_file, write_atomically};
use crate::error::FileError;
use crate::payload::{Dtype, build, payload};
use adamant_tensor::{Shape, StateDict, Value};
use safetensors::tensor::{SafeTensors, View};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The entry of the metadata that holds what is no array.
const KEY: &str = "adamant";

/// Writes `state` to a safetensors file: arrays under their names, as
/// `safetensors.torch.load_file(path)` reads them, and numbers and texts (the position of a dropout
/// layer's generator, an optimizer's rates) as a JSON object in the file's metadata, under the
/// key `adamant`.
///
/// For a model the arrays are PyTorch's `state_dict()`: they fit the same model there.
///
/// # Errors
/// If the file cannot be written; a file that was there before stays as it was.
///
/// ```
/// use adamant_checkpoint::{load_safetensors, save_safetensors};
/// use adamant_tensor::{StateDict, Tensor};
/// let mut state = StateDict::new();
/// state.insert("weight", Tensor::<f32>::ones([2, 3]).array().clone());
/// state.insert("lr", 1e-3);
/// let path = std::env::temp_dir().join(format!("adamant-doc-{}.safetensors", std::process::id()));
/// save_safetensors(&state, &path).unwrap();
/// assert_eq!(load_safetensors(&path).unwrap(), state);
/// std::fs::remove_file(path).unwrap();
/// ```
pub fn save_safetensors(state: &StateDict, path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    let views = state.iter().filter_map(|(name, value)| {
        let (dtype, shape, bytes) = payload(value)?;
        Some((name, ArrayView { dtype, shape, bytes }))
    });
    let others = state.iter().filter_map(|(name, value)| Some((name.to_string(), to_json(value)?)));
    let others: serde_json::Map<String, Json> = others.collect();
    let metadata = (!others.is_empty())
        .then(|| HashMap::from([(KEY.to_string(), Json::Object(others).to_string())]));
    write_atomically(path, |out| {
        let bytes = safetensors::serialize(views, metadata).map_err(std::io::Error::other)?;
        out.write_all(&bytes)
    })
}

/// What is no array, as JSON. Numbers that JSON has not are objects: `{"float": "inf"}`.
fn to_json(value: &Value) -> Option<Json> {
    match value {
        Value::F32(_) | Value::F64(_) | Value::I64(_) => None,
        Value::Bool(value) => Some(Json::from(*value)),
        Value::Int(value) => Some(Json::from(*value)),
        Value::Float(value) if value.is_finite() => Some(Json::from(*value)),
        Value::Float(value) => Some(serde_json::json!({ "float": value.to_string() })),
        Value::Text(value) => Some(Json::from(value.as_str())),
    }
}

fn from_json(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(number) if number.is_f64() => Some(Value::Float(number.as_f64()?)),
        Json::Number(number) => Some(Value::Int(number.as_i64()?)),
        Json::String(value) => Some(Value::Text(value.clone())),
        Json::Object(object) => match object.get("float")?.as_str()? {
            "NaN" => Some(Value::Float(f64::NAN)),
            "inf" => Some(Value::Float(f64::INFINITY)),
            "-inf" => Some(Value::Float(f64::NEG_INFINITY)),
            _ => None,
        },
        Json::Null | Json::Array(_) => None,
    }
}

/// An array as the crate of the format wants it.
struct ArrayView<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Cow<'a, [u8]>,
}

impl View for ArrayView<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::F64 => safetensors::Dtype::F64,
            Dtype::I64 => safetensors::Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads a safetensors file: its arrays in the order of their names, then the numbers and texts
/// that [`save_safetensors`] put into the metadata. (Other metadata is left out.)
///
/// # Errors
/// If the file cannot be read, is damaged, or holds arrays that are neither
/// `f32` nor `f64` nor `i64`.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    let path = path.as_ref();
    let format = |found: String, expected| FileError::format(path, found, expected);
    let io = |source| FileError::io(path, source);
    check_is_file(&fs::metadata(path).map_err(io)?).map_err(io)?;
    let bytes = fs::read(path).map_err(io)?;
    let damage = |error| format(format!("damage ({error})"), "a safetensors file");
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damage)?;
    let file = SafeTensors::deserialize(&bytes).map_err(damage)?;
    let mut arrays = file.tensors();
    arrays.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut state = StateDict::new();
    for (name, view) in arrays {
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F64 => Dtype::F64,
            safetensors::Dtype::I64 => Dtype::I64,
            other => {
                let found = format!("`{name}` of type {other:?}");
                return Err(format(found, "arrays of type F32, F64 or I64"));
            }
        };
        let shape = Shape::from(view.shape());
        let data = view.data();
        let needed = shape.checked_numel().and_then(|numel| numel.checked_mul(dtype.size()));
        if needed != Some(data.len()) {
            let found = format!("`{name}` of shape {shape} with {} bytes", data.len());
            return Err(format(found, "as many bytes as the shape needs"));
        }
        let (value, ()) = build(dtype, shape, |out| out.copy_from_slice(data));
        state.insert(name, value);
    }
    if let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) {
        let expected = "a JSON object of numbers and texts there";
        let others: serde_json::Map<String, Json> = serde_json::from_str(text)
            .map_err(|error| format(format!("`{KEY}` in the metadata ({error})"), expected))?;
        for (name, json) in others {
            let Some(value) = from_json(&json).filter(|_| state.get(&name).is_none()) else {
                let found = format!("`{name}` in the metadata as {json}");
                return Err(format(found, "a number or a text that is no array's name"));
            };
            state.insert(name, value);
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::{Array, Tensor};

    fn state() -> StateDict {
        let mut state = StateDict::new();
        let weight = Tensor::from_vec(vec![1.0f32, -0.0, f32::NAN, 4.0, 5.0, 6.0], [2, 3]).unwrap();
        state.insert("a.weight", weight.array().clone());
        state.insert("b.scalar", Tensor::scalar(0.1f64).array().clone());
        state.insert("b.seen", Value::I64(Array::full([].into(), i64::MIN + 7)));
        state.insert("c.empty", Tensor::<f32>::zeros([0, 3]).array().clone());
        state.insert("d.flag", true);
        state.insert("d.int", i64::MIN);
        state.insert("d.lr", 0.1 + 0.2);
        state.insert("d.none", f64::NAN);
        state.insert("d.round", -2.0);
        state.insert("d.text", "π \" \n");
        state.insert("d.worst", f64::NEG_INFINITY);
        state
    }

    #[test]
    fn everything_comes_back_in_every_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save_safetensors(&state(), &path).unwrap();
        assert_eq!(load_safetensors(&path).unwrap(), state());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1); // no temporary file is left
    }

    #[test]
    fn a_file_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save_safetensors(&state(), &path).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let error = load_safetensors(&path).unwrap_err().to_string();
            assert!(error.contains("state.safetensors: found damage"), "{error}");
        }
    }

    #[test]
    fn metadata_of_others_is_left_out_and_ours_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let written = |key: &str, text: &str| {
            let metadata = HashMap::from([(key.to_string(), text.to_string())]);
            let weight = ArrayView { dtype: Dtype::F32, shape: &[1], bytes: vec![0; 4].into() };
            let bytes = safetensors::serialize([("weight", weight)], Some(metadata)).unwrap();
            fs::write(&path, bytes).unwrap();
            load_safetensors(&path)
        };
        assert_eq!(written("format", "pt").unwrap().iter().count(), 1);
        for (text, error) in [
            ("pt", "`adamant` in the metadata"),
            ("[1]", "`adamant` in the metadata"),
            (r#"{"lr": null}"#, "`lr` in the metadata as null"),
            (r#"{"lr": 1e999}"#, "`adamant` in the metadata"),
            (r#"{"lr": 18446744073709551615}"#, "`lr` in the metadata"),
            (r#"{"weight": 1}"#, "`weight` in the metadata as 1"),
        ] {
            let found = written(KEY, text).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error =
            save_safetensors(&state(), "no/such/folder/x.safetensors").unwrap_err().to_string();
        assert!(error.starts_with("no/such/folder/x.safetensors: "), "{error}");
    }
}

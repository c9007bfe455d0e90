//! The safetensors format: named arrays, readable by PyTorch and many others.
//!
//! Numbers and texts have no place among its arrays. They go to its metadata, which maps texts
//! to texts, as one entry: a JSON object under the key [`KEY`]. Other readers pass over it.

use crate::atomic::{check_is_file, write_atomically};
use crate::error::FileError;
use crate::payload::{Dtype, build, payload};
use adamant_tensor::{Shape, StateDict, Value};
use safetensors::tensor::{SafeTensors, View};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// The entry of the metadata that holds what is no array.
const KEY: &str = "adamant";

/// Writes `state` to a safetensors file: arrays under their names, as
/// `safetensors.torch.load_file(path)` reads them, and numbers and texts (the position of a dropout
/// layer's generator, an optimizer's rates) as a JSON object in the file's metadata, under the
/// key `adamant`.
///
/// For a model the arrays are PyTorch's `state_dict()`: they fit the same model there. A parameter
/// that is shared is written once, under its first name, where PyTorch's `state_dict()` has all its
/// names: such a file goes in by `safetensors.torch.load_model(model, path)`, while
/// `model.load_state_dict(load_file(path))` calls the other names missing keys.
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
    let damage = |what: String| format(format!("damage ({what})"), "a safetensors file");
    let io = |source| FileError::io(path, source);
    check_is_file(&fs::metadata(path).map_err(io)?).map_err(io)?;
    let bytes = fs::read(path).map_err(io)?;
    let (header_len, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| damage(error.to_string()))?;
    let (text, data) = bytes[8..].split_at(header_len);
    serde_json::from_slice::<UniqueKeys>(text).map_err(|error| damage(error.to_string()))?;
    let mut arrays: Vec<_> = header.tensors().into_iter().collect();
    arrays.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut state = StateDict::new();
    for (name, info) in arrays {
        let dtype = match info.dtype {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F64 => Dtype::F64,
            safetensors::Dtype::I64 => Dtype::I64,
            other => {
                let found = format!("`{name}` of type {other:?}");
                return Err(format(found, "arrays of type F32, F64 or I64"));
            }
        };
        let shape = Shape::from(&info.shape[..]);
        let data = &data[info.data_offsets.0..info.data_offsets.1];
        let needed = shape.checked_numel().and_then(|numel| numel.checked_mul(dtype.size()));
        if needed != Some(data.len()) {
            let found = format!("`{name}` of shape {shape} with {} bytes", data.len());
            return Err(format(found, "as many bytes as the shape needs"));
        }
        let (value, ()) = build(dtype, shape, |out| out.copy_from_slice(data)).map_err(io)?;
        state.insert(name, value);
    }
    if let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) {
        let expected = "a JSON object of numbers and texts there";
        let others: serde_json::Map<String, Json> = serde_json::from_str::<UniqueKeys>(text)
            .and_then(|_| serde_json::from_str(text))
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

/// Any JSON in which no object has a key twice: readers of JSON take the last one.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeys)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, UniqueKeys)) = map.next_entry::<String, _>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!("`{key}` twice")));
            }
            keys.insert(key);
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<UniqueKeys>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
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
            (r#"{"lr": 1, "wd": 2, "lr": 1}"#, "`lr` twice"),
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

    #[test]
    fn hostile_headers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let read = |header: &str, data: usize| {
            let len = (header.len() as u64).to_le_bytes();
            fs::write(&path, [&len[..], header.as_bytes(), &vec![0; data]].concat()).unwrap();
            load_safetensors(&path).map_err(|error| error.to_string())
        };
        let array = |name: &str, shape: &str, from: u64, to: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
        };
        let two = |second: String| format!("{{{},{second}}}", array("a", "[2]", 0, 8));
        assert!(read(&two(array("b", "[1]", 8, 12)), 12).is_ok());
        for (header, data) in [
            (two(array("b", "[9223372036854775808]", 8, 12)), 12),
            (two(array("b", "[18446744073709551616]", 8, 12)), 12),
            (two(array("b", "[9223372036854775808, 2]", 8, 8)), 8),
            (two(array("b", "[4611686018427387904, 4]", 8, 8)), 8),
            (two(array("b", "[4294967296, 4294967296, 0]", 8, 8)), 8),
            (two(array("b", "[-1]", 8, 12)), 12),
            (two(array("b", "[1]", 4, 8)), 8), // on the first one
            (two(array("b", "[2]", 0, 8)), 8), // at the same place
            (two(array("b", "[1]", 12, 16)), 16), // behind a gap
            (two(array("b", "[1]", 8, 12)), 8), // outside the file
            (two(array("b", "[1]", 12, 8)), 12), // backwards
            (two(array("b", "[1]", 18446744073709551612, 0)), 12),
            (two(array("b", "[1]", 8, 12)), 13), // a byte too many
            (two(array("a", "[2]", 0, 8)), 8),   // names that repeat
            (two(array("a", "[1]", 8, 12)), 12),
            (two(array("\\u0061", "[2]", 0, 8)), 8),
            (two(r#""__metadata__":{"x":"1","x":"2"}"#.into()), 8),
            (two(r#""__metadata__":{"x":"1"},"__metadata__":{}"#.into()), 8),
            ("[".repeat(1 << 20), 0),
        ] {
            let error = read(&header, data).expect_err(&header[..header.len().min(200)]);
            assert!(error.contains("state.safetensors: found "), "{error}");
        }
    }
}

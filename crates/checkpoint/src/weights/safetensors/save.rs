//! Writes safetensors files.

use super::{KEY, METADATA};
use crate::limits;
use crate::payload::payload;
use crate::weights::half::{f32_to_bf16, f32_to_f16};
use crate::weights::stored::StoredType;
use adamant_files::write_atomically;
use adamant_files::{FileError, FormatError};
use adamant_tensor::{Array, Shape, StateDict, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The type of the floats in a file that [`save_safetensors_as`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedType {
    /// Single precision, four bytes.
    F32,
    /// Half precision, two bytes: 11 significant bits. Magnitudes of 65,520 and more become
    /// infinite.
    F16,
    /// The range of `f32` with 8 significant bits, two bytes. Only magnitudes that are nearer to 2¹²⁸
    /// than to the largest BF16, 3.39 × 10³⁸, become infinite.
    Bf16,
}

/// Writes `state` to a safetensors file: arrays under their names, as
/// `safetensors.torch.load_file(path)` reads them, and scalars and strings (such as the position of
/// a dropout layer's generator, or an optimizer's learning rate) as a JSON object in the file's
/// metadata, under the key `adamant`.
///
/// A model's arrays match the `state_dict()` of the same model in PyTorch. A shared parameter is
/// written once, under its first name, where PyTorch's `state_dict()` has all its names. Load such
/// a file with `safetensors.torch.load_model(model, path)`;
/// `model.load_state_dict(load_file(path))` reports the other names as missing keys.
///
/// # Errors
/// If the file cannot be written; if an array has the name `__metadata__`, which the format
/// reserves; if the state exceeds the limits of [`load_safetensors`](crate::load_safetensors). An
/// old file is then unchanged.
///
/// ```
/// use adamant_checkpoint::{load_safetensors, save_safetensors};
/// use adamant_tensor::{StateDict, Tensor};
/// let mut state = StateDict::new();
/// state.insert("weight", Tensor::<f32>::ones([2, 3]));
/// state.insert("lr", 1e-3);
/// let path = std::env::temp_dir().join(format!("adamant-doc-{}.safetensors", std::process::id()));
/// save_safetensors(&state, &path).unwrap();
/// assert_eq!(load_safetensors(&path).unwrap(), state);
/// std::fs::remove_file(path).unwrap();
/// ```
pub fn save_safetensors(state: &StateDict, path: impl AsRef<Path>) -> Result<(), FileError> {
    save(state, None, path.as_ref())
}

/// [`save_safetensors`] with all `f32` and `f64` arrays as `floats`, rounded to nearest, ties to
/// even. Integers, scalars and strings stay as they are.
///
/// Values beyond the range of the type become infinite, which [`StateDict::non_finite`] shows after
/// loading. `f64` is rounded to `f32` first, as in PyTorch.
///
/// PyTorch: `save_file(model.to(torch.bfloat16).state_dict(), path)`.
///
/// # Errors
/// Those of [`save_safetensors`].
///
/// ```
/// use adamant_checkpoint::{SavedType, load_safetensors, save_safetensors_as};
/// use adamant_tensor::{StateDict, Tensor};
/// let state = StateDict::from_iter([("weight", Tensor::from([0.5f32, 1.001]))]);
/// let path = std::env::temp_dir().join(format!("adamant-half-{}.safetensors", std::process::id()));
/// save_safetensors_as(&state, &path, SavedType::Bf16).unwrap();
/// let loaded = load_safetensors(&path).unwrap();
/// assert_eq!(loaded["weight"].tensor::<f32>().unwrap().to_vec(), [0.5, 1.0]);
/// std::fs::remove_file(path).unwrap();
/// ```
pub fn save_safetensors_as(
    state: &StateDict,
    path: impl AsRef<Path>,
    floats: SavedType,
) -> Result<(), FileError> {
    save(state, Some(floats), path.as_ref())
}

fn save(state: &StateDict, floats: Option<SavedType>, path: &Path) -> Result<(), FileError> {
    let mut arrays: Vec<_> =
        state.iter().filter_map(|(name, value)| ToSave::new(name, value, floats)).collect();
    // Larger elements first, so that each array starts at a multiple of the size of its elements.
    arrays.sort_by_key(|array| std::cmp::Reverse(array.size));
    let others = state.iter().filter_map(|(name, value)| Some((name.to_string(), to_json(value)?)));
    let others: serde_json::Map<String, Json> = others.collect();
    let header = header(&arrays, others).map_err(|error| error.at(path))?;
    write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        arrays.iter().try_for_each(|array| array.write(out))
    })
}

/// The header's bytes, padded with spaces to a multiple of eight.
fn header(
    arrays: &[ToSave<'_>],
    others: serde_json::Map<String, Json>,
) -> Result<Vec<u8>, FormatError> {
    limits::check_entries((arrays.len() + others.len()) as u64)?;
    for array in arrays {
        limits::check_rank(array.shape.len() as u64)?;
        if array.name == METADATA {
            let found = format!("an array named `{METADATA}`");
            let expected = "another name: the format reserves it for its metadata";
            return Err(FormatError::new(found, expected));
        }
    }
    // The key without which `transformers` rejects files that have other metadata.
    let mut metadata = BTreeMap::from([("format", "pt".to_string())]);
    if !others.is_empty() {
        metadata.insert(KEY, Json::Object(others).to_string());
    }
    let mut bytes = serde_json::to_vec(&Header { metadata, arrays }).expect("strings as keys");
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    limits::check_header(bytes.len() as u64)?;
    Ok(bytes)
}

struct Header<'a> {
    metadata: BTreeMap<&'static str, String>,
    arrays: &'a [ToSave<'a>],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Info<'a> {
            dtype: String,
            shape: &'a [usize],
            data_offsets: (usize, usize),
        }
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry(METADATA, &self.metadata)?;
        let mut at = 0;
        for array in self.arrays {
            let end = at + array.shape.numel() * array.size;
            let dtype = array.stored.to_string();
            let info = Info { dtype, shape: array.shape, data_offsets: (at, end) };
            object.serialize_entry(array.name, &info)?;
            at = end;
        }
        object.end()
    }
}

/// An array, and the type of its elements in the file.
struct ToSave<'a> {
    name: &'a str,
    value: &'a Value,
    shape: &'a Shape,
    stored: StoredType,
    /// The number of bytes of an element in the file.
    size: usize,
}

impl<'a> ToSave<'a> {
    /// `None` if the value is not an array.
    fn new(name: &'a str, value: &'a Value, floats: Option<SavedType>) -> Option<Self> {
        let (own, shape) = StoredType::of(value)?;
        let stored = match floats {
            Some(SavedType::F32) if own != StoredType::I64 => StoredType::F32,
            Some(SavedType::F16) if own != StoredType::I64 => StoredType::F16,
            Some(SavedType::Bf16) if own != StoredType::I64 => StoredType::Bf16,
            _ => own,
        };
        let (_, size) = stored.block()?;
        Some(ToSave { name, value, shape, stored, size })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let value = match self.stored {
            StoredType::F32 => &self.value.cast::<f32>(),
            StoredType::F16 => return write_halves(self.value, f32_to_f16, out),
            StoredType::Bf16 => return write_halves(self.value, f32_to_bf16, out),
            _ => self.value,
        };
        let (.., bytes) = payload(value).expect("an array");
        out.write_all(&bytes)
    }
}

fn write_halves(value: &Value, round: impl Fn(f32) -> u16, out: &mut dyn Write) -> io::Result<()> {
    let value = value.cast::<f32>();
    let array: &Array<f32> = value.array().expect("floats");
    let elements = array.as_slice().map_or_else(|| Cow::Owned(array.to_vec()), Cow::Borrowed);
    for piece in elements.chunks(1 << 12) {
        let bytes: Vec<u8> = piece.iter().flat_map(|x| round(*x).to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// A value as JSON; `None` for an array. Floats that JSON does not have are objects:
/// `{"float": "inf"}`.
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

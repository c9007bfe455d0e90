//! The safetensors format: named arrays, readable by PyTorch and many others.
//!
//! Numbers and texts have no place among its arrays. They go to its metadata, which maps texts
//! to texts, as one entry: a JSON object under the key [`KEY`]. Other readers pass over it.

mod header;

use self::header::{Array, Header, Problem};
use crate::atomic::write_atomically;
use crate::limits::{self, Mismatch};
use crate::payload::{Dtype, build, payload};
use adamant_files::{FileError, START, is_safetensors, open, other_kind};
use adamant_tensor::{StateDict, Value};
use safetensors::tensor::View;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The name in a header that is no array's.
const METADATA: &str = "__metadata__";
/// What a reader expects.
const EXPECTED: &str = "a safetensors file";
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
/// If the file cannot be written; if an array is named `__metadata__`, which the format has for
/// itself; if there is more than [`load_safetensors`] reads. A file that was there before stays as
/// it was.
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
    let format = |(found, expected): Mismatch| FileError::format(path, found, expected);
    let arrays = state.iter().filter_map(|(name, value)| {
        let (dtype, shape, bytes) = payload(value)?;
        Some((name, ArrayView { dtype, shape, bytes }))
    });
    let arrays: Vec<(&str, ArrayView<'_>)> = arrays.collect();
    let others = state.iter().filter_map(|(name, value)| Some((name.to_string(), to_json(value)?)));
    let others: serde_json::Map<String, Json> = others.collect();
    check(&arrays, others.len()).map_err(format)?;
    let metadata = (!others.is_empty())
        .then(|| HashMap::from([(KEY.to_string(), Json::Object(others).to_string())]));
    let bytes = safetensors::serialize(arrays, metadata)
        .map_err(|error| FileError::io(path, std::io::Error::other(error)))?;
    let header_len = bytes.first_chunk().expect("a file begins with eight bytes");
    limits::check_header(u64::from_le_bytes(*header_len)).map_err(format)?;
    write_atomically(path, |out| out.write_all(&bytes))
}

/// Whether a reader accepts a file of this.
fn check(arrays: &[(&str, ArrayView<'_>)], others: usize) -> Result<(), Mismatch> {
    limits::check_entries((arrays.len() + others) as u64)?;
    for (name, array) in arrays {
        limits::check_rank(array.shape.len() as u64)?;
        if *name == METADATA {
            let found = format!("an array named `{name}`");
            return Err((found, "another name: the format has it for its metadata".into()));
        }
    }
    Ok(())
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
/// If the file cannot be read, is damaged or of another kind, or holds arrays that are neither
/// `f32` nor `f64` nor `i64`, have more than 64 dimensions, or are more than 131,072. A header may
/// have 16 MiB.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    let path = path.as_ref();
    let io = |source| FileError::io(path, source);
    let format = |(found, expected): (String, String)| FileError::format(path, found, expected);
    let damage = |what: String| format((format!("damage ({what})"), EXPECTED.into()));
    let (mut file, len) = open(path)?;
    let mut start = Vec::new();
    (&mut file).take(START as u64).read_to_end(&mut start).map_err(io)?;
    if !is_safetensors(&start) {
        return Err(format(other_kind(&start, EXPECTED)));
    }
    let header_len = u64::from_le_bytes(*start.first_chunk().expect("it is longer"));
    limits::check_header(header_len).map_err(format)?;
    let Some(data) = len.checked_sub(8 + header_len) else {
        return Err(damage(format!("a header of {header_len} bytes in a file of {len}")));
    };
    file.seek(SeekFrom::Start(8)).map_err(io)?;
    let mut text = vec![0; header_len as usize];
    file.read_exact(&mut text).map_err(io)?;
    let Header { arrays, others } =
        Header::parse(&text, data).map_err(|problem| match problem {
            Problem::Damage(what) => damage(what),
            Problem::Mismatch(found, expected) => format((found, expected)),
        })?;
    drop(text);
    let mut input = BufReader::with_capacity(1 << 16, file);
    let (mut state, mut at) = (StateDict::new(), 0);
    for (name, Array { dtype, shape, start, end }) in arrays {
        input.seek_relative(start as i64 - at as i64).map_err(io)?;
        let (value, read) = build(dtype, shape, |out| input.read_exact(out)).map_err(io)?;
        read.map_err(io)?;
        state.insert(name, value);
        at = end;
    }
    others.into_iter().for_each(|(name, other)| state.insert(name, other));
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::{Array, Tensor};
    use std::fs;

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
            let expected = match len {
                0 => "found an empty file".into(),
                1..=8 => format!("found only {len} bytes"),
                _ => "found damage".into(),
            };
            assert!(error.contains(&format!("state.safetensors: {expected}")), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (start, expected) in [
            (
                &b"\x80\x02}q\0."[..],
                "a pickle, as an old torch.save writes it, expected a safetensors file; convert it in Python: safetensors.torch.save_file(torch.load(\"x.pt\"), \"x.safetensors\"), then use load_safetensors",
            ),
            (
                b"GGUF\x03\0\0\0\0",
                "a GGUF file of llama.cpp, expected a safetensors file; take the model's safetensors file instead",
            ),
            (
                b"<html>",
                "an HTML page, expected a safetensors file; download it again: servers send such a page in place of a file",
            ),
            (b"a text", "a text file, expected a safetensors file"),
        ] {
            fs::write(&path, start).unwrap();
            let error = load_safetensors(&path).unwrap_err().to_string();
            assert_eq!(error, format!("{}: found {expected}", path.display()));
        }
        crate::Checkpoint::new().save(&path).unwrap();
        let error = load_safetensors(&path).unwrap_err().to_string();
        let expected = "an adamant checkpoint, expected a safetensors file; use Checkpoint::load";
        assert!(error.ends_with(expected), "{error}");
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let array = |shape: &[usize]| Value::from(Tensor::<f32>::zeros(shape).array().clone());
        let mut metadata = state();
        metadata.insert(METADATA, array(&[2]));
        let mut rank = state();
        rank.insert("deep", array(&[1; 65]));
        let mut entries = StateDict::new();
        (0..=limits::ENTRIES).for_each(|i| entries.insert(i.to_string(), true));
        let mut header = StateDict::new();
        header.insert("x".repeat(limits::HEADER), array(&[1]));
        for (state, expected) in [
            (metadata, "found an array named `__metadata__`, expected another name"),
            (rank, "found an array of 65 dimensions, expected at most 64"),
            (entries, "found a file of 131073 entries, expected at most 131072"),
            (header, "found a header of 16777"),
        ] {
            for old in [None, Some("old")] {
                let _ = old.map(|old| fs::write(&path, old).unwrap());
                let error = save_safetensors(&state, &path).unwrap_err().to_string();
                assert!(error.contains(&format!("state.safetensors: {expected}")), "{error}");
                assert_eq!(fs::read_to_string(&path).ok().as_deref(), old);
            }
            fs::remove_file(&path).unwrap();
        }
        // Of what is no array the name is free.
        let mut other = StateDict::new();
        other.insert(METADATA, "text");
        other.insert(KEY, array(&[64; 0]));
        save_safetensors(&other, &path).unwrap();
        let loaded = load_safetensors(&path).unwrap();
        assert_eq!((loaded.get(METADATA), loaded.get(KEY)), (other.get(METADATA), other.get(KEY)));
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
            (r#"{"lr": null}"#, "(`lr`: invalid type: null"),
            (r#"{"lr": {"float": "inf", "more": 1}}"#, "(`lr`: an object that is not a number"),
            (r#"{"lr": {"float": "1"}}"#, "(`lr`: no such number"),
            (r#"{"lr": 1e999}"#, "`adamant` in the metadata"),
            (r#"{"lr": 18446744073709551615}"#, "(`lr`: 18446744073709551615 is no"),
            (r#"{"weight": 1}"#, "`weight` among the arrays and in the metadata"),
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

//! The safetensors format: named arrays, which PyTorch and many others read.
//!
//! The format has arrays only. Scalars and strings are stored in its metadata, a map from strings to
//! strings, as a JSON object under the key [`KEY`]. Other readers ignore it.

mod header;
mod save;

pub(super) use self::header::{Unique, json};
pub use self::save::{SavedType, save_safetensors, save_safetensors_as};

use super::listed::Listed;
use super::{Weights, WeightsFormat};
use crate::limits;
use crate::read_error::ReadError;
use adamant_files::{FileError, FormatError, Opened};
use adamant_tensor::StateDict;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The name of the metadata among the arrays of a header.
const METADATA: &str = "__metadata__";
/// The key in the metadata for scalars and strings.
const KEY: &str = "adamant";
/// The kind of file, for messages.
pub(super) const EXPECTED: &str = "a safetensors file";

/// The error of a file whose parts do not match.
fn damaged(detail: String) -> FormatError {
    FormatError::new(format!("damage ({detail})"), EXPECTED)
}

/// Reads a safetensors file, or a sharded model by its folder or index: its arrays in the order of
/// their names, then the scalars and strings that [`save_safetensors`] wrote to the metadata. Other
/// metadata is ignored.
///
/// Halves become `f32`, integers and booleans `i64`: see [`StoredType`](crate::StoredType).
/// [`Weights`] reads chosen tensors.
///
/// PyTorch: `safetensors.torch.load_file(path)`.
///
/// # Errors
/// Those of [`Weights::open`] and [`Weights::load`], and if the file has another format.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    Weights::open_as(path.as_ref(), WeightsFormat::SafeTensors)?.into_state_dict()
}

/// Lists what is in a file, which is file `file` of the model. `headers` is the length of the other
/// files' headers, to which this one's is added.
pub(super) fn list(opened: &Opened, file: u32, headers: &mut u64) -> Result<Listed, ReadError> {
    let Opened { file: input, len, start } = opened;
    let header_len = u64::from_le_bytes(*start.first_chunk().expect("recognized by its start"));
    *headers += header_len; // which has four bytes
    limits::check_header(*headers)?;
    if *len < 8 + header_len {
        let detail = format!("a header of {header_len} bytes in a file of {len}");
        return Err(damaged(detail).into());
    }
    let mut input = input;
    input.seek(SeekFrom::Start(8))?;
    let mut text = vec![0; header_len as usize];
    input.read_exact(&mut text)?;
    let start = 8 + header_len;
    Ok(header::parse(&text, file, start, len - start)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use adamant_tensor::{Array, Tensor, Value};
    use safetensors::tensor::TensorView;
    use std::collections::HashMap;
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
    fn every_value_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save_safetensors(&state(), &path).unwrap();
        assert_eq!(load_safetensors(&path).unwrap(), state());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1); // without temporary files
    }

    #[test]
    fn equal_states_make_equal_files_that_the_reference_reads() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            save_safetensors(&state(), path).unwrap();
        }
        let [bytes, again] = paths.map(|path| fs::read(path).unwrap());
        assert_eq!(bytes, again);
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let names = ["a.weight", "b.scalar", "b.seen", "c.empty"];
        assert_eq!(read.len(), names.len());
        for name in names {
            let (view, state) = (read.tensor(name).unwrap(), state());
            let (_, shape, bytes) = crate::payload::payload(&state[name]).unwrap();
            assert_eq!((view.shape(), view.data()), (&**shape, &*bytes), "{name}");
        }
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    }

    #[test]
    fn a_truncated_file_is_rejected() {
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
                "a pickle, as an old torch.save writes it, expected a safetensors file; use load_pt",
            ),
            (
                b"GGUF\x03\0\0\0\0",
                "a GGUF file of llama.cpp, expected a safetensors file; use Weights::open",
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
    fn contents_beyond_the_limits_are_not_written() {
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
        // Only arrays cannot have these names.
        let mut other = StateDict::new();
        other.insert(METADATA, "text");
        other.insert(KEY, array(&[64; 0]));
        save_safetensors(&other, &path).unwrap();
        let loaded = load_safetensors(&path).unwrap();
        assert_eq!((loaded.get(METADATA), loaded.get(KEY)), (other.get(METADATA), other.get(KEY)));
    }

    #[test]
    fn as_many_arrays_as_the_limit_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let empty = Tensor::<f32>::zeros([0]);
        let state: StateDict =
            (0..limits::ENTRIES).map(|i| (i.to_string(), empty.clone())).collect();
        save_safetensors(&state, &path).unwrap();
        assert_eq!(load_safetensors(&path).unwrap().len(), limits::ENTRIES);
    }

    #[test]
    fn other_metadata_is_ignored_and_ours_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let written = |key: &str, text: &str| {
            let metadata = HashMap::from([(key.to_string(), text.to_string())]);
            let weight = TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
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
            (r#"{"lr": {"float": "inf", "more": 1}}"#, "(`lr`: an object that is not a float"),
            (r#"{"lr": {"float": "1"}}"#, "(`lr`: not NaN, inf or -inf"),
            (r#"{"lr": 1e999}"#, "`adamant` in the metadata"),
            (r#"{"lr": 18446744073709551615}"#, "(`lr`: 18446744073709551615 is not a 64-bit"),
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
    fn hostile_headers_are_rejected() {
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
            (two(array("b", "[4294967296, 4294967296]", 8, 12).replace("F32", "F8")), 12),
            (two(array("b", "[-1]", 8, 12)), 12),
            (two(array("b", "[1]", 4, 8)), 8), // overlaps the first array
            (two(array("b", "[2]", 0, 8)), 8), // at the same position
            (two(array("b", "[1]", 12, 16)), 16), // after a gap
            (two(array("b", "[1]", 8, 12)), 8), // outside the file
            (two(array("b", "[1]", 12, 8)), 12), // backwards
            (two(array("b", "[1]", 18446744073709551612, 0)), 12),
            (two(array("b", "[1]", 8, 12)), 13), // a byte too many
            (two(array("a", "[2]", 0, 8)), 8),   // repeated names
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

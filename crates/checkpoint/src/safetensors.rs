//! The safetensors format: named arrays, readable by PyTorch and many others.

use crate::atomic::write_atomically;
use crate::error::FileError;
use crate::payload::{Dtype, build, payload};
use adamant_tensor::{Shape, StateDict};
use safetensors::tensor::{SafeTensors, View};
use std::borrow::Cow;
use std::path::Path;

/// Writes the arrays of `state` to a safetensors file, under their names.
///
/// The format holds arrays only: numbers and texts of the state, such as the
/// position of a dropout layer's generator, are left out. For a model that is
/// all that PyTorch's `state_dict()` holds: `safetensors.torch.load_file(path)`
/// fits the same model there.
///
/// # Errors
/// If the file cannot be written; a file that was there before stays as it was.
///
/// ```
/// use adamant_checkpoint::{load_safetensors, save_safetensors};
/// use adamant_tensor::{StateDict, Tensor};
/// let mut state = StateDict::new();
/// state.insert("weight", Tensor::<f32>::ones([2, 3]).array().clone());
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
    write_atomically(path, |out| {
        let bytes = safetensors::serialize(views, None).map_err(std::io::Error::other)?;
        out.write_all(&bytes)
    })
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

/// Reads the arrays of a safetensors file, in the order of their names.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds arrays that are neither
/// `f32` nor `f64` nor `i64`.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    let path = path.as_ref();
    let format = |found: String, expected| FileError::format(path, found, expected);
    let bytes = std::fs::read(path).map_err(|source| FileError::io(path, source))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| format(format!("damage ({error})"), "a safetensors file"))?;
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
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::{Array, Tensor, Value};

    fn state() -> StateDict {
        let mut state = StateDict::new();
        let weight = Tensor::from_vec(vec![1.0f32, -0.0, f32::NAN, 4.0, 5.0, 6.0], [2, 3]).unwrap();
        state.insert("a.weight", weight.array().clone());
        state.insert("b.scalar", Tensor::scalar(0.1f64).array().clone());
        state.insert("b.seen", Value::I64(Array::full([].into(), i64::MIN + 7)));
        state.insert("c.empty", Tensor::<f32>::zeros([0, 3]).array().clone());
        state
    }

    #[test]
    fn arrays_come_back_in_every_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save_safetensors(&state(), &path).unwrap();
        assert_eq!(load_safetensors(&path).unwrap(), state());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1); // no temporary file is left
    }

    #[test]
    fn a_file_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        save_safetensors(&state(), &path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = load_safetensors(&path).unwrap_err().to_string();
            assert!(error.contains("state.safetensors: found damage"), "{error}");
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error =
            save_safetensors(&state(), "no/such/folder/x.safetensors").unwrap_err().to_string();
        assert!(error.starts_with("no/such/folder/x.safetensors: "), "{error}");
    }
}

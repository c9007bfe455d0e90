//! The safetensors format: named arrays, readable by PyTorch and many others.

use crate::error::FileError;
use adamant_tensor::{Array, Shape, StateDict, Tensor, Value};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::io::Write;
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
    let arrays: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = state
        .iter()
        .filter_map(|(name, value)| {
            let (dtype, shape, bytes) = match value {
                Value::F32(x) => (
                    Dtype::F32,
                    x.shape(),
                    x.to_vec().iter().flat_map(|x| x.to_le_bytes()).collect(),
                ),
                Value::F64(x) => (
                    Dtype::F64,
                    x.shape(),
                    x.to_vec().iter().flat_map(|x| x.to_le_bytes()).collect(),
                ),
                Value::I64(x) => (
                    Dtype::I64,
                    x.shape(),
                    x.to_vec().iter().flat_map(|x| x.to_le_bytes()).collect(),
                ),
                _ => return None,
            };
            Some((name, dtype, shape.to_vec(), bytes))
        })
        .collect();
    let views = arrays.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        (*name, view.expect("as many bytes as the shape needs"))
    });
    let bytes = safetensors::serialize(views, None).expect("the names are texts and differ");
    write_atomically(path, &bytes).map_err(|source| FileError::io(path, source))
}

/// Writes beside the target, then renames: at any moment the old file is there or the new one.
fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // As of any new file: the user's umask says who may read it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads the arrays of a safetensors file, in the order of their names.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds arrays that are neither
/// `f32` nor `f64` nor `i64`.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    let path = path.as_ref();
    let format = |found: String, expected| FileError::Format { path: path.into(), found, expected };
    let bytes = std::fs::read(path).map_err(|source| FileError::io(path, source))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| format(format!("damage ({error})"), "a safetensors file"))?;
    let mut arrays = file.tensors();
    arrays.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut state = StateDict::new();
    for (name, view) in arrays {
        let shape = Shape::from(view.shape());
        let value = match view.dtype() {
            Dtype::I64 => numbers(view.data(), i64::from_le_bytes).and_then(|x| counts(&x, shape)),
            Dtype::F32 => numbers(view.data(), f32::from_le_bytes).and_then(|x| array(x, shape)),
            Dtype::F64 => numbers(view.data(), f64::from_le_bytes).and_then(|x| array(x, shape)),
            other => {
                let found = format!("`{name}` of type {other:?}");
                return Err(format(found, "arrays of type F32, F64 or I64"));
            }
        };
        let value = value.ok_or_else(|| {
            let found =
                format!("`{name}` of shape {:?} with {} bytes", view.shape(), view.data().len());
            format(found, "as many bytes as the shape needs")
        })?;
        state.insert(name, value);
    }
    Ok(state)
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|&chunk| read(chunk)).collect())
}

fn array<T: adamant_tensor::Float>(values: Vec<T>, shape: Shape) -> Option<Value> {
    Tensor::from_vec(values, shape).ok().map(|tensor| tensor.array().clone().into())
}

fn counts(values: &[i64], shape: Shape) -> Option<Value> {
    (values.len() == shape.iter().product::<usize>())
        .then(|| Value::I64(Array::from_slice(shape, values)))
}

#[cfg(test)]
mod tests {
    use super::*;

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

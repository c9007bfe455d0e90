//! Writes a state as `torch.save` writes an `OrderedDict`.

use super::flatten::flatten;
use super::input::Input;
use super::object::Objects;
use super::pickle::parse;
use super::room::Room;
use super::types::Type;
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::stored::StoredType;
use adamant_files::FormatError;
use adamant_tensor::{StateDict, Value};

/// The pickle of a state whose arrays are in the storages `0`, `1`, …, in the order of the state.
///
/// # Errors
/// If a reader would not accept it.
pub(super) fn pickle(state: &StateDict) -> Result<Vec<u8>, ReadError> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    let mut storages = 0;
    for (name, value) in state.iter() {
        text(&mut out, name);
        match value {
            Value::F32(_) | Value::F64(_) | Value::I64(_) => {
                tensor(&mut out, value, storages)?;
                storages += 1;
            }
            Value::Bool(true) => out.push(0x88),
            Value::Bool(false) => out.push(0x89),
            Value::Int(value) => int(&mut out, *value),
            Value::Float(value) => {
                out.push(b'G');
                out.extend(value.to_be_bytes());
            }
            Value::Text(value) => text(&mut out, value),
        }
        limits::check_pickle(out.len() as u64)?;
    }
    out.extend(b"u.");
    check(&out)?;
    Ok(out)
}

/// Checks that a reader accepts a pickle.
fn check(pickle: &[u8]) -> Result<(), ReadError> {
    let (mut objects, mut room) = (Objects::default(), Room::new());
    let root = parse(&mut Input::new(pickle, pickle.len() as u64), &mut objects, &mut room)?;
    flatten(&objects, root, &mut room, |_, _| Ok(()))
}

/// A call of `_rebuild_tensor_v2` with a storage of its own.
fn tensor(out: &mut Vec<u8>, value: &Value, storage: usize) -> Result<(), FormatError> {
    let (stored, shape) = StoredType::of(value).expect("the value is an array");
    limits::check_rank(shape.len() as u64)?;
    let class = Type::from_stored(&stored).expect("PyTorch has all types of arrays").storage();
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.extend(format!("ctorch\n{class}\n").as_bytes());
    text(out, &storage.to_string());
    text(out, "cpu");
    int(out, shape.numel() as i64);
    out.extend(b"tQK\0"); // the offset 0
    let strides = |dim: usize| shape[dim + 1..].iter().map(|&size| size.max(1)).product::<usize>();
    out.push(b'(');
    shape.iter().for_each(|&size| int(out, size as i64));
    out.extend(b"t(");
    (0..shape.len()).for_each(|dim| int(out, strides(dim) as i64));
    out.extend(b"t\x89ccollections\nOrderedDict\n)RtR"); // no gradient, no hooks
    Ok(())
}

fn int(out: &mut Vec<u8>, value: i64) {
    match (u8::try_from(value), i32::try_from(value)) {
        (Ok(value), _) => out.extend([b'K', value]),
        (_, Ok(value)) => {
            out.push(b'J');
            out.extend(value.to_le_bytes());
        }
        _ => {
            out.extend([0x8a, 8]);
            out.extend(value.to_le_bytes());
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    // A longer one would exceed the limit of the whole.
    out.extend((text.len().min(limits::HEADER) as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

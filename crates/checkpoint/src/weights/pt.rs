//! The files of `torch.save` (`.pt`, `.pth`): a pickle and the storages of its tensors.
//!
//! A pickle is a program. Nothing of it is executed here: `pickle.rs` knows the few opcodes that
//! state dicts need, `global.rs` the few classes and functions, and everything else is an error. A
//! file is listed in four steps: its layout ([`archive`] or [`legacy`]), the pickle's objects
//! ([`pickle`]), their names ([`flatten`]), and their places in the file ([`list`](mod@list)).

mod archive;
mod archive_writer;
mod flatten;
mod global;
mod input;
mod legacy;
mod list;
mod object;
mod pickle;
mod rebuild;
mod room;
mod save;
mod types;

pub(super) use self::room::Room;
pub(super) use self::types::advice;

use self::archive::Archive;
use self::archive_writer::ArchiveWriter;
use self::input::Input;
use self::list::Source;
use self::object::Objects;
use super::listed::Listed;
use super::view::ByteOrder;
use super::{Weights, WeightsFormat};
use crate::limits;
use crate::payload::payload;
use crate::read_error::ReadError;
use adamant_files::{FileError, FormatError, Opened, other_kind, write_atomically};
use adamant_tensor::StateDict;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

/// The kind of file, for messages.
pub(super) const EXPECTED: &str = "a state dict of torch.save";

/// The error of a file whose parts do not match.
fn damaged(detail: impl fmt::Display) -> FormatError {
    FormatError::new(format!("damage ({detail})"), EXPECTED)
}

/// Reads a state dict that `torch.save` wrote: of a model, of an optimizer, or a dictionary of
/// both. Nothing in the file is executed.
///
/// Names: the keys of nested dictionaries, and the positions in lists and tuples, are joined by dots.
///
/// | saved in Python | entries |
/// |---|---|
/// | `model.state_dict()` | `0.weight`, `0.bias` |
/// | `adam.state_dict()` | `state.0.step`, `state.0.exp_avg`, `param_groups.0.lr`, `param_groups.0.params.0` |
/// | `{"model": …, "epoch": 3}` | `model.0.weight`, `epoch` |
/// | `[a, b]` | `0`, `1` |
/// | `tensor` | the empty name |
///
/// [`StateDict::part`] takes a dictionary out again.
///
/// Types: see [`StoredType`](crate::StoredType). Python's numbers, booleans and strings stay; a
/// `torch.dtype` or `torch.device` becomes its name; `None` has no entry. Views are copied, except
/// that tensors which are the same view share their elements.
///
/// Both formats are read: the zip archive, and the older one
/// (`_use_new_zipfile_serialization=False`), with pickle protocols 1 to 5, in either byte order; and
/// the shards of a `pytorch_model.bin.index.json`. [`Weights`] reads chosen tensors.
///
/// Memory: the result, and the largest storage of a tensor that is not contiguous.
///
/// PyTorch: `torch.load(path, weights_only=True)`.
///
/// # Errors
/// Those of [`Weights::open`] and [`Weights::load`], and if the file has another format.
///
/// ```
/// use adamant_checkpoint::load_pt;
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pt");
/// let state = load_pt(format!("{folder}/adam.pt")).unwrap();
/// assert_eq!(state.array::<f32>("model.weight", &[2, 3]).unwrap().to_vec().len(), 6);
/// assert_eq!(state.float("optimizer.param_groups.0.lr"), Ok(0.125));
/// let model = state.part("model");
/// assert_eq!(model.keys().collect::<Vec<_>>(), ["weight", "bias"]);
///
/// let error = load_pt(format!("{folder}/module.pt")).unwrap_err().to_string();
/// assert!(error.contains("found a whole module (the global torch.nn.modules.linear.Linear)"));
/// ```
pub fn load_pt(path: impl AsRef<Path>) -> Result<StateDict, FileError> {
    Weights::open_as(path.as_ref(), WeightsFormat::PyTorch)?.into_state_dict()
}

/// Lists what is in a file, which is file `file` of the model. All files share the room.
pub(super) fn list(opened: &Opened, file: u32, room: &mut Room) -> Result<Listed, ReadError> {
    match opened.start.starts_with(b"PK") {
        true => list_archive(opened, file, room),
        false => {
            let mut objects = Objects::default();
            let Opened { file: input, len, .. } = opened;
            let (root, storages) = legacy::parse_file(input, *len, &mut objects, room)?;
            let place = |key: &str| storages.place(key, &objects);
            let order = ByteOrder::Little;
            Source { file, len: *len, objects: &objects, order, place: &place }.list(root, room)
        }
    }
}

fn list_archive(opened: &Opened, file: u32, room: &mut Room) -> Result<Listed, ReadError> {
    let &Opened { file: ref input, len, ref start } = opened;
    let archive = Archive::open(input, len, room)?;
    if archive.contains("constants.pkl") {
        let found = "an archive of torch.jit.save";
        let advice = "in Python: torch.save(torch.jit.load(path).state_dict(), path)";
        return Err(FormatError::new(found, format!("{EXPECTED}; {advice}")).into());
    }
    if !archive.contains("data.pkl") && !archive.contains("version") {
        return Err(other_kind(start, EXPECTED).into());
    }
    let order = byte_order(input, &archive)?;
    let pickle = archive.place("data.pkl")?;
    limits::check_pickle(pickle.len)?;
    pickle.verify(input, "data.pkl")?;
    let mut reader = BufReader::with_capacity(1 << 16, input);
    reader.seek(SeekFrom::Start(pickle.start))?;
    let mut objects = Objects::default();
    let mut pickle_input = Input::new(reader, pickle.len);
    let root = pickle::parse(&mut pickle_input, &mut objects, room)?;
    if pickle_input.position() != pickle.len {
        return Err(damaged("a pickle that ends early").into());
    }
    let place = |key: &str| archive.place(&format!("data/{key}"));
    Source { file, len, objects: &objects, order, place: &place }.list(root, room)
}

/// The byte order of the storages; archives without a note of it are little-endian.
fn byte_order(file: &File, archive: &Archive<'_>) -> Result<ByteOrder, ReadError> {
    const NAME: &str = "byteorder";
    if !archive.contains(NAME) {
        return Ok(ByteOrder::Little);
    }
    let place = archive.place(NAME)?;
    let mut text = Vec::new();
    if place.len <= 6 {
        place.read(file, NAME, &mut text)?;
    }
    match &*text {
        b"little" => Ok(ByteOrder::Little),
        b"big" => Ok(ByteOrder::Big),
        _ => Err(damaged("neither little nor big as `byteorder`").into()),
    }
}

/// Writes `state` to a file that `torch.load(path, weights_only=True)` reads: an `OrderedDict` whose
/// keys are the names, with tensors for arrays, and numbers, booleans and strings of Python.
///
/// Names stay as they are: nested dictionaries are not made of their dots. A model's arrays match
/// the `state_dict()` of the same model in PyTorch, except that a shared parameter is written once,
/// under its first name. Equal states make equal files.
///
/// PyTorch: `torch.save(state, path)`.
///
/// # Errors
/// If the file cannot be written, or if the state exceeds the limits of [`load_pt`]. An old file is
/// then unchanged.
///
/// ```
/// use adamant_checkpoint::{load_pt, save_pt};
/// use adamant_tensor::{StateDict, Tensor};
/// let mut state = StateDict::new();
/// state.insert("weight", Tensor::<f32>::ones([2, 3]));
/// state.insert("lr", 1e-3);
/// let path = std::env::temp_dir().join(format!("adamant-doc-{}.pt", std::process::id()));
/// save_pt(&state, &path).unwrap();
/// assert_eq!(load_pt(&path).unwrap(), state);
/// std::fs::remove_file(path).unwrap();
/// ```
pub fn save_pt(state: &StateDict, path: impl AsRef<Path>) -> Result<(), FileError> {
    let path = path.as_ref();
    let arrays = || state.iter().filter_map(|(_, value)| payload(value));
    let pickle = save::pickle(state).map_err(|error| error.at(path))?;
    write_atomically(path, |out| {
        let mut archive = ArchiveWriter::new(out);
        archive.file("archive/data.pkl", &pickle)?;
        archive.file("archive/byteorder", b"little")?;
        for (number, (_, _, bytes)) in arrays().enumerate() {
            archive.file(&format!("archive/data/{number}"), &bytes)?;
        }
        archive.file("archive/version", b"3\n")?;
        archive.finish()
    })
}

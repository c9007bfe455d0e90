//! The files of `torch.save` (`.pt`, `.pth`): a pickle and the storages of its tensors.
//!
//! A pickle is a program. Nothing of it is executed here: `pickle.rs` knows the few opcodes that
//! state dicts need, `global.rs` the few classes and functions, and everything else is an error. A
//! file is read in four steps: its layout ([`archive`] or [`legacy`]), the pickle's objects
//! ([`pickle`]), their names ([`flatten`]), and the arrays, one storage at a time ([`load`]).

mod archive;
mod archive_writer;
mod element;
mod fault;
mod flatten;
mod global;
mod input;
mod legacy;
mod load;
mod object;
mod pickle;
mod place;
mod rebuild;
mod room;
mod save;
mod view;

use self::archive::Archive;
use self::archive_writer::ArchiveWriter;
use self::element::ByteOrder;
use self::fault::{EXPECTED, Fault, damaged};
use self::input::Input;
use self::load::Source;
use self::object::Objects;
use self::room::Room;
use crate::limits;
use crate::payload::payload;
use adamant_files::write_atomically;
use adamant_files::{FileError, FormatError, START, is_safetensors, open, other_kind};
use adamant_tensor::StateDict;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

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
/// Types: `float32` and `float64` stay; `float16` and `bfloat16` become `f32`; `int64` and all
/// smaller integers, and `bool`, become `i64` arrays. All of it is exact. Python's numbers, booleans
/// and strings stay; a `torch.dtype` or `torch.device` becomes its name; `None` has no entry. Views
/// are copied, except that tensors which are the same view share their elements.
///
/// Both formats are read: the zip archive, and the older one
/// (`_use_new_zipfile_serialization=False`), with pickle protocols 2 to 5, in either byte order.
/// Memory: the result and the largest storage.
///
/// PyTorch: `torch.load(path, weights_only=True)`.
///
/// # Errors
/// If the file cannot be read, is damaged or of another kind; if it has anything else than tensors,
/// numbers and strings, such as a whole module or a sparse, quantized or complex tensor; if two
/// entries have one name; if it exceeds the limits: a pickle of 16 MiB, 131,072 elements in all
/// containers, 64 dimensions, 56 MiB for the objects other than tensors' elements, tensors that
/// overlap in storages to more than twice the file's length.
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
    let path = path.as_ref();
    let (file, len) = open(path)?;
    load_file(&file, len).map_err(|fault| fault.at(path))
}

fn load_file(mut file: &File, len: u64) -> Result<StateDict, Fault> {
    let mut start = Vec::new();
    file.take(START as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    match &*start {
        [b'P', b'K', 3, 4, ..] => load_archive(file, len, &start),
        // The length that a safetensors file starts with may look like the start of a pickle.
        [0x80, 2..=5, ..] if !is_safetensors(&start) => load_legacy(file, len),
        _ => Err(other_kind(&start, EXPECTED).into()),
    }
}

fn load_archive(mut file: &File, len: u64, start: &[u8]) -> Result<StateDict, Fault> {
    let (mut objects, mut room) = (Objects::default(), Room::new());
    let archive = Archive::open(file, len, &mut room)?;
    if archive.contains("constants.pkl") {
        let found = "an archive of torch.jit.save";
        let advice = "in Python: torch.save(torch.jit.load(path).state_dict(), path)";
        return Err(FormatError::new(found, format!("{EXPECTED}; {advice}")).into());
    }
    if !archive.contains("data.pkl") && !archive.contains("version") {
        return Err(other_kind(start, EXPECTED).into());
    }
    let order = byte_order(file, &archive)?;
    let pickle = archive.place("data.pkl")?;
    limits::check_pickle(pickle.len)?;
    pickle.verify(file, "data.pkl")?;
    file.seek(SeekFrom::Start(pickle.start))?;
    let mut input = Input::new(BufReader::with_capacity(1 << 16, file), pickle.len);
    let root = pickle::parse(&mut input, &mut objects, &mut room)?;
    if input.position() != pickle.len {
        return Err(damaged("a pickle that ends early").into());
    }
    let place = |key: &str| archive.place(&format!("data/{key}"));
    Source { file, len, objects: &objects, order, place: &place }.load(root, &mut room)
}

/// The byte order of the storages; archives without a note of it are little-endian.
fn byte_order(file: &File, archive: &Archive<'_>) -> Result<ByteOrder, Fault> {
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

fn load_legacy(file: &File, len: u64) -> Result<StateDict, Fault> {
    let (mut objects, mut room) = (Objects::default(), Room::new());
    let (root, storages) = legacy::parse_file(file, len, &mut objects, &mut room)?;
    let place = |key: &str| storages.place(key, &objects);
    let order = ByteOrder::Little;
    Source { file, len, objects: &objects, order, place: &place }.load(root, &mut room)
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
    let ranks = arrays().try_for_each(|(_, shape, _)| limits::check_rank(shape.len() as u64));
    let pickle = ranks.and_then(|()| save::pickle(state)).map_err(|error| error.at(path))?;
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

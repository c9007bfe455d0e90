//! The files of a model, and how their tensors are read.

use super::decode::decode;
use super::entry::TensorEntry;
use super::place::Place;
use crate::read_error::ReadError;
use adamant_files::{FileError, FormatError};
use adamant_tensor::Value;
use adamant_tensor::shown;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The files of a model. One of them is open, however many there are: the one that was read last.
pub(super) struct Files {
    list: Vec<TensorFile>,
    /// The lock holds the file's position.
    open: Mutex<Open>,
}

/// A file whose header has been read.
struct TensorFile {
    path: PathBuf,
    stamp: Stamp,
}

/// What tells whether a file that is opened again is the same: its elements belong to the header that was
/// read, even if another file has taken its name.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

struct Open {
    /// The open file and its position in the list; `None` if there are no files.
    file: Option<(u32, File)>,
    /// The storages whose checksums are right, with the files that they are in.
    verified: HashSet<(u32, Place)>,
}

/// The last storage that was read whole, for the next tensor in it.
#[derive(Default)]
pub(super) struct Buffer {
    of: Option<(u32, Place)>,
    bytes: Vec<u8>,
}

impl Files {
    pub(super) fn none() -> Self {
        let open = Open { file: None, verified: HashSet::new() };
        Files { list: Vec::new(), open: Mutex::new(open) }
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.list.iter().map(|file| &*file.path)
    }

    /// The file at this position.
    pub(super) fn path(&self, index: u32) -> &Path {
        &self.list[index as usize].path
    }

    /// The number of bytes of all files.
    pub(super) fn len(&self) -> u64 {
        self.list.iter().map(|file| file.stamp.len).sum()
    }

    /// Adds an open file.
    pub(super) fn push(&mut self, path: &Path, file: File) -> Result<(), FileError> {
        let stamp = Stamp::of(&file).map_err(|error| FileError::io(path, error))?;
        let index = self.list.len() as u32; // at most limits::ENTRIES
        self.list.push(TensorFile { path: path.into(), stamp });
        self.open.get_mut().unwrap_or_else(PoisonError::into_inner).file = Some((index, file));
        Ok(())
    }

    /// Reads a tensor of one of these files, of a type that can be read.
    pub(super) fn read(
        &self,
        entry: &TensorEntry,
        buffer: &mut Buffer,
    ) -> Result<Value, FileError> {
        let TensorFile { path, stamp } = &self.list[entry.file as usize];
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.file.as_ref().is_none_or(|(index, _)| *index != entry.file) {
            let (file, _) = adamant_files::open(path)?;
            if Stamp::of(&file).map_err(|error| FileError::io(path, error))? != *stamp {
                let found = "a file that has changed since its header was read";
                return Err(FileError::format(path, found, "the same file"));
            }
            open.file = Some((entry.file, file));
        }
        open.read(entry, buffer).map_err(|error| error.at(path))
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Stamp { len: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl Open {
    fn read(&mut self, entry: &TensorEntry, buffer: &mut Buffer) -> Result<Value, ReadError> {
        let Some((index, file)) = &self.file else { unreachable!("`Files::read` has opened it") };
        let (index, mut file) = (*index, file);
        let Some(view) = &entry.view else {
            file.seek(SeekFrom::Start(entry.start))?;
            return elements(entry, file);
        };
        let storage = view.storage();
        let verified = storage.checksum.is_none() || self.verified.contains(&(index, storage));
        let value = match view.is_adjacent() {
            true if verified => {
                file.seek(SeekFrom::Start(entry.start))?;
                return elements(entry, file);
            }
            true => storage.pass(file, &entry.name, entry.start, |input| elements(entry, input))?,
            false => {
                let key = Some((index, storage));
                if buffer.of != key {
                    buffer.of = None;
                    storage.read(file, &entry.name, &mut buffer.bytes)?;
                    buffer.of = key;
                }
                elements(entry, view.gather(&entry.shape, entry.start, &buffer.bytes))?
            }
        };
        self.verified.insert((index, storage));
        Ok(value)
    }
}

/// Reads the elements in order, little-endian. An error of their values names the tensor.
fn elements(entry: &TensorEntry, mut input: impl Read) -> Result<Value, ReadError> {
    decode(&mut input, &entry.stored, entry.shape.clone()).map_err(|error| match error {
        ReadError::Format(FormatError { found, expected }) => {
            FormatError::new(format!("`{}` with {found}", shown(&entry.name)), expected).into()
        }
        other => other,
    })
}

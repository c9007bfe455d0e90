//! An open file of weights, and how its tensors are read.

use super::decode::decode;
use super::entry::TensorEntry;
use super::place::Place;
use crate::read_error::ReadError;
use crate::shown::shown;
use adamant_files::{FileError, FormatError};
use adamant_tensor::Value;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An open file. Its handle stays open, so that the elements belong to the header that was read even
/// if another file takes its name.
pub(super) struct TensorFile {
    path: PathBuf,
    len: u64,
    /// The lock holds the file's position.
    open: Mutex<Open>,
}

struct Open {
    file: File,
    /// The storages whose checksums are right.
    verified: HashSet<Place>,
}

/// The last storage that was read whole, for the next tensor in it.
#[derive(Default)]
pub(super) struct Buffer {
    of: Option<(u32, Place)>,
    bytes: Vec<u8>,
}

impl TensorFile {
    pub(super) fn new(path: &Path, file: File, len: u64) -> Self {
        let open = Mutex::new(Open { file, verified: HashSet::new() });
        TensorFile { path: path.into(), len, open }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads a tensor of this file, of a type that can be read.
    pub(super) fn read(
        &self,
        entry: &TensorEntry,
        buffer: &mut Buffer,
    ) -> Result<Value, FileError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.read(entry, buffer).map_err(|error| error.at(&self.path))
    }
}

impl Open {
    fn read(&mut self, entry: &TensorEntry, buffer: &mut Buffer) -> Result<Value, ReadError> {
        let mut file = &self.file;
        let Some(view) = &entry.view else {
            file.seek(SeekFrom::Start(entry.start))?;
            return elements(entry, file);
        };
        let storage = view.storage();
        let verified = storage.checksum.is_none() || self.verified.contains(&storage);
        let value = match view.is_adjacent() {
            true if verified => {
                file.seek(SeekFrom::Start(entry.start))?;
                return elements(entry, file);
            }
            true => storage.pass(file, &entry.name, entry.start, |input| elements(entry, input))?,
            false => {
                let key = Some((entry.file, storage));
                if buffer.of != key {
                    buffer.of = None;
                    storage.read(file, &entry.name, &mut buffer.bytes)?;
                    buffer.of = key;
                }
                elements(entry, view.gather(&entry.shape, entry.start, &buffer.bytes))?
            }
        };
        self.verified.insert(storage);
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

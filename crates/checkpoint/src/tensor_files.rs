//! The tensors in one or more open files, which are read by name.

use crate::decode::decode;
use crate::read_error::ReadError;
use crate::stored::StoredType;
use adamant_files::{FileError, FormatError};
use adamant_tensor::{Shape, StateDict, Value};
use std::fmt;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What a file of weights says about one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    pub(crate) name: String,
    pub(crate) stored: StoredType,
    pub(crate) shape: Shape,
    /// The index of its file.
    pub(crate) file: u32,
    /// The position of its elements in the file.
    pub(crate) start: u64,
    /// The number of their bytes, or 0 if it is unknown.
    pub(crate) bytes: u64,
}

impl TensorEntry {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the elements in the file. [`StoredType`] documents the one in memory.
    #[must_use]
    pub fn dtype(&self) -> &StoredType {
        &self.stored
    }

    /// The sizes of the dimensions, row-major as in PyTorch: `[out, in]` for a linear layer.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of bytes in the file; 0 for a type of which even the name is unknown.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// `BF16 [2, 3]`.
impl fmt::Display for TensorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stored, self.shape)
    }
}

/// An open file. Its handle stays open, so that the elements belong to the header that was read even
/// if another file takes its name. A lock holds its position.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl TensorFile {
    pub(crate) fn new(path: &Path, file: File) -> Self {
        TensorFile { path: path.into(), file: Mutex::new(file) }
    }

    fn read(&self, entry: &TensorEntry) -> Result<Value, FileError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = || {
            file.seek(SeekFrom::Start(entry.start))?;
            decode(&mut *file, &entry.stored, entry.shape.clone())
        };
        let named = |error| match error {
            ReadError::Format(FormatError { found, expected }) => {
                FormatError::new(format!("`{}` with {found}", entry.name), expected).into()
            }
            other => other,
        };
        read().map_err(|error| named(error).at(&self.path))
    }
}

/// Tensors with unique names.
pub(crate) struct TensorFiles {
    /// What the user opened: a file, an index or a folder.
    path: PathBuf,
    files: Vec<TensorFile>,
    entries: Vec<TensorEntry>,
    /// The indices of the entries, in the order of their names.
    by_name: Vec<u32>,
}

impl TensorFiles {
    /// # Errors
    /// If two tensors have the same name.
    pub(crate) fn new(
        path: &Path,
        files: Vec<TensorFile>,
        entries: Vec<TensorEntry>,
    ) -> Result<Self, FileError> {
        let mut by_name: Vec<u32> = (0..entries.len() as u32).collect(); // at most limits::ENTRIES
        let name = |index: u32| entries[index as usize].name.as_str();
        by_name.sort_unstable_by_key(|&index| name(index));
        match by_name.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            Some(pair) => {
                let found = format!("the tensor `{}` twice", name(pair[0]));
                Err(FileError::format(path, found, "each name once"))
            }
            None => Ok(TensorFiles { path: path.into(), files, entries, by_name }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn entries(&self) -> &[TensorEntry] {
        &self.entries
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&TensorEntry> {
        let key = |index: &u32| self.entries[*index as usize].name.as_str();
        let found = self.by_name.binary_search_by_key(&name, key);
        found.ok().map(|at| &self.entries[self.by_name[at] as usize])
    }

    pub(crate) fn read(&self, name: &str) -> Result<Value, FileError> {
        match self.entry(name) {
            Some(entry) => self.files[entry.file as usize].read(entry),
            None => {
                let found = format!("no tensor `{name}`");
                let example =
                    self.entries.first().map(|entry| format!(", such as `{}`", entry.name));
                let (count, example) = (self.entries.len(), example.unwrap_or_default());
                let expected = format!("the name of one of the {count} tensors{example}");
                Err(FileError::format(&self.path, found, expected))
            }
        }
    }

    pub(crate) fn load_where(
        &self,
        mut wanted: impl FnMut(&TensorEntry) -> bool,
    ) -> Result<StateDict, FileError> {
        let mut state = StateDict::new();
        for entry in self.entries.iter().filter(|entry| wanted(entry)) {
            state.insert(entry.name(), self.files[entry.file as usize].read(entry)?);
        }
        Ok(state)
    }

    /// Reads all tensors. The names move into the result.
    pub(crate) fn into_state_dict(self) -> Result<StateDict, FileError> {
        let mut state = StateDict::new();
        for entry in self.entries {
            let value = self.files[entry.file as usize].read(&entry)?;
            state.insert(entry.name, value);
        }
        Ok(state)
    }
}

impl fmt::Debug for TensorFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|entry| (&entry.name, entry.to_string()));
        f.debug_map().entries(entries).finish()
    }
}

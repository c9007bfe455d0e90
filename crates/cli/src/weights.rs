//! Files of weights: safetensors and GGUF.

use crate::contents::Kind;
use adamant_checkpoint::{FileError, Gguf, SafeTensors, TensorEntry};
use adamant_files::{START, is_safetensors, open};
use adamant_tensor::{StateDict, Value};
use std::io::Read;
use std::path::Path;

/// An open file of weights.
pub(crate) struct Weights {
    format: Format,
    /// The length of the file in bytes, or of the tensors of a model of several files.
    pub(crate) len: u64,
    pub(crate) kind: Kind,
}

enum Format {
    SafeTensors(SafeTensors),
    Gguf(Gguf),
}

/// The first bytes of a file, and its length.
pub(crate) fn start(path: &Path) -> Result<(Vec<u8>, u64), FileError> {
    let (file, len) = open(path)?;
    let mut start = Vec::new();
    let read = file.take(START as u64).read_to_end(&mut start);
    read.map_err(|error| FileError::io(path, error))?;
    Ok((start, len))
}

impl Weights {
    /// `None` for a file of another kind.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, FileError> {
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "json") {
            let file = SafeTensors::open(path)?;
            let len = file.entries().iter().map(TensorEntry::bytes).sum();
            let format = Format::SafeTensors(file);
            return Ok(Some(Weights { format, len, kind: Kind::SafetensorsModel }));
        }
        let (start, len) = start(path)?;
        let (format, kind) = if is_safetensors(&start) {
            (Format::SafeTensors(SafeTensors::open(path)?), Kind::Safetensors)
        } else if start.starts_with(b"GGUF") {
            (Format::Gguf(Gguf::open(path)?), Kind::Gguf)
        } else {
            return Ok(None);
        };
        Ok(Some(Weights { format, len, kind }))
    }

    /// What a GGUF file says about its model.
    pub(crate) fn notes(&self) -> Vec<(String, String)> {
        match &self.format {
            Format::SafeTensors(_) => Vec::new(),
            Format::Gguf(file) => {
                let note = |key| Some((String::from(key), file.metadata(key)?.to_string()));
                file.metadata_keys().filter_map(note).collect()
            }
        }
    }

    pub(crate) fn entries(&self) -> &[TensorEntry] {
        match &self.format {
            Format::SafeTensors(file) => file.entries(),
            Format::Gguf(file) => file.entries(),
        }
    }

    /// Values that are not tensors.
    pub(crate) fn scalars(&self) -> Vec<(&str, Value)> {
        match &self.format {
            Format::SafeTensors(file) => file.scalars().collect(),
            Format::Gguf(_) => Vec::new(),
        }
    }

    pub(crate) fn read(&self, name: &str) -> Result<Value, FileError> {
        match &self.format {
            Format::SafeTensors(file) => file.read(name),
            Format::Gguf(file) => file.read(name),
        }
    }

    pub(crate) fn load(&self) -> Result<StateDict, FileError> {
        match &self.format {
            Format::SafeTensors(file) => file.load(),
            Format::Gguf(file) => file.load(),
        }
    }
}

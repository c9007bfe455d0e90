//! Weights in the files of others: safetensors, PyTorch's, and GGUF.
//!
//! A file is opened in [`open`](mod@open), listed by the reader of its format ([`safetensors`],
//! [`pt`] or [`gguf`]), and its tensors are read in [`files`], by one table of conversions
//! ([`decode`]).

mod blocks;
mod decode;
mod entry;
mod files;
mod gguf;
mod half;
mod listed;
mod members;
mod metadata;
mod open;
mod place;
mod pt;
mod safetensors;
mod shards;
mod stored;
mod values;
mod view;

pub use self::entry::TensorEntry;
pub use self::metadata::{MetadataArray, MetadataValue};
pub use self::pt::{load_pt, save_pt};
pub use self::safetensors::{SavedType, load_safetensors, save_safetensors, save_safetensors_as};
pub use self::stored::StoredType;

use self::files::{Buffer, Files};
use self::metadata::Metadata;
use self::values::{Entry, Values};
use adamant_files::FileError;
use adamant_tensor::shown;
use adamant_tensor::{SourceError, StateDict, StateSource, Value, ValueKind};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is expected of the type of a tensor that is read, for messages.
const READABLE: &str = "a type that can be read (see StoredType)";

/// An open file of weights, or the files of a sharded model: a list of its tensors, which are read
/// when they are asked for.
///
/// | format | files |
/// |---|---|
/// | safetensors | a file; the `model.safetensors.index.json` of a sharded model; a folder with either |
/// | PyTorch | a file of `torch.save`, zip archive or older; the `pytorch_model.bin.index.json` of a sharded model; a folder with either |
/// | GGUF | a file of llama.cpp, of version 2 or 3 |
///
/// The first bytes of a file tell its format. Nothing in a file is executed. Names are the file's:
/// in a PyTorch file, the keys of nested dictionaries are joined by dots (see [`load_pt`]). GGUF has
/// names of its own (`blk.0.attn_q.weight`), and llama.cpp's converter permutes the rows of some
/// models' attention weights. [`StoredType`] documents the types. Shapes are row-major as in PyTorch.
///
/// PyTorch: `safetensors.safe_open(path, framework="pt")`; Python: `gguf.GGUFReader(path)` and
/// `gguf.quants.dequantize`, whose values these are, bit for bit.
///
/// ```
/// use adamant_checkpoint::{SavedType, Weights, save_safetensors_as};
/// use adamant_tensor::{StateDict, Tensor};
/// let state = StateDict::from_iter([
///     ("body.weight", Tensor::<f32>::ones([2, 3])),
///     ("head.weight", Tensor::<f32>::zeros([4, 2])),
/// ]);
/// let folder = std::env::temp_dir().join(format!("adamant-model-{}", std::process::id()));
/// std::fs::create_dir_all(&folder).unwrap();
/// save_safetensors_as(&state, folder.join("model.safetensors"), SavedType::Bf16).unwrap();
///
/// let weights = Weights::open(&folder).unwrap();
/// assert_eq!(weights.format().to_string(), "safetensors");
/// let listed: Vec<String> = weights.entries().iter().map(|e| format!("{}: {e}", e.name())).collect();
/// assert_eq!(listed, ["body.weight: BF16 [2, 3]", "head.weight: BF16 [4, 2]"]);
/// let body = weights.load_where(|entry| entry.name().starts_with("body.")).unwrap();
/// assert_eq!(body["body.weight"].tensor::<f32>().unwrap().shape(), [2, 3]);
/// std::fs::remove_dir_all(folder).unwrap();
/// ```
pub struct Weights {
    /// What the user opened: a file, an index or a folder.
    path: PathBuf,
    format: WeightsFormat,
    files: Files,
    values: Values,
    metadata: Metadata,
}

/// The format of a file of [`Weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightsFormat {
    /// `.safetensors`, of Hugging Face.
    SafeTensors,
    /// `.pt`, `.pth` or `.bin`, of `torch.save`.
    PyTorch,
    /// `.gguf`, of llama.cpp.
    Gguf,
}

/// `safetensors`, `PyTorch` or `GGUF`.
impl fmt::Display for WeightsFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WeightsFormat::SafeTensors => "safetensors",
            WeightsFormat::PyTorch => "PyTorch",
            WeightsFormat::Gguf => "GGUF",
        })
    }
}

impl Weights {
    /// Opens a file, the shards that an index lists, or a folder with `model.safetensors`,
    /// `model.safetensors.index.json`, `pytorch_model.bin` or `pytorch_model.bin.index.json`, the
    /// first of these. Reads headers only, and keeps one file open, the one that was read last.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged, or of another kind, which the error names. In a PyTorch
    /// file, if there is anything else than tensors, numbers and strings, such as a whole module. In
    /// a GGUF file, if it is big-endian, or has an array of arrays in its metadata. If the shards do
    /// not have exactly the tensors that the index lists for them, or a shard is not a plain name of
    /// a file next to the index. If two values have the same name. If the limits are exceeded, which
    /// all shards share:
    ///
    /// * 131,072 tensors, scalars and keys of metadata (in a PyTorch file, elements of containers);
    /// * 64 dimensions, in a GGUF file 4;
    /// * a header of 16 MiB, to which the index of shards counts, in a GGUF file 24 MiB;
    /// * in a PyTorch file, 56 MiB for all objects except the elements of tensors, and tensors that
    ///   overlap in storages to more than twice the file's length.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        open::open(path.as_ref(), None)
    }

    /// [`open`](Self::open), if the file has this format.
    fn open_as(path: &Path, format: WeightsFormat) -> Result<Self, FileError> {
        open::open(path, Some(format))
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> WeightsFormat {
        self.format
    }

    /// The files: one, or the shards in the order of their names.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.paths()
    }

    /// The number of bytes of all files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.files.len()
    }

    /// Whether a checksum is verified for each tensor that is read. Files that `torch.save` of PyTorch
    /// 1.6 and later wrote have checksums, the other formats do not.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        let verified = |entry: &TensorEntry| {
            let storage = entry.view.as_ref().map(|view| view.storage());
            storage.is_some_and(|storage| storage.checksum.is_some() || storage.len == 0)
        };
        !self.values.tensors.is_empty() && self.values.tensors.iter().all(verified)
    }

    /// The tensors: in a safetensors file in the order of their names, in others in the order of the
    /// file; of a sharded model, shard by shard.
    #[must_use]
    pub fn entries(&self) -> &[TensorEntry] {
        &self.values.tensors
    }

    /// The tensor of this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        match self.values.find(name)? {
            Entry::Tensor(entry) => Some(entry),
            Entry::Scalar(_) => None,
        }
    }

    /// The numbers, booleans and strings among the values: those of a PyTorch file, and those that
    /// [`save_safetensors`] wrote to the metadata.
    pub fn scalars(&self) -> impl ExactSizeIterator<Item = (&str, Value)> {
        self.values.scalars.iter().map(|scalar| (scalar.name.as_str(), scalar.value.clone().into()))
    }

    /// Reads a tensor, or returns a scalar. In addition to the result, this takes the memory of a piece
    /// of 256 KiB; for a tensor of a PyTorch file that is not contiguous, that of its storage.
    ///
    /// # Errors
    /// If there is no such value, its type cannot be read, an element does not fit the type in
    /// memory, or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Value, FileError> {
        match self.values.find(name) {
            Some(Entry::Tensor(entry)) => {
                self.check_type(entry, READABLE)?;
                self.value(entry, &mut Buffer::default())
            }
            Some(Entry::Scalar(scalar)) => Ok(scalar.value.clone().into()),
            None => {
                let found = format!("no tensor `{}`", shown(name));
                let example = self.values.tensors.first();
                let example = example.map(|entry| format!(", such as `{}`", shown(&entry.name)));
                let (count, example) = (self.values.tensors.len(), example.unwrap_or_default());
                let expected = format!("the name of one of the {count} tensors{example}");
                Err(FileError::format(&self.path, found, expected))
            }
        }
    }

    /// Each tensor of a type that can be read, with its value: in the order of the file, so that a
    /// storage which several tensors of a PyTorch file share is read once.
    pub fn values(&self) -> impl Iterator<Item = (&TensorEntry, Result<Value, FileError>)> {
        let readable = self.values.tensors.iter().filter(|entry| entry.stored.is_supported());
        let mut entries: Vec<_> = readable.collect();
        entries.sort_unstable_by(|a, b| a.by_position(b));
        let mut buffer = Buffer::default();
        entries.into_iter().map(move |entry| (entry, self.value(entry, &mut buffer)))
    }

    /// Reads everything: the tensors, and the [`scalars`](Self::scalars), in the order of the file.
    /// Tensors of a PyTorch file that have the same elements share them.
    ///
    /// # Errors
    /// If a tensor cannot be read. [`load_where`](Self::load_where) reads the others.
    pub fn load(&self) -> Result<StateDict, FileError> {
        self.check_types()?;
        let mut state = StateDict::new();
        for entry in self.values.in_order() {
            match entry {
                Entry::Tensor(tensor) => state.insert(&*tensor.name, false), // until it is read
                Entry::Scalar(scalar) => state.insert(&*scalar.name, scalar.value.clone()),
            }
        }
        self.fill(&mut state, self.values.tensors.iter().collect())?;
        Ok(state)
    }

    /// [`load`](Self::load), with less memory for names.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn into_state_dict(mut self) -> Result<StateDict, FileError> {
        // Tensors that share storages are read in another order than that of the result.
        if self.values.tensors.iter().any(|entry| entry.view.is_some()) {
            return self.load();
        }
        self.check_types()?;
        let mut scalars = std::mem::take(&mut self.values.scalars).into_iter().peekable();
        let mut state = StateDict::new();
        for (index, entry) in std::mem::take(&mut self.values.tensors).into_iter().enumerate() {
            while let Some(scalar) = scalars.next_if(|scalar| scalar.after <= index) {
                state.insert(scalar.name, scalar.value);
            }
            let value = self.value(&entry, &mut Buffer::default())?;
            state.insert(entry.name, value);
        }
        scalars.for_each(|scalar| state.insert(scalar.name, scalar.value));
        Ok(state)
    }

    /// Reads the tensors that are wanted, for example those whose type can be read:
    /// `load_where(|entry| entry.dtype().is_supported())`.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn load_where(
        &self,
        mut wanted: impl FnMut(&TensorEntry) -> bool,
    ) -> Result<StateDict, FileError> {
        let entries: Vec<_> = self.values.tensors.iter().filter(|entry| wanted(entry)).collect();
        entries.iter().try_for_each(|entry| self.check_type(entry, READABLE))?;
        let placeholders = entries.iter().map(|entry| (&*entry.name, false));
        let mut state = placeholders.collect();
        self.fill(&mut state, entries)?;
        Ok(state)
    }

    /// Reads these tensors in the order of the file, so that those with the same elements follow each
    /// other, and replaces the values of their names.
    fn fill(&self, state: &mut StateDict, mut entries: Vec<&TensorEntry>) -> Result<(), FileError> {
        entries.sort_unstable_by(|a, b| a.by_position(b));
        let mut buffer = Buffer::default();
        let mut last: Option<(&TensorEntry, Value)> = None;
        for entry in entries {
            let value = match last {
                Some((same, value)) if same.by_position(entry).is_eq() => value,
                _ => self.value(entry, &mut buffer)?,
            };
            state.insert(&*entry.name, value.clone());
            last = Some((entry, value));
        }
        Ok(())
    }

    fn value(&self, entry: &TensorEntry, buffer: &mut Buffer) -> Result<Value, FileError> {
        self.files.read(entry, buffer)
    }

    /// Checks that all types can be read, before anything is.
    fn check_types(&self) -> Result<(), FileError> {
        let expected = "types that can be read; read the other tensors by Weights::load_where";
        self.values.tensors.iter().try_for_each(|entry| self.check_type(entry, expected))
    }

    fn check_type(&self, entry: &TensorEntry, expected: &str) -> Result<(), FileError> {
        if entry.stored.is_supported() {
            return Ok(());
        }
        let (name, stored) = (shown(&entry.name), shown(entry.stored.name()));
        let found = format!("`{name}` with elements of type {stored}");
        let expected = match self.format {
            WeightsFormat::PyTorch => {
                format!("{expected}; in Python, {}", pt::advice(entry.stored.name()))
            }
            _ => expected.into(),
        };
        Err(FileError::format(self.files.path(entry.file), found, expected))
    }
}

/// The tensors and scalars, in the order of the file. So a model is loaded from a file without a
/// second copy of its weights in memory.
///
/// ```
/// use adamant_checkpoint::{Weights, save_safetensors};
/// use adamant_nn::{Linear, LoadOptions, load_with};
/// use adamant_tensor::{Generator, Stateful};
/// let path = std::env::temp_dir().join(format!("adamant-source-{}", std::process::id()));
/// let mut rng = Generator::seed(0);
/// save_safetensors(&Linear::new(3, 2, &mut rng).state_dict(), &path).unwrap();
///
/// let layer = Linear::new(3, 2, &mut rng);
/// let report = load_with(&layer, &Weights::open(&path).unwrap(), LoadOptions::default()).unwrap();
/// assert_eq!(report.loaded, ["weight", "bias"]);
/// std::fs::remove_file(path).unwrap();
/// ```
impl StateSource for Weights {
    fn kinds(&self) -> Vec<(&str, ValueKind)> {
        let kind = |entry: &Entry<'_>| match entry {
            Entry::Tensor(tensor) => tensor.kind(),
            Entry::Scalar(scalar) => (&Value::from(scalar.value.clone())).into(),
        };
        self.values.in_order().map(|entry| (entry.name(), kind(&entry))).collect()
    }

    fn read(&self, name: &str) -> Result<Value, SourceError> {
        Ok(Weights::read(self, name)?)
    }
}

/// The names, types and shapes of the tensors.
impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.values.tensors.iter().map(|entry| (&entry.name, entry.to_string()));
        f.debug_map().entries(entries).finish()
    }
}

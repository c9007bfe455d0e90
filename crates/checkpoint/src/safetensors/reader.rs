//! Reads safetensors files: what is in them, and chosen tensors.

use super::header::{Header, Members, Other, find};
use super::shards::{Index, Source};
use super::{EXPECTED, damaged};
use crate::limits;
use crate::tensor_files::{TensorEntry, TensorFile, TensorFiles};
use adamant_files::{FileError, FormatError, START, is_safetensors, open, other_kind};
use adamant_tensor::{StateDict, Value};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// An open safetensors file, or the files of a sharded model: a list of its tensors, which are read
/// when they are asked for.
///
/// PyTorch: `safetensors.safe_open(path, framework="pt")`.
///
/// ```
/// use adamant_checkpoint::{SafeTensors, SavedType, save_safetensors_as};
/// use adamant_tensor::{StateDict, Tensor};
/// let state = StateDict::from_iter([
///     ("body.weight", Tensor::<f32>::ones([2, 3])),
///     ("head.weight", Tensor::<f32>::zeros([4, 2])),
/// ]);
/// let folder = std::env::temp_dir().join(format!("adamant-model-{}", std::process::id()));
/// std::fs::create_dir_all(&folder).unwrap();
/// save_safetensors_as(&state, folder.join("model.safetensors"), SavedType::Bf16).unwrap();
///
/// let file = SafeTensors::open(&folder).unwrap();
/// let listed: Vec<String> = file.entries().iter().map(|e| format!("{}: {e}", e.name())).collect();
/// assert_eq!(listed, ["body.weight: BF16 [2, 3]", "head.weight: BF16 [4, 2]"]);
/// let body = file.load_where(|entry| entry.name().starts_with("body.")).unwrap();
/// assert_eq!(body["body.weight"].tensor::<f32>().unwrap().shape(), [2, 3]);
/// std::fs::remove_dir_all(folder).unwrap();
/// ```
pub struct SafeTensors {
    tensors: TensorFiles,
    others: Members<Other>,
    metadata: Members<String>,
}

impl SafeTensors {
    /// Opens a file; the shards that an index lists (`model.safetensors.index.json`, as Hugging Face
    /// writes it); or a folder with `model.safetensors` or that index. Reads the headers.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged or of another kind, or exceeds the limits (all shards
    /// together): 131,072 entries, 64 dimensions, a header of 16 MiB. If the shards do not have
    /// exactly the tensors that the index lists for them, or a shard is not a plain name of a file
    /// next to the index.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        match Source::find(path)? {
            Source::File(file) => Opened::default().read(&file)?.finish(path),
            Source::Index(index) => {
                let Index { shards, tensors } = Index::read(&index)?;
                let mut opened = Opened::default();
                for shard in &shards {
                    opened = opened.read(&index.with_file_name(shard))?;
                }
                let all = opened.finish(&index)?;
                tensors.check(&index, &shards, &all.tensors)?;
                Ok(all)
            }
        }
    }

    /// The tensors, in the order of their names; for a sharded model, shard by shard.
    #[must_use]
    pub fn entries(&self) -> &[TensorEntry] {
        self.tensors.entries()
    }

    /// The tensor of this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.entry(name)
    }

    /// The string of this key in the file's metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        find(&self.metadata, key).map(String::as_str)
    }

    /// The keys of the metadata, in order, except the one of the
    /// [`scalars`](Self::scalars).
    pub fn metadata_keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.metadata.iter().map(|(key, _)| key.as_str())
    }

    /// Reads a tensor. [`StoredType`](crate::StoredType) documents what it is converted to. In addition to the result,
    /// this takes the memory of a piece of 256 KiB.
    ///
    /// # Errors
    /// If there is no such tensor, its type cannot be read, or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Value, FileError> {
        self.tensors.read(name)
    }

    /// Reads everything: the tensors in the order of [`entries`](Self::entries), then the
    /// [`scalars`](Self::scalars).
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn load(&self) -> Result<StateDict, FileError> {
        let mut state = self.load_where(|_| true)?;
        self.scalars().for_each(|(name, value)| state.insert(name, value));
        Ok(state)
    }

    /// [`load`](Self::load), with less memory.
    pub(super) fn into_state_dict(self) -> Result<StateDict, FileError> {
        let mut state = self.tensors.into_state_dict()?;
        self.others.into_iter().for_each(|(name, other)| state.insert(name, other));
        Ok(state)
    }

    /// The scalars and strings that [`save_safetensors`](crate::save_safetensors) wrote to the
    /// metadata, in the order of their names.
    pub fn scalars(&self) -> impl ExactSizeIterator<Item = (&str, Value)> {
        self.others.iter().map(|(name, other)| (name.as_str(), other.clone().into()))
    }

    /// Reads the tensors that are wanted.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn load_where(
        &self,
        wanted: impl FnMut(&TensorEntry) -> bool,
    ) -> Result<StateDict, FileError> {
        self.tensors.load_where(wanted)
    }
}

/// The names, types and shapes of the tensors.
impl fmt::Debug for SafeTensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensors.fmt(f)
    }
}

/// The files that have been opened so far, and what their headers contain.
#[derive(Default)]
struct Opened {
    files: Vec<TensorFile>,
    entries: Vec<TensorEntry>,
    others: Members<Other>,
    metadata: Members<String>,
    /// The length of all headers.
    header_len: u64,
}

impl Opened {
    fn read(mut self, path: &Path) -> Result<Self, FileError> {
        let (file, len) = open(path)?;
        let text = header_text(&file, len, self.header_len, path)?;
        self.header_len += text.len() as u64;
        let (index, start) = (self.files.len() as u32, 8 + text.len() as u64);
        let header = Header::parse(&text, index, start, len - start);
        let mut header = header.map_err(|error| error.at(path))?;
        drop(text);
        // The entries of the only file are not copied.
        match self.entries.is_empty() {
            true => self.entries = header.arrays,
            false => self.entries.append(&mut header.arrays),
        }
        self.others.extend(header.others);
        self.metadata.extend(header.metadata);
        self.files.push(TensorFile::new(path, file));
        let entries = (self.entries.len() + self.others.len()) as u64;
        limits::check_entries(entries).map_err(|error| error.at(path))?;
        Ok(self)
    }

    fn finish(mut self, path: &Path) -> Result<SafeTensors, FileError> {
        let tensors = TensorFiles::new(path, self.files, self.entries)?;
        self.others.sort_by(|(a, _), (b, _)| a.cmp(b));
        let twice = self.others.windows(2).find(|pair| pair[0].0 == pair[1].0);
        let twice = twice.map(|pair| &pair[0]);
        let both = || self.others.iter().find(|(name, _)| tensors.entry(name).is_some());
        if let Some((name, _)) = twice.or_else(both) {
            return Err(FileError::format(path, format!("`{name}` twice"), "each name once"));
        }
        // Of metadata that the shards have in common, the first shard's stays.
        self.metadata.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.metadata.dedup_by(|(a, _), (b, _)| a == b);
        Ok(SafeTensors { tensors, others: self.others, metadata: self.metadata })
    }
}

/// Reads the header's bytes. `before` is the length of the other shards' headers.
fn header_text(mut file: &File, len: u64, before: u64, path: &Path) -> Result<Vec<u8>, FileError> {
    let io = |source| FileError::io(path, source);
    let format = |error: FormatError| error.at(path);
    let mut start = Vec::new();
    file.take(START as u64).read_to_end(&mut start).map_err(io)?;
    if !is_safetensors(&start) {
        return Err(format(other_kind(&start, EXPECTED)));
    }
    let header_len = u64::from_le_bytes(*start.first_chunk().expect("at least nine bytes"));
    limits::check_header(before + header_len).map_err(format)?; // `header_len` has four bytes
    if len < 8 + header_len {
        let detail = format!("a header of {header_len} bytes in a file of {len}");
        return Err(format(damaged(detail)));
    }
    file.seek(SeekFrom::Start(8)).map_err(io)?;
    let mut text = vec![0; header_len as usize];
    file.read_exact(&mut text).map_err(io)?;
    Ok(text)
}

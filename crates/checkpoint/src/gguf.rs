//! The GGUF format of llama.cpp: metadata, and named tensors, which may be quantized.

mod header;
mod types;
mod value;

pub use self::value::{GgufArray, GgufValue};

use self::header::Header;
use crate::tensor_files::{TensorEntry, TensorFile, TensorFiles};
use adamant_files::{FileError, open};
use adamant_tensor::{StateDict, Value};
use std::fmt;
use std::path::Path;

/// An open GGUF file: its metadata, and a list of its tensors, which are read when they are asked
/// for and dequantized to `f32`.
///
/// Shapes are row-major as in PyTorch, `[out, in]` for a linear layer: GGUF stores the sizes in the
/// opposite order. Names are the file's (`blk.0.attn_q.weight`), and values too: llama.cpp's converter
/// permutes the rows of some models' attention weights. A part of a split model
/// (`x-00001-of-00003.gguf`) has the tensors of that part.
///
/// Python: `gguf.GGUFReader(path)` and `gguf.quants.dequantize`, whose values these are, bit for bit.
///
/// ```no_run
/// use adamant_checkpoint::Gguf;
/// let file = Gguf::open("smollm2-135m-q8_0.gguf")?;
/// let layers = file.int(&format!("{}.block_count", file.text("general.architecture")?))?;
/// let tokens: Vec<&str> = file.array("tokenizer.ggml.tokens")?.texts().unwrap().collect();
/// for entry in file.entries() {
///     println!("{}: {entry}", entry.name()); // blk.0.attn_q.weight: Q8_0 [576, 576]
/// }
/// let embedding = file.read("token_embd.weight")?;
/// let everything = file.load()?;
/// # Ok::<(), adamant_checkpoint::FileError>(())
/// ```
pub struct Gguf {
    tensors: TensorFiles,
    header: Header,
}

impl Gguf {
    /// Opens a file of version 2 or 3, and reads its header.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, big-endian or of another kind, has an array of arrays
    /// in its metadata, or exceeds the limits: 131,072 tensors and keys, 4 dimensions, a header of
    /// 24 MiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let (file, len) = open(path)?;
        let (header, entries) = Header::read(&file, len).map_err(|error| error.at(path))?;
        let tensors = TensorFiles::new(path, vec![TensorFile::new(path, file)], entries)?;
        Ok(Gguf { tensors, header })
    }

    /// The tensors, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[TensorEntry] {
        self.tensors.entries()
    }

    /// The tensor of this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.entry(name)
    }

    /// The value of this key in the metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<GgufValue<'_>> {
        self.header.value(key)
    }

    /// The keys of the metadata, in order.
    pub fn metadata_keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.header.keys()
    }

    /// The boolean of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn bool(&self, key: &str) -> Result<bool, FileError> {
        self.expect(key, "a boolean", |value| match value {
            GgufValue::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// The integer of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing, something else, or exceeds `i64`.
    pub fn int(&self, key: &str) -> Result<i64, FileError> {
        self.expect(key, "a 64-bit signed integer", |value| match value {
            GgufValue::Int(value) => value.try_into().ok(),
            _ => None,
        })
    }

    /// The float of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn float(&self, key: &str) -> Result<f64, FileError> {
        self.expect(key, "a float", |value| match value {
            GgufValue::Float(value) => Some(value),
            _ => None,
        })
    }

    /// The string of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn text(&self, key: &str) -> Result<&str, FileError> {
        self.expect(key, "a string", |value| match value {
            GgufValue::Text(value) => Some(value),
            _ => None,
        })
    }

    /// The array of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn array(&self, key: &str) -> Result<GgufArray<'_>, FileError> {
        self.expect(key, "an array", |value| match value {
            GgufValue::Array(value) => Some(value),
            _ => None,
        })
    }

    fn expect<'g, V>(
        &'g self,
        key: &str,
        expected: &str,
        read: impl FnOnce(GgufValue<'g>) -> Option<V>,
    ) -> Result<V, FileError> {
        let error =
            |found| FileError::format(self.tensors.path(), found, format!("{expected} there"));
        match self.metadata(key) {
            None => Err(error(format!("no `{key}` in the metadata"))),
            Some(value) => {
                read(value).ok_or_else(|| error(format!("`{key}` in the metadata, {value}")))
            }
        }
    }

    /// Reads a tensor. [`StoredType`](crate::StoredType) documents what it is converted to. In
    /// addition to the result, this takes the memory of a piece of 256 KiB.
    ///
    /// # Errors
    /// If there is no such tensor, its type cannot be read, or the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Value, FileError> {
        self.tensors.read(name)
    }

    /// Reads all tensors.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn load(&self) -> Result<StateDict, FileError> {
        self.load_where(|_| true)
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
impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensors.fmt(f)
    }
}

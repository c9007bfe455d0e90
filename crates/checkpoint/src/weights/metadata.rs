//! What a file says about its model: the strings of a safetensors file, the values of a GGUF file.

use super::Weights;
use super::gguf::Header;
use super::members::{Members, find};
use adamant_files::FileError;
use adamant_tensor::shown;
use std::fmt;

/// The metadata of a file.
pub(super) enum Metadata {
    Strings(Members<String>),
    Gguf(Header),
}

impl Metadata {
    pub(super) fn get(&self, key: &str) -> Option<MetadataValue<'_>> {
        match self {
            Metadata::Strings(members) => find(members, key).map(|text| MetadataValue::Text(text)),
            Metadata::Gguf(header) => header.value(key),
        }
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        match self {
            Metadata::Strings(members) => members.iter().map(|(key, _)| key.as_str()).collect(),
            Metadata::Gguf(header) => header.keys().collect(),
        }
    }
}

impl Weights {
    /// The value of this key in the metadata. That of a safetensors file has strings only; a PyTorch
    /// file has none.
    ///
    /// ```no_run
    /// use adamant_checkpoint::Weights;
    /// let weights = Weights::open("smollm2-135m-q8_0.gguf")?;
    /// let layers = weights.metadata_int(&format!("{}.block_count", weights.metadata_text("general.architecture")?))?;
    /// let tokens: Vec<&str> = weights.metadata_array("tokenizer.ggml.tokens")?.texts().unwrap().collect();
    /// let template = weights.metadata("tokenizer.chat_template");
    /// # Ok::<(), adamant_checkpoint::FileError>(())
    /// ```
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<MetadataValue<'_>> {
        self.metadata.get(key)
    }

    /// The keys of the metadata, in order; without the one of the [`scalars`](Self::scalars) of a
    /// safetensors file.
    #[must_use]
    pub fn metadata_keys(&self) -> Vec<&str> {
        self.metadata.keys()
    }

    /// The boolean of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn metadata_bool(&self, key: &str) -> Result<bool, FileError> {
        self.expect(key, "a boolean", |value| match value {
            MetadataValue::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// The integer of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing, something else, or exceeds `i64`.
    pub fn metadata_int(&self, key: &str) -> Result<i64, FileError> {
        self.expect(key, "a 64-bit signed integer", |value| match value {
            MetadataValue::Int(value) => value.try_into().ok(),
            _ => None,
        })
    }

    /// The float of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn metadata_float(&self, key: &str) -> Result<f64, FileError> {
        self.expect(key, "a float", |value| match value {
            MetadataValue::Float(value) => Some(value),
            _ => None,
        })
    }

    /// The string of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn metadata_text(&self, key: &str) -> Result<&str, FileError> {
        self.expect(key, "a string", |value| match value {
            MetadataValue::Text(value) => Some(value),
            _ => None,
        })
    }

    /// The array of this key in the metadata.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn metadata_array(&self, key: &str) -> Result<MetadataArray<'_>, FileError> {
        self.expect(key, "an array", |value| match value {
            MetadataValue::Array(value) => Some(value),
            _ => None,
        })
    }

    fn expect<'w, V>(
        &'w self,
        key: &str,
        expected: &str,
        read: impl FnOnce(MetadataValue<'w>) -> Option<V>,
    ) -> Result<V, FileError> {
        let error = |found| FileError::format(&self.path, found, format!("{expected} there"));
        let shown = shown(key);
        match self.metadata(key) {
            None => Err(error(format!("no `{shown}` in the metadata"))),
            Some(value) => {
                read(value).ok_or_else(|| error(format!("`{shown}` in the metadata, {value}")))
            }
        }
    }
}

/// A value of a file's metadata. A safetensors file has strings only.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer of any of GGUF's eight types.
    Int(i128),
    /// A float; one of 32 bits is widened exactly.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// An array of one of these.
    Array(MetadataArray<'a>),
}

/// An array of a GGUF file's metadata, such as the tokens of a vocabulary. Its elements are decoded
/// as they are iterated over.
#[derive(Clone, Copy, PartialEq)]
pub struct MetadataArray<'a> {
    pub(super) kind: Kind,
    pub(super) len: usize,
    /// The elements as in the file, which have been validated.
    pub(super) bytes: &'a [u8],
}

/// The type of an element of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Text,
}

/// The types of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

impl Scalar {
    /// The number of bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 | Scalar::Bool => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// The value of as many bytes.
    pub(super) fn value(self, bytes: &[u8]) -> MetadataValue<'static> {
        fn le<const N: usize>(bytes: &[u8]) -> [u8; N] {
            *bytes.first_chunk().expect("as many bytes as the size")
        }
        match self {
            Scalar::U8 => MetadataValue::Int(u8::from_le_bytes(le(bytes)).into()),
            Scalar::I8 => MetadataValue::Int(i8::from_le_bytes(le(bytes)).into()),
            Scalar::U16 => MetadataValue::Int(u16::from_le_bytes(le(bytes)).into()),
            Scalar::I16 => MetadataValue::Int(i16::from_le_bytes(le(bytes)).into()),
            Scalar::U32 => MetadataValue::Int(u32::from_le_bytes(le(bytes)).into()),
            Scalar::I32 => MetadataValue::Int(i32::from_le_bytes(le(bytes)).into()),
            Scalar::U64 => MetadataValue::Int(u64::from_le_bytes(le(bytes)).into()),
            Scalar::I64 => MetadataValue::Int(i64::from_le_bytes(le(bytes)).into()),
            Scalar::F32 => MetadataValue::Float(f32::from_le_bytes(le(bytes)).into()),
            Scalar::F64 => MetadataValue::Float(f64::from_le_bytes(le(bytes))),
            Scalar::Bool => MetadataValue::Bool(bytes[0] != 0),
        }
    }
}

impl<'a> MetadataArray<'a> {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = MetadataValue<'a>> + use<'a> {
        let MetadataArray { kind, len, bytes: mut rest } = *self;
        (0..len).map(move |_| match kind {
            Kind::Scalar(scalar) => {
                let (value, after) = rest.split_at(scalar.size());
                rest = after;
                scalar.value(value)
            }
            Kind::Text => {
                let (len, after) = rest.split_first_chunk().expect("the length of a string");
                let (text, after) = after.split_at(u64::from_le_bytes(*len) as usize);
                rest = after;
                MetadataValue::Text(std::str::from_utf8(text).expect("validated"))
            }
        })
    }

    /// The elements, if they are integers.
    pub fn ints(&self) -> Option<impl Iterator<Item = i128> + use<'a>> {
        let ints = !matches!(
            self.kind,
            Kind::Text | Kind::Scalar(Scalar::Bool | Scalar::F32 | Scalar::F64)
        );
        ints.then(|| self.iter().filter_map(int))
    }

    /// The elements, if they are floats.
    pub fn floats(&self) -> Option<impl Iterator<Item = f64> + use<'a>> {
        let floats = matches!(self.kind, Kind::Scalar(Scalar::F32 | Scalar::F64));
        floats.then(|| self.iter().filter_map(float))
    }

    /// The elements, if they are strings.
    pub fn texts(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        (self.kind == Kind::Text).then(|| self.iter().filter_map(text))
    }
}

fn int(value: MetadataValue<'_>) -> Option<i128> {
    if let MetadataValue::Int(value) = value { Some(value) } else { None }
}

fn float(value: MetadataValue<'_>) -> Option<f64> {
    if let MetadataValue::Float(value) = value { Some(value) } else { None }
}

fn text(value: MetadataValue<'_>) -> Option<&str> {
    if let MetadataValue::Text(value) = value { Some(value) } else { None }
}

/// The value; strings in quotes, and of a long array or string the beginning.
impl fmt::Display for MetadataValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONG: usize = 60;
        match self {
            MetadataValue::Bool(value) => write!(f, "{value}"),
            MetadataValue::Int(value) => write!(f, "{value}"),
            MetadataValue::Float(value) => write!(f, "{value}"),
            MetadataValue::Text(value) => match value.char_indices().nth(LONG) {
                Some((end, _)) => write!(f, "{:?}… ({} bytes)", &value[..end], value.len()),
                None => write!(f, "{value:?}"),
            },
            MetadataValue::Array(array) => array.fmt(f),
        }
    }
}

impl fmt::Display for MetadataArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIRST: usize = 5;
        let first: Vec<String> = self.iter().take(FIRST).map(|value| value.to_string()).collect();
        match self.len > FIRST {
            true => write!(f, "[{}, …] ({} elements)", first.join(", "), self.len),
            false => write!(f, "[{}]", first.join(", ")),
        }
    }
}

impl fmt::Debug for MetadataArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

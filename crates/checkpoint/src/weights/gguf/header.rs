//! The header of a GGUF file: untrusted bytes.
//!
//! ```text
//! file   = "GGUF", version: u32, tensors: u64, keys: u64
//!          each key:     name: string, type: u32, value
//!          each tensor:  name: string, dimensions: u32, their sizes: u64 each, the innermost first,
//!                        type: u32, offset: u64 from the start of the data
//!          zeros up to a multiple of the alignment (`general.alignment`, or 32), where the data starts
//! string = its length in bytes: u64, UTF-8
//! array  = type of its elements: u32, their number: u64, the elements
//! ```
//!
//! The header does not say how long it is, so the beginning of the file is read, up to the limit.
//! These bytes stay in memory, and values point into them: a hostile header takes no more memory
//! than it has bytes, and an index.

use super::EXPECTED;
use super::types::Type;
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::entry::TensorEntry;
use crate::weights::metadata::{Kind, MetadataArray, MetadataValue, Scalar};
use adamant_files::{FormatError, Opened};
use adamant_tensor::Shape;
use adamant_tensor::shown;
use std::io::Read;
use std::ops::Range;

const MAGIC: &[u8] = b"GGUF";
/// The newest version. Version 2 is the same for little-endian files.
const VERSION: u32 = 3;
const ALIGNMENT: &str = "general.alignment";

/// The metadata.
pub(in crate::weights) struct Header {
    bytes: Vec<u8>,
    /// In the order of their names.
    fields: Vec<Field>,
}

/// A key, and where its value is.
struct Field {
    key: Range<usize>,
    kind: FieldKind,
    value: Range<usize>,
}

#[derive(Clone, Copy)]
enum FieldKind {
    One(Kind),
    /// An array with this number of elements.
    Array(Kind, usize),
}

impl Header {
    /// Reads the header of a file: the metadata, and the tensors.
    pub(super) fn read(opened: &Opened, file: u32) -> Result<(Self, Vec<TensorEntry>), ReadError> {
        let Opened { file: input, len, start } = opened;
        let (mut input, len) = (input, *len);
        check_version(start)?;
        let mut bytes = vec![0; len.min(limits::GGUF_HEADER as u64) as usize];
        input.read_exact(&mut bytes)?;
        let mut decoder = Decoder { bytes: &bytes, at: 8, len };
        let (tensors, keys) = (decoder.u64()?, decoder.u64()?);
        limits::check_entries(tensors.saturating_add(keys))?;
        let mut fields = Vec::new();
        for _ in 0..keys {
            fields.push(decoder.field()?);
        }
        let end_of_metadata = decoder.at;
        let mut entries = Vec::new();
        for _ in 0..tensors {
            entries.push(decoder.tensor(file)?);
        }
        let end = decoder.at as u64;
        bytes.truncate(end_of_metadata);
        bytes.shrink_to_fit();
        let header = Header::new(bytes, fields)?;
        place(&mut entries, end, header.alignment()?, len)?;
        Ok((header, entries))
    }

    fn new(bytes: Vec<u8>, mut fields: Vec<Field>) -> Result<Self, FormatError> {
        let key = |field: &Field| &bytes[field.key.clone()];
        fields.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        if let Some(pair) = fields.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
            let found =
                format!("the key `{}` twice", shown(&String::from_utf8_lossy(key(&pair[0]))));
            return Err(FormatError::new(found, "each key once"));
        }
        Ok(Header { bytes, fields })
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).expect("validated")
    }

    pub(in crate::weights) fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.fields.iter().map(|field| self.text(&field.key))
    }

    pub(in crate::weights) fn value(&self, key: &str) -> Option<MetadataValue<'_>> {
        let found = self.fields.binary_search_by(|field| self.text(&field.key).cmp(key));
        let Field { kind, value, .. } = &self.fields[found.ok()?];
        Some(match *kind {
            FieldKind::One(Kind::Text) => MetadataValue::Text(self.text(value)),
            FieldKind::One(Kind::Scalar(scalar)) => scalar.value(&self.bytes[value.clone()]),
            FieldKind::Array(kind, len) => {
                MetadataValue::Array(MetadataArray { kind, len, bytes: &self.bytes[value.clone()] })
            }
        })
    }

    /// The alignment of tensors in the file.
    fn alignment(&self) -> Result<u64, FormatError> {
        match self.value(ALIGNMENT) {
            None => Ok(32),
            Some(MetadataValue::Int(value)) if value.count_ones() == 1 && value > 0 => {
                Ok(u64::try_from(value).expect("from an integer of at most 64 bits"))
            }
            Some(value) => {
                Err(FormatError::new(format!("`{ALIGNMENT}` {value}"), "a power of two"))
            }
        }
    }
}

fn check_version(start: &[u8]) -> Result<(), ReadError> {
    let Some(version) = start[MAGIC.len()..].first_chunk() else {
        return Err(FormatError::new(format!("only {} bytes", start.len()), EXPECTED).into());
    };
    match u32::from_le_bytes(*version) {
        2 | VERSION => Ok(()),
        found @ 0..=1 => {
            let found = format!("a GGUF file of version {found}");
            Err(FormatError::new(found, "version 2 or 3").into())
        }
        found if found & 0xffff == 0 => {
            let expected = "a little-endian one; convert it with gguf-convert-endian of the Python \
                            package gguf";
            Err(FormatError::new("a big-endian GGUF file", expected).into())
        }
        found => Err(ReadError::Version { found, expected: VERSION }),
    }
}

/// Moves the tensors from their offsets to their positions in the file, and checks that they are
/// aligned, within the file, and do not overlap.
fn place(
    entries: &mut [TensorEntry],
    header_end: u64,
    alignment: u64,
    len: u64,
) -> Result<(), FormatError> {
    let data = header_end.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    for entry in &mut *entries {
        let (offset, bytes) = (entry.start, entry.bytes.unwrap_or(0));
        let name = || shown(&entry.name);
        if !offset.is_multiple_of(alignment) {
            let found = format!("`{}` at offset {offset}", name());
            return Err(FormatError::new(found, format!("a multiple of {alignment}")));
        }
        let start = data.checked_add(offset);
        match start.filter(|start| start.checked_add(bytes).is_some_and(|end| end <= len)) {
            Some(start) => entry.start = start,
            None => {
                let found = format!("`{}` with {bytes} bytes at offset {offset}", name());
                let expected = format!("a tensor within the file of {len} bytes");
                return Err(FormatError::new(found, expected));
            }
        }
    }
    let end = |entry: &TensorEntry| entry.start + entry.bytes.unwrap_or(0);
    let mut ranges: Vec<_> = entries.iter().filter(|entry| end(entry) > entry.start).collect();
    ranges.sort_unstable_by_key(|entry| entry.start);
    match ranges.windows(2).find(|pair| end(pair[0]) > pair[1].start) {
        None => Ok(()),
        Some(pair) => {
            let [a, b] = [pair[0], pair[1]].map(|entry| shown(&entry.name));
            let found = format!("`{b}` over the end of `{a}`");
            Err(FormatError::new(found, "tensors that do not overlap"))
        }
    }
}

/// Reads values from the header, and checks each length before it is used.
struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The length of the file.
    len: u64,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], FormatError> {
        let rest = &self.bytes[self.at..];
        match usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count)) {
            Some((taken, _)) => {
                self.at += taken.len();
                Ok(taken)
            }
            None if (self.bytes.len() as u64) < self.len => {
                let found = format!("{count} bytes at byte {} of the header", self.at);
                Err(FormatError::new(
                    found,
                    format!("a header of at most {} bytes", limits::GGUF_HEADER),
                ))
            }
            None => {
                let at = self.at;
                let found = format!("damage ({count} bytes at byte {at} of {})", self.len);
                Err(FormatError::new(found, EXPECTED))
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        Ok(*self.take(N as u64)?.first_chunk().expect("as many bytes as taken"))
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The position of a string, which is valid UTF-8.
    fn text(&mut self, what: &str) -> Result<Range<usize>, FormatError> {
        let len = self.u64()?;
        let start = self.at;
        match std::str::from_utf8(self.take(len)?) {
            Ok(_) => Ok(start..self.at),
            Err(_) => {
                let found = format!("{what} at byte {start}, which is not UTF-8");
                Err(FormatError::new(found, EXPECTED))
            }
        }
    }

    fn field(&mut self) -> Result<Field, FormatError> {
        let key = self.text("a key")?;
        let code = self.u32()?;
        let (kind, start) = match code {
            9 => {
                let (code, len) = (self.u32()?, self.u64()?);
                let kind = self.kind(code, &key)?;
                let start = self.at;
                match kind {
                    Kind::Scalar(scalar) => {
                        self.take(len.saturating_mul(scalar.size() as u64))?;
                    }
                    Kind::Text => {
                        for _ in 0..len {
                            self.text("a string")?;
                        }
                    }
                }
                (FieldKind::Array(kind, len as usize), start) // each has a byte at least
            }
            code => match self.kind(code, &key)? {
                Kind::Scalar(scalar) => {
                    let start = self.at;
                    self.take(scalar.size() as u64)?;
                    (FieldKind::One(Kind::Scalar(scalar)), start)
                }
                Kind::Text => (FieldKind::One(Kind::Text), self.text("a string")?.start),
            },
        };
        Ok(Field { key, kind, value: start..self.at })
    }

    /// The type with this code, of the value of `key` or its elements.
    fn kind(&self, code: u32, key: &Range<usize>) -> Result<Kind, FormatError> {
        Ok(match code {
            0 => Kind::Scalar(Scalar::U8),
            1 => Kind::Scalar(Scalar::I8),
            2 => Kind::Scalar(Scalar::U16),
            3 => Kind::Scalar(Scalar::I16),
            4 => Kind::Scalar(Scalar::U32),
            5 => Kind::Scalar(Scalar::I32),
            6 => Kind::Scalar(Scalar::F32),
            7 => Kind::Scalar(Scalar::Bool),
            8 => Kind::Text,
            10 => Kind::Scalar(Scalar::U64),
            11 => Kind::Scalar(Scalar::I64),
            12 => Kind::Scalar(Scalar::F64),
            other => {
                let key = shown(&String::from_utf8_lossy(&self.bytes[key.clone()]));
                let what =
                    if other == 9 { "an array of arrays".into() } else { format!("type {other}") };
                let expected = "booleans, numbers, strings, and arrays of these";
                return Err(FormatError::new(format!("`{key}` of {what}"), expected));
            }
        })
    }

    /// A tensor, with its offset as its position.
    fn tensor(&mut self, file: u32) -> Result<TensorEntry, FormatError> {
        let name = self.text("a tensor's name")?;
        let name = String::from_utf8_lossy(&self.bytes[name]).into_owned();
        let rank = self.u32()?;
        if rank > limits::GGUF_RANK {
            let found = format!("`{}` of {rank} dimensions", shown(&name));
            return Err(FormatError::new(found, format!("at most {}", limits::GGUF_RANK)));
        }
        let mut sizes = Vec::with_capacity(rank as usize);
        for _ in 0..rank {
            sizes.push(self.u64()?);
        }
        sizes.reverse();
        let (kind, start) = (Type::new(self.u32()?), self.u64()?);
        let shape: Result<Shape, _> = sizes.iter().map(|&size| usize::try_from(size)).collect();
        let placed = shape.ok().and_then(|shape| Some((kind.bytes(&shape)?, shape)));
        let stored = kind.stored.clone();
        match placed {
            Some((bytes, shape)) => {
                Ok(TensorEntry { name, stored, shape, bytes, file, start, view: None })
            }
            None => {
                let name = shown(&name);
                let found = format!("`{name}` of shape {sizes:?} and type {stored}");
                let expected = match kind.block() {
                    1 => "a shape that fits in memory".into(),
                    elements => format!("rows of whole blocks of {elements} that fit in memory"),
                };
                Err(FormatError::new(found, expected))
            }
        }
    }
}

//! The layout of a checkpoint, as documented in `docs/checkpoint-format.md`, and its header. The
//! only module that knows bincode.

use crate::limits;
use crate::payload::Dtype;
use adamant_files::FormatError;
use serde::{Deserialize, Serialize};

/// A byte outside ASCII and both kinds of line ends: a transfer as text visibly damages it.
pub(crate) const MAGIC: [u8; 8] = *b"\x93ADM\r\n\x1a\n";
pub(crate) const VERSION: u32 = 1;
/// Magic, version, length of the header, length of the file.
pub(crate) const PRELUDE: usize = 24;
pub(crate) const CHECKSUM: usize = 4;

/// The next position at which an array may start.
pub(crate) fn aligned(position: u64) -> Option<u64> {
    position.checked_next_multiple_of(64)
}

/// Everything except the elements of arrays.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    pub(crate) notes: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    pub(crate) parts: Vec<Part<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'a str,
    #[serde(borrow)]
    pub(crate) entries: Vec<Entry<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    #[serde(borrow)]
    pub(crate) content: Content<'a>,
}

/// The order of the variants is their code in the file: add new ones at the end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Content<'a> {
    Array(ArrayInfo),
    Bool(bool),
    Int(i64),
    /// As bits: a NaN keeps its payload.
    Float(u64),
    Text(&'a str),
}

/// The type and shape of an array, and the location of its elements.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArrayInfo {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    /// From the start of the data, which is the first aligned position after the header's checksum.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

/// Integers of fixed width, little-endian; a decoder stops at the limit.
const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<{ limits::HEADER }>,
> = bincode::config::standard().with_fixed_int_encoding().with_limit::<{ limits::HEADER }>();

impl<'a> Header<'a> {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let entries = self.parts.iter().flat_map(|part| &part.entries);
        let count = self.notes.len() + self.parts.len() + entries.clone().count();
        limits::check_entries(count as u64)?;
        entries.filter_map(Entry::rank).try_for_each(limits::check_rank)?;
        let bytes = bincode::serde::encode_to_vec(self, CONFIG).expect("a header can be encoded");
        limits::check_header(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Strings are borrowed, and lists grow as their elements are read: only data that is present
    /// takes memory.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut decoder = Decoder { rest: bytes, entries: 0 };
        let notes = decoder.list(Decoder::value)?;
        let parts = decoder.list(|decoder| {
            Ok(Part { name: decoder.value()?, entries: decoder.list(Decoder::entry)? })
        })?;
        match decoder.rest.len() {
            0 => Ok(Header { notes, parts }),
            rest => Err(not_a_header(format!("{rest} bytes after the header's end"))),
        }
    }
}

fn not_a_header(found: String) -> FormatError {
    FormatError::new(found, "a checkpoint's header")
}

impl Entry<'_> {
    fn rank(&self) -> Option<u64> {
        match &self.content {
            Content::Array(info) => Some(info.shape.len() as u64),
            _ => None,
        }
    }
}

/// Decodes a header, and checks the lengths of its lists before reading them.
struct Decoder<'a> {
    rest: &'a [u8],
    /// The number of entries that the lists have claimed so far.
    entries: u64,
}

impl<'a> Decoder<'a> {
    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, FormatError> {
        let (value, read) = bincode::serde::borrow_decode_from_slice(self.rest, CONFIG)
            .map_err(|error| not_a_header(format!("an invalid header ({error})")))?;
        self.rest = &self.rest[read..];
        Ok(value)
    }

    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let len = self.value()?;
        self.entries = self.entries.saturating_add(len);
        limits::check_entries(self.entries)?;
        (0..len).map(|_| element(self)).collect()
    }

    fn entry(&mut self) -> Result<Entry<'a>, FormatError> {
        let entry: Entry = self.value()?;
        entry.rank().map_or(Ok(()), limits::check_rank)?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_matches_the_documentation() {
        let info =
            ArrayInfo { dtype: Dtype::F64, shape: vec![2, 3], offset: 64, bytes: 48, checksum: 7 };
        let header = Header {
            notes: vec![("k", "v")],
            parts: vec![Part {
                name: "p",
                entries: vec![
                    Entry { name: "a", content: Content::Array(info) },
                    Entry { name: "b", content: Content::Bool(true) },
                    Entry { name: "i", content: Content::Int(-2) },
                    Entry { name: "f", content: Content::Float(1.0f64.to_bits()) },
                    Entry { name: "t", content: Content::Text("é") },
                ],
            }],
        };
        let u32 = |x: u32| x.to_le_bytes().to_vec();
        let u64 = |x: u64| x.to_le_bytes().to_vec();
        let text = |x: &str| [u64(x.len() as u64), x.into()].concat();
        let expected = [
            u64(1),
            text("k"),
            text("v"),
            u64(1),
            text("p"),
            u64(5),
            [text("a"), u32(0), u32(1), u64(2), u64(2), u64(3), u64(64), u64(48), u32(7)].concat(),
            [text("b"), u32(1), vec![1]].concat(),
            [text("i"), u32(2), (-2i64).to_le_bytes().to_vec()].concat(),
            [text("f"), u32(3), 1.0f64.to_le_bytes().to_vec()].concat(),
            [text("t"), u32(4), text("é")].concat(),
        ]
        .concat();
        assert_eq!(header.encode().unwrap(), expected);
        assert_eq!(Header::decode(&expected).unwrap(), header);
        let error = Header::decode(&[expected, vec![0]].concat()).unwrap_err();
        assert_eq!(error.found, "1 bytes after the header's end");
    }
}

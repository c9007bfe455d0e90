//! The layout of a checkpoint, byte by byte as `docs/checkpoint-format.md` says it, and its
//! header. The only module that knows bincode.

use crate::payload::Dtype;
use serde::{Deserialize, Serialize};

/// A byte beyond ASCII and both kinds of line ends: a transfer as text damages it visibly.
pub(crate) const MAGIC: [u8; 8] = *b"\x93ADM\r\n\x1a\n";
pub(crate) const VERSION: u32 = 1;
/// Magic, version, length of the header, length of the file.
pub(crate) const PRELUDE: usize = 24;
pub(crate) const CHECKSUM: usize = 4;
/// The longest header: room for a hundred thousand arrays. One that is made to do harm, of the
/// shortest entries of 13 bytes and their names, takes some 20 times its length when it is decoded,
/// and as much again as a dictionary.
pub(crate) const HEADER_LIMIT: usize = 1 << 24;

/// The next place where an array may begin.
pub(crate) fn aligned(place: u64) -> Option<u64> {
    place.checked_next_multiple_of(64)
}

/// All but the elements of arrays.
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

/// The order is that of the numbers in the file: new kinds go to the end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Content<'a> {
    Array(Place),
    Bool(bool),
    Int(i64),
    /// By its bits: a NaN keeps its payload.
    Float(u64),
    Text(&'a str),
}

/// Where the elements of an array are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    /// From the start of the data, which is the first aligned place after the header's checksum.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

/// Whole numbers of their full width, little-endian; a decoder stops beyond the limit.
const CONFIG: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<HEADER_LIMIT>,
> = bincode::config::standard().with_fixed_int_encoding().with_limit::<HEADER_LIMIT>();

impl<'a> Header<'a> {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let bytes =
            bincode::serde::encode_to_vec(self, CONFIG).map_err(|error| error.to_string())?;
        if bytes.len() > HEADER_LIMIT {
            return Err(format!("a header of {} bytes is too long", bytes.len()));
        }
        Ok(bytes)
    }

    /// Texts are borrowed, and sequences grow as their elements are read, by doubling: for a length
    /// that is only claimed at most a mebibyte is taken, in each of the few that are open at once.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, String> {
        match bincode::serde::borrow_decode_from_slice(bytes, CONFIG) {
            Ok((header, read)) if read == bytes.len() => Ok(header),
            Ok((_, read)) => Err(format!("{} bytes after the header's end", bytes.len() - read)),
            Err(error) => Err(format!("a header that makes no sense ({error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_the_documentation_says() {
        let place =
            Place { dtype: Dtype::F64, shape: vec![2, 3], offset: 64, bytes: 48, checksum: 7 };
        let header = Header {
            notes: vec![("k", "v")],
            parts: vec![Part {
                name: "p",
                entries: vec![
                    Entry { name: "a", content: Content::Array(place) },
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
        assert_eq!(error, "1 bytes after the header's end");
    }
}

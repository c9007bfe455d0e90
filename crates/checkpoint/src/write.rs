//! Writes a checkpoint, from its first byte to its last.

use crate::format::{
    CHECKSUM, Content, Entry, Header, MAGIC, PRELUDE, Part, Place, VERSION, aligned,
};
use crate::limits::Mismatch;
use crate::payload::payload;
use adamant_tensor::{StateDict, Value};
use crc32fast::Hasher;
use std::borrow::Cow;
use std::io::{self, Write};

/// What a file is to hold. Equal notes and parts give equal bytes.
pub(crate) struct Plan<'a> {
    header: Vec<u8>,
    data: Data<'a>,
}

impl<'a> Plan<'a> {
    /// An error if there is more than a file can hold.
    pub(crate) fn new(
        notes: &'a [(String, String)],
        parts: &'a [(String, StateDict)],
    ) -> Result<Self, Mismatch> {
        let mut data = Data::default();
        let header = Header {
            notes: notes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            parts: parts
                .iter()
                .map(|(name, state)| Part {
                    name,
                    entries: state
                        .iter()
                        .map(|(name, value)| Entry { name, content: data.content(value) })
                        .collect(),
                })
                .collect(),
        };
        Ok(Plan { header: header.encode()?, data })
    }

    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let Plan { header, data } = self;
        let start = aligned((PRELUDE + header.len() + CHECKSUM) as u64).expect("a small number");
        let len = match data.payloads.is_empty() {
            true => (PRELUDE + header.len() + CHECKSUM) as u64,
            false => start + data.end,
        };
        let mut out = Out { out, whole: Hasher::new(), at: 0 };
        out.put(&MAGIC)?;
        out.put(&VERSION.to_le_bytes())?;
        out.put(&(header.len() as u32).to_le_bytes())?;
        out.put(&(len + CHECKSUM as u64).to_le_bytes())?;
        out.put(header)?;
        out.checksum()?;
        for (bytes, hasher) in &data.payloads {
            out.align()?;
            out.put_hashed(bytes, hasher)?;
        }
        out.checksum()
    }
}

/// The elements of all arrays, one after the other.
#[derive(Default)]
struct Data<'a> {
    payloads: Vec<(Cow<'a, [u8]>, Hasher)>,
    end: u64,
}

impl<'a> Data<'a> {
    fn content(&mut self, value: &'a Value) -> Content<'a> {
        match value {
            Value::F32(_) | Value::F64(_) | Value::I64(_) => {
                let (dtype, shape, bytes) = payload(value).expect("an array");
                let mut hasher = Hasher::new();
                hasher.update(&bytes);
                let offset = aligned(self.end).expect("arrays fit in memory");
                self.end = offset + bytes.len() as u64;
                let place = Place {
                    dtype,
                    shape: shape.iter().map(|&size| size as u64).collect(),
                    offset,
                    bytes: bytes.len() as u64,
                    checksum: hasher.clone().finalize(),
                };
                self.payloads.push((bytes, hasher));
                Content::Array(place)
            }
            Value::Bool(value) => Content::Bool(*value),
            Value::Int(value) => Content::Int(*value),
            Value::Float(value) => Content::Float(value.to_bits()),
            Value::Text(value) => Content::Text(value),
        }
    }
}

/// What has been written, with its length and checksum.
struct Out<W> {
    out: W,
    whole: Hasher,
    at: u64,
}

impl<W: Write> Out<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        self.put_hashed(bytes, &hasher)
    }

    /// The checksum of the whole follows from those of its pieces.
    fn put_hashed(&mut self, bytes: &[u8], hasher: &Hasher) -> io::Result<()> {
        for piece in bytes.chunks(1 << 18) {
            self.out.write_all(piece)?;
            // Training goes first, where a save in the background takes one of its cores.
            std::thread::yield_now();
        }
        self.whole.combine(hasher);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The checksum of all that has been written but checksums: CRC-32 of any bytes and their own
    /// CRC-32 is a constant, so a sum that went on through one would forget what was before it.
    fn checksum(&mut self) -> io::Result<()> {
        let checksum = self.whole.clone().finalize();
        self.at += CHECKSUM as u64;
        self.out.write_all(&checksum.to_le_bytes())
    }

    fn align(&mut self) -> io::Result<()> {
        let gap = aligned(self.at).expect("arrays fit in memory") - self.at;
        self.put(&[0; 64][..gap as usize])
    }
}

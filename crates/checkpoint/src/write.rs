//! Writes a checkpoint.

use crate::format::{
    ArrayInfo, CHECKSUM, Content, Entry, Header, MAGIC, PRELUDE, Part, VERSION, aligned,
};
use crate::payload::payload;
use adamant_files::FormatError;
use adamant_tensor::{StateDict, Value};
use crc32fast::Hasher;
use std::borrow::Cow;
use std::io::{self, Write};

/// The contents of a file to be written. Equal notes and parts make equal bytes.
pub(crate) struct Plan<'a> {
    header: Vec<u8>,
    data: Data<'a>,
}

impl<'a> Plan<'a> {
    /// An error if the contents exceed the limits of a file.
    pub(crate) fn new(
        notes: &'a [(String, String)],
        parts: &'a [(String, StateDict)],
    ) -> Result<Self, FormatError> {
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
        let start = aligned((PRELUDE + header.len() + CHECKSUM) as u64).expect("a header is short");
        let len = match data.payloads.is_empty() {
            true => (PRELUDE + header.len() + CHECKSUM) as u64,
            false => start + data.end,
        };
        let mut out = Output { out, whole: Hasher::new(), at: 0 };
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

/// The elements of all arrays, in sequence.
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
                let info = ArrayInfo {
                    dtype,
                    shape: shape.iter().map(|&size| size as u64).collect(),
                    offset,
                    bytes: bytes.len() as u64,
                    checksum: hasher.clone().finalize(),
                };
                self.payloads.push((bytes, hasher));
                Content::Array(info)
            }
            Value::Bool(value) => Content::Bool(*value),
            Value::Int(value) => Content::Int(*value),
            Value::Float(value) => Content::Float(value.to_bits()),
            Value::Text(value) => Content::Text(value),
        }
    }
}

/// An output, with the length and the checksum of the bytes written so far.
struct Output<W> {
    out: W,
    whole: Hasher,
    at: u64,
}

impl<W: Write> Output<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        self.put_hashed(bytes, &hasher)
    }

    /// `hasher` has the checksum of `bytes`, which is combined into that of the file.
    fn put_hashed(&mut self, bytes: &[u8], hasher: &Hasher) -> io::Result<()> {
        for piece in bytes.chunks(1 << 18) {
            self.out.write_all(piece)?;
            // A save in the background should not take a core from training.
            std::thread::yield_now();
        }
        self.whole.combine(hasher);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the checksum of all bytes so far except checksums: the CRC-32 of any bytes followed by
    /// their CRC-32 is a constant, so a sum that included one would lose the bytes before it.
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

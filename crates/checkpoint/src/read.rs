//! Reads a checkpoint, and believes nothing.
//!
//! The file's real length comes first, then the checksum of the header, then the layout that it
//! claims: arrays must follow one another to the file's last byte. Only then is memory taken, as
//! much as the file has bytes. Nothing is given back before the last checksum.

use crate::error::FileError;
use crate::format::{
    CHECKSUM, Content, HEADER_LIMIT, Header, MAGIC, PRELUDE, Place, VERSION, aligned,
};
use crate::payload::build;
use adamant_tensor::{Shape, StateDict, Value};
use crc32fast::Hasher;
use std::collections::HashSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Notes, and parts by name.
pub(crate) type Contents = (Vec<(String, String)>, Vec<(String, StateDict)>);

pub(crate) fn read(path: &Path) -> Result<Contents, FileError> {
    let io = |source| FileError::io(path, source);
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let input = BufReader::with_capacity(1 << 16, file);
    contents(In { input, whole: Hasher::new(), at: 0 }, len).map_err(|trouble| match trouble {
        Trouble::Io(source) => FileError::io(path, source),
        Trouble::Format { found, expected } => FileError::format(path, found, expected),
    })
}

/// An error that does not know the file's name yet.
enum Trouble {
    Io(io::Error),
    Format { found: String, expected: String },
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::Io(error)
    }
}

fn format(found: impl Into<String>, expected: impl Into<String>) -> Trouble {
    Trouble::Format { found: found.into(), expected: expected.into() }
}

fn contents(mut input: In<impl Read>, len: u64) -> Result<Contents, Trouble> {
    let header_len = prelude(&mut input, len)?;
    let bytes = input.get_vec(header_len)?;
    input.checksum("the header")?;
    let header = Header::decode(&bytes).map_err(|found| format(found, "a checkpoint's header"))?;
    check_names(&header)?;
    check_layout(&header, input.at, len)?;

    let mut parts = Vec::new();
    for part in &header.parts {
        let mut state = StateDict::new();
        for entry in &part.entries {
            let value = match &entry.content {
                Content::Array(place) => {
                    input.align()?;
                    input.array(place, &format_args!("`{}` of `{}`", entry.name, part.name))?
                }
                Content::Bool(value) => Value::Bool(*value),
                Content::Int(value) => Value::Int(*value),
                Content::Float(bits) => Value::Float(f64::from_bits(*bits)),
                Content::Text(value) => Value::Text((*value).into()),
            };
            state.insert(entry.name, value);
        }
        parts.push((part.name.into(), state));
    }
    input.checksum("the file")?;
    let notes = header.notes.iter().map(|&(key, value)| (key.into(), value.into()));
    Ok((notes.collect(), parts))
}

/// Reads up to the header, and gives its length.
fn prelude(input: &mut In<impl Read>, len: u64) -> Result<usize, Trouble> {
    let shortest = (PRELUDE + 2 * CHECKSUM) as u64;
    let magic: [u8; 8] = input.get_up_to()?;
    if magic != MAGIC {
        let found = if len < shortest && MAGIC.starts_with(&magic[..len.min(8) as usize]) {
            format!("only {len} bytes")
        } else if magic[..4] == MAGIC[..4] {
            "a checkpoint that was transferred as text, which damages it".into()
        } else {
            "another kind of file".into()
        };
        return Err(format(found, "a checkpoint"));
    }
    if len < shortest {
        return Err(format(format!("only {len} bytes"), "a checkpoint"));
    }
    let version = u32::from_le_bytes(input.get()?);
    if version != VERSION {
        let found = format!("version {version} of the format");
        return Err(format(found, format!("version {VERSION}, which this adamant knows")));
    }
    let header_len = u32::from_le_bytes(input.get()?) as usize;
    let claimed = u64::from_le_bytes(input.get()?);
    if claimed != len {
        return Err(format(format!("{len} bytes"), format!("{claimed}, as the file's start says")));
    }
    if header_len > HEADER_LIMIT || header_len as u64 > len - shortest {
        let found = format!("a header of {header_len} bytes in a file of {len}");
        return Err(format(found, "a shorter one"));
    }
    Ok(header_len)
}

fn check_names(header: &Header<'_>) -> Result<(), Trouble> {
    fn check<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> Result<(), Trouble> {
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(name) {
                return Err(format(format!("{what} `{name}` twice"), "each name once"));
            }
        }
        Ok(())
    }
    check("the note", header.notes.iter().map(|(key, _)| *key))?;
    check("the part", header.parts.iter().map(|part| part.name))?;
    header
        .parts
        .iter()
        .try_for_each(|part| check("the entry", part.entries.iter().map(|entry| entry.name)))
}

/// Each array begins at the first aligned place after the one before, and the last one ends
/// where the file does but for its checksum.
fn check_layout(header: &Header<'_>, header_end: u64, len: u64) -> Result<(), Trouble> {
    let start = aligned(header_end).ok_or_else(|| format("too long a header", "a shorter one"))?;
    let mut end = None;
    for part in &header.parts {
        for entry in &part.entries {
            let Content::Array(place) = &entry.content else { continue };
            let name = format!("`{}` of `{}`", entry.name, part.name);
            if shape(place).is_none() {
                let found = format!(
                    "{name} of shape {:?} and type {:?} with {} bytes",
                    place.shape, place.dtype, place.bytes
                );
                return Err(format(found, "as many bytes as the shape needs"));
            }
            let expected = aligned(end.unwrap_or(0));
            if Some(place.offset) != expected {
                let found = format!("{name} at offset {}", place.offset);
                let expected = expected.map_or("none".into(), |offset| offset.to_string());
                return Err(format(found, format!("{expected}, after the one before")));
            }
            end = place.offset.checked_add(place.bytes);
            let room = len - CHECKSUM as u64;
            if end.and_then(|end| end.checked_add(start)).is_none_or(|end| end > room) {
                let found = format!("{name} with {} bytes at offset {}", place.bytes, place.offset);
                return Err(format(found, format!("an array within the file of {len} bytes")));
            }
        }
    }
    let expected = end.map_or(header_end, |end| start + end) + CHECKSUM as u64;
    if expected != len {
        return Err(format(format!("{} bytes after the last array", len - expected), "none"));
    }
    Ok(())
}

/// The shape, if an array can have it and it needs as many bytes as there are.
fn shape(place: &Place) -> Option<Shape> {
    let sizes = place.shape.iter().map(|&size| usize::try_from(size));
    let shape: Shape = sizes.collect::<Result<_, _>>().ok()?;
    let bytes = shape.checked_numel()?.checked_mul(place.dtype.size())?;
    (bytes as u64 == place.bytes).then_some(shape)
}

/// What has been read, with its length and checksum.
struct In<R> {
    input: R,
    whole: Hasher,
    at: u64,
}

impl<R: Read> In<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(bytes)?;
        self.whole.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn get<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next bytes, with zeros for those that are not there.
    fn get_up_to<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut found = Vec::new();
        (&mut self.input).take(N as u64).read_to_end(&mut found)?;
        self.whole.update(&found);
        self.at += found.len() as u64;
        let mut bytes = [0; N];
        bytes[..found.len()].copy_from_slice(&found);
        Ok(bytes)
    }

    fn get_vec(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The checksum of all that has been read.
    fn checksum(&mut self, of: &str) -> Result<(), Trouble> {
        let expected = self.whole.clone().finalize();
        let found = u32::from_le_bytes(self.get()?);
        check_checksum(of, found, expected)
    }

    fn align(&mut self) -> Result<(), Trouble> {
        let gap = aligned(self.at).expect("the layout has been checked") - self.at;
        let mut bytes = [0; 64];
        let bytes = &mut bytes[..gap as usize];
        self.fill(bytes)?;
        if bytes.iter().any(|&byte| byte != 0) {
            return Err(format(format!("damage before byte {}", self.at), "zeros between arrays"));
        }
        Ok(())
    }

    /// Straight into the array's own buffer, a piece at a time: its checksum is taken while it
    /// is in the cache.
    fn array(&mut self, place: &Place, name: &dyn Display) -> Result<Value, Trouble> {
        const PIECE: usize = 1 << 18;
        let shape = shape(place).expect("the layout has been checked");
        let mut hasher = Hasher::new();
        let (value, result) = build(place.dtype, shape, |bytes| -> io::Result<()> {
            for piece in bytes.chunks_mut(PIECE) {
                self.input.read_exact(piece)?;
                hasher.update(piece);
            }
            Ok(())
        });
        result?;
        self.whole.combine(&hasher);
        self.at += place.bytes;
        check_checksum(name, place.checksum, hasher.finalize())?;
        Ok(value)
    }
}

/// `found` is what the file says, `expected` what its bytes give.
fn check_checksum(of: impl Display, found: u32, expected: u32) -> Result<(), Trouble> {
    if found != expected {
        let damage = format!("damage in {of} (checksum {expected:08x})");
        return Err(format(damage, format!("what was saved (checksum {found:08x})")));
    }
    Ok(())
}

//! Reads a checkpoint without trusting it.
//!
//! Checked in order: the file's length, the checksum of the header, the layout in the header
//! (arrays must fill the file to its last byte), and the checksums of the arrays and the file.
//! Memory for arrays is allocated after the layout is checked, so it never exceeds the file's
//! length, and nothing is returned before the last checksum.

use crate::format::{ArrayInfo, CHECKSUM, Content, Header, MAGIC, PRELUDE, Part, VERSION, aligned};
use crate::limits;
use crate::payload::build;
use crate::read_error::ReadError;
use adamant_files::{FileError, FormatError, START, open, other_kind};
use adamant_tensor::{Shape, StateDict, Value};
use crc32fast::Hasher;
use std::collections::HashSet;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Notes and named parts.
pub(crate) type Contents = (Vec<(String, String)>, Vec<(String, StateDict)>);

pub(crate) fn read(path: &Path) -> Result<Contents, FileError> {
    with_file(path, contents)
}

/// Checks whether [`read`] would succeed, without memory for the arrays.
pub(crate) fn check(path: &Path) -> Result<(), FileError> {
    with_file(path, |mut input, len| {
        let bytes = start(&mut input, len)?;
        let mut piece = vec![0; PIECE];
        let array = |input: &mut Input<_>, info: &ArrayInfo, name: &dyn Display| {
            input.skip(info, name, &mut piece)
        };
        rest(&bytes, &mut input, len, array).map(drop)
    })
}

fn with_file<R>(
    path: &Path,
    read: impl FnOnce(Input<BufReader<File>>, u64) -> Result<R, ReadError>,
) -> Result<R, FileError> {
    let (file, len) = open(path)?;
    let input = BufReader::with_capacity(1 << 16, file);
    read(Input { input, whole: Hasher::new(), at: 0 }, len).map_err(|error| error.at(path))
}

fn format(found: impl Into<String>, expected: impl Into<String>) -> ReadError {
    FormatError::new(found, expected).into()
}

fn contents<R: Read>(mut input: Input<R>, len: u64) -> Result<Contents, ReadError> {
    let bytes = start(&mut input, len)?;
    let mut arrays = Vec::new();
    let array = |input: &mut Input<R>, info: &ArrayInfo, name: &dyn Display| {
        arrays.push(input.array(info, name)?);
        Ok(())
    };
    let header = rest(&bytes, &mut input, len, array)?;

    let mut arrays = arrays.into_iter();
    let mut value = |content: &Content<'_>| match content {
        Content::Array(_) => arrays.next().expect("each array has been read"),
        Content::Bool(value) => Value::Bool(*value),
        Content::Int(value) => Value::Int(*value),
        Content::Float(bits) => Value::Float(f64::from_bits(*bits)),
        Content::Text(value) => Value::Text((*value).into()),
    };
    let mut state = |part: &Part<'_>| {
        let mut state = StateDict::new();
        part.entries.iter().for_each(|entry| state.insert(entry.name, value(&entry.content)));
        state
    };
    let parts = header.parts.iter().map(|part| (part.name.into(), state(part))).collect();
    let notes = header.notes.iter().map(|&(key, value)| (key.into(), value.into())).collect();
    Ok((notes, parts))
}

/// Reads everything before the data; returns the header's bytes, whose checksum is correct.
fn start(input: &mut Input<impl Read>, len: u64) -> Result<Vec<u8>, ReadError> {
    let version = version(input, len)?;
    let bytes = header_bytes(input, len);
    if version != VERSION {
        // If everything else is correct, the version itself is damaged.
        return Err(match bytes {
            Ok(_) => {
                format(format!("damage in the version, which is {version}"), VERSION.to_string())
            }
            Err(_) => ReadError::Version { found: version, expected: VERSION },
        });
    }
    bytes
}

/// Reads the data, each array by `array`, and checks the last checksum.
fn rest<'h, R: Read>(
    header: &'h [u8],
    input: &mut Input<R>,
    len: u64,
    mut array: impl FnMut(&mut Input<R>, &ArrayInfo, &dyn Display) -> Result<(), ReadError>,
) -> Result<Header<'h>, ReadError> {
    let header = Header::decode(header)?;
    check_names(&header)?;
    check_layout(&header, input.at, len)?;
    for part in &header.parts {
        for entry in &part.entries {
            if let Content::Array(info) = &entry.content {
                input.align()?;
                array(input, info, &format_args!("`{}` of `{}`", entry.name, part.name))?;
            }
        }
    }
    input.checksum("the file")?;
    Ok(header)
}

/// Reads the first bytes. The checksum continues as if the version were [`VERSION`].
fn version(input: &mut Input<impl Read>, len: u64) -> Result<u32, ReadError> {
    let shortest = (PRELUDE + 2 * CHECKSUM) as u64;
    let magic: [u8; 8] = input.get_up_to()?;
    if magic != MAGIC {
        let expected = "a checkpoint";
        if len > 0 && MAGIC.starts_with(&magic[..len.min(8) as usize]) {
            return Err(format(format!("only {len} bytes"), expected));
        }
        if magic[..4] == MAGIC[..4] {
            let found = "a checkpoint damaged by a transfer as text";
            return Err(format(found, expected));
        }
        let mut start = magic[..len.min(8) as usize].to_vec();
        (&mut input.input).take((START - start.len()) as u64).read_to_end(&mut start)?;
        return Err(other_kind(&start, expected).into());
    }
    if len < shortest {
        return Err(format(format!("only {len} bytes"), "a checkpoint"));
    }
    let version = u32::from_le_bytes(input.get()?);
    input.whole = Hasher::new();
    input.whole.update(&MAGIC);
    input.whole.update(&VERSION.to_le_bytes());
    Ok(version)
}

/// Reads the rest of the prelude and the header, and checks the header's checksum.
fn header_bytes(input: &mut Input<impl Read>, len: u64) -> Result<Vec<u8>, ReadError> {
    let shortest = (PRELUDE + 2 * CHECKSUM) as u64;
    let header_len = u32::from_le_bytes(input.get()?) as usize;
    let claimed = u64::from_le_bytes(input.get()?);
    if claimed != len {
        return Err(format(
            format!("{len} bytes"),
            format!("{claimed}, the length in the file's prelude"),
        ));
    }
    limits::check_header(header_len as u64)?;
    if header_len as u64 > len - shortest {
        let found = format!("a header of {header_len} bytes in a file of {len}");
        return Err(format(found, "a shorter header"));
    }
    let bytes = input.get_vec(header_len)?;
    input.checksum("the header")?;
    Ok(bytes)
}

fn check_names(header: &Header<'_>) -> Result<(), ReadError> {
    fn check<'n>(what: &str, names: impl Iterator<Item = &'n str>) -> Result<(), ReadError> {
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

/// Checks that each array starts at the first aligned position after the previous one, and that
/// only the file's checksum follows the last one.
fn check_layout(header: &Header<'_>, header_end: u64, len: u64) -> Result<(), ReadError> {
    let start =
        aligned(header_end).ok_or_else(|| format("too long a header", "a shorter header"))?;
    let mut end = None;
    for part in &header.parts {
        for entry in &part.entries {
            let Content::Array(info) = &entry.content else { continue };
            let name = format!("`{}` of `{}`", entry.name, part.name);
            if shape(info).is_none() {
                let found = format!(
                    "{name} of shape {:?} and type {:?} with {} bytes",
                    info.shape, info.dtype, info.bytes
                );
                return Err(format(found, "the number of bytes of that shape"));
            }
            let expected = aligned(end.unwrap_or(0));
            if Some(info.offset) != expected {
                let found = format!("{name} at offset {}", info.offset);
                let expected = expected.map_or("none".into(), |offset| offset.to_string());
                return Err(format(found, format!("{expected}, after the previous array")));
            }
            end = info.offset.checked_add(info.bytes);
            let room = len - CHECKSUM as u64;
            if end.and_then(|end| end.checked_add(start)).is_none_or(|end| end > room) {
                let found = format!("{name} with {} bytes at offset {}", info.bytes, info.offset);
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

/// The shape, if it is valid and has this number of bytes.
fn shape(info: &ArrayInfo) -> Option<Shape> {
    let sizes = info.shape.iter().map(|&size| usize::try_from(size));
    let shape: Shape = sizes.collect::<Result<_, _>>().ok()?;
    let bytes = shape.checked_numel()?.checked_mul(info.dtype.size())?;
    (bytes as u64 == info.bytes).then_some(shape)
}

/// An input, with the length and the checksum of the bytes read so far.
struct Input<R> {
    input: R,
    whole: Hasher,
    at: u64,
}

impl<R: Read> Input<R> {
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

    /// The next `N` bytes, padded with zeros at the end of the file.
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

    /// Checks the checksum of all bytes so far except checksums.
    fn checksum(&mut self, of: &str) -> Result<(), ReadError> {
        let mut bytes = [0; CHECKSUM];
        self.input.read_exact(&mut bytes)?;
        self.at += CHECKSUM as u64;
        check_checksum(of, u32::from_le_bytes(bytes), self.whole.clone().finalize())
    }

    fn align(&mut self) -> Result<(), ReadError> {
        let gap = aligned(self.at).expect("the layout is valid") - self.at;
        let mut bytes = [0; 64];
        let bytes = &mut bytes[..gap as usize];
        self.fill(bytes)?;
        if bytes.iter().any(|&byte| byte != 0) {
            return Err(format(format!("damage before byte {}", self.at), "zeros between arrays"));
        }
        Ok(())
    }

    /// Reads an array directly into its buffer.
    fn array(&mut self, info: &ArrayInfo, name: &dyn Display) -> Result<Value, ReadError> {
        let shape = shape(info).expect("the layout is valid");
        let mut hasher = Hasher::new();
        let (value, result) = build(info.dtype, shape, |bytes| {
            bytes.chunks_mut(PIECE).try_for_each(|piece| self.piece(piece, &mut hasher))
        })?;
        result?;
        self.end(info, name, hasher)?;
        Ok(value)
    }

    /// Checks an array without keeping it.
    fn skip(
        &mut self,
        info: &ArrayInfo,
        name: &dyn Display,
        piece: &mut [u8],
    ) -> Result<(), ReadError> {
        let mut hasher = Hasher::new();
        let mut rest = info.bytes;
        while rest > 0 {
            let len = rest.min(piece.len() as u64);
            self.piece(&mut piece[..len as usize], &mut hasher)?;
            rest -= len;
        }
        self.end(info, name, hasher)
    }

    /// Reads a piece, and hashes it while it is in the cache.
    fn piece(&mut self, piece: &mut [u8], hasher: &mut Hasher) -> io::Result<()> {
        self.input.read_exact(piece)?;
        hasher.update(piece);
        Ok(())
    }

    fn end(
        &mut self,
        info: &ArrayInfo,
        name: &dyn Display,
        hasher: Hasher,
    ) -> Result<(), ReadError> {
        self.whole.combine(&hasher);
        self.at += info.bytes;
        check_checksum(name, info.checksum, hasher.finalize())
    }
}

/// The number of bytes of an array that are read at a time.
const PIECE: usize = 1 << 18;

fn check_checksum(of: impl Display, saved: u32, computed: u32) -> Result<(), ReadError> {
    if computed != saved {
        let damage = format!("damage in {of} (checksum {computed:08x})");
        return Err(format(damage, format!("the saved bytes (checksum {saved:08x})")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Entry, Part};
    use crate::payload::Dtype;
    use std::fs;

    /// A file with correct checksums and any header.
    fn file(header: &[u8], data: &[u8]) -> Vec<u8> {
        let end = (PRELUDE + header.len() + CHECKSUM) as u64;
        let gap = if data.is_empty() { 0 } else { aligned(end).unwrap() - end };
        let len = end + gap + (data.len() + CHECKSUM) as u64;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(header);
        let mut whole = Hasher::new();
        whole.update(&bytes);
        bytes.extend(whole.clone().finalize().to_le_bytes());
        let from = bytes.len();
        bytes.extend(vec![0; gap as usize]);
        bytes.extend(data);
        whole.update(&bytes[from..]);
        bytes.extend(whole.finalize().to_le_bytes());
        bytes
    }

    fn load(bytes: &[u8]) -> Result<Contents, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ckpt");
        fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn assert_rejected(bytes: &[u8], expected: &str) {
        let error = load(bytes).unwrap_err();
        let error = error.split_once("x.ckpt: ").unwrap().1;
        assert!(error.starts_with(expected), "{error}");
    }

    /// Two arrays of eight bytes each, at 0 and 64.
    const DATA: [u8; 72] = [0; 72];

    fn array(offset: u64) -> ArrayInfo {
        let checksum = crc32fast::hash(&[0; 8]);
        ArrayInfo { dtype: Dtype::F32, shape: vec![2], offset, bytes: 8, checksum }
    }

    fn header(infos: [ArrayInfo; 2]) -> Header<'static> {
        let entries = ["a", "b"].into_iter().zip(infos);
        let entries = entries.map(|(name, info)| Entry { name, content: Content::Array(info) });
        let parts = vec![Part { name: "p", entries: entries.collect() }];
        Header { notes: vec![("k", "v"), ("l", "v")], parts }
    }

    #[test]
    fn a_header_must_match_its_arrays() {
        let good = header([array(0), array(64)]).encode().unwrap();
        assert!(load(&file(&good, &DATA)).is_ok());
        let huge = |shape: &[u64], bytes| ArrayInfo { shape: shape.to_vec(), bytes, ..array(0) };
        for (info, expected) in [
            (huge(&[1 << 63], 8), "found `a` of `p` of shape [9223372036854775808] and type F32"),
            (huge(&[1 << 63], 1 << 63), "found `a` of `p` of shape [92"),
            (huge(&[1 << 61], 1 << 63), "found `a` of `p` of shape [23"),
            (huge(&[1 << 32, 1 << 32], 0), "found `a` of `p` of shape [42"),
            (huge(&[1 << 32, 0, 1 << 32], 0), "found `a` of `p` of shape [42"),
            (
                huge(&[1 << 40], 1 << 42),
                "found `a` of `p` with 4398046511104 bytes at offset 0, expected an array within the file of",
            ),
            (huge(&[3], 8), "found `a` of `p` of shape [3] and type F32 with 8 bytes"),
            (
                ArrayInfo { dtype: Dtype::I64, ..array(0) },
                "found `a` of `p` of shape [2] and type I64",
            ),
            (array(64), "found `a` of `p` at offset 64, expected 0, after"),
            (ArrayInfo { checksum: 0, ..array(0) }, "found damage in `a` of `p` (checksum"),
        ] {
            assert_rejected(&file(&header([info, array(64)]).encode().unwrap(), &DATA), expected);
        }
        for offset in [0, 4, 8, 63, 65, 128, u64::MAX] {
            let expected = format!("found `b` of `p` at offset {offset}, expected 64, after");
            assert_rejected(
                &file(&header([array(0), array(offset)]).encode().unwrap(), &DATA),
                &expected,
            );
        }
        let outside = file(&good, &DATA[..71]);
        assert_rejected(
            &outside,
            "found `b` of `p` with 8 bytes at offset 64, expected an array within",
        );
        assert_rejected(
            &file(&good, &[0; 73]),
            "found 1 bytes after the last array, expected none",
        );
        let mut padded = DATA;
        padded[20] = 1;
        assert_rejected(&file(&good, &padded), "found damage before byte");
    }

    #[test]
    fn running_out_of_memory_is_an_error() {
        // A sparse file can be longer than its disk.
        let info = ArrayInfo { shape: vec![1 << 58], bytes: 1 << 60, ..array(0) };
        let entries = vec![Entry { name: "a", content: Content::Array(info) }];
        let header = Header { notes: vec![], parts: vec![Part { name: "p", entries }] };
        let mut start = file(&header.encode().unwrap(), &[]);
        start.truncate(start.len() - CHECKSUM);
        let len = aligned(start.len() as u64).unwrap() + (1 << 60) + CHECKSUM as u64;
        start[16..24].copy_from_slice(&len.to_le_bytes());
        let end = start.len() - CHECKSUM;
        let checksum = crc32fast::hash(&start[..end]).to_le_bytes();
        start[end..].copy_from_slice(&checksum);
        let input = Input { input: start.chain(io::repeat(0)), whole: Hasher::new(), at: 0 };
        let result = contents(input, len);
        let Err(ReadError::Io(error)) = result else { panic!("not an I/O error") };
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn repeated_names_are_rejected() {
        let good = || header([array(0), array(64)]);
        let assert_rejected = |header: Header<'_>, expected| {
            assert_rejected(&file(&header.encode().unwrap(), &DATA), expected);
        };
        assert_rejected(
            Header { notes: vec![("k", ""), ("k", "")], ..good() },
            "found the note `k` twice",
        );
        let mut twice = good();
        twice.parts[0].entries[1].name = "a";
        assert_rejected(twice, "found the entry `a` twice");
        let mut twice = good();
        twice.parts.push(Part { name: "p", entries: vec![] });
        assert_rejected(twice, "found the part `p` twice");
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let u64 = |x: u64| x.to_le_bytes().to_vec();
        let entry =
            |content: &[u8]| [u64(0), u64(1), u64(0), u64(1), u64(0), content.to_vec()].concat();
        assert!(load(&file(&entry(&[1, 0, 0, 0, 1]), &[])).is_ok()); // the boolean `true`
        for hostile in [
            vec![],
            [u64(1), u64(u64::MAX)].concat(), // the length of a key
            [u64(0), u64(0), vec![0]].concat(), // a byte too many
            [u64(1), u64(1), vec![0xff]].concat(), // not UTF-8
            entry(&[1, 0, 0, 0, 2]),          // neither true nor false
            entry(&[5, 0, 0, 0, 0]),          // an unknown kind of value
            entry(&[0, 0, 0, 0, 3, 0, 0, 0]), // an unknown element type
            entry(&[&[0; 8][..], &u64(u64::MAX)].concat()), // the number of dimensions
        ] {
            let error = load(&file(&hostile, &[])).unwrap_err();
            assert!(error.ends_with("expected a checkpoint's header"), "{error}");
        }
        for many in [u64(u64::MAX), [u64(0), u64(1 << 40)].concat()] {
            let error = load(&file(&many, &[])).unwrap_err();
            assert!(error.ends_with("entries, expected at most 131072"), "{error}");
        }
    }

    #[test]
    fn a_wrong_start_is_reported() {
        let good = file(&header([array(0), array(64)]).encode().unwrap(), &DATA);
        assert_rejected(b"", "found an empty file, expected a checkpoint");
        assert_rejected(&good[..5], "found only 5 bytes, expected a checkpoint");
        assert_rejected(&good[..20], "found only 20 bytes, expected a checkpoint");
        assert_rejected(b"hello, I am no checkpoint", "found a text file, expected a checkpoint");
        let torch = [b"PK\x03\x04", &[0; 22][..], &[16, 0, 0, 0], b"archive/data.pkl"].concat();
        assert_rejected(
            &torch,
            "found an archive of torch.save (.pt, .pth), expected a checkpoint; use load_pt",
        );
        assert_rejected(
            b"\x01\x01\0\0\0\0\0\0{}",
            "found a safetensors file, expected a checkpoint; use load_safetensors",
        );
        let mut text = good.clone();
        text.remove(4); // CR LF became LF
        assert_rejected(&text, "found a checkpoint damaged by a transfer as text");
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = good.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            changed
        };
        assert_rejected(&with(8, &[2]), "found damage in the version, which is 2, expected 1");
        let mut later = with(8, &[2]);
        later[30] ^= 1; // with another header
        assert_rejected(&later, "found version 2 of the format, expected 1, the newest");
        let len = good.len();
        assert_rejected(
            &good[..len - 1],
            &format!("found {} bytes, expected {len}, the length", len - 1),
        );
        assert_rejected(
            &[&good[..], &[0]].concat(),
            &format!("found {} bytes, expected {len}, the length", len + 1),
        );
        let expected = "found a header of 4294967295 bytes, expected at most 16777216";
        assert_rejected(&with(12, &[255; 4]), expected);
        let expected = format!("found a header of 65536 bytes in a file of {len}, expected");
        assert_rejected(&with(12, &[0, 0, 1, 0]), &expected);
        assert_rejected(&with(30, &[77]), "found damage in the header (checksum");
        let mut last = good.clone();
        last[len - 1] ^= 1;
        assert_rejected(&last, "found damage in the file (checksum");
    }

    #[test]
    fn the_last_checksum_covers_the_header() {
        let [good, other] = ["v", "w"].map(|note| {
            let header = Header { notes: vec![("k", note)], ..header([array(0), array(64)]) };
            file(&header.encode().unwrap(), &DATA)
        });
        let end = good.len() - CHECKSUM;
        assert_rejected(
            &[&other[..end], &good[end..]].concat(),
            "found damage in the file (checksum",
        );
    }
}

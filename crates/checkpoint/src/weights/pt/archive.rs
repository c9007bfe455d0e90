//! The zip archive in which `torch.save` stores a pickle and the storages, uncompressed.
//!
//! Only what `torch.save` writes is read: stored files, with 64-bit sizes and positions if they need
//! them. Nothing in the directory takes memory before it has been found in the file.

use super::object::Span;
use super::{EXPECTED, damaged};

use super::room::Room;
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::place::Place;
use adamant_files::FormatError;
use adamant_tensor::shown;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// The length of the fixed part of a file's header, of its directory entry, of the end of the
/// directory, of the end with 64-bit fields, and of the locator that leads to it.
const HEADER: usize = 30;
const ENTRY: usize = 46;
const END: usize = 22;
const END_64: usize = 56;
const LOCATOR: usize = 20;
/// The longest comment after the end of the directory.
const COMMENT: usize = 0xffff;

/// The directory of an archive.
pub(super) struct Archive<'f> {
    file: &'f File,
    /// Where the directory starts: no file reaches beyond it.
    directory: u64,
    /// The names, one after the other.
    names: String,
    /// In the order of their names.
    entries: Vec<Entry>,
    /// The folder that everything is in, with its slash.
    folder: String,
}

#[derive(Clone, Copy)]
struct Entry {
    name: Span,
    compressed: bool,
    checksum: u32,
    len: u64,
    header: u64,
}

impl<'f> Archive<'f> {
    /// Reads the directory of a file of `len` bytes.
    pub(super) fn open(file: &'f File, len: u64, room: &mut Room) -> Result<Self, ReadError> {
        let (directory, size, count) = end(file, len)?;
        limits::check_header(size)?;
        let mut archive = Archive {
            file,
            directory,
            names: String::new(),
            entries: Vec::new(),
            folder: String::new(),
        };
        let mut input = BufReader::with_capacity(1 << 16, file);
        input.seek(SeekFrom::Start(directory))?;
        let mut rest = size;
        while rest > 0 {
            archive.entry(&mut input, &mut rest, room)?;
        }
        if archive.entries.len() as u64 != count {
            let text = format_args!("{} files in an archive of {count}", archive.entries.len());
            return Err(damaged(text).into());
        }
        if let Some(first) = archive.entries.first() {
            let name = archive.name(first);
            archive.folder = name[..name.find('/').map_or(0, |slash| slash + 1)].to_string();
        }
        let Archive { names, entries, .. } = &mut archive;
        let name = |entry: &Entry| &names[entry.name.range()];
        entries.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        match entries.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            None => Ok(archive),
            Some(pair) => Err(damaged(format_args!("`{}` twice", shown(name(&pair[0])))).into()),
        }
    }

    /// Reads an entry of the directory.
    fn entry(
        &mut self,
        input: &mut impl Read,
        rest: &mut u64,
        room: &mut Room,
    ) -> Result<(), ReadError> {
        let mut take = |input: &mut dyn Read, bytes: &mut [u8]| -> Result<(), ReadError> {
            let left = rest.checked_sub(bytes.len() as u64);
            *rest = left.ok_or_else(|| damaged("an incomplete directory"))?;
            Ok(input.read_exact(bytes)?)
        };
        let mut fixed = [0; ENTRY];
        take(input, &mut fixed)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err(damaged("a directory without an entry").into());
        }
        let [name_len, extra_len, comment_len] =
            [28, 30, 32].map(|at| usize::from(u16_at(&fixed, at)));
        // As of pickles' keys: to compare long ones would take minutes.
        if name_len > 2 * limits::PICKLE_KEY {
            return Err(damaged("a long name").into());
        }
        let mut variable = vec![0; name_len + extra_len + comment_len];
        take(input, &mut variable)?;
        let name =
            std::str::from_utf8(&variable[..name_len]).map_err(|_| damaged("a file's name"))?;
        let [mut len, mut stored, mut header] =
            [24, 20, 42].map(|at| u64::from(u32_at(&fixed, at)));
        let mut wide = wide_fields(&variable[name_len..name_len + extra_len]);
        for field in [&mut len, &mut stored, &mut header] {
            if *field == u64::from(u32::MAX) {
                let bytes =
                    wide.split_off(..8).ok_or_else(|| damaged("a file without a length"))?;
                *field = u64_at(bytes, 0);
            }
        }
        if u16_at(&fixed, 8) & 1 != 0 {
            let found = format!("`{}`, which is encrypted", shown(name));
            return Err(FormatError::new(found, EXPECTED).into());
        }
        let compressed = u16_at(&fixed, 10) != 0;
        if !compressed && len != stored {
            let text = format_args!("`{}` of {len} bytes, stored as {stored}", shown(name));
            return Err(damaged(text).into());
        }
        let start = self.names.len();
        room.push_str(&mut self.names, name)?;
        let name = Span::new(start..self.names.len());
        let entry = Entry { name, compressed, checksum: u32_at(&fixed, 16), len, header };
        Ok(room.push(&mut self.entries, entry)?)
    }

    fn name(&self, entry: &Entry) -> &str {
        &self.names[entry.name.range()]
    }

    /// Whether there is a file of this name in the archive's folder.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        let key = |entry: &Entry| {
            let found = self.name(entry);
            let in_folder = found.strip_prefix(self.folder.as_str());
            // The files of the folder are adjacent, since the entries are in order.
            in_folder.map_or_else(|| found.cmp(&self.folder), |rest| rest.cmp(name))
        };
        self.entries.binary_search_by(key).ok().map(|index| &self.entries[index])
    }

    /// The bytes of a file in the archive's folder.
    ///
    /// # Errors
    /// If there is no such file, if it is compressed, or if it lies outside the archive.
    pub(super) fn place(&self, name: &str) -> Result<Place, ReadError> {
        let Some(entry) = self.find(name) else {
            return Err(damaged(format_args!("no `{}`", shown(name))).into());
        };
        let full = self.name(entry);
        if entry.compressed {
            let found = format!("`{}`, which is compressed", shown(full));
            let expected = format!("{EXPECTED}, which does not compress");
            return Err(FormatError::new(found, expected).into());
        }
        let outside = || damaged(format_args!("`{}` outside the archive", shown(full)));
        let wrong_header = || damaged(format_args!("the header of `{}`", shown(full)));
        let end_of = |start: u64, len: u64| {
            start.checked_add(len).filter(|&end| end <= self.directory).ok_or_else(outside)
        };
        let mut file = self.file;
        let name_start = end_of(entry.header, HEADER as u64)?;
        file.seek(SeekFrom::Start(entry.header))?;
        let mut fixed = [0; HEADER];
        file.read_exact(&mut fixed)?;
        if !fixed.starts_with(b"PK\x03\x04") {
            return Err(wrong_header().into());
        }
        let [name_len, extra_len] = [26, 28].map(|at| usize::from(u16_at(&fixed, at)));
        let start = end_of(name_start, (name_len + extra_len) as u64)?;
        end_of(start, entry.len)?;
        let mut name = vec![0; name_len];
        file.read_exact(&mut name)?;
        if name != full.as_bytes() {
            return Err(wrong_header().into());
        }
        // `torch.save` writes 0 if it was asked not to compute checksums.
        let checksum = Some(entry.checksum).filter(|&checksum| checksum != 0);
        Ok(Place { start, len: entry.len, checksum })
    }
}

/// The position and the size of the directory, and the number of its entries.
fn end(mut file: &File, len: u64) -> Result<(u64, u64, u64), ReadError> {
    let none = || damaged("an archive without an end");
    let mut last = vec![0; len.min((LOCATOR + END + COMMENT) as u64) as usize];
    let first = len - last.len() as u64;
    file.seek(SeekFrom::Start(first))?;
    file.read_exact(&mut last)?;
    let is_end = |&at: &usize| {
        last[at..].starts_with(b"PK\x05\x06")
            && at + END + usize::from(u16_at(&last, at + 20)) == last.len()
    };
    let starts = last.len().checked_sub(END).ok_or_else(none)?;
    let at = (0..=starts).rev().find(is_end).ok_or_else(none)?;
    let mut end = (
        u64::from(u32_at(&last, at + 16)),
        u64::from(u32_at(&last, at + 12)),
        u64::from(u16_at(&last, at + 10)),
    );
    let mut limit = first + at as u64;
    let locator = at.checked_sub(LOCATOR).map(|from| &last[from..at]);
    if let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
        limit = u64_at(locator, 8);
        let fits = limit
            .checked_add((END_64 + LOCATOR) as u64)
            .is_some_and(|end| end <= first + at as u64);
        if !fits {
            return Err(none().into());
        }
        file.seek(SeekFrom::Start(limit))?;
        let mut wide = [0; END_64];
        file.read_exact(&mut wide)?;
        if !wide.starts_with(b"PK\x06\x06") {
            return Err(none().into());
        }
        end = (u64_at(&wide, 48), u64_at(&wide, 40), u64_at(&wide, 32));
    }
    let (start, size, _) = end;
    match start.checked_add(size) {
        Some(end_of_directory) if end_of_directory == limit => Ok(end),
        _ => Err(damaged(format_args!("a directory of {size} bytes at {start} of {len}")).into()),
    }
}

/// The fields of 64 bits of a directory entry, among its extra fields.
fn wide_fields(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + len) else { break };
        if id == 1 {
            return field;
        }
        extra = &extra[4 + len..];
    }
    &[]
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::archive_writer::ArchiveWriter;
    use super::*;
    use std::io::Write;
    use std::path::Path;

    /// An archive of these files.
    fn written(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = ArchiveWriter::new(&mut bytes);
        files.iter().for_each(|(name, contents)| archive.file(name, contents).unwrap());
        archive.finish().unwrap();
        bytes
    }

    /// The contents of the file `name`, or the error's text.
    fn read(archive: &[u8], name: &str) -> Result<Vec<u8>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        let mut contents = Vec::new();
        let mut read = || {
            let archive = Archive::open(&file, archive.len() as u64, &mut Room::new())?;
            archive.place(name)?.read(&file, name, &mut contents)
        };
        match read() {
            Ok(()) => Ok(contents),
            Err(ReadError::Format(error)) => Err(error.found),
            Err(error) => panic!("{}", error.at(Path::new("archive"))),
        }
    }

    const FILES: [(&str, &[u8]); 4] =
        [("a/data.pkl", b"pickle"), ("a/data/0", b"\x01\x02"), ("a/data/1", b""), ("b", b"other")];

    #[test]
    fn files_are_found_by_name_in_the_first_folder() {
        let archive = written(&FILES);
        assert_eq!(read(&archive, "data.pkl").unwrap(), b"pickle");
        assert_eq!(read(&archive, "data/0").unwrap(), [1, 2]);
        assert_eq!(read(&archive, "data/1").unwrap(), b"");
        for name in ["b", "data", "data/2", "../b", "a/data.pkl", ""] {
            assert_eq!(read(&archive, name).unwrap_err(), format!("damage (no `{name}`)"));
        }
        assert_eq!(read(&written(&[("b", b"other")]), "b").unwrap(), b"other"); // no folder
    }

    #[test]
    fn files_start_at_aligned_positions() {
        let archive = written(&FILES);
        let at = |text: &[u8]| archive.windows(text.len()).position(|found| found == text).unwrap();
        assert_eq!((at(b"pickle") % 64, at(b"\x01\x02") % 64), (0, 0));
    }

    #[test]
    fn a_comment_may_follow_the_end() {
        let mut archive = written(&FILES);
        let len = archive.len();
        archive[len - 2..].copy_from_slice(&7u16.to_le_bytes());
        archive.extend(b"PK\x05\x06xxx");
        assert_eq!(read(&archive, "data.pkl").unwrap(), b"pickle");
    }

    #[test]
    fn a_hostile_directory_is_damage() {
        let good = written(&FILES);
        let end = good.len();
        let directory = good.windows(4).position(|at| at == b"PK\x01\x02").unwrap();
        // In the directory: an entry of 46 bytes, its name, an identifier and a length of two bytes
        // each, two lengths and a position of eight bytes each.
        let wide = directory + 46 + "a/data.pkl".len() + 4;
        let huge = u64::MAX.to_le_bytes();
        let beyond = (end as u64).to_le_bytes();
        for (at, bytes, expected) in [
            (directory, &b"x"[..], "a directory without an entry"),
            (directory + 28, &[0xff; 2], "a long name"),
            (directory + 28, &[0xff, 1], "an incomplete directory"),
            (directory + 30, &[0; 2], "a file without a length"),
            (wide, &beyond, "bytes, stored as 6"),
            (wide, &[beyond, beyond].concat(), "`a/data.pkl` outside the archive"),
            (wide, &[huge, huge].concat(), "`a/data.pkl` outside the archive"),
            (wide + 16, &beyond, "`a/data.pkl` outside the archive"),
            (wide + 16, &huge, "`a/data.pkl` outside the archive"),
            (wide + 16, &[1, 0, 0, 0], "the header of `a/data.pkl`"),
            (directory + 46, b"a/data/0", "the header of"),
            (26, &[9, 0], "the header of `a/data.pkl`"),
            (28, &[0xff, 0xff], "`a/data.pkl` outside the archive"),
            (64, b"P", "has checksum"),
            // The end of 64 bits: the number of entries, the size and the position of the directory.
            (end - 98 + 32, &huge, "4 files in an archive of"),
            (end - 98 + 40, &huge, "a directory of"),
            (end - 98 + 48, &huge, "a directory of"),
            (end - 98 + 48, &[0; 8], "a directory of"),
            // The locator's position of that end.
            (end - 42 + 8, &huge, "an archive without an end"),
            (end - 42 + 8, &beyond, "an archive without an end"),
            (end - 22, b"x", "an archive without an end"),
        ] {
            let mut archive = good.clone();
            archive[at..at + bytes.len()].copy_from_slice(bytes);
            let name = if at == directory + 46 { "data/0kl" } else { "data.pkl" };
            let error = read(&archive, name).unwrap_err();
            assert!(
                error.contains(expected) && error.starts_with("damage ("),
                "{expected}: {error}"
            );
        }
        let twice = written(&[FILES[0], FILES[0]]);
        assert_eq!(read(&twice, "data.pkl").unwrap_err(), "damage (`a/data.pkl` twice)");
        for flags in [(8, 1u16), (10, 8)] {
            let mut archive = good.clone();
            archive[directory + flags.0..][..2].copy_from_slice(&flags.1.to_le_bytes());
            let error = read(&archive, "data.pkl").unwrap_err();
            let expected = if flags.0 == 8 { "encrypted" } else { "compressed" };
            assert_eq!(error, format!("`a/data.pkl`, which is {expected}"));
        }
    }
}

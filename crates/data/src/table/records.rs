//! The records of a CSV file, each with its line.

use crate::input::Input;
use adamant_files::{FileError, FormatError, other_kind};
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::io::{self, Read};
use std::path::Path;

/// The longest record in bytes. A quote that is never closed makes one record of the rest of the
/// file, and a small gzip file can hold a field of gigabytes.
const LONGEST: usize = 16 << 20;

/// Follows the last byte of the file. A record of its own, unless a quoted field is still open.
const END: &[u8] = b"\n\0";

/// Reads a CSV file record by record.
pub(super) struct Records<'p> {
    path: &'p Path,
    reader: Reader<Lines>,
    record: ByteRecord,
}

/// A record, which may have any number of fields.
#[derive(Clone, Copy)]
pub(super) struct Record<'r> {
    pub(super) line: u64,
    fields: &'r ByteRecord,
}

impl<'p> Records<'p> {
    pub(super) fn open(path: &'p Path, delimiter: u8) -> Result<Self, FileError> {
        let mut input = Input::open(path)?;
        let start = input.start()?;
        if start.is_empty() || is_binary(start) || is_html(start) {
            return Err(other_kind(start, "a CSV file").at(path));
        }
        let lines = Lines { input, after_cr: false, end: None, len: 0, left: LONGEST };
        let mut options = ReaderBuilder::new();
        options.delimiter(delimiter).has_headers(false).flexible(true).buffer_capacity(1 << 16);
        Ok(Records { path, reader: options.from_reader(lines), record: ByteRecord::new() })
    }

    /// The next record, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, FileError> {
        let first_line = self.reader.position().line();
        self.reader.get_mut().left = LONGEST;
        let read = self.reader.read_byte_record(&mut self.record);
        let lines = self.reader.get_ref();
        if let Err(error) = read {
            if lines.left == 0 {
                let found = format!("more than {LONGEST} bytes in the record at line {first_line}");
                let expected = "a shorter one; a quote may not be closed";
                return Err(FileError::format(self.path, found, expected));
            }
            return Err(match error.into_kind() {
                csv::ErrorKind::Io(error) => lines.input.error(error),
                kind => FileError::io(self.path, io::Error::other(format!("{kind:?}"))),
            });
        }
        // A record consumes its last line break, and the empty lines before it.
        let breaks = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        let line = self.reader.position().line().saturating_sub(1 + breaks);
        if lines.end == Some(END.len()) && self.reader.position().byte() == lines.len {
            if self.record.len() == 1 && self.record.as_slice() == b"\0" {
                return Ok(None);
            }
            let line = line + 1; // `END` has no line break after it
            let found = format!("a quoted field that is not closed in the record at line {line}");
            return Err(FileError::format(self.path, found, "a closing quote"));
        }
        Ok(Some(Record { line, fields: &self.record }))
    }
}

/// Whether there is a NUL where binary files have one: among the first bytes or in the first line.
fn is_binary(start: &[u8]) -> bool {
    let line = start.iter().position(|&byte| byte == b'\n').unwrap_or(start.len());
    start[..start.len().min(line.max(9))].contains(&0)
}

/// Whether this is a page, which servers send in place of a file.
fn is_html(start: &[u8]) -> bool {
    let starts_with = |tag: &[u8]| {
        let start = start.trim_ascii_start().get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag))
    };
    starts_with(b"<!doctype html") || starts_with(b"<html")
}

impl<'r> Record<'r> {
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The fields without the white space around them, each with its number from 1.
    pub(super) fn fields(self) -> impl Iterator<Item = Result<&'r str, FormatError>> {
        self.fields.iter().enumerate().map(move |(i, field)| {
            let at = || format!("in line {}, field {}", self.line, i + 1);
            if let Some(nul) = field.iter().position(|&byte| byte == 0) {
                let found = format!("a NUL at byte {nul} of the string {}", at());
                return Err(FormatError::new(found, "text"));
            }
            let field = str::from_utf8(field).map_err(|error| {
                let byte = field[error.valid_up_to()];
                FormatError::new(format!("the byte {byte:#04x} {}", at()), "UTF-8")
            })?;
            Ok(field.trim())
        })
    }
}

/// The bytes of a file with each line break as `\n`, then [`END`]. Fails after [`LONGEST`] bytes
/// of a record.
struct Lines {
    input: Input,
    after_cr: bool,
    /// The bytes of `END` that have been returned, from the end of the file on.
    end: Option<usize>,
    /// The number of bytes that have been returned.
    len: u64,
    /// The number of bytes that may be returned for this record.
    left: usize,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("a record that is too long"));
        }
        let most = buffer.len().min(self.left);
        let buffer = &mut buffer[..most];
        let mut len = 0;
        // What was read may be a single `\n` after a `\r`, which is dropped.
        while len == 0 && self.end.is_none() {
            let read = self.input.read(buffer)?;
            if read == 0 && !buffer.is_empty() {
                self.end = Some(0);
            }
            len = self.unify(&mut buffer[..read]);
        }
        if let Some(end) = &mut self.end {
            let rest = &END[*end..];
            len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            *end += len;
        }
        self.len += len as u64;
        self.left -= len;
        Ok(len)
    }
}

impl Lines {
    /// Makes `\n` of `\r\n` and `\r`; returns the new length.
    fn unify(&mut self, bytes: &mut [u8]) -> usize {
        if !self.after_cr && !bytes.contains(&b'\r') {
            return bytes.len();
        }
        let mut len = 0;
        for i in 0..bytes.len() {
            let byte = bytes[i];
            if byte != b'\n' || !self.after_cr {
                bytes[len] = if byte == b'\r' { b'\n' } else { byte };
                len += 1;
            }
            self.after_cr = byte == b'\r';
        }
        len
    }
}

//! The IDX format of the MNIST files, plain or compressed by gzip.
//!
//! Two zero bytes, the type of the elements (8: unsigned bytes), the number of dimensions, the size
//! of each as a big-endian u32, then the elements. Memory for the elements is allocated only once
//! the file is known to hold them: the header is not trusted.

use crate::input::Input;
use adamant_files::{FileError, FormatError, START, other_kind};
use std::io::{self, Read};
use std::path::Path;

/// The contents of an IDX file of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The sizes of the dimensions.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub bytes: Vec<u8>,
}

const UNSIGNED_BYTE: u8 = 8;

/// Up to this length, the elements of a compressed file are read directly. More are counted first,
/// by decompressing and discarding them: 1 MiB of gzip may claim to hold 1 GiB.
const UNCOUNTED: u64 = 32 << 20;

/// Reads an IDX file of unsigned bytes, decompressing it if it is gzip.
///
/// # Errors
/// If the file cannot be read, is not an IDX file of unsigned bytes, or is shorter or longer than
/// its header says. The path must lead to a regular file, not to a pipe.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Idx, FileError> {
    IdxFile::open(path.as_ref())?.read()
}

/// An IDX file whose header has been read and whose length has been checked against it, as far as
/// that takes no memory for the elements.
pub(crate) struct IdxFile {
    pub(crate) shape: Vec<usize>,
    /// The number of elements.
    len: usize,
    /// The file after the header.
    input: Input,
}

impl IdxFile {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let mut opened = Self::open_header(path)?;
        if !opened.input.gzip {
            let header_len = 4 + 4 * opened.shape.len() as u64;
            opened.check_len(opened.input.file_len.saturating_sub(header_len))?;
        } else if opened.len as u64 > UNCOUNTED {
            let mut elements = (&mut opened.input).take(opened.len as u64 + 1);
            let counted = io::copy(&mut elements, &mut io::sink());
            opened.check_len(counted.map_err(|error| opened.input.error(error))?)?;
            opened = Self::open_header(path)?;
        }
        Ok(opened)
    }

    fn open_header(path: &Path) -> Result<Self, FileError> {
        let mut opened = IdxFile { shape: Vec::new(), len: 0, input: Input::open(path)? };
        let input = &mut opened.input;
        let start = input.up_to(4)?;
        let &[0, 0, kind @ (8 | 9 | 11..=14), dims] = &start[..] else {
            let start = [start, input.up_to(START - 4)?].concat();
            let FormatError { found, expected } = other_kind(&start, "an IDX file");
            let found = if input.gzip { format!("{found}, in gzip") } else { found };
            return Err(input.mismatch(found, expected));
        };
        if kind != UNSIGNED_BYTE {
            let found = format!("an IDX file with elements of type {kind:#04x}");
            return Err(input.mismatch(found, "unsigned bytes (0x08)"));
        }
        let dims = usize::from(dims);
        let sizes = input.up_to(4 * dims)?;
        if sizes.len() < 4 * dims {
            let found = format!("a header of {} bytes", 4 + sizes.len());
            let expected = format!("{} bytes for {dims} dimensions", 4 + 4 * dims);
            return Err(input.mismatch(found, expected));
        }
        let sizes = sizes.as_chunks().0.iter();
        opened.shape = sizes.map(|&size| u32::from_be_bytes(size) as usize).collect();
        let len = opened.shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        opened.len = len.ok_or_else(|| opened.wrong_shape("a size that fits in memory"))?;
        Ok(opened)
    }

    pub(crate) fn read(mut self) -> Result<Idx, FileError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(self.len).map_err(|error| self.input.error(error.into()))?;
        let read = (&mut self.input).take(self.len as u64).read_to_end(&mut bytes);
        // Read to the end of the file, where gzip has its checksum.
        let more = read.and_then(|_| io::copy(&mut (&mut self.input).take(1), &mut io::sink()));
        self.check_len(bytes.len() as u64 + more.map_err(|error| self.input.error(error))?)?;
        Ok(Idx { shape: self.shape, bytes })
    }

    fn check_len(&self, found: u64) -> Result<(), FileError> {
        let len = self.len as u64;
        if found == len {
            return Ok(());
        }
        let found = if found > len { "more bytes".into() } else { format!("only {found} bytes") };
        let expected = format!("the {len} bytes of shape {:?} after the header", self.shape);
        Err(self.input.mismatch(found, expected))
    }

    pub(crate) fn wrong_shape(&self, expected: impl Into<String>) -> FileError {
        self.input.mismatch(format!("a header with shape {:?}", self.shape), expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, UNSIGNED_BYTE, sizes.len() as u8];
        sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Idx, FileError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read_idx(file.path())
    }

    #[track_caller]
    fn assert_rejected(bytes: &[u8], parts: &[&str]) {
        let error = read(bytes).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }

    #[test]
    fn plain_and_compressed_files_are_read() {
        let file = idx(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = Idx { shape: vec![2, 3], bytes: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(read(&file).unwrap(), expected);
        assert_eq!(read(&gzip(&file)).unwrap(), expected);
        assert_eq!(read(&idx(&[0, 3], &[])).unwrap().bytes, []);
    }

    #[test]
    fn other_files_are_rejected() {
        assert_rejected(b"", &["found an empty file, expected an IDX file"]);
        assert_rejected(b"\0\0\x08", &["only 3 bytes"]);
        assert_rejected(b"\x89PNG\r\n\x1a\n", &["found a PNG image, expected an IDX file"]);
        assert_rejected(&gzip(b"a text"), &["found a text file, in gzip, expected an IDX file"]);
        assert_rejected(&[7; 9], &["an unknown kind of file, which starts with [07, 07"]);
        assert_rejected(&[0, 0, 13, 1, 0, 0, 0, 0], &["type 0x0d", "unsigned bytes"]);
        assert_rejected(&[0, 0, 8, 2, 0, 0], &["a header of 6 bytes", "12 bytes for 2 dimensions"]);
    }

    #[test]
    fn a_wrong_length_is_rejected() {
        for wrap in [<[u8]>::to_vec, gzip] {
            assert_rejected(
                &wrap(&idx(&[2, 2], &[1, 2, 3])),
                &["only 3 bytes", "the 4 bytes of shape [2, 2]"],
            );
            assert_rejected(&wrap(&idx(&[2, 2], &[1, 2, 3, 4, 5])), &["more bytes", "the 4 bytes"]);
            // The header's claim is not allocated.
            assert_rejected(
                &wrap(&idx(&[u32::MAX, 28, 28], &[1])),
                &["only 1 bytes", "4294967295"],
            );
            assert_rejected(
                &wrap(&idx(&[u32::MAX; 4], &[1])),
                &["a header with shape", "fits in memory"],
            );
        }
    }

    #[test]
    fn a_cut_or_changed_gzip_stream_is_rejected() {
        let bytes: Vec<u8> = (0..2000u32).map(|i| (i * i % 251) as u8).collect();
        let whole = gzip(&idx(&[2000], &bytes));
        for len in 2..whole.len() {
            assert!(read(&whole[..len]).is_err(), "cut at {len}");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle] ^= 0x55;
        assert_rejected(&damaged, &["damage", "an intact gzip stream"]);
        let mut trailing = whole;
        trailing.extend(b"more");
        assert!(read(&trailing).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_folders_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero")] {
            let error = read_idx(path).unwrap_err().to_string(); // and does not wait
            let expected = "found a pipe or a device, expected a regular file";
            assert_eq!(error, format!("{}: {expected}", path.display()));
        }
        let error = read_idx(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with(": is a directory"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_idx("no/such/file").unwrap_err().to_string();
        assert!(error.starts_with("no/such/file: "), "{error}");
    }
}

//! Files, plain or compressed by gzip.

use adamant_files::{FileError, open};
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The bytes of a file, decompressed if it is gzip.
pub(crate) struct Input {
    path: PathBuf,
    pub(crate) gzip: bool,
    /// The length of the file on the disk.
    pub(crate) file_len: u64,
    bytes: Box<dyn BufRead>,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let (file, file_len) = open(path)?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let start = file.fill_buf().map_err(|error| FileError::io(path, error))?;
        let gzip = start.starts_with(&GZIP_MAGIC);
        let bytes: Box<dyn BufRead> = match gzip {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Input { path: path.into(), gzip, file_len, bytes })
    }

    /// The first bytes, without consuming them; none only if the file is empty.
    pub(crate) fn start(&mut self) -> Result<&[u8], FileError> {
        let Input { path, gzip, bytes, .. } = self;
        bytes.fill_buf().map_err(|error| file_error(path, *gzip, error))
    }

    /// The next `len` bytes, or fewer at the end of the file.
    pub(crate) fn up_to(&mut self, len: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let read = (&mut *self).take(len as u64).read_to_end(&mut bytes);
        read.map_err(|error| self.error(error))?;
        Ok(bytes)
    }

    /// The error of contents that are not as expected.
    pub(crate) fn mismatch(
        &self,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> FileError {
        FileError::format(&self.path, found, expected)
    }

    /// The error of the file for an error of reading.
    pub(crate) fn error(&self, error: io::Error) -> FileError {
        file_error(&self.path, self.gzip, error)
    }
}

fn file_error(path: &Path, gzip: bool, error: io::Error) -> FileError {
    // The kinds of error that the decoder reports for an invalid gzip stream.
    use ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof if gzip => {
            FileError::format(path, format!("damage ({error})"), "an intact gzip stream")
        }
        _ => FileError::io(path, error),
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

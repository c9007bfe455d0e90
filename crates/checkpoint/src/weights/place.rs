//! A range of a file, which may have a checksum.

use crate::read_error::ReadError;
use adamant_files::FormatError;
use adamant_tensor::shown;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// A range of a file that has been checked to lie within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) len: u64,
    /// The checksum of the bytes; `None` in a file without checksums.
    pub(super) checksum: Option<u32>,
}

impl Place {
    /// Reads all bytes in order and verifies their checksum. `read` reads those from position `from`
    /// of the file, as many as it needs; its result counts only if the checksum is right. `name` is
    /// for messages.
    pub(super) fn pass<R>(
        self,
        mut file: &File,
        name: &str,
        from: u64,
        read: impl FnOnce(&mut Hashing<'_>) -> Result<R, ReadError>,
    ) -> Result<R, ReadError> {
        file.seek(SeekFrom::Start(self.start))?;
        let mut input = Hashing { file, hasher: crc32fast::Hasher::new(), rest: self.len };
        input.skip(from - self.start)?;
        let result = read(&mut input);
        input.skip(input.rest)?;
        let found = input.hasher.finalize();
        match self.checksum {
            Some(saved) if saved != found => {
                let name = shown(name);
                let found = format!("damage (`{name}` has checksum {found:08x}, not {saved:08x})");
                Err(FormatError::new(found, "a file without damage").into())
            }
            _ => result,
        }
    }

    /// Verifies the checksum without keeping the bytes.
    pub(super) fn verify(self, file: &File, name: &str) -> Result<(), ReadError> {
        self.pass(file, name, self.start, |_| Ok(()))
    }

    /// Reads the bytes into `buffer`, in place of what was there.
    ///
    /// # Errors
    /// If there is not enough memory, if the file cannot be read, or if the checksum is wrong.
    pub(super) fn read(
        self,
        file: &File,
        name: &str,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let too_large = |_| io::Error::from(ErrorKind::OutOfMemory);
        let len = usize::try_from(self.len).map_err(too_large)?;
        buffer.clear();
        buffer.try_reserve_exact(len).map_err(io::Error::from)?;
        buffer.resize(len, 0);
        self.pass(file, name, self.start, |input| Ok(input.read_exact(buffer)?))
    }
}

/// The bytes of a place that have not been read yet. Computes the checksum of those that have.
pub(super) struct Hashing<'f> {
    file: &'f File,
    hasher: crc32fast::Hasher,
    rest: u64,
}

impl Hashing<'_> {
    fn skip(&mut self, len: u64) -> io::Result<()> {
        match io::copy(&mut self.take(len), &mut io::sink())? == len {
            true => Ok(()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = self.rest.min(out.len() as u64) as usize;
        let read = self.file.read(&mut out[..wanted])?;
        self.hasher.update(&out[..read]);
        self.rest -= read as u64;
        Ok(read)
    }
}

//! Where a storage's bytes are in a file.

use super::fault::{Fault, damaged};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// A range of a file that has been checked to lie within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) len: u64,
    /// The checksum of the bytes; `None` in a file without checksums.
    pub(super) checksum: Option<u32>,
}

impl Place {
    /// Reads the bytes into `buffer`, in place of what was there.
    ///
    /// # Errors
    /// If there is not enough memory, if the file cannot be read, or if the checksum is wrong.
    pub(super) fn read(
        self,
        mut file: &File,
        name: &str,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let len = usize::try_from(self.len).map_err(|_| damaged("a storage beyond memory"))?;
        buffer.clear();
        buffer.try_reserve_exact(len).map_err(std::io::Error::from)?;
        file.seek(SeekFrom::Start(self.start))?;
        buffer.resize(len, 0);
        file.read_exact(buffer)?;
        self.check(name, crc32fast::hash(buffer))
    }

    /// Checks the checksum without keeping the bytes.
    pub(super) fn verify(self, mut file: &File, name: &str) -> Result<(), Fault> {
        file.seek(SeekFrom::Start(self.start))?;
        let (mut hasher, mut rest, mut piece) = (crc32fast::Hasher::new(), self.len, [0; 1 << 13]);
        while rest > 0 {
            let piece = &mut piece[..rest.min(1 << 13) as usize];
            file.read_exact(piece)?;
            hasher.update(piece);
            rest -= piece.len() as u64;
        }
        self.check(name, hasher.finalize())
    }

    fn check(self, name: &str, found: u32) -> Result<(), Fault> {
        match self.checksum {
            Some(saved) if saved != found => {
                let text = format_args!("`{name}` has checksum {found:08x}, not {saved:08x}");
                Err(damaged(text).into())
            }
            _ => Ok(()),
        }
    }
}

//! The bytes of a pickle.

use super::damaged;
use crate::limits;
use crate::read_error::ReadError;
use std::io::{self, Read};

/// Reads a pickle that ends within the next bytes of a file.
pub(super) struct Input<R> {
    reader: R,
    /// The number of bytes that may be read: no more than the file has, and than the limit.
    left: u64,
    /// Whether the limit, not the file, is what ends the bytes.
    limited: bool,
    read: u64,
}

impl<R: Read> Input<R> {
    /// `rest` is the number of bytes that follow in the file.
    pub(super) fn new(reader: R, rest: u64) -> Self {
        let limit = limits::HEADER as u64;
        Input { reader, left: rest.min(limit), limited: rest > limit, read: 0 }
    }

    /// The number of bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.read
    }

    /// Checks that this many bytes follow.
    pub(super) fn check(&self, len: u64) -> Result<(), ReadError> {
        match len <= self.left {
            true => Ok(()),
            // They may be there, beyond the limit.
            false if self.limited => Ok(limits::check_pickle(self.read.saturating_add(len))?),
            false => {
                let text = format_args!("{len} bytes in a pickle that has {} more", self.left);
                Err(damaged(text).into())
            }
        }
    }

    fn advance(&mut self, len: u64) -> Result<(), ReadError> {
        self.check(len)?;
        self.left -= len;
        self.read += len;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.advance(N as u64)?;
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ReadError> {
        self.array().map(|[byte]| byte)
    }

    /// Reads bytes to the end of `out`.
    pub(super) fn append(&mut self, len: usize, out: &mut Vec<u8>) -> Result<(), ReadError> {
        self.advance(len as u64)?;
        let read = (&mut self.reader).take(len as u64).read_to_end(out)?;
        if read < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

//! The GGUF format of llama.cpp: metadata, and named tensors, which may be quantized.

mod header;
mod types;

pub(super) use self::header::Header;

use super::listed::Listed;
use super::metadata::Metadata;
use crate::read_error::ReadError;
use adamant_files::Opened;

/// The kind of file, for messages.
pub(super) const EXPECTED: &str = "a GGUF file";

/// Lists what is in a file, which is file `file` of the model.
pub(super) fn list(opened: &Opened, file: u32) -> Result<Listed, ReadError> {
    let (header, entries) = Header::read(opened, file)?;
    Ok(Listed { entries, scalars: Vec::new(), metadata: Metadata::Gguf(header) })
}

//! Limits on a file's header, for all formats.
//!
//! A small file can describe a large dictionary: entries in memory take about ten times their bytes
//! in a file. Readers and writers have the same limits, so that every written file can be read.

use adamant_files::FormatError;

/// The maximum length of a header, in bytes: room for a hundred thousand arrays.
pub(crate) const HEADER: usize = 1 << 24;
/// The maximum number of entries: values, parts and notes. With the longest header, a reader takes
/// less than 64 MiB in addition to its result.
pub(crate) const ENTRIES: usize = 1 << 17;
/// The maximum number of dimensions of an array, as in PyTorch.
pub(crate) const RANK: usize = 64;
/// The maximum length of a GGUF file's header, in bytes: room for vocabularies of half a million
/// tokens. With names and the index, a reader takes less than 64 MiB.
pub(crate) const GGUF_HEADER: usize = 24 << 20;
/// The maximum number of dimensions of a tensor in a GGUF file, as in llama.cpp.
pub(crate) const GGUF_RANK: u32 = 4;
/// The maximum number of bytes that the objects of a pickle, the directory of its archive and the
/// entries of the result take together: a state of forty thousand tensors. With its buffers, a
/// reader stays below 64 MiB in addition to the arrays.
pub(crate) const PICKLE_ROOM: usize = 56 << 20;
/// The longest name of an entry of a pickle, in bytes: each entry copies the names of its
/// containers.
pub(crate) const PICKLE_NAME: usize = 1 << 16;
/// The deepest nesting of containers in a pickle.
pub(crate) const PICKLE_DEPTH: usize = 100;
/// The longest line of a pickle, in bytes: the name of a global, or the digits of an integer.
pub(crate) const PICKLE_LINE: usize = 1000;
/// The longest key of a storage, in bytes. PyTorch's are short numbers; comparing long ones would
/// take minutes.
pub(crate) const PICKLE_KEY: usize = 256;
/// What the elements of a pickle's tensors may take, as they are in the file, in addition to twice
/// the file's length. Views of a storage may overlap, and a small file may thus describe tensors of
/// any size.
pub(crate) const PICKLE_OVERLAP: u64 = 1 << 22;

pub(crate) fn check_header(len: u64) -> Result<(), FormatError> {
    check(len, HEADER, "a header", "bytes")
}

pub(crate) fn check_pickle(len: u64) -> Result<(), FormatError> {
    check(len, HEADER, "a pickle", "bytes")
}

pub(crate) fn check_entries(count: u64) -> Result<(), FormatError> {
    check(count, ENTRIES, "a file", "entries")
}

pub(crate) fn check_rank(rank: u64) -> Result<(), FormatError> {
    check(rank, RANK, "an array", "dimensions")
}

fn check(count: u64, limit: usize, of: &str, what: &str) -> Result<(), FormatError> {
    match count <= limit as u64 {
        true => Ok(()),
        false => {
            Err(FormatError::new(format!("{of} of {count} {what}"), format!("at most {limit}")))
        }
    }
}

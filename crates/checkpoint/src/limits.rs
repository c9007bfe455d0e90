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

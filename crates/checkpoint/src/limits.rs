//! How large a file's description of its contents may be, whatever the format.
//!
//! A small file can describe much: entries take some ten times their bytes when they are a
//! dictionary. Readers and writers keep the same limits, so that what is written can be read.

/// The longest header, in bytes: room for a hundred thousand arrays.
pub(crate) const HEADER: usize = 1 << 24;
/// The most entries: values, parts and notes. With the longest header a reader of them takes less
/// than 64 MiB beside what it returns.
pub(crate) const ENTRIES: usize = 1 << 17;
/// The most dimensions of an array: PyTorch has this limit.
pub(crate) const RANK: usize = 64;

/// What was found, and what was expected.
pub(crate) type Mismatch = (String, String);

pub(crate) fn check_header(len: u64) -> Result<(), Mismatch> {
    check(len, HEADER, "a header", "bytes")
}

pub(crate) fn check_entries(count: u64) -> Result<(), Mismatch> {
    check(count, ENTRIES, "a file", "entries")
}

pub(crate) fn check_rank(rank: u64) -> Result<(), Mismatch> {
    check(rank, RANK, "an array", "dimensions")
}

fn check(count: u64, limit: usize, of: &str, what: &str) -> Result<(), Mismatch> {
    match count <= limit as u64 {
        true => Ok(()),
        false => Err((format!("{of} of {count} {what}"), format!("at most {limit}"))),
    }
}

//! The IDX format of the MNIST files, plain or compressed by gzip.
//!
//! Two zero bytes, the type of the elements (8: unsigned bytes), the number of
//! dimensions, the size of each as a big-endian u32, then the elements. Nothing
//! is allocated because a header claims it: memory grows as bytes arrive.

use crate::error::DataError;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
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
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads an IDX file of unsigned bytes, decompressing it if it is gzip.
///
/// # Errors
/// If the file cannot be read, is no such file, or is shorter or longer than
/// its header says.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Idx, DataError> {
    read_idx_if(path.as_ref(), |_| Ok(()))
}

/// [`read_idx`], if `check` accepts the shape, before any element is read; what
/// it expects, if not.
pub(crate) fn read_idx_if(
    path: &Path,
    check: impl FnOnce(&[usize]) -> Result<(), String>,
) -> Result<Idx, DataError> {
    let io = |source| DataError::io(path, source);
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    if file.fill_buf().map_err(io)?.starts_with(&GZIP_MAGIC) {
        parse(path, MultiGzDecoder::new(file), check).map_err(|error| match error {
            DataError::Io { source, .. } if is_damage(source.kind()) => {
                DataError::format(path, format!("damage ({source})"), "a whole gzip stream")
            }
            other => other,
        })
    } else {
        parse(path, file, check)
    }
}

/// What a decoder reports of bytes that are no gzip stream.
fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

fn parse(
    path: &Path,
    mut reader: impl Read,
    check: impl FnOnce(&[usize]) -> Result<(), String>,
) -> Result<Idx, DataError> {
    let io = |source| DataError::io(path, source);
    let mut header = Vec::new();
    (&mut reader).take(4).read_to_end(&mut header).map_err(io)?;
    let &[0, 0, kind, dims] = header.as_slice() else {
        let found = match header.len() {
            4 => format!("the magic number {header:02x?}"),
            n => format!("only {n} bytes"),
        };
        return Err(DataError::format(
            path,
            found,
            "an IDX file, which begins with [00, 00, 08, …]",
        ));
    };
    if kind != UNSIGNED_BYTE {
        let found = format!("an IDX file with elements of type {kind:#04x}");
        return Err(DataError::format(path, found, "unsigned bytes (0x08)"));
    }
    let dims = usize::from(dims);
    let mut sizes = Vec::new();
    (&mut reader).take(4 * dims as u64).read_to_end(&mut sizes).map_err(io)?;
    if sizes.len() < 4 * dims {
        let found = format!("a header of {} bytes", 4 + sizes.len());
        let expected = format!("{} bytes for {dims} dimensions", 4 + 4 * dims);
        return Err(DataError::format(path, found, expected));
    }
    let shape: Vec<usize> = sizes
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]) as usize)
        .collect();
    check(&shape).map_err(|expected| {
        DataError::format(path, format!("a header that claims shape {shape:?}"), expected)
    })?;
    let Some(len) = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size)) else {
        let found = format!("a header that claims shape {shape:?}");
        return Err(DataError::format(path, found, "a size that fits in memory"));
    };
    let mut bytes = Vec::new();
    let limit = (len as u64).saturating_add(1); // one more byte tells a file that is too long
    reader.take(limit).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() != len {
        let found = match bytes.len() {
            n if n > len => "more bytes".to_string(),
            n => format!("only {n} bytes"),
        };
        let expected = format!("the {len} bytes of shape {shape:?} after the header");
        return Err(DataError::format(path, found, expected));
    }
    Ok(Idx { shape, bytes })
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

    fn read(bytes: &[u8]) -> Result<Idx, DataError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read_idx(file.path())
    }

    #[track_caller]
    fn refused(bytes: &[u8], parts: &[&str]) {
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
    fn what_is_no_idx_file_is_refused() {
        refused(b"", &["only 0 bytes", "an IDX file"]);
        refused(b"\0\0\x08", &["only 3 bytes"]);
        refused(b"PNG, or so", &["magic number [50, 4e, 47, 2c]"]);
        refused(&[0, 0, 13, 1, 0, 0, 0, 0], &["type 0x0d", "unsigned bytes"]);
        refused(&[0, 0, 8, 2, 0, 0], &["a header of 6 bytes", "12 bytes for 2 dimensions"]);
    }

    #[test]
    fn a_wrong_length_is_refused() {
        for wrap in [<[u8]>::to_vec, gzip] {
            refused(
                &wrap(&idx(&[2, 2], &[1, 2, 3])),
                &["only 3 bytes", "the 4 bytes of shape [2, 2]"],
            );
            refused(&wrap(&idx(&[2, 2], &[1, 2, 3, 4, 5])), &["more bytes", "the 4 bytes"]);
            // What a header claims is not allocated.
            refused(&wrap(&idx(&[u32::MAX, 28, 28], &[1])), &["only 1 bytes", "4294967295"]);
            refused(&wrap(&idx(&[u32::MAX; 4], &[1])), &["a header that claims", "fits in memory"]);
        }
    }

    #[test]
    fn a_corrupt_gzip_stream_is_refused_wherever_it_is_cut_or_changed() {
        let bytes: Vec<u8> = (0..2000u32).map(|i| (i * i % 251) as u8).collect();
        let whole = gzip(&idx(&[2000], &bytes));
        for len in 2..whole.len() {
            assert!(read(&whole[..len]).is_err(), "cut at {len}");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle] ^= 0x55;
        refused(&damaged, &["damage", "a whole gzip stream"]);
        let mut trailing = whole;
        trailing.extend(b"more");
        assert!(read(&trailing).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_idx("no/such/file").unwrap_err().to_string();
        assert!(error.starts_with("no/such/file: "), "{error}");
    }
}

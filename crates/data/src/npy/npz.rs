//! Archives of arrays.

use super::array::Npy;
use super::elements::ReadError;
use crate::messages::one_of;
use adamant_files::{FileError, FormatError, START, open, other_kind};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::result::ZipError;

/// A `.npz` file, compressed or not; its arrays are read by name.
///
/// NumPy: `numpy.load` of what `numpy.savez` or `numpy.savez_compressed` wrote.
///
/// ```
/// use adamant_data::Npz;
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/npy/compressed.npz");
/// let mut file = Npz::open(path).unwrap();
/// assert_eq!(file.names(), ["x", "labels"]);
/// assert_eq!(file.read("x").unwrap().shape(), [2, 3]);
/// let error = file.read("y").unwrap_err().to_string();
/// assert!(error.ends_with("found no array `y`, expected one of [\"x\", \"labels\"]"));
/// ```
#[derive(Debug)]
pub struct Npz {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

const EXTENSION: &str = ".npy";

impl Npz {
    /// Opens a file and reads the names of its arrays.
    ///
    /// # Errors
    /// If the file cannot be read or is not a zip archive.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let (file, _) = open(path)?;
        let mut file = BufReader::new(file);
        let mut start = Vec::new();
        let read = file.by_ref().take(START as u64).read_to_end(&mut start);
        read.and_then(|_| file.rewind()).map_err(|error| FileError::io(path, error))?;
        // An archive without files has no first file, only an end.
        if !start.starts_with(b"PK\x03\x04") && !start.starts_with(b"PK\x05\x06") {
            return Err(other_kind(&start, "an archive of NumPy arrays (.npz)").at(path));
        }
        let archive = ZipArchive::new(file).map_err(|error| file_error(path, error))?;
        Ok(Npz { path: path.into(), archive })
    }

    /// The names of the arrays, in the order of the archive.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names();
        names.filter_map(|name| Some(name.ok()?.strip_suffix(EXTENSION)?.to_string())).collect()
    }

    /// Reads an array.
    ///
    /// # Errors
    /// If there is no such array, it is damaged or not as [`Npy::read`] expects it, or it is
    /// encrypted or compressed by a method other than NumPy's.
    pub fn read(&mut self, name: &str) -> Result<Npy, FileError> {
        let index = self.archive.index_for_name(&format!("{name}{EXTENSION}"));
        let index = index.ok_or_else(|| {
            let found = format!("no array `{name}`");
            FileError::format(&self.path, found, one_of(&self.names()))
        })?;
        let path = &self.path;
        // Its length in the archive is a claim, as in the array's header: 1 MiB may hold 1 GiB. So
        // it is decompressed twice, first to count.
        let mut file = self.archive.by_index(index).map_err(|error| file_error(path, error))?;
        let len = io::copy(&mut file, &mut io::sink());
        let len = len.map_err(|error| file_error(path, error.into()))?;
        drop(file);
        let mut file = self.archive.by_index(index).map_err(|error| file_error(path, error))?;
        let source = format!("{}, array `{name}`", path.display());
        Npy::from_reader(&mut file, len, source).map_err(|error| match error {
            ReadError::Format(FormatError { found, expected }) => {
                FileError::format(path, format!("{found} in `{name}`"), expected)
            }
            ReadError::Io(error) => file_error(path, error.into()),
        })
    }
}

fn file_error(path: &Path, error: ZipError) -> FileError {
    use ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error {
        // What the decoder and the checksum report.
        ZipError::Io(error)
            if !matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof) =>
        {
            FileError::io(path, error)
        }
        error => FileError::format(path, format!("damage ({error})"), "an intact zip archive"),
    }
}

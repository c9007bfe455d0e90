//! Recognizes files of other kinds by their first bytes.

use crate::FormatError;
use crate::error::FileError;
use crate::open::open;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

/// The number of first bytes that [`Kind::of`] examines.
pub const START: usize = 512;

/// The kind of a file, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // `name` describes each
pub enum Kind {
    Empty,
    Checkpoint,
    SafeTensors,
    /// A zip archive of `torch.save`.
    TorchArchive,
    /// The pickle that a file of `torch.save` without an archive starts with.
    TorchPickle,
    /// An archive of PyTorch 0.1.
    TorchTar,
    Gguf,
    Npy,
    Npz,
    Hdf5,
    IdxLabels,
    IdxImages,
    Png,
    Jpeg,
    Pdf,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Zip,
    Tar,
    LfsPointer,
    Html,
    Text,
}

/// Kinds by their first bytes. If two entries match, the longer one must come first.
const MAGICS: &[(&[u8], Kind)] = &[
    (b"PK\x03\x04", Kind::Zip),
    (b"\x93ADM", Kind::Checkpoint),
    (b"\x93NUMPY", Kind::Npy),
    (b"\x1f\x8b", Kind::Gzip),
    (b"BZh", Kind::Bzip2),
    (b"\xfd7zXZ\0", Kind::Xz),
    (b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (b"GGUF", Kind::Gguf),
    (b"\x89HDF\r\n\x1a\n", Kind::Hdf5),
    (b"\0\0\x08\x01", Kind::IdxLabels),
    (b"\0\0\x08\x03", Kind::IdxImages),
    (b"\x89PNG\r\n\x1a\n", Kind::Png),
    (b"\xff\xd8\xff", Kind::Jpeg),
    (b"%PDF-", Kind::Pdf),
    (b"version https://git-lfs", Kind::LfsPointer),
    // With pickle protocol 1, `torch.save` writes the number that its files start with as digits.
    (b"L119547037146038801333356L\n", Kind::TorchPickle),
    (b"\x80\x02", Kind::TorchPickle),
    (b"\x80\x03", Kind::TorchPickle),
    (b"\x80\x04", Kind::TorchPickle),
    (b"\x80\x05", Kind::TorchPickle),
];

impl Kind {
    /// The kind of a file with these first bytes, [`START`] of them or all; `None` if it is unknown.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(START)];
        if start.is_empty() {
            return Some(Kind::Empty);
        }
        // First, because the length that it starts with may look like another kind: the length of a
        // header, with its four high bytes 0, and the header's first byte.
        if matches!(start, [_, _, _, _, 0, 0, 0, 0, b'{', ..]) {
            return Some(Kind::SafeTensors);
        }
        match MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
            Some((_, Kind::Zip)) => return Some(zip(start)),
            Some((_, kind)) => return Some(*kind),
            None => {}
        }
        if start.get(257..262) == Some(b"ustar") {
            return Some(tar(start));
        }
        let text = text(start)?.trim_start().to_ascii_lowercase();
        let html = ["<!doctype html", "<html"].iter().any(|tag| text.starts_with(tag));
        Some(if html { Kind::Html } else { Kind::Text })
    }

    /// What to call a file of this kind in a message.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Empty => "an empty file",
            Kind::Checkpoint => "an adamant checkpoint",
            Kind::SafeTensors => "a safetensors file",
            Kind::TorchArchive => "an archive of torch.save (.pt, .pth)",
            Kind::TorchPickle => "a pickle, as an old torch.save writes it",
            Kind::TorchTar => "an archive of PyTorch 0.1 (tar)",
            Kind::Gguf => "a GGUF file of llama.cpp",
            Kind::Npy => "a NumPy array (.npy)",
            Kind::Npz => "an archive of NumPy arrays (.npz)",
            Kind::Hdf5 => "an HDF5 file, as Keras writes it",
            Kind::IdxLabels => "an IDX file of labels",
            Kind::IdxImages => "an IDX file of images",
            Kind::Png => "a PNG image",
            Kind::Jpeg => "a JPEG image",
            Kind::Pdf => "a PDF document",
            Kind::Gzip => "a gzip stream",
            Kind::Bzip2 => "a bzip2 stream",
            Kind::Xz => "an xz stream",
            Kind::Zstd => "a zstd stream",
            Kind::Zip => "a zip archive",
            Kind::Tar => "a tar archive",
            Kind::LfsPointer => "a pointer of Git LFS",
            Kind::Html => "an HTML page",
            Kind::Text => "a text file",
        }
    }

    /// How to get a file that a reader of another kind accepts, or which reader accepts this one;
    /// empty if there is nothing to say.
    fn advice(self) -> &'static str {
        match self {
            Kind::Checkpoint => "use Checkpoint::load",
            Kind::SafeTensors => "use load_safetensors",
            Kind::TorchArchive | Kind::TorchPickle => "use load_pt",
            Kind::TorchTar => "save it again with a newer PyTorch",
            Kind::Gguf => "use Weights::open",
            Kind::Npy => "use Npy::read",
            Kind::Npz => "use Npz::open",
            Kind::IdxLabels | Kind::IdxImages => "use read_idx or Mnist::open",
            Kind::Gzip => "decompress it with gunzip",
            Kind::Bzip2 => "decompress it with bunzip2",
            Kind::Xz => "decompress it with unxz",
            Kind::Zstd => "decompress it with unzstd",
            Kind::Tar => "unpack it with tar",
            Kind::LfsPointer => "fetch the file itself with git lfs pull",
            Kind::Html => "download it again: servers send such a page in place of a file",
            Kind::Empty
            | Kind::Hdf5
            | Kind::Png
            | Kind::Jpeg
            | Kind::Pdf
            | Kind::Zip
            | Kind::Text => "",
        }
    }
}

/// The kind of a zip archive, from the name of its first file, which starts at byte 30.
fn zip(start: &[u8]) -> Kind {
    let length =
        start.get(26..28).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let name = start.get(30..).map_or(&[][..], |rest| &rest[..length.min(rest.len())]);
    if name.ends_with(b".npy") {
        Kind::Npz
    } else if name.ends_with(b"/data.pkl") {
        Kind::TorchArchive
    } else {
        Kind::Zip
    }
}

/// The kind of a tar archive, from the name of its first file. PyTorch 0.1 packed its files so.
fn tar(start: &[u8]) -> Kind {
    let name = start.split(|&byte| byte == 0).next().unwrap_or_default();
    match [&b"sys_info"[..], b"pickle", b"tensors", b"storages"].contains(&name) {
        true => Kind::TorchTar,
        false => Kind::Tar,
    }
}

/// The bytes as a string, if they are text; the last character may be incomplete.
fn text(start: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |char: char| !char.is_control() || char.is_ascii_whitespace();
    (!text.is_empty() && text.chars().all(printable)).then_some(text)
}

/// The error of a file of another kind, by its first bytes: what kind it is, and the reader's
/// expectation with advice on how to meet it.
#[must_use]
pub fn other_kind(start: &[u8], expected: &str) -> FormatError {
    match Kind::of(start) {
        Some(kind) if kind.advice().is_empty() => FormatError::new(kind.name(), expected),
        Some(kind) => FormatError::new(kind.name(), format!("{expected}; {}", kind.advice())),
        None if start.len() <= 8 => {
            FormatError::new(format!("only {} bytes", start.len()), expected)
        }
        None => {
            let found = format!("an unknown kind of file, which starts with {:02x?}", &start[..8]);
            FormatError::new(found, expected)
        }
    }
}

/// An open file, at its first byte.
pub struct Opened {
    /// The file.
    pub file: File,
    /// Its length in bytes.
    pub len: u64,
    /// Its first [`START`] bytes, or all of a shorter file.
    pub start: Vec<u8>,
}

impl Opened {
    /// Opens a file as [`open`] does, and reads its first bytes.
    ///
    /// # Errors
    /// Those of [`open`], and if the file cannot be read.
    pub fn new(path: &Path) -> Result<Self, FileError> {
        let (mut file, len) = open(path)?;
        let mut start = Vec::with_capacity(START);
        let read = (&file).take(START as u64).read_to_end(&mut start);
        read.and_then(|_| file.rewind()).map_err(|error| FileError::io(path, error))?;
        Ok(Opened { file, len, start })
    }

    /// What kind of file it is.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognized_by_their_first_bytes() {
        let zip = |name: &str| {
            let length = (name.len() as u16).to_le_bytes();
            [b"PK\x03\x04", &[0; 22][..], &length, &[0; 2], name.as_bytes(), b"rest"].concat()
        };
        let tar = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(257, 0);
            [&bytes[..], b"ustar\x0000", &[0; 240]].concat()
        };
        for (start, expected) in [
            (vec![], "an empty file"),
            (vec![0xc3], "only 1 bytes"),
            (b"\x93ADM\r\n\x1a\n\x01\0\0\0".to_vec(), "an adamant checkpoint"),
            (b"\x80\x02\0\0\0\0\0\0{\"a\"".to_vec(), "a safetensors file"),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "a pickle, as"),
            (b"\x80\x04\x95\x10".to_vec(), "a pickle, as"),
            (b"L119547037146038801333356L\n.".to_vec(), "a pickle, as"),
            (b"L119547037146038801333357L\n.".to_vec(), "a text file"),
            (zip("archive/data.pkl"), "an archive of torch.save"),
            (zip("weight.npy"), "an archive of NumPy arrays"),
            (zip("readme"), "a zip archive"),
            (tar("storages"), "an archive of PyTorch 0.1 (tar)"),
            (tar("photos/1.png"), "a tar archive"),
            (b"PK\x03\x04".to_vec(), "a zip archive"),
            (b"GGUF\x03\0\0\0".to_vec(), "a GGUF file"),
            (vec![0x1f, 0x8b, 8, 0], "a gzip stream"),
            (b"\0\0\x08\x03\0\0\xea\x60".to_vec(), "an IDX file of images"),
            (b"\x89PNG\r\n\x1a\n\0\0".to_vec(), "a PNG image"),
            (b"\xff\xd8\xff\xe0".to_vec(), "a JPEG image"),
            (b"\n <!DOCTYPE HTML><title>404".to_vec(), "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "a pointer of Git LFS"),
            ("step,loss\n1,0.5 \u{fc}".as_bytes().to_vec(), "a text file"),
            ("\u{fc}".repeat(START).as_bytes()[..START - 1].to_vec(), "a text file"), // cut
            (
                vec![7; 9],
                "an unknown kind of file, which starts with [07, 07, 07, 07, 07, 07, 07, 07]",
            ),
        ] {
            let found = other_kind(&start, "x").found;
            assert!(found.starts_with(expected), "{found}, not {expected}");
        }
    }

    #[test]
    fn advice_follows_the_expected_kind() {
        let FormatError { found, expected } = other_kind(b"\x80\x02", "a safetensors file");
        assert_eq!(found, "a pickle, as an old torch.save writes it");
        assert_eq!(expected, "a safetensors file; use load_pt");
        assert_eq!(other_kind(b"\xff\xd8\xff", "an IDX file").expected, "an IDX file");
    }
}

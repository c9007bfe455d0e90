//! Recognizes files of other kinds by their first bytes.

use crate::FormatError;

/// The number of first bytes that [`other_kind`] examines.
pub const START: usize = 512;

/// A kind of file: its name, and advice on how to get a file that the reader accepts.
struct Kind {
    name: &'static str,
    advice: &'static str,
}

const fn kind(name: &'static str, advice: &'static str) -> Kind {
    Kind { name, advice }
}

const LOAD_PT: &str = "use load_pt";
const DOWNLOAD: &str = "download it again: servers send such a page in place of a file";

/// Files by their first bytes. If two entries match, the longer one must come first.
const MAGICS: &[(&[u8], Kind)] = &[
    (b"\x93ADM", kind("an adamant checkpoint", "use Checkpoint::load")),
    (b"\x93NUMPY", kind("a NumPy array (.npy)", "use Npy::read")),
    (b"\x1f\x8b", kind("a gzip stream", "decompress it with gunzip")),
    (b"BZh", kind("a bzip2 stream", "decompress it with bunzip2")),
    (b"\xfd7zXZ\0", kind("an xz stream", "decompress it with unxz")),
    (b"\x28\xb5\x2f\xfd", kind("a zstd stream", "decompress it with unzstd")),
    (b"GGUF", kind("a GGUF file of llama.cpp", "use Gguf::open")),
    (b"\x89HDF\r\n\x1a\n", kind("an HDF5 file, as Keras writes it", "")),
    (b"\0\0\x08\x01", kind("an IDX file of labels", "use read_idx or Mnist::open")),
    (b"\0\0\x08\x03", kind("an IDX file of images", "use read_idx or Mnist::open")),
    (b"\x89PNG\r\n\x1a\n", kind("a PNG image", "")),
    (b"\xff\xd8\xff", kind("a JPEG image", "")),
    (b"%PDF-", kind("a PDF document", "")),
    (
        b"version https://git-lfs",
        kind("a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    ),
];

fn recognize(start: &[u8]) -> Option<Kind> {
    if start.is_empty() {
        return Some(kind("an empty file", ""));
    }
    // First, because the eight bytes of length that it starts with may look like another kind.
    if is_safetensors(start) {
        return Some(kind("a safetensors file", "use load_safetensors"));
    }
    if start.starts_with(b"PK\x03\x04") {
        return Some(zip(start));
    }
    if matches!(start, [0x80, 2..=5, ..]) {
        return Some(kind("a pickle, as an old torch.save writes it", LOAD_PT));
    }
    if let Some((_, found)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(Kind { ..*found });
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some(tar(start));
    }
    let text = text(start)?.trim_start().to_ascii_lowercase();
    let html = ["<!doctype html", "<html"].iter().any(|tag| text.starts_with(tag));
    Some(if html { kind("an HTML page", DOWNLOAD) } else { kind("a text file", "") })
}

/// Whether a file with these first bytes is a safetensors file: the length of a header, with its
/// four high bytes 0, and the header's first byte.
#[must_use]
pub fn is_safetensors(start: &[u8]) -> bool {
    matches!(start, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

/// The kind of a zip archive, from the name of its first file, which starts at byte 30.
fn zip(start: &[u8]) -> Kind {
    let length =
        start.get(26..28).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let name = start.get(30..).map_or(&[][..], |rest| &rest[..length.min(rest.len())]);
    if name.ends_with(b".npy") {
        kind("an archive of NumPy arrays (.npz)", "use Npz::open")
    } else if name.ends_with(b"/data.pkl") {
        kind("an archive of torch.save (.pt, .pth)", LOAD_PT)
    } else {
        kind("a zip archive", "")
    }
}

/// The kind of a tar archive, from the name of its first file. PyTorch 0.1 packed its files so.
fn tar(start: &[u8]) -> Kind {
    let name = start.split(|&byte| byte == 0).next().unwrap_or_default();
    if [&b"sys_info"[..], b"pickle", b"tensors", b"storages"].contains(&name) {
        kind("an archive of PyTorch 0.1 (tar)", "save it again with a newer PyTorch")
    } else {
        kind("a tar archive", "unpack it with tar")
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
    let start = &start[..start.len().min(START)];
    match recognize(start) {
        Some(Kind { name, advice: "" }) => FormatError::new(name, expected),
        Some(Kind { name, advice }) => FormatError::new(name, format!("{expected}; {advice}")),
        None if start.len() <= 8 => {
            FormatError::new(format!("only {} bytes", start.len()), expected)
        }
        None => {
            let found = format!("an unknown kind of file, which starts with {:02x?}", &start[..8]);
            FormatError::new(found, expected)
        }
    }
}

/// Whether a file with these first bytes was written by `torch.save`, in either format.
#[must_use]
pub fn is_torch(start: &[u8]) -> bool {
    recognize(&start[..start.len().min(START)]).is_some_and(|kind| kind.advice == LOAD_PT)
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

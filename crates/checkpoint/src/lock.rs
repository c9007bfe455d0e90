//! A lock, so that one manager uses a folder at a time.

use adamant_files::{FileError, try_lock};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// The file that is locked. It is never removed: another process may just have locked it.
pub(crate) const NAME: &str = ".lock";

/// Holds a folder's lock until it is dropped or its process ends in any way. The file names the
/// holder, for messages only: an unlocked file does not count.
///
/// Holds nothing in a folder that cannot be written to, where a save would fail anyway, and on a
/// file system without locks.
pub(crate) struct FolderLock {
    _file: Option<File>,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(NAME);
        let io = |error| FileError::io(&path, error);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => match error.kind() {
                // Another user's file: it can be locked without write access.
                ErrorKind::PermissionDenied => match File::open(&path) {
                    Ok(file) => file,
                    Err(_) => return Ok(FolderLock { _file: None }),
                },
                ErrorKind::ReadOnlyFilesystem => return Ok(FolderLock { _file: None }),
                _ => return Err(io(error)),
            },
        };
        let own = holder();
        match try_lock(&file) {
            Err(_) => Ok(FolderLock { _file: None }),
            Ok(true) => {
                // For messages only.
                let _ = file.set_len(0).and_then(|()| file.write_all(own.as_bytes()));
                Ok(FolderLock { _file: Some(file) })
            }
            Ok(false) => {
                let mut text = String::new();
                let read = file.take(300).read_to_string(&mut text);
                let holder = match text {
                    text if read.is_err() || text.is_empty() => "another process".into(),
                    text if text == own => "this process itself".into(),
                    text => text,
                };
                Err(FileError::InUse { path: folder.into(), holder })
            }
        }
    }
}

/// A description of this process.
fn holder() -> String {
    let host = host_name().unwrap_or("an unknown host".into());
    format!("process {} on {host}", std::process::id())
}

/// This computer's name, as far as known.
#[doc(hidden)]
#[must_use]
pub fn host_name() -> Option<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"));
    Some(host.ok()?.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_named_as_far_as_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let file = File::create(&path).unwrap();
        assert!(try_lock(&file).unwrap());
        for (text, expected) in [
            (&b""[..], "another process"),
            (b"\xff\xfe", "another process"),
            (b"process 7 on mars", "process 7 on mars"),
            (holder().as_bytes(), "this process itself"),
        ] {
            fs::write(&path, text).unwrap();
            let error = FolderLock::take(folder.path()).err().unwrap().to_string();
            assert!(error.contains(&format!("in use by {expected}, expected")), "{error}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        drop(file);
        let lock = FolderLock::take(folder.path()).unwrap();
        assert!(lock._file.is_some());
        assert_eq!(fs::read_to_string(&path).unwrap(), holder());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().unwrap().path().join("missing");
        let error = FolderLock::take(&folder).err().unwrap();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
    }
}

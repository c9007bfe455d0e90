//! A lock, so that one manager uses a folder at a time.

use adamant_files::{FileError, call, host_name, try_lock};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The file that is locked. It is never removed: another process may just have locked it.
pub const NAME: &str = ".lock";

/// How long another holder is waited for. `adamant runs` locks a folder for a moment to see whether
/// it is in use, and a process that is just being started may hold its parent's lock.
const PATIENCE: Duration = Duration::from_millis(200);

/// Holds a folder's lock until it is dropped or its process ends in any way. The file names the
/// holder, for messages only: an unlocked file does not count.
///
/// Holds nothing in a folder that cannot be written to, where a save would fail anyway, and on a
/// file system without locks.
pub(crate) struct FolderLock {
    _file: Option<File>,
    /// Why a second process can use the folder at the same time.
    pub(crate) warning: Option<FileError>,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(NAME);
        let io = |error| FileError::io(&path, error);
        let unlocked = FolderLock { _file: None, warning: None };
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => match error.kind() {
                // Another user's file: it can be locked without write access.
                ErrorKind::PermissionDenied => match File::open(&path) {
                    Ok(file) => file,
                    Err(_) => return Ok(unlocked),
                },
                ErrorKind::ReadOnlyFilesystem => return Ok(unlocked),
                _ => return Err(io(error)),
            },
        };
        let own = holder();
        let start = Instant::now();
        let locked = loop {
            match call("lock", || try_lock(&file)) {
                Ok(false) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                tried => break tried,
            }
        };
        match locked {
            Err(error) => {
                let found = format!("a file system without locks ({error})");
                let expected = "one that keeps a second process out of the folder";
                Ok(FolderLock {
                    warning: Some(FileError::format(&path, found, expected)),
                    ..unlocked
                })
            }
            Ok(true) => {
                // For messages only.
                let _ = file.set_len(0).and_then(|()| file.write_all(own.as_bytes()));
                Ok(FolderLock { _file: Some(file), warning: None })
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

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_files::failing;
    use std::fs;

    #[test]
    fn a_lock_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join(NAME)).unwrap();
        file.lock_shared().unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(PATIENCE / 4);
            drop(file);
        });
        assert!(FolderLock::take(folder.path()).unwrap()._file.is_some());
        holder.join().unwrap();
    }

    #[test]
    fn a_file_system_without_locks_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let take = || FolderLock::take(folder.path()).unwrap();
        let lock = failing(0..1, ErrorKind::Unsupported, take).0;
        let warning = lock.warning.unwrap().to_string();
        assert!(
            warning.contains("found a file system without locks (injected into lock), expected"),
            "{warning}"
        );
        assert!(take().warning.is_none());
    }

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

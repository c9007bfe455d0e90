//! A folder that one manager uses at a time.

use crate::atomic::try_lock;
use adamant_files::FileError;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// The file that is locked. It stays: who removed it could remove one that another has just locked.
pub(crate) const NAME: &str = ".lock";

/// The lock of a folder, until it is dropped or its process ends, however it ends. The file says
/// whose it is, but that is for messages: a file without a lock stops nobody.
///
/// There is none in a folder that cannot be written to, where a save would fail anyway, and on a
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
                // The file of another user can be locked too.
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
                    text if text == own => "another manager of this process".into(),
                    text => text,
                };
                Err(FileError::InUse { path: folder.into(), holder })
            }
        }
    }
}

/// This process.
fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"));
    let host = host.as_deref().map_or("an unknown host", str::trim);
    format!("process {} on {host}", std::process::id())
}

//! Atomic writes: the complete new file, or the unchanged old one.

use crate::error::FileError;
use crate::faults::call;
use crate::open::check_is_file;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Replaces the file at `path` with the bytes that `write` writes.
///
/// The bytes go to a temporary file next to the target, which is renamed once all of them are on
/// the disk. A rename is atomic: at any moment the path leads to the complete old file or the
/// complete new one. The folder is synced too, so that the new name survives a loss of power. The
/// new file has the old one's permissions, and a link stays a link. Temporary files that killed
/// saves to this path left behind are removed first.
///
/// # Errors
/// If `write` or a system call fails. The old file is then unchanged, unless the last call failed,
/// the sync of the folder: then the new file is there, but may be lost with the power.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("notes.txt");
/// adamant_files::write_atomically(&path, |out| out.write_all(b"complete"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "complete");
/// # Ok::<(), adamant_files::FileError>(())
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    replace(path, write).map_err(|source| FileError::io(path, source))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let (target, permissions) = target(path)?;
    let folder = parent(&target);
    if let Some(name) = target.file_name().and_then(OsStr::to_str) {
        // On an error, a later save will remove them.
        let _ = remove_stale(folder, |target| target == name);
    }
    let temporary = Temporary::create(folder, &target, permissions.as_ref())?;
    let mut out = BufWriter::with_capacity(1 << 16, temporary);
    write(&mut out)?;
    let Temporary(temporary) = out.into_inner()?;
    if let Some(permissions) = permissions {
        call("set permissions", || temporary.as_file().set_permissions(permissions))?;
    }
    call("sync", || temporary.as_file().sync_all())?;
    let folder = Folder::open(folder)?;
    let renamed = call("rename", || Ok(temporary.persist(&target)?))?;
    drop(renamed); // and its lock
    folder.sync()
}

/// The path with links resolved, and the permissions of the file there, if there is one.
fn target(path: &Path) -> io::Result<(PathBuf, Option<Permissions>)> {
    match call("look", || fs::symlink_metadata(path)) {
        Ok(found) => {
            let link = found.is_symlink();
            let target = match link {
                true => call("resolve", || fs::canonicalize(path))?,
                false => path.into(),
            };
            let found = if link { call("look", || fs::metadata(&target))? } else { found };
            check_is_file(&found)?;
            Ok((target, Some(found.permissions())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((path.into(), None)),
        Err(error) => Err(error),
    }
}

/// Creates a folder and its missing parents, so that they survive a loss of power.
///
/// # Errors
/// If a system call fails.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    create_folders(path).map_err(|source| FileError::io(path, source))
}

fn create_folders(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for folder in path.ancestors().take_while(|folder| !folder.as_os_str().is_empty()) {
        if call("look", || folder.try_exists())? {
            break;
        }
        missing.push(folder);
    }
    call("create folders", || fs::create_dir_all(path))?;
    missing.into_iter().try_for_each(|folder| Folder::open(parent(folder))?.sync())
}

/// The folder that a path is in.
fn parent(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// A temporary file, removed on drop.
///
/// It is locked while it is written. The system releases the lock of a killed process, so an
/// unlocked temporary file is stale.
struct Temporary(NamedTempFile);

const PREFIX: &str = ".";
const SUFFIX: &str = ".tmp";
/// The number of random letters and digits before the suffix.
const RANDOM: usize = 6;

/// The name of the target of a temporary file with this name.
fn target_of_temporary(name: &str) -> Option<&str> {
    let (target, random) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    let is_random = random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric());
    is_random.then_some(target)
}

/// Removes the temporary files that killed saves to such targets left behind; returns the errors
/// of those that could not be removed.
///
/// # Errors
/// If the folder cannot be listed.
pub fn remove_stale(
    folder: &Path,
    is_target: impl Fn(&str) -> bool,
) -> Result<Vec<FileError>, FileError> {
    let io = |error| FileError::io(folder, error);
    let mut errors = Vec::new();
    for entry in call("list folder", || fs::read_dir(folder)).map_err(io)? {
        let Ok(name) = entry.map_err(io)?.file_name().into_string() else { continue };
        if target_of_temporary(&name).is_some_and(&is_target) {
            let path = folder.join(name);
            errors.extend(remove_if_stale(&path).err().map(|error| FileError::io(&path, error)));
        }
    }
    Ok(errors)
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    let remove = || {
        if !call("look", || fs::symlink_metadata(path))?.is_file() {
            return Ok(()); // not from a save
        }
        let file = call("open", || File::open(path))?;
        // Without locks, it may be in use.
        let stale = call("lock", || try_lock(&file)).unwrap_or(false);
        if stale { call("remove", || fs::remove_file(path)) } else { Ok(()) }
    };
    match remove() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()), // its save has finished
        other => other,
    }
}

impl Temporary {
    /// Creates the file with the permissions of the one that it replaces, so that private contents
    /// are private from the start.
    fn create(folder: &Path, target: &Path, permissions: Option<&Permissions>) -> io::Result<Self> {
        let mut prefix = std::ffi::OsString::from(PREFIX);
        prefix.push(target.file_name().ok_or(ErrorKind::InvalidFilename)?);
        prefix.push(".");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            // 0666 for a new file, restricted by the user's umask.
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            options.mode(permissions.map_or(0o666, |old| old.mode() & 0o777));
        }
        #[cfg(not(unix))]
        let _ = permissions;
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM);
        loop {
            let create = || builder.make_in(folder, |path| options.open(path));
            let created = call("create", create);
            let created = created.map_err(|error| match error.kind() {
                ErrorKind::NotFound if !folder.exists() => {
                    io::Error::new(ErrorKind::NotFound, "the folder of this file does not exist")
                }
                _ => error,
            })?;
            let own = match call("lock", || try_lock(created.as_file())) {
                // Before it was locked, another save may have removed it as stale.
                Ok(true) => call("look", || created.path().try_exists())?,
                Ok(false) => false,
                Err(_) => true, // without locks, no save removes it
            };
            if own {
                return Ok(Temporary(created));
            }
        }
    }
}

/// Tries to lock a file: `false` if it is locked already, an error if locks are not supported. The
/// lock ends with the file's last handle, at the latest with the process.
///
/// # Errors
/// If the system call fails.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        call("write", || self.0.as_file_mut().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_file_mut().flush()
    }
}

/// A folder that is synced, so that its names are on the disk. Does nothing on systems other than
/// Unix, and on file systems that cannot sync a folder.
struct Folder(Option<File>);

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let open = || if cfg!(unix) { File::open(path).map(Some) } else { Ok(None) };
        call("open folder", open).map(Folder)
    }

    fn sync(self) -> io::Result<()> {
        match call("sync folder", || self.0.map_or(Ok(()), |folder| folder.sync_all())) {
            Err(error)
                if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::failing;

    fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        // Three writes, the last one larger than the buffer.
        write_atomically(path, |out| {
            out.write_all(bytes)?;
            out.flush()?;
            out.write_all(b"!")?;
            out.write_all(&[7; 100_000])
        })
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_call_leaves_the_old_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let calls = [
            "look",
            "list folder",
            "create",
            "lock",
            "look",
            "write",
            "write",
            "write",
            "set permissions",
            "sync",
            "open folder",
            "rename",
            "sync folder",
        ];
        for failing_calls in (0..calls.len()).flat_map(|n| [n..n + 1, n..usize::MAX]) {
            fs::write(&path, "old").unwrap();
            let call = calls[failing_calls.start];
            if ["list folder", "lock"].contains(&call) {
                continue; // these errors are ignored
            }
            let (result, made) =
                failing(failing_calls.clone(), ErrorKind::Other, || write(&path, b"new"));
            // The buffer may retry a failed write.
            assert!(made.starts_with(&calls[..=failing_calls.start]), "{made:?}");
            let error = result.unwrap_err().to_string();
            assert!(error.ends_with(&format!("file: injected into {call}")), "{error}");
            let found = fs::read(&path).unwrap();
            // After the rename, the new file is there, but may be lost with the power.
            let expected: &[u8] = if call == "sync folder" { b"new!" } else { b"old" };
            assert!(found.starts_with(expected), "{call}");
            assert_eq!(names(folder.path()), ["file"], "{call}");
        }
        let (result, made) = failing(0..0, ErrorKind::Other, || write(&path, b"newer"));
        result.unwrap();
        assert_eq!(made, calls);
        assert!(fs::read(&path).unwrap().starts_with(b"newer!"));
        // Some file systems cannot sync a folder, which is not a failure; for a file it is.
        let ignored = ["list folder", "lock", "sync folder"];
        for (call, good) in calls.iter().zip(0..).map(|(name, call)| (call, ignored.contains(name)))
        {
            for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported] {
                let (result, _) = failing(call..call + 1, kind, || write(&path, b"again"));
                assert_eq!(result.is_ok(), good, "{}", calls[call]);
            }
        }
    }

    #[test]
    fn parents_of_new_folders_are_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b");
        let create = || failing(0..0, ErrorKind::Other, || create_folder(&path));
        let (result, calls) = create();
        result.unwrap();
        assert!(path.is_dir());
        let sync = ["open folder", "sync folder"].repeat(2);
        let all = [&["look", "look", "look", "create folders"][..], &sync].concat();
        assert_eq!(calls, all);
        let (result, calls) = create();
        result.unwrap();
        assert_eq!(calls, ["look", "create folders"]);
        for (call, name) in all.iter().enumerate() {
            fs::remove_dir_all(folder.path().join("a")).unwrap();
            let (result, _) = failing(call..call + 1, ErrorKind::Other, || create_folder(&path));
            let error = result.unwrap_err().to_string();
            assert!(error.ends_with(&format!("b: injected into {name}")), "{error}");
            fs::create_dir_all(&path).unwrap();
        }
        fs::write(path.join("file"), "").unwrap();
        assert!(create_folder(&path.join("file")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = write(&pipe, b"").unwrap_err().to_string();
        let expected = "pipe: found a pipe or a device, expected a regular file";
        assert!(error.ends_with(expected), "{error}");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_private_from_its_first_byte() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let mut looked = 0;
        write_atomically(&path, |out| {
            out.write_all(b"secret")?;
            out.flush()?;
            for name in names(folder.path()) {
                let mode = fs::metadata(folder.path().join(name))?.permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                looked += 1;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(looked, 2);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write(Path::new("no/such/folder/x"), b"").unwrap_err().to_string();
        assert_eq!(error, "no/such/folder/x: the folder of this file does not exist");
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), b"").is_err());
        assert!(write(&folder.path().join(".."), b"").is_err());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_temporary_name_contains_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = Temporary::create(folder.path(), Path::new("a.b.ckpt"), None).unwrap();
        assert_eq!(target_of_temporary(&names(folder.path())[0]), Some("a.b.ckpt"));
        drop(temporary);
        assert_eq!(names(folder.path()), [""; 0]);
        assert_eq!(target_of_temporary("a.b.ckpt"), None);
        assert_eq!(target_of_temporary(".a.b.ckpt.backup2.tmp"), None); // a user's file
        assert_eq!(target_of_temporary(".tmp"), None);
    }

    #[cfg(unix)]
    #[test]
    fn each_call_for_a_link_can_fail() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let (result, calls) = failing(0..0, ErrorKind::Other, || write(&link, b"new"));
        result.unwrap();
        assert_eq!(calls[..4], ["look", "resolve", "look", "list folder"]);
        for (call, name) in calls.iter().enumerate().take(3) {
            let (result, _) = failing(call..call + 1, ErrorKind::Other, || write(&link, b"newer"));
            let error = result.unwrap_err().to_string();
            assert!(error.ends_with(&format!("link: injected into {name}")), "{error}");
        }
        assert!(fs::read(&path).unwrap().starts_with(b"new!"));
    }

    #[test]
    fn an_error_names_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(300));
        let mut texts = vec![write(&path, b"").unwrap_err().to_string()];
        if cfg!(target_os = "linux") {
            texts.push(write(Path::new("/proc/x"), b"").unwrap_err().to_string()); // not a file system for new files
        }
        for text in texts {
            assert!(!text.contains("at path") && text.matches("x: ").count() == 1, "{text}");
            assert!(!text.contains("does not exist"), "{text}");
        }
    }

    #[test]
    fn the_next_save_removes_stale_temporaries() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ckpt");
        let (stale, other) = (".x.ckpt.a1B2c3.tmp", ".y.ckpt.a1B2c3.tmp");
        for name in [stale, other] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        // A temporary that is being written stays, and its save succeeds despite another one.
        write_atomically(&path, |out| {
            assert!(!names(folder.path()).contains(&stale.to_string()));
            out.write_all(b"slow")?;
            write(&path, b"quick").unwrap();
            assert!(fs::read(&path).unwrap().starts_with(b"quick"));
            assert_eq!(names(folder.path()).len(), 3);
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"slow");
        assert_eq!(names(folder.path()), [other, "x.ckpt"]);
        // A temporary that cannot be removed does not fail the save.
        fs::write(folder.path().join(stale), "half").unwrap();
        let (result, calls) = failing(0..0, ErrorKind::Other, || write(&path, b"new"));
        result.unwrap();
        assert_eq!(calls[1..6], ["list folder", "look", "open", "lock", "remove"]);
        for (call, name) in calls.iter().enumerate().take(6).skip(1) {
            fs::write(folder.path().join(stale), "half").unwrap();
            let (result, _) = failing(call..call + 1, ErrorKind::Other, || write(&path, b"new"));
            result.unwrap();
            assert_eq!(names(folder.path()), [stale, other, "x.ckpt"], "{name}");
        }
    }

    #[test]
    fn removing_a_missing_temporary_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".x.ckpt.a1B2c3.tmp");
        assert!(remove_if_stale(&path).is_ok());
        fs::write(&path, "half").unwrap();
        let refused = || failing(0..1, ErrorKind::PermissionDenied, || remove_if_stale(&path)).0;
        assert_eq!(refused().unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&path, b"first").unwrap();
        symlink("file", &link).unwrap();
        for mode in [0o600, 0o640, 0o444] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            write(&link, &[mode as u8]).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(fs::read(&path).unwrap()[0], mode as u8);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }
}

//! Opens regular files, and rejects everything else that has a path.

use crate::error::FileError;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Opens a file for reading, and returns it with its length. Follows links.
///
/// # Errors
/// If the system reports an error, or the path leads to a folder, a pipe or a device: opening a
/// pipe would wait for a writer, and a device such as `/dev/zero` never ends.
pub fn open(path: &Path) -> Result<(File, u64), FileError> {
    let open = || {
        // Before opening it, since opening a pipe blocks; and after, since it may have changed.
        check_is_file(&fs::metadata(path)?)?;
        let file = File::open(path)?;
        let found = file.metadata()?;
        check_is_file(&found)?;
        Ok((file, found.len()))
    };
    open().map_err(|error| FileError::io(path, error))
}

/// Checks that this is a regular file, which can be read to its end and replaced.
///
/// # Errors
/// If it is not.
pub fn check_is_file(found: &Metadata) -> io::Result<()> {
    match found.is_file() {
        true => Ok(()),
        false if found.is_dir() => Err(ErrorKind::IsADirectory.into()),
        false => {
            let text = "found a pipe or a device, expected a regular file";
            Err(io::Error::new(ErrorKind::InvalidInput, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = |path: &Path| open(path).unwrap_err().to_string();
        assert!(error(folder.path()).ends_with(": is a directory"), "{}", error(folder.path()));
        assert!(error(&missing).contains("missing: "), "{}", error(&missing));
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let expected = ": found a pipe or a device, expected a regular file";
            for path in [&pipe, Path::new("/dev/zero"), Path::new("/dev/null")] {
                assert!(error(path).ends_with(expected), "{}", error(path)); // and does not wait
                let _ = fs::remove_file(&link);
                symlink(path, &link).unwrap();
                assert!(error(&link).ends_with(&format!("link{expected}")), "{}", error(&link));
            }
            let itself = folder.path().join("itself");
            symlink(&itself, &itself).unwrap();
            assert!(error(&itself).contains("itself: "), "{}", error(&itself));
            let file = folder.path().join("file");
            fs::write(&file, "four").unwrap();
            fs::remove_file(&link).unwrap();
            symlink(&file, &link).unwrap();
            assert_eq!(open(&link).unwrap().1, 4);
        }
    }
}

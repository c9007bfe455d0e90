//! The folder of a run, as `adamant_train` writes it.

use adamant_checkpoint::FileError;
use adamant_train::names::{LOCK, METRICS};
use adamant_train::{History, RunConfig};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a run.
pub(crate) struct SavedRun {
    pub(crate) path: PathBuf,
}

impl SavedRun {
    /// The folder at this path.
    ///
    /// # Errors
    /// If it does not exist, or is not the folder of a run.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let names = names(path)?;
        if !is_run(&names) {
            let found = match names.is_empty() {
                true => "an empty folder".into(),
                false => format!("a folder without {METRICS}"),
            };
            return Err(FileError::format(path, found, "the folder of a run"));
        }
        Ok(SavedRun { path: path.into() })
    }

    /// The runs in a folder and the folders below it, sorted by path, and the errors of folders
    /// below it that cannot be read. A run is not searched for others, and links are not followed.
    ///
    /// # Errors
    /// If the folder itself cannot be read.
    pub(crate) fn find(below: &Path) -> Result<(Vec<Self>, Vec<FileError>), FileError> {
        let (mut runs, mut errors) = (Vec::new(), Vec::new());
        let mut folders = vec![below.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let names = match names(&folder) {
                Err(error) if folder != below => {
                    errors.push(error);
                    continue;
                }
                names => names?,
            };
            if is_run(&names) {
                runs.push(SavedRun { path: folder });
                continue;
            }
            let paths = names.iter().map(|name| folder.join(name));
            folders.extend(paths.filter(|path| path.is_dir() && !path.is_symlink()));
        }
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((runs, errors))
    }

    /// The metrics of the run.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub(crate) fn history(&self) -> Result<History, FileError> {
        History::read(&self.path)
    }

    /// The number of checkpoints.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub(crate) fn checkpoints(&self) -> Result<usize, FileError> {
        let is_checkpoint = |name: &&OsString| Path::new(name).extension() == Some("ckpt".as_ref());
        Ok(names(&self.path)?.iter().filter(is_checkpoint).count())
    }

    /// Whether the run is finished.
    pub(crate) fn is_finished(&self) -> bool {
        // A run whose configuration is damaged counts as stopped.
        RunConfig::read(&self.path)
            .is_ok_and(|config| config.sessions.last().is_some_and(|session| session.finished))
    }

    /// Whether a process holds the folder's lock.
    pub(crate) fn is_running(&self) -> bool {
        // A shared lock is released at once. A folder that cannot be locked counts as not running.
        File::open(self.path.join(LOCK))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Result<Vec<OsString>, FileError> {
    let names = || -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    names().map_err(|error| FileError::io(folder, error))
}

fn is_run(names: &[OsString]) -> bool {
    names.iter().any(|name| name == METRICS)
}

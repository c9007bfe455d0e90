//! Files to which records are appended during training.

use adamant_files::FileError;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The number of bytes that may wait for a full disk.
const LIMIT: usize = 64 << 20;

/// Appends records to a file, and never fails: training does not end because of a log.
///
/// A record that cannot be written, on a full disk for example, waits in memory and is written
/// before the next one. Beyond [`LIMIT`], records are dropped and counted. [`close`](Self::close)
/// returns an error if the file is incomplete.
pub(super) struct Appender<S = File> {
    target: Arc<Target<S>>,
    /// The number of records that are in the file or wait for it.
    records: u64,
    /// Bytes that have not been written; the first ones may be the rest of a record.
    waiting: Vec<u8>,
    /// The size of the records that were dropped.
    dropped: usize,
    failing: bool,
}

/// The file, shared with the thread that waits for the disk.
pub(super) struct Target<S = File> {
    path: PathBuf,
    sink: S,
    /// Why a sync failed. The next one may succeed although what was written before it is lost.
    unsynced: Mutex<Option<io::Error>>,
}

/// What an appender needs of a file.
pub(super) trait Sink {
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    fn sync(&self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl<S: Sink> Target<S> {
    /// Waits until what was written is on the disk. [`Appender::close`] returns the error again.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.sink.sync().map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            FileError::io(&self.path, error)
        })
    }
}

impl Appender {
    /// Opens the file, and creates it if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        Ok(Appender::new(path, opened.map_err(|error| FileError::io(path, error))?))
    }
}

impl<S: Sink> Appender<S> {
    fn new(path: &Path, sink: S) -> Self {
        let target = Target { path: path.into(), sink, unsynced: Mutex::new(None) };
        Appender {
            target: Arc::new(target),
            records: 0,
            waiting: Vec::new(),
            dropped: 0,
            failing: false,
        }
    }

    /// The file, to sync it on another thread.
    pub(super) fn target(&self) -> Arc<Target<S>> {
        self.target.clone()
    }

    /// The number of records that are in the file or wait for it.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Appends a record. Returns a message for the user if writing begins to fail, or to succeed
    /// again.
    pub(super) fn append(&mut self, record: &[u8]) -> Option<String> {
        self.waiting.extend_from_slice(record);
        self.records += 1;
        let result = self.write();
        if self.waiting.len() > LIMIT {
            self.waiting.truncate(self.waiting.len() - record.len()); // none of it is written
            self.records -= 1;
            self.dropped += record.len();
        }
        match result {
            Ok(()) => self.recovered(),
            Err(_) if mem::replace(&mut self.failing, true) => None,
            Err(error) => Some(format!(
                "warning: {}: {error}; training continues, and what is logged waits in memory",
                self.target.path.display()
            )),
        }
    }

    /// Writes what waits in memory, before a checkpoint is saved. Returns a message for the user if
    /// some of it has to wait longer, or if writing succeeds again.
    pub(super) fn flush(&mut self) -> Option<String> {
        match self.write() {
            Ok(()) => self.recovered(),
            Err(error) => {
                self.failing = true;
                let (path, waiting) = (self.target.path.display(), self.waiting.len());
                Some(format!(
                    "warning: {path}: {error}; {waiting} bytes wait in memory, and would be \
                     missing if the run was resumed from the checkpoint that is saved now"
                ))
            }
        }
    }

    /// The message after a failure, if there was one.
    fn recovered(&mut self) -> Option<String> {
        if !mem::take(&mut self.failing) {
            return None;
        }
        let path = self.target.path.display();
        Some(match self.dropped {
            0 => format!("{path}: can be written to again; nothing is lost"),
            dropped => format!("{path}: can be written to again, but {dropped} bytes are lost"),
        })
    }

    /// Writes as much as can be written.
    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.waiting.len() {
                break Ok(());
            }
            match self.target.sink.write(&self.waiting[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..written);
        result
    }

    /// Writes what waits in memory, and waits until all is on the disk. What cannot be written is
    /// dropped, and reported once.
    ///
    /// # Errors
    /// If anything that was appended is not in the file, or may not be on the disk.
    pub(super) fn close(&mut self) -> Result<(), FileError> {
        let written = self.write();
        let synced = self.target.sync();
        let unsynced = self.target.unsynced.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lost = mem::take(&mut self.waiting).len() + mem::take(&mut self.dropped);
        if lost == 0 {
            return match unsynced {
                None => synced,
                Some(error) => Err(FileError::io(&self.target.path, error)),
            };
        }
        let (kind, reason) = match written {
            Ok(()) => (io::ErrorKind::StorageFull, "the disk was full".into()),
            Err(error) => (error.kind(), error.to_string()),
        };
        let text = format!("{reason}; {lost} bytes are lost");
        Err(FileError::io(&self.target.path, io::Error::new(kind, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A disk with room for some bytes.
    #[derive(Default)]
    struct Disk {
        bytes: RefCell<Vec<u8>>,
        room: Cell<usize>,
        broken: Cell<bool>,
    }

    impl Sink for Disk {
        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.room.get());
            if written == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room.set(self.room.get() - written);
            self.bytes.borrow_mut().extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn sync(&self) -> io::Result<()> {
            if self.broken.get() { Err(io::Error::other("broken")) } else { Ok(()) }
        }
    }

    fn on_disk(room: usize) -> Appender<Disk> {
        let log = Appender::new(Path::new("log"), Disk::default());
        log.target.sink.room.set(room);
        log
    }

    fn written(log: &Appender<Disk>) -> Vec<u8> {
        log.target.sink.bytes.borrow().clone()
    }

    #[test]
    fn records_wait_for_a_full_disk_and_nothing_is_lost() {
        let mut log = on_disk(7);
        assert_eq!(log.append(b"first\n"), None);
        let warning = log.append(b"second\n").unwrap();
        assert!(warning.starts_with("warning: log: "), "{warning}");
        assert_eq!(log.append(b"third\n"), None); // warned once
        assert_eq!(written(&log), b"first\ns");
        log.target.sink.room.set(1000);
        let message = log.append(b"fourth\n");
        assert_eq!(message.as_deref(), Some("log: can be written to again; nothing is lost"));
        assert_eq!(written(&log), b"first\nsecond\nthird\nfourth\n");
        assert_eq!(log.records(), 4);
        log.close().unwrap();
        log.target.sink.room.set(0);
        assert!(log.append(b"fifth\n").is_some()); // a new failure, a new warning
    }

    #[test]
    fn what_waits_is_written_before_a_checkpoint() {
        let mut log = on_disk(2);
        assert_eq!(log.flush(), None);
        assert!(log.append(b"first\n").is_some());
        let warning = log.flush().unwrap();
        assert!(
            warning.contains("; 4 bytes wait in memory, and would be missing if "),
            "{warning}"
        );
        log.target.sink.room.set(1000);
        let message = log.flush();
        assert_eq!(message.as_deref(), Some("log: can be written to again; nothing is lost"));
        assert_eq!(written(&log), b"first\n");
        assert_eq!(log.flush(), None);
    }

    #[test]
    fn an_incomplete_file_is_an_error_at_the_end() {
        let mut log = on_disk(3);
        assert!(log.append(b"first\n").is_some());
        let error = log.close().unwrap_err().to_string();
        assert!(error.starts_with("log: ") && error.ends_with("; 3 bytes are lost"), "{error}");
        log.close().unwrap(); // reported once
    }

    #[test]
    fn a_failed_sync_is_an_error_at_the_end() {
        let mut log = on_disk(100);
        log.append(b"first\n");
        log.target.sink.broken.set(true);
        assert_eq!(log.target().sync().unwrap_err().to_string(), "log: broken");
        log.target.sink.broken.set(false);
        log.target().sync().unwrap();
        assert_eq!(log.close().unwrap_err().to_string(), "log: broken");
        log.close().unwrap();
        log.target.sink.broken.set(true);
        assert_eq!(log.close().unwrap_err().to_string(), "log: broken");
    }

    #[test]
    fn beyond_the_limit_whole_records_are_dropped_and_counted() {
        let mut log = on_disk(0);
        assert!(log.append(&vec![1; LIMIT - 1]).is_some());
        log.append(&[2; 10]);
        log.append(&[3]);
        assert_eq!(log.records(), 2);
        log.target.sink.room.set(usize::MAX);
        let message = log.append(&[4]).unwrap();
        assert_eq!(message, "log: can be written to again, but 10 bytes are lost");
        assert_eq!(written(&log)[LIMIT - 2..], [1, 3, 4]);
        let error = log.close().unwrap_err().to_string();
        assert_eq!(error, "log: the disk was full; 10 bytes are lost");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_reported_once() {
        let mut log = Appender::open(Path::new("/dev/full")).unwrap();
        let warning = log.append(b"line\n").unwrap();
        assert!(warning.contains("/dev/full: No space left on device"), "{warning}");
        assert_eq!(log.append(b"line\n"), None);
        let error = log.close().unwrap_err().to_string();
        assert!(error.ends_with("; 10 bytes are lost"), "{error}");
    }
}

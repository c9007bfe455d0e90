//! Files to which records are appended during training.

use adamant_files::FileError;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The number of bytes that may wait for a full disk.
const LIMIT: usize = 64 << 20;

/// Appends records to a file, and never fails: training does not end because of a log.
///
/// A record that cannot be written, on a full disk for example, waits in memory and is written
/// before the next one. Beyond [`LIMIT`], records are dropped and counted. [`close`](Self::close)
/// returns an error if the file is incomplete.
pub(super) struct Appender<W = File> {
    path: PathBuf,
    out: W,
    /// Bytes that have not been written; the first ones may be the rest of a record.
    waiting: Vec<u8>,
    /// The size of the records that were dropped.
    dropped: usize,
    failing: bool,
}

impl Appender {
    /// Opens the file, and creates it if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let opened = OpenOptions::new().append(true).create(true).open(path);
        Ok(Appender::new(path, opened.map_err(|error| FileError::io(path, error))?))
    }

    /// Waits until the written records are on the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.out.sync_data().map_err(|error| FileError::io(&self.path, error))
    }
}

impl<W: Write> Appender<W> {
    fn new(path: &Path, out: W) -> Self {
        Appender { path: path.into(), out, waiting: Vec::new(), dropped: 0, failing: false }
    }

    /// Appends a record. Returns a message for the user if writing begins to fail, or to succeed
    /// again.
    pub(super) fn append(&mut self, record: &[u8]) -> Option<String> {
        self.waiting.extend_from_slice(record);
        let result = self.write();
        if self.waiting.len() > LIMIT {
            self.waiting.truncate(self.waiting.len() - record.len()); // none of it is written
            self.dropped += record.len();
        }
        let path = self.path.display();
        match result {
            Ok(()) if !std::mem::take(&mut self.failing) => None,
            Ok(()) if self.dropped > 0 => {
                let dropped = self.dropped;
                Some(format!("{path}: can be written to again, but {dropped} bytes are lost"))
            }
            Ok(()) => Some(format!("{path}: can be written to again; nothing is lost")),
            Err(_) if std::mem::replace(&mut self.failing, true) => None,
            Err(error) => Some(format!(
                "warning: {path}: {error}; training continues, and what is logged waits in memory"
            )),
        }
    }

    /// Writes as much as can be written.
    fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.waiting.len() {
                break Ok(());
            }
            match self.out.write(&self.waiting[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..written);
        result
    }

    /// Writes what waits in memory.
    ///
    /// # Errors
    /// If anything that was appended is not in the file.
    pub(super) fn close(&mut self) -> Result<(), FileError> {
        let result = self.write();
        let lost = self.waiting.len() + self.dropped;
        if lost == 0 {
            return Ok(());
        }
        let (kind, reason) = match result {
            Ok(()) => (io::ErrorKind::StorageFull, "the disk was full".into()),
            Err(error) => (error.kind(), error.to_string()),
        };
        let text = format!("{reason}; {lost} bytes are lost");
        Err(FileError::io(&self.path, io::Error::new(kind, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some bytes.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.room);
            if written == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= written;
            self.bytes.extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn on_disk(room: usize) -> Appender<Disk> {
        Appender::new(Path::new("log"), Disk { bytes: Vec::new(), room })
    }

    #[test]
    fn records_wait_for_a_full_disk_and_nothing_is_lost() {
        let mut log = on_disk(7);
        assert_eq!(log.append(b"first\n"), None);
        let warning = log.append(b"second\n").unwrap();
        assert!(warning.starts_with("warning: log: "), "{warning}");
        assert_eq!(log.append(b"third\n"), None); // warned once
        assert_eq!(log.out.bytes, b"first\ns");
        log.out.room = 1000;
        let message = log.append(b"fourth\n");
        assert_eq!(message.as_deref(), Some("log: can be written to again; nothing is lost"));
        assert_eq!(log.out.bytes, b"first\nsecond\nthird\nfourth\n");
        log.close().unwrap();
        log.out.room = 0;
        assert!(log.append(b"fifth\n").is_some()); // a new failure, a new warning
    }

    #[test]
    fn an_incomplete_file_is_an_error_at_the_end() {
        let mut log = on_disk(3);
        assert!(log.append(b"first\n").is_some());
        let error = log.close().unwrap_err().to_string();
        assert!(error.starts_with("log: ") && error.ends_with("; 3 bytes are lost"), "{error}");
        log.out.room = 3;
        log.close().unwrap();
    }

    #[test]
    fn beyond_the_limit_whole_records_are_dropped_and_counted() {
        let mut log = on_disk(0);
        assert!(log.append(&vec![1; LIMIT - 1]).is_some());
        log.append(&[2; 10]);
        log.append(&[3]);
        log.out.room = usize::MAX;
        let message = log.append(&[4]).unwrap();
        assert_eq!(message, "log: can be written to again, but 10 bytes are lost");
        assert_eq!(log.out.bytes[LIMIT - 2..], [1, 3, 4]);
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

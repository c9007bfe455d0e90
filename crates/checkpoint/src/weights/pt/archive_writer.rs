//! Writes the zip archive in which `torch.load` finds a pickle and the storages.
//!
//! Sizes and positions always have 64 bits, so that archives of any size are written in one way.
//! Equal contents make equal archives: the date is always the first one that zip has.

use std::io::{self, Write};

/// Files start at multiples of this, as in archives of `torch.save`, which can so be memory-mapped.
const ALIGNMENT: u64 = 64;
/// The version of zip that has fields of 64 bits.
const VERSION: u16 = 45;
/// The first of January 1980.
const DATE: u16 = 0x21;
/// In place of a field whose 64 bits are elsewhere.
const WIDE: [u8; 4] = [0xff; 4];

/// An archive that is being written.
pub(super) struct ArchiveWriter<'w> {
    out: &'w mut dyn Write,
    at: u64,
    directory: Vec<u8>,
    count: u64,
}

impl<'w> ArchiveWriter<'w> {
    pub(super) fn new(out: &'w mut dyn Write) -> Self {
        ArchiveWriter { out, at: 0, directory: Vec::new(), count: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes a file.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let start = self.at;
        let len = (bytes.len() as u64).to_le_bytes();
        let name_len = u16::try_from(name.len()).expect("a short name").to_le_bytes();
        // Flags, no compression, time, date, checksum, both sizes.
        let common = [
            &[0; 6][..],
            &DATE.to_le_bytes(),
            &crc32fast::hash(bytes).to_le_bytes(),
            &WIDE,
            &WIDE,
            &name_len,
        ]
        .concat();
        let wide = |fields: &[&[u8]]| {
            let fields = fields.concat();
            [&1u16.to_le_bytes()[..], &(fields.len() as u16).to_le_bytes(), &fields].concat()
        };
        let mut extra = wide(&[&len, &len]);
        // An extra field, of four bytes and more, fills the gap.
        let end = start + (30 + name.len() + extra.len() + 4) as u64;
        let gap = end.next_multiple_of(ALIGNMENT) - end;
        extra.extend(b"FB");
        extra.extend((gap as u16).to_le_bytes());
        extra.extend(vec![b'Z'; gap as usize]);
        let version = VERSION.to_le_bytes();
        let extra_len = (extra.len() as u16).to_le_bytes();
        self.write(
            &[b"PK\x03\x04", &version[..], &common, &extra_len, name.as_bytes(), &extra].concat(),
        )?;
        self.write(bytes)?;
        let extra = wide(&[&len, &len, &start.to_le_bytes()]);
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend([version, version].concat());
        self.directory.extend(common);
        self.directory.extend((extra.len() as u16).to_le_bytes());
        self.directory.extend([0; 10]); // no comment, first disk, attributes
        self.directory.extend(WIDE);
        self.directory.extend(name.as_bytes());
        self.directory.extend(extra);
        self.count += 1;
        Ok(())
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let start = self.at;
        let directory = std::mem::take(&mut self.directory);
        self.write(&directory)?;
        let end = self.at;
        let version = VERSION.to_le_bytes();
        let count = self.count.to_le_bytes();
        let size = (directory.len() as u64).to_le_bytes();
        let record = [
            b"PK\x06\x06",
            &44u64.to_le_bytes()[..], // the bytes that follow
            &version,
            &version,
            &[0; 8], // first disk
            &count,
            &count,
            &size,
            &start.to_le_bytes(),
        ];
        self.write(&record.concat())?;
        let locator = [b"PK\x06\x07", &[0; 4][..], &end.to_le_bytes(), &1u32.to_le_bytes()];
        self.write(&locator.concat())?;
        // Counts of 16 bits, size and position, no comment.
        let last = [b"PK\x05\x06", &[0; 4][..], &[0xff; 4], &WIDE, &WIDE, &[0; 2]];
        self.write(&last.concat())
    }
}

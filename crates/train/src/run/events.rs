//! TensorBoard's event files.
//!
//! A file is a sequence of TFRecords: the length of the data (`u64`), a checksum of the length, the
//! data, and a checksum of the data, all little-endian. A checksum is a CRC-32C, rotated and offset
//! ("masked") so that data that contains checksums does not confuse it. The data is a Protocol
//! Buffers message `Event`, of which these fields are written:
//!
//! ```text
//! Event       1 wall_time: double   2 step: int64   and one of
//!             3 file_version: string   5 summary: Summary   7 session_log: SessionLog
//! Summary     1 value: repeated Value
//! Value       1 tag: string   2 simple_value: float
//! SessionLog  1 status: enum (START = 1)
//! ```

use super::append::Appender;
use adamant_files::{FileError, host_name};
use std::path::Path;

const PREFIX: &str = "events.out.tfevents.";

/// Creates the event file of a session that starts at `time`, and logs from `step` on. Returns a
/// message for the user, too.
///
/// Each session has a file of its own. TensorBoard reads the files of a folder in the order of
/// their names, which begin with the time: so this file's is later than that of all others.
pub(super) fn create(
    folder: &Path,
    time: f64,
    step: u64,
) -> Result<(Appender, Option<String>), FileError> {
    let io = |error| FileError::io(folder, error);
    let mut latest = None;
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let Ok(name) = entry.map_err(io)?.file_name().into_string() else { continue };
        let seconds = name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
        latest = latest.max(seconds.and_then(|seconds| seconds.parse::<u64>().ok()));
    }
    let seconds = latest.map_or(0, |latest| latest.saturating_add(1)).max(time as u64);
    let host: String = host_name().unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let name = format!("{PREFIX}{seconds:010}.{host}.{}.0", std::process::id());
    let mut file = Appender::open(&folder.join(name))?;
    let mut start = version(time);
    if latest.is_some() {
        start.extend(restart(time, step));
    }
    let message = file.append(&start);
    Ok((file, message))
}

/// The first record of a file.
fn version(time: f64) -> Vec<u8> {
    record(&event(time, 0, &bytes_field(3, b"brain.Event:2")))
}

/// The record of a restart before `step`: TensorBoard forgets this step and later ones.
fn restart(time: f64, step: u64) -> Vec<u8> {
    const START: u64 = 1;
    record(&event(time, step, &bytes_field(7, &varint_field(1, START))))
}

/// The record of a step's values.
pub(super) fn scalars(time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut message = bytes_field(1, tag.as_bytes());
        message.push(key(2, FIXED32));
        message.extend((*value as f32).to_le_bytes());
        summary.extend(bytes_field(1, &message));
    }
    record(&event(time, step, &bytes_field(5, &summary)))
}

fn event(time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut event = vec![key(1, FIXED64)];
    event.extend(time.to_le_bytes());
    event.extend(varint_field(2, step));
    event.extend(what);
    event
}

/// The types of a field on the wire.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// The byte before a field with a number below 16.
const fn key(number: u8, wire: u8) -> u8 {
    (number << 3) | wire
}

fn varint_field(number: u8, value: u64) -> Vec<u8> {
    let mut field = vec![key(number, VARINT)];
    varint(value, &mut field);
    field
}

fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![key(number, BYTES)];
    varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

/// Seven bits in each byte, the lowest first; the highest bit means that another byte follows.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    let parts = [&len[..], &checksum(&len), data, &checksum(data)];
    parts.concat()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_a_masked_crc_32c() {
        // The check value of CRC-32C is 0xe3069283: its low 15 bits 0x1283 above the other 17 bits
        // 0x1c60d are 0x2507c60d, plus the offset.
        assert_eq!(checksum(b"123456789"), 0xc78a_b0e5u32.to_le_bytes());
    }

    #[test]
    fn varints_have_seven_bits_in_a_byte() {
        for (value, expected) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut bytes = Vec::new();
            varint(value, &mut bytes);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn an_event_has_the_documented_bytes() {
        let bytes = scalars(1.5, 300, &[("loss", 0.5), ("nan", f64::NAN)]);
        let data = &bytes[12..bytes.len() - 4];
        let mut expected = vec![0x09];
        expected.extend(1.5f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 25]);
        expected.extend([0x0a, 11, 0x0a, 4]);
        expected.extend(b"loss\x15");
        expected.extend(0.5f32.to_le_bytes());
        expected.extend([0x0a, 10, 0x0a, 3]);
        expected.extend(b"nan\x15");
        expected.extend(f32::NAN.to_le_bytes());
        assert_eq!(data, expected);
        assert_eq!(bytes[..8], (data.len() as u64).to_le_bytes());
        assert_eq!(bytes[8..12], checksum(&bytes[..8]));
        assert_eq!(bytes[bytes.len() - 4..], checksum(data));
    }

    #[test]
    fn the_files_of_sessions_sort_in_order_whatever_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        };
        let mut before = Vec::new();
        for time in [100.0, 100.9, 50.0, 2e9] {
            create(folder.path(), time, 0).unwrap();
            let now = names();
            assert_eq!(now[..before.len()], before);
            assert_eq!(now.len(), before.len() + 1);
            before = now;
        }
        assert!(before[0].starts_with("events.out.tfevents.0000000100."), "{before:?}");
        assert!(before[2].starts_with("events.out.tfevents.0000000102."), "{before:?}");
    }
}

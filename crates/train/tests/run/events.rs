//! Event files, read by a reader that shares nothing with the writer.
//!
//! `tests/event_files.py` reads the same files by TensorBoard's own reader.

use crate::training::{Training, open};
use adamant_train::History;
use std::collections::BTreeMap;
use std::path::Path;

/// A run of three sessions: the second one resumes after step 20, the third one after step 40.
fn write(folder: &Path) {
    for steps in [25, 47, 60] {
        let mut training = Training::new(8);
        let mut run = open(folder).save_every_steps(20).resume(&mut training).unwrap();
        training.train(&mut run, steps).unwrap();
        if steps == 60 {
            run.log(61, &[("nan", f64::NAN), ("inf", f64::INFINITY), ("ünïcode/ä", 1e-30)]);
        }
    }
}

#[test]
fn tensorboard_sees_what_was_logged() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("ADAMANT_EVENTS").map(std::path::PathBuf::from);
    let folder = folder.as_deref().unwrap_or(temporary.path());
    write(folder);
    let mut seen: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    let mut files = crate::training::names(folder);
    files.retain(|name| name.starts_with("events.out.tfevents."));
    assert_eq!(files.len(), 3);
    for (number, name) in files.iter().enumerate() {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let mut times = Vec::new();
        for (index, data) in records(&bytes).into_iter().enumerate() {
            let event = Event::read(data);
            times.push(event.time);
            assert_eq!(event.version.as_deref(), (index == 0).then_some("brain.Event:2"));
            assert_eq!(event.start, number > 0 && index == 1);
            if event.start {
                // As TensorBoard does.
                seen.values_mut().for_each(|series| series.retain(|&(step, _)| step < event.step));
            }
            for (tag, value) in event.values {
                seen.entry(tag).or_default().push((event.step, value));
            }
        }
        assert!(times.is_sorted());
    }
    let history = History::read(folder).unwrap();
    let names = history.names();
    assert_eq!(names, ["loss", "lr", "nan", "inf", "ünïcode/ä"]);
    assert_eq!(seen.len(), names.len());
    for name in names {
        let bits = |(step, value): (u64, f32)| (step, value.to_bits());
        let logged =
            history.series(name).into_iter().map(|(step, value)| bits((step, value as f32)));
        let seen = seen[name].iter().copied().map(bits);
        assert_eq!(logged.collect::<Vec<_>>(), seen.collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(seen["loss"].len(), 60);
}

/// CRC-32C bit by bit, from its polynomial.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// The data of the records, whose checksums are checked.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let check = |part: &[u8], stored: &[u8]| {
        let stored = u32::from_le_bytes(stored.try_into().unwrap());
        let unmasked = stored.wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, crc(part));
    };
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at(12);
        check(&head[..8], &head[8..]);
        let len = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let (data, rest) = rest.split_at(len);
        check(data, &rest[..4]);
        records.push(data);
        bytes = &rest[4..];
    }
    records
}

#[derive(Default)]
struct Event {
    time: f64,
    step: u64,
    version: Option<String>,
    start: bool,
    values: Vec<(String, f32)>,
}

impl Event {
    fn read(data: &[u8]) -> Self {
        let mut event = Event::default();
        for (number, field) in fields(data) {
            match (number, field) {
                (1, Field::Fixed64(bits)) => event.time = f64::from_bits(bits),
                (2, Field::Varint(step)) => event.step = step,
                (3, Field::Bytes(text)) => event.version = Some(text_of(text)),
                (5, Field::Bytes(summary)) => {
                    event.values = fields(summary).into_iter().map(value).collect();
                }
                (7, Field::Bytes(session)) => {
                    assert!(matches!(fields(session)[..], [(1, Field::Varint(1))]));
                    event.start = true;
                }
                _ => panic!("field {number}"),
            }
        }
        event
    }
}

fn value((number, field): (u64, Field<'_>)) -> (String, f32) {
    let Field::Bytes(message) = field else { panic!("field {number}") };
    match fields(message)[..] {
        [(1, Field::Bytes(tag)), (2, Field::Fixed32(bits))] if number == 1 => {
            (text_of(tag), f32::from_bits(bits))
        }
        _ => panic!("field {number}"),
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.into()).unwrap()
}

enum Field<'b> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'b [u8]),
    Fixed32(u32),
}

/// The numbers and contents of a message's fields.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let len = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (varint, rest) = bytes.split_at(len);
        *bytes = rest;
        varint.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    fn take<'b>(bytes: &mut &'b [u8], len: usize) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(len);
        *bytes = rest;
        taken
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Fixed64(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, len))
            }
            5 => Field::Fixed32(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
            wire => panic!("type {wire}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

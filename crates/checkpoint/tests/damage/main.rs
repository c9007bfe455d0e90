//! Damaged files: each is an error or other values, without a panic, and takes little memory.

#[path = "../support/gguf_writer.rs"]
mod gguf_writer;

use crate::gguf_writer::Writer;
use adamant_checkpoint::{FileError, StoredType, TensorEntry, Weights, load_safetensors};
use adamant_tensor::{Generator, StateDict};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that a reader may allocate in addition to its result, including freed memory.
const LIMIT: usize = 64 << 20;

/// Memory is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Reads the file, whose data ends at `end`, cut at every length and with every byte changed.
fn damage(name: &str, end: usize, read: impl Fn(&Path) -> Result<StateDict, FileError>) {
    let good = fs::read(fixture(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let check = |bytes: &[u8]| {
        // A new file: some systems wait for the disk when a file is overwritten.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        let region = Region::new(ALLOCATOR);
        let result = read(&path);
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= LIMIT, "{allocated} bytes");
        if let Err(error) = &result {
            let text = error.to_string();
            assert!(text.contains("file: ") && text.len() < 500, "{text}");
        }
        result.is_err()
    };
    assert!(!check(&good));
    for len in 0..good.len() {
        assert!(check(&good[..len]) || len >= end, "{len}");
    }
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x20] {
            bytes[at] ^= change;
            check(&bytes); // the format has no checksum
            bytes[at] ^= change;
        }
    }
    let mut rng = Generator::seed(1);
    for _ in 0..splices() {
        check(&splice(&good, &mut rng));
    }
}

/// The number of splices of each file; `ADAMANT_SPLICES` overrides it.
fn splices() -> usize {
    std::env::var("ADAMANT_SPLICES").map_or(3_000, |count| count.parse().unwrap())
}

/// Overwrites, inserts or removes one to three ranges of bytes. The new bytes are copied from
/// elsewhere in the file, or repeat one byte.
fn splice(good: &[u8], rng: &mut Generator) -> Vec<u8> {
    fn piece(len: usize, rng: &mut Generator) -> Range<usize> {
        let start = rng.below(len + 1);
        start..len.min(start + rng.below(12))
    }
    let mut bytes = good.to_vec();
    for _ in 0..1 + rng.below(3) {
        let target = piece(bytes.len(), rng);
        let written = match rng.below(2) {
            0 => good[piece(good.len(), rng)].to_vec(),
            _ => vec![rng.next_u64() as u8; rng.below(12)],
        };
        bytes.splice(target, written);
    }
    bytes
}

#[test]
fn a_damaged_gguf_file_does_not_panic() {
    let _alone = alone();
    // The last tensor, which has 60 bytes, is padded to 64.
    damage("gguf/quants.gguf", 3516, |path| Weights::open(path)?.load());
}

#[test]
fn a_damaged_safetensors_file_does_not_panic() {
    let _alone = alone();
    let supported =
        |path: &Path| Weights::open(path)?.load_where(|entry| entry.dtype().is_supported());
    damage("safetensors/types.safetensors", 5460, supported);
}

#[test]
fn a_damaged_pytorch_file_with_unreadable_tensors_does_not_panic() {
    let _alone = alone();
    for name in ["pt/mixed.pt", "pt/mixed_legacy.pt"] {
        let floats = |entry: &TensorEntry| entry.dtype() == &StoredType::F32;
        damage(name, usize::MAX, |path| Weights::open(path)?.load_where(floats));
    }
}

#[test]
fn a_damaged_index_does_not_panic() {
    let _alone = alone();
    let folder = fixture("safetensors/sharded");
    let with_shards = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), with_shards.path().join(entry.file_name())).unwrap();
    }
    let index = with_shards.path().join("model.safetensors.index.json");
    let good = fs::read(&index).unwrap();
    let expected = load_safetensors(&folder).unwrap();
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x20] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            fs::write(&index, &bytes).unwrap();
            // Damage to the total size and to white space is not noticed.
            if let Ok(state) = load_safetensors(&index) {
                assert_eq!(state, expected);
            }
        }
        fs::write(&index, &good[..at]).unwrap();
        let rest = good[at..].trim_ascii();
        assert!(load_safetensors(&index).is_err() || rest.is_empty(), "{at}");
    }
}

#[test]
fn hostile_indices_are_rejected() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    let map = |members: Vec<String>| format!(r#"{{"weight_map":{{{}}}}}"#, members.join(","));
    let deep = |opening: &str| format!(r#"{{"metadata":{}"#, opening.repeat(1 << 20));
    for (index, expected) in [
        (deep("["), "found other JSON ("),
        (deep(r#"{"a":"#), "found other JSON ("),
        (format!(r#"{{"weight_map":{}"#, "[".repeat(1 << 20)), "found other JSON ("),
        (
            map((0..200_000).map(|i| format!(r#""{i}":"a""#)).collect()),
            "entries, expected at most 131072",
        ),
        (" ".repeat((1 << 24) + 1), "found a header of 16777217 bytes, expected at most"),
        (map((0..131_072).map(|i| format!(r#""{i:090}":"{i}""#)).collect()), "/0: No such file"),
    ] {
        fs::write(&path, index).unwrap();
        let (result, beyond) = beyond(|| load_safetensors(&path));
        let error = result.map(drop).unwrap_err().to_string();
        assert!(error.contains(expected) && error.len() < 500, "{error}");
        assert!(beyond <= LIMIT, "{beyond} bytes: {error}");
    }
}

/// The memory that `read` allocates in addition to its result.
fn beyond<V>(read: impl FnOnce() -> V) -> (V, usize) {
    let region = Region::new(ALLOCATOR);
    let result = read();
    let change = region.change();
    let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    (result, change.bytes_allocated - kept)
}

#[test]
fn the_largest_gguf_headers_take_little_memory() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let count = 131_072;
    let tensors = |dims: &[u64], damage: u64| {
        let entry = |writer: Writer, i: u64| {
            writer.tensor(&format!("{i:0140}"), dims, 0, if i == count - 1 { damage } else { 0 })
        };
        (0..count).fold(Writer::new(count, 0), entry).data(0)
    };
    let text = vec![b'x'; 23 << 20];
    let long_text = Writer::new(0, 2).text(b"k").u32(8).text(&text).text(b"k").u32(0).data(8);
    let texts = Writer::new(0, 1).text(b"k").u32(9).u32(8).u64(2_900_000);
    let texts = texts.bytes(&vec![0; 8 * 2_900_000]).data(0);
    let too_long = Writer::new(0, 1).text(b"k").u32(8).text(&vec![b'x'; 25 << 20]).data(0);
    for (name, file, expected) in [
        ("tensors", tensors(&[0], 0), None),
        ("damaged tensors", tensors(&[0], 1), Some("at offset 1, expected a multiple of 32")),
        ("a text", long_text, Some("the key `k` ")),
        ("texts", texts, None),
        ("a longer text", too_long, Some("expected a header of at most 25165824 bytes")),
    ] {
        fs::write(&path, file).unwrap();
        let (result, beyond) = beyond(|| Weights::open(&path));
        match (result, expected) {
            (Ok(file), None) => drop(file),
            (Err(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}");
            }
            (result, _) => panic!("{name}: {}", result.map(|_| ()).unwrap_err()),
        }
        assert!(beyond <= LIMIT, "{beyond} bytes for {name}");
    }
}

#[test]
fn the_largest_safetensors_headers_take_little_memory() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let array = |i: usize, dtype: &str| {
        format!(r#""{i:070}":{{"dtype":"{dtype}","shape":[0],"data_offsets":[0,0]}}"#)
    };
    for dtype in ["F32", "F8_E4"] {
        let arrays: Vec<String> = (0..131_072).map(|i| array(i, dtype)).collect();
        let header = format!("{{{}}}", arrays.join(","));
        let mut file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        fs::write(&path, &file).unwrap();
        let (result, beyond_result) = beyond(|| Weights::open(&path));
        assert_eq!(result.unwrap().entries().len(), 131_072);
        assert!(beyond_result <= LIMIT, "{beyond_result} bytes");
        file.push(0);
        fs::write(&path, &file).unwrap();
        let (result, beyond) = beyond(|| load_safetensors(&path));
        let error = result.map(drop).unwrap_err().to_string();
        assert!(error.contains("1 bytes after the last array"), "{error}");
        assert!(beyond <= LIMIT, "{beyond} bytes");
    }
}

#[test]
fn reading_takes_the_result_and_a_piece() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let file = Writer::new(1, 0).tensor("a", &[1 << 22], 1, 0).data(2 << 22);
    fs::write(&path, file).unwrap();
    let file = Weights::open(&path).unwrap();
    let (result, beyond) = beyond(|| file.read("a"));
    assert_eq!(result.unwrap().kind(), "f32 [4194304]");
    assert!(beyond <= 1 << 20, "{beyond} bytes");
}

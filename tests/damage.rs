//! Files that are damaged in every way: an error each, no panic, and little memory.

use adamant::data::{Idx, read_idx};
use adamant::prelude::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is counted is the whole process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// All that a reader allocates, even what it gives back at once.
const LIMIT: usize = 64 << 20;

const SPLICES: usize = 10_000;

/// Calls `read` with the file cut at every length, with every byte changed, and with
/// pieces of itself and of `others` in wrong places; `judge` looks at what it gives.
fn damage<V, E: Display>(
    good: &[u8],
    others: &[&[u8]],
    mut read: impl FnMut(&Path) -> Result<V, E>,
    mut judge: impl FnMut(Damage, Result<V, E>),
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut check = |damage: Damage, bytes: &[u8]| {
        // A new file: some systems wait for the disk when one is written over.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        let region = Region::new(ALLOCATOR);
        let result = read(&path);
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= LIMIT, "{damage:?}: {allocated} bytes");
        judge(damage, result);
    };
    for len in 0..good.len() {
        check(Damage::Cut { len }, &good[..len]);
    }
    let mut bytes = good.to_vec();
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x20] {
            bytes[at] ^= change;
            check(Damage::Byte { at, change }, &bytes);
            bytes[at] ^= change;
        }
    }
    let mut rng = Generator::seed(good.len() as u64);
    for number in 0..SPLICES {
        let bytes = splice(good, others, &mut rng);
        if bytes != good {
            check(Damage::Splice { number }, &bytes);
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // the fields are for messages
enum Damage {
    Cut { len: usize },
    Byte { at: usize, change: u8 },
    Splice { number: usize },
}

/// One to three pieces are taken out, put in, repeated or overwritten.
fn splice(good: &[u8], others: &[&[u8]], rng: &mut Generator) -> Vec<u8> {
    fn range(len: usize, rng: &mut Generator) -> std::ops::Range<usize> {
        let (a, b) = (rng.below(len + 1), rng.below(len + 1));
        let (start, end) = (a.min(b), a.max(b));
        // Half of the pieces are short.
        if rng.below(2) == 0 { start..end } else { start..end.min(start + 1 + rng.below(8)) }
    }
    let mut bytes = good.to_vec();
    for _ in 0..1 + rng.below(3) {
        let target = range(bytes.len(), rng);
        let piece: Vec<u8> = match rng.below(4) {
            0 => Vec::new(),
            1 => {
                let source = others[rng.below(others.len())];
                source[range(source.len(), rng)].to_vec()
            }
            2 => vec![rng.next_u64() as u8; target.len()],
            _ => (0..target.len()).map(|_| rng.next_u64() as u8).collect(),
        };
        bytes.splice(target, piece);
    }
    bytes
}

/// Two kilobytes: a model, its optimizer, a generator.
fn small() -> (Sequential, Adam, Generator) {
    let mut rng = Generator::seed(1);
    let net = Sequential::new().add(Linear::new(3, 2, &mut rng)).add(Dropout::new(0.5, &mut rng));
    let adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
    net.parameters().iter().for_each(|p| p.set_grad(Some(Tensor::ones(p.shape()))));
    (net, adam, rng)
}

#[test]
fn a_damaged_checkpoint_is_refused_and_changes_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (mut net, mut adam, mut rng) = small();
    let save = |name: &str, checkpoint: Checkpoint| {
        checkpoint.save(folder.path().join(name)).unwrap();
        std::fs::read(folder.path().join(name)).unwrap()
    };
    let now = |net: &Sequential, adam: &Adam, rng: &Generator| {
        Checkpoint::new().with("net", net).with("adam", adam).with("rng", rng).note("step", "7")
    };
    let good = save("good", now(&net, &adam, &rng));
    assert!(good.len() < 2_500, "{}", good.len());
    adam.step();
    let other = save("other", now(&net, &adam, &rng));
    let before = now(&net, &adam, &rng);
    let read = |path: &Path| -> Result<(), Box<dyn std::error::Error>> {
        let saved = Checkpoint::load(path)?;
        saved.restore(&mut [("net", &mut net), ("adam", &mut adam), ("rng", &mut rng)])?;
        Ok(())
    };
    damage(&good, &[&good, &other], read, |damage, result| {
        let error = result.expect_err(&format!("{damage:?}")).to_string();
        assert!(error.contains("file: found "), "{damage:?}: {error}");
    });
    assert_eq!(now(&net, &adam, &rng), before);
}

#[test]
fn a_damaged_safetensors_file_is_refused_or_has_other_numbers() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good");
    save_safetensors(&small().0.state_dict(), &path).unwrap();
    let good = std::fs::read(path).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/clip.safetensors");
    let other = std::fs::read(fixture).unwrap();
    for good in [&good, &other] {
        damage(
            good,
            &[&good[..], &other],
            |path| load_safetensors(path),
            |damage, result| {
                let cut = matches!(damage, Damage::Cut { .. });
                assert!(!cut || result.is_err(), "{damage:?}"); // the format has no checksum
            },
        );
    }
}

#[test]
fn a_damaged_idx_file_is_refused_or_has_other_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plain = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[9; 24]].concat();
    damage(
        &plain,
        &[&plain],
        |path| read_idx(path),
        |damage, result| {
            let cut = matches!(damage, Damage::Cut { .. });
            assert!(!cut || result.is_err(), "{damage:?}");
        },
    );
    // The same by `gzip`, whose checksum tells of all damage but to the date and the like.
    let gzip = [
        0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 2, 3, 0x63, 0x60, 0xe0, 0x60, 0x66, 0x60, 0x60, 0x60,
        0x02, 0x62, 0x10, 0xcd, 0xc2, 0x89, 0x03, 0, 0, 0x59, 0x43, 0xc0, 0x1a, 0x28, 0, 0, 0,
    ];
    let expected = Idx { shape: vec![2, 3, 4], bytes: vec![9; 24] };
    damage(
        &gzip,
        &[&gzip, &plain],
        |path| read_idx(path),
        |damage, result| {
            let cut = matches!(damage, Damage::Cut { .. });
            assert!(result.is_err() || !cut && result.ok() == Some(expected.clone()), "{damage:?}");
        },
    );
}

//! Damaged files: each is an error, without a panic, and takes little memory.

use crate::{ALLOCATOR, alone};
use adamant::data::{Idx, read_idx};
use adamant::prelude::*;
use flate2::{Compression, write::GzEncoder};
use stats_alloc::Region;
use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The most that a reader may allocate in addition to its result, including freed memory.
const LIMIT: usize = 64 << 20;

/// The number of splices of each file; `ADAMANT_SPLICES` overrides it.
fn splices() -> usize {
    std::env::var("ADAMANT_SPLICES").map_or(10_000, |count| count.parse().unwrap())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Calls `read` with the file cut at every length, with every byte changed, and with pieces of itself
/// and of `others` at wrong positions; `judge` checks each result.
fn damage<V, E: Display>(
    good: &[u8],
    others: &[&[u8]],
    mut read: impl FnMut(&Path) -> Result<V, E>,
    mut judge: impl FnMut(Damage, Result<V, E>),
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut check = |damage: Damage, bytes: &[u8]| {
        // A new file: some systems wait for the disk when a file is overwritten.
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
    for number in 0..splices() {
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

/// Removes, inserts, repeats or overwrites one to three pieces.
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

/// A tiny net with every kind of part.
#[derive(Module)]
struct Net {
    characters: Embedding,
    places: Parameter,
    norm: LayerNorm,
    batch_norm: BatchNorm1d,
    attention: MultiheadAttention,
    dropout: Dropout,
    head: Linear,
}

/// Everything that a run restores.
struct Run {
    net: Net,
    adam: Adam,
    schedule: StepLr,
    loader: DataLoader,
    rng: Generator,
}

impl Run {
    fn new(data: &TensorDataset) -> Self {
        let mut rng = Generator::seed(1);
        let net = Net {
            characters: Embedding::new(3, 2, &mut rng),
            places: Parameter::new(Tensor::randn([2, 2], &mut rng)),
            norm: LayerNorm::new([2]),
            batch_norm: BatchNorm1d::new(2),
            attention: MultiheadAttention::new(2, 1, &mut rng),
            dropout: Dropout::new(0.5, &mut rng),
            head: Linear::new(2, 3, &mut rng),
        };
        let adam = Adam::new(net.head.parameters(), AdamOptions::default()).unwrap();
        let schedule = StepLr::new(&adam, 2, 0.5);
        let loader = DataLoader::new(data, 2).shuffle(&mut rng);
        net.parameters().iter().for_each(|p| p.set_grad(Some(Tensor::ones(p.shape()))));
        Run { net, adam, schedule, loader, rng }
    }

    fn advance(&mut self) {
        let _ = self.loader.next_batch();
        self.adam.step();
        self.schedule.step(&mut self.adam);
    }

    fn parts(&mut self) -> [(&'static str, &mut dyn Stateful); 5] {
        [
            ("net", &mut self.net),
            ("adam", &mut self.adam),
            ("schedule", &mut self.schedule),
            ("loader", &mut self.loader),
            ("rng", &mut self.rng),
        ]
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let new = Checkpoint::new().note("step", "7");
        self.parts().iter().fold(new, |all, (name, part)| all.with(*name, &**part))
    }

    fn restore(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        Ok(Checkpoint::load(path)?.restore(&mut self.parts())?)
    }
}

fn samples() -> TensorDataset {
    TensorDataset::new(Tensor::zeros([5, 2]), vec![0; 5]).unwrap()
}

fn saved(checkpoint: &Checkpoint) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    checkpoint.save(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
}

#[test]
fn a_damaged_checkpoint_changes_nothing() {
    let _alone = alone();
    let data = samples();
    let mut run = Run::new(&data);
    let good = saved(&run.checkpoint());
    assert!(good.len() < 10_000, "{}", good.len());
    run.advance();
    let other = saved(&run.checkpoint());
    let before = run.checkpoint();
    let fixture = std::fs::read(fixture("checkpoint_version_1.ckpt")).unwrap();
    damage(
        &good,
        &[&good, &other, &fixture],
        |path| run.restore(path),
        |damage, result| {
            let error = result.expect_err(&format!("{damage:?}")).to_string();
            assert!(error.contains("file: found "), "{damage:?}: {error}");
        },
    );
    assert_eq!(run.checkpoint(), before);
    // The intact file loads.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &good).unwrap();
    run.restore(file.path()).unwrap();
    assert_ne!(run.checkpoint(), before);
    assert_eq!(saved(&run.checkpoint()), good);
}

/// A file with this header, and with the correct length and checksums.
fn sealed(mut header: Vec<u8>, data: &[u8]) -> Vec<u8> {
    const PRELUDE: usize = 24;
    let header_len = (header.len().max(PRELUDE) - PRELUDE) as u32;
    header.resize(header.len().max(PRELUDE), 0);
    let end = header.len() + 4;
    let gap = end.next_multiple_of(64) - end;
    header[12..16].copy_from_slice(&header_len.to_le_bytes());
    header[16..24].copy_from_slice(&((end + gap + data.len() + 4) as u64).to_le_bytes());
    let rest = [&vec![0; gap], data].concat();
    let last = crc32fast::hash(&[&header[..], &rest].concat()).to_le_bytes();
    let first = crc32fast::hash(&header).to_le_bytes();
    [&header[..], &first, &rest, &last].concat()
}

#[test]
fn a_wrong_header_loads_completely_or_not_at_all() {
    let _alone = alone();
    let data = samples();
    let mut run = Run::new(&data);
    let good = saved(&run.checkpoint());
    let end = 24 + u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
    let payload = &good[(end + 4).next_multiple_of(64)..good.len() - 4];
    assert_eq!(sealed(good[..end].to_vec(), payload), good);
    run.advance();
    let other = saved(&run.checkpoint());
    let mut rng = Generator::seed(2);
    let file = tempfile::NamedTempFile::new().unwrap();
    let (mut loaded, mut rejected) = (0, 0);
    for round in 0..splices() {
        let mut header = good[..end].to_vec();
        match rng.below(4) {
            0 => header = splice(&header, &[&good[..end], &other[..end]], &mut rng),
            1 => header[24 + rng.below(end - 24)] = rng.next_u64() as u8,
            _ => header[24 + rng.below(end - 24)] ^= 1 << rng.below(8),
        }
        header.resize(header.len().max(24), 0);
        header[..12].copy_from_slice(&good[..12]);
        std::fs::write(file.path(), sealed(header, payload)).unwrap();
        let before = run.checkpoint();
        let region = Region::new(ALLOCATOR);
        let result = run.restore(file.path());
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= LIMIT, "round {round}: {allocated} bytes");
        let now = run.checkpoint();
        if result.is_err() {
            assert_eq!(now, before, "round {round}");
            rejected += 1;
            continue;
        }
        // Nothing of the old state is left.
        let mut other = Run::new(&data);
        (0..loaded % 3).for_each(|_| other.advance());
        other.restore(file.path()).unwrap();
        assert_eq!(now.parts().collect::<Vec<_>>(), other.checkpoint().parts().collect::<Vec<_>>());
        loaded += 1;
    }
    assert!(loaded > 0 && rejected > 0, "{loaded} loaded, {rejected} rejected");
}

#[test]
fn a_damaged_safetensors_file_does_not_panic() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good");
    let data = samples();
    save_safetensors(&Run::new(&data).net.state_dict(), &path).unwrap();
    let good = std::fs::read(path).unwrap();
    let other = std::fs::read(fixture("clip.safetensors")).unwrap();
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
fn a_damaged_idx_file_does_not_panic() {
    let _alone = alone();
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
    // The same in gzip, whose checksum detects all damage except to fields such as the date.
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

#[test]
fn gzip_is_not_read_beyond_the_claimed_length() {
    let _alone = alone();
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let million = gzip(&vec![0; 1 << 20]);
    for (size, members) in [(4u32, 1000), (u32::MAX, 8)] {
        let header = gzip(&[&[0, 0, 8, 1][..], &size.to_be_bytes()].concat());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [header, million.repeat(members)].concat()).unwrap();
        let region = Region::new(ALLOCATOR);
        let error = read_idx(file.path()).unwrap_err().to_string();
        let allocated = region.change().bytes_allocated;
        assert!(allocated <= LIMIT, "{members} MiB: {allocated} bytes");
        assert!(error.contains(if size == 4 { "more bytes" } else { "only 8388608" }), "{error}");
    }
}

/// The bytes that `read` allocates in addition to its result; if it fails, all bytes.
fn beyond<V, E>(read: impl FnOnce() -> Result<V, E>) -> (Result<V, E>, usize) {
    let region = Region::new(ALLOCATOR);
    let result = read();
    let change = region.change();
    let beyond = if result.is_ok() { change.bytes_deallocated } else { change.bytes_allocated };
    (result, beyond)
}

/// Asserts that `read` rejects this file with this message, and with little memory.
#[track_caller]
fn assert_rejected<V, E: Display>(
    file: &[u8],
    expected: &str,
    read: impl FnOnce(PathBuf) -> Result<V, E>,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, file).unwrap();
    let (result, beyond) = beyond(|| read(path));
    let error = result.map(drop).map_err(|error| error.to_string()).expect_err(expected);
    assert!(beyond <= LIMIT, "{beyond} bytes for {expected}");
    assert!(error.contains(expected) && error.len() < 500, "{}", &error[..error.len().min(500)]);
}

/// A safetensors file with this header and without data.
fn safetensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// A header of empty arrays, with names of this length.
fn empty_arrays(count: usize, length: usize) -> String {
    let array = |i| format!(r#""{i:0length$}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#);
    format!("{{{}}}", (0..count).map(array).collect::<Vec<_>>().join(","))
}

#[test]
fn a_huge_safetensors_header_takes_no_memory() {
    let _alone = alone();
    let assert_rejected = |header: String, expected| {
        assert_rejected(&safetensors(&header), expected, load_safetensors);
    };
    let ones = vec!["1"; 4 << 20].join(",");
    assert_rejected(
        format!(r#"{{"a":{{"dtype":"F32","shape":[{ones}],"data_offsets":[0,4]}}}}"#),
        "dimensions, expected at most 64",
    );
    assert_rejected(
        empty_arrays(1_000_000, 1),
        "found a header of 57888891 bytes, expected at most 16777216",
    );
    assert_rejected(empty_arrays(250_000, 1), "entries, expected at most 131072");
    let metadata = |text: String| format!(r#"{{"__metadata__":{{"adamant":"{text}"}}}}"#);
    let scalars: Vec<String> = (0..1_000_000).map(|i| format!(r#"\"{i}\":1"#)).collect();
    assert_rejected(
        metadata(format!("{{{}}}", scalars.join(","))),
        "entries, expected at most 131072",
    );
    assert_rejected(metadata(format!(r#"{{\"a\":[{ones}]}}"#)), "`adamant` in the metadata");
    let strings: Vec<String> = (0..1_000_000).map(|i| format!(r#""{i}":"""#)).collect();
    assert_rejected(
        format!(r#"{{"__metadata__":{{{}}}}}"#, strings.join(",")),
        "entries, expected at most 131072",
    );
}

#[test]
fn the_largest_safetensors_header_takes_little_memory() {
    let _alone = alone();
    let mut file = safetensors(&empty_arrays(131_072, 70));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &file).unwrap();
    let (result, beyond) = beyond(|| load_safetensors(&path));
    assert_eq!(result.unwrap().iter().count(), 131_072);
    assert!(beyond <= LIMIT, "{beyond} bytes");
    file.push(0);
    assert_rejected(&file, "1 bytes after the last array", load_safetensors);
}

#[test]
fn a_large_file_of_another_kind_is_not_read_whole() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (start, kind) in [
        (&b"PK\x03\x04"[..], "a zip archive"),
        (b"\x80\x02.", "a pickle"),
        (b"GGUF", "a GGUF file"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"hello", "an unknown kind of file, which starts with [68, 65"),
        (b"\xff\xff\xff\0\0\0\0\0{", "damage"),
    ] {
        let _ = std::fs::remove_file(&path);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(start).unwrap();
        file.set_len(1 << 30).unwrap(); // a sparse file
        let errors = [
            beyond(|| load_safetensors(&path).map(drop).map_err(|error| error.to_string())),
            beyond(|| Checkpoint::load(&path).map(drop).map_err(|error| error.to_string())),
            beyond(|| read_idx(&path).map(drop).map_err(|error| error.to_string())),
        ];
        for (reader, (result, beyond)) in errors.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert!(beyond <= LIMIT, "{beyond} bytes: {error}");
            assert!(reader > 0 || error.contains(kind), "{error}");
        }
    }
}

/// A checkpoint's header, for [`sealed`].
fn header(notes: &[u8], parts: &[u8]) -> Vec<u8> {
    let magic = b"\x93ADM\r\n\x1a\n\x01\0\0\0";
    [&magic[..], &[0; 12], notes, parts].concat()
}

#[test]
fn huge_counts_in_a_checkpoint_take_no_memory() {
    let _alone = alone();
    let u64 = |x: usize| (x as u64).to_le_bytes();
    // Unique names of four bytes.
    let name = |i: usize| [18, 12, 6, 0].map(|shift| b'0' + ((i >> shift) & 63) as u8);
    let list = |count: usize, rest: &[u8]| -> Vec<u8> {
        let items = (0..count).flat_map(|i| [&u64(4)[..], &name(i), rest].concat());
        u64(count).into_iter().chain(items).collect()
    };
    let part = |entries: Vec<u8>| [&u64(1)[..], &u64(1), b"p", &entries].concat();
    let many = "entries, expected at most 131072";
    let assert_rejected =
        |header, expected| assert_rejected(&sealed(header, &[]), expected, Checkpoint::load);
    assert_rejected(header(&u64(0), &part(list(980_000, &[1, 0, 0, 0, 1]))), many); // booleans
    assert_rejected(
        header(&u64(0), &part(list(600_000, &[[4, 0, 0, 0].as_slice(), &u64(0)].concat()))),
        many,
    );
    assert_rejected(header(&u64(0), &list(800_000, &u64(0))), many); // parts without entries
    assert_rejected(header(&list(800_000, &u64(0)), &u64(0)), many); // empty notes
    let array = |rank: usize| {
        let start = [&u64(1)[..], &u64(1), b"a", &[0; 8], &u64(rank)].concat();
        [start, u64(1).repeat(rank), u64(0).to_vec(), u64(4).to_vec(), vec![0; 4]].concat()
    };
    assert_rejected(header(&u64(0), &part(array(2_000_000))), "dimensions, expected at most 64");
}

#[test]
fn the_largest_checkpoint_header_takes_little_memory() {
    let _alone = alone();
    let mut state = StateDict::new();
    for i in 0..131_071 {
        state.insert(format!("{i:100}"), i); // the part is an entry too
    }
    let mut file = saved(&Checkpoint::new().with("part", &Entries(state)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &file).unwrap();
    let (result, beyond) = beyond(|| Checkpoint::load(&path));
    assert_eq!(result.unwrap().part("part").unwrap().iter().count(), 131_071);
    assert!(beyond <= LIMIT, "{beyond} bytes");
    *file.last_mut().unwrap() ^= 1;
    assert_rejected(&file, "damage in the file", Checkpoint::load);
}

/// Accepts any state.
struct Entries(StateDict);

impl Stateful for Entries {
    fn state_dict(&self) -> StateDict {
        self.0.clone()
    }
    fn check_state_dict(&self, _: &StateDict) -> Result<(), StateError> {
        Ok(())
    }
    fn load_state_dict(&mut self, _: &StateDict) -> Result<(), StateError> {
        Ok(())
    }
}

/// An IDX file in gzip with this shape and this number of zeros.
fn zeros(shape: &[u32], mebibytes: usize, rest: usize) -> Vec<u8> {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut header = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|size| header.extend(size.to_be_bytes()));
    [gzip(&header), gzip(&vec![0; 1 << 20]).repeat(mebibytes), gzip(&vec![0; rest])].concat()
}

#[test]
fn missing_elements_of_a_data_set_take_no_memory() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(format!("train-{name}-ubyte.gz")), bytes).unwrap();
    };
    let assert_rejected = |expected: &str| {
        let (result, beyond) = beyond(|| Mnist::open(folder.path()).map(drop));
        let error = result.unwrap_err().to_string();
        assert!(beyond <= LIMIT, "{beyond} bytes: {error}");
        assert!(error.contains(expected), "{error}");
    };
    let count = 500u32 << 20;
    write("labels-idx1", &zeros(&[count], 500, 0));
    write("images-idx3", &zeros(&[2, 28, 28], 0, 2 * 784));
    assert_rejected("with shape [2, 28, 28], expected [524288000, 28, 28]");
    write("images-idx3", &zeros(&[count, 28, 28], 0, 100));
    assert_rejected("only 100 bytes, expected the 411041792000 bytes of shape [524288000, 28, 28]");
    // Only the last byte is missing.
    let count = 400_000u32;
    write("labels-idx1", &zeros(&[count], 0, 400_000));
    let bytes = 784 * 400_000usize;
    write("images-idx3", &zeros(&[count, 28, 28], bytes >> 20, bytes % (1 << 20) - 1));
    assert_rejected("only 313599999 bytes");
}

#[test]
fn a_large_idx_file_takes_memory_for_its_elements_only() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let whole = 200usize << 20;
    let plain = [&[0, 0, 8, 1][..], &(whole as u32).to_be_bytes(), &vec![0; whole]].concat();
    for file in [zeros(&[whole as u32], 200, 0), plain] {
        std::fs::write(&path, &file).unwrap();
        let (result, beyond) = beyond(|| read_idx(&path));
        let bytes = result.unwrap().bytes;
        assert_eq!((bytes.len(), bytes.capacity()), (whole, whole));
        assert!(beyond <= LIMIT, "{beyond} bytes");
    }
}

//! Damaged and hostile files of `torch.save`: an error or the state, without a panic, and with little
//! memory. One test, since allocations are counted for the whole process.

use adamant_checkpoint::load_pt;
use adamant_tensor::{Generator, StateDict};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that a reader may allocate, including freed memory.
const LIMIT: usize = 64 << 20;

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pt");
    fs::read(folder.join(name)).unwrap()
}

/// Loads files of these bytes, and checks what that allocates.
struct Loader {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Loader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Loader { path: folder.path().join("file.pt"), _folder: folder }
    }

    fn load(&self, bytes: &[u8]) -> Result<StateDict, String> {
        let _ = fs::remove_file(&self.path);
        fs::write(&self.path, bytes).unwrap();
        let region = Region::new(ALLOCATOR);
        let result = load_pt(&self.path);
        let allocated = region.change().bytes_allocated;
        let result = result.map_err(|error| error.to_string());
        assert!(allocated <= LIMIT, "{allocated} bytes: {result:?}");
        if let Err(error) = &result {
            assert!(error.contains("file.pt: found ") && error.len() < 1000, "{error}");
        }
        result
    }
}

/// Each length, each byte changed in four ways, and random pieces at wrong positions.
fn damage(name: &str, loader: &Loader, judge: impl Fn(Result<StateDict, String>)) {
    let good = fixture(name);
    for len in 0..good.len() {
        assert!(loader.load(&good[..len]).is_err(), "{name}: {len} bytes");
    }
    let mut bytes = good.clone();
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x20] {
            bytes[at] ^= change;
            judge(loader.load(&bytes));
            bytes[at] ^= change;
        }
    }
    let mut rng = Generator::seed(good.len() as u64);
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..1 + rng.below(3) {
            let (from, to) = (rng.below(bytes.len()), rng.below(bytes.len()));
            let (len, piece) = (rng.below(16), rng.below(16));
            let piece = bytes[from..bytes.len().min(from + piece)].to_vec();
            bytes.splice(to..bytes.len().min(to + len), piece);
        }
        let _ = loader.load(&bytes);
    }
}

/// A file without an archive: the pickle of a state, and storages by their keys.
fn legacy(pickle: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(b"\x80\x02M\xe9\x03.\x80\x02}.\x80\x02");
    bytes.extend(pickle);
    bytes.extend(b"\x80\x02](");
    for (key, ..) in storages {
        bytes.extend(text(key));
    }
    bytes.extend(b"e.");
    for (_, numel, data) in storages {
        bytes.extend(numel.to_le_bytes());
        bytes.extend(*data);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

/// `_rebuild_tensor_v2` of the storage `0`, of floats.
fn tensor(numel: i64, offset: i64, sizes: &[i64], strides: &[i64]) -> Vec<u8> {
    let tuple = |values: &[i64]| {
        let values: Vec<u8> = values.iter().flat_map(|&value| int(value)).collect();
        [&b"("[..], &values, b"t"].concat()
    };
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend([text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0")].concat());
    out.extend([text("cpu"), int(numel), b"tQ".to_vec(), int(offset)].concat());
    out.extend([tuple(sizes), tuple(strides), b"\x89NtR".to_vec()].concat());
    out
}

fn in_dict(value: &[u8]) -> Vec<u8> {
    [&b"}"[..], &text("x"), value, b"s."].concat()
}

#[test]
fn a_damaged_file_is_an_error_or_the_state() {
    let loader = Loader::new();

    for name in ["zip2.pt", "zip4.pt"] {
        // Nothing but the state of the good file comes from an archive: it has checksums.
        let good = loader.load(&fixture(name)).unwrap();
        damage(name, &loader, |result| {
            if let Ok(state) = result {
                assert_eq!(state, good);
            }
        });
    }
    for name in ["legacy1.pt", "legacy4.pt", "no_checksums.pt", "nested4.pt"] {
        damage(name, &loader, drop);
    }
    damage("tensors_legacy.pt", &loader, drop);

    hostile_tensors(&loader);
    hostile_containers(&loader);
    an_old_file_of_python_2(&loader);
    other_kinds(&loader);
}

fn hostile_tensors(loader: &Loader) {
    let data: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let storage = [("0", 2, &*data)];
    let load = |pickle: &[u8]| loader.load(&legacy(pickle, &storage));
    let good = load(&in_dict(&tensor(2, 1, &[1], &[1]))).unwrap();
    assert_eq!(good["x"].tensor::<f32>().unwrap().to_vec(), [2.0]);
    // A hundred thousand tensors with the same 64 sizes.
    let storage_id = [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu")];
    let pickle = [
        &b"ctorch._utils\n_rebuild_tensor_v2\nq\x000"[..],
        &[b"(", &*storage_id.concat(), b"K\x02tQq\x010"].concat(),
        &[&b"("[..], &b"K\x01".repeat(64), b"tq\x020"].concat(),
        &[&b"]("[..], &b"h\0(h\x01K\0h\x02h\x02\x89NtR".repeat(100_000), b"e."].concat(),
    ];
    let error = load(&pickle.concat()).unwrap_err();
    assert!(error.contains("objects take too much memory"), "{error}");
    for (numel, offset, sizes, strides) in [
        (2, 2, &[1][..], &[1][..]),
        (2, -1, &[1], &[1]),
        (2, i64::MAX, &[1], &[1]),
        (2, 0, &[3], &[1]),
        (2, 0, &[-1], &[1]),
        (2, 0, &[2], &[-1]),
        (2, 0, &[2], &[i64::MAX]),
        (2, 0, &[i64::MAX, i64::MAX], &[0, 0]),
        (2, 0, &[1 << 40], &[0]),
        (2, 0, &[1; 65], &[1; 65]),
        (3, 0, &[3], &[1]), // not the storage of the file
        (i64::MAX, 0, &[1 << 40], &[1]),
        (-1, 0, &[1], &[1]),
    ] {
        let error = load(&in_dict(&tensor(numel, offset, sizes, strides))).unwrap_err();
        assert!(
            error.contains("damage (") || error.contains("65 dim") || error.contains("repeats")
        );
    }
    // A few bytes repeated to four gigabytes.
    let error = load(&in_dict(&tensor(2, 0, &[1 << 30], &[0]))).unwrap_err();
    assert!(error.contains("found `x`, which with others repeats elements"), "{error}");
    // And a thousand times the same million.
    let mut pickle = b"}(".to_vec();
    for number in 0..1000 {
        pickle.extend(text(&number.to_string()));
        pickle.extend(tensor(2, 0, &[1 << 19, 1 + number], &[0, 0]));
    }
    pickle.extend(b"u.");
    let error = load(&pickle).unwrap_err();
    assert!(error.contains("which with others repeats elements"), "{error}");
    // The same view a thousand times shares its elements.
    let mut pickle = [&b"}("[..], &text("x"), &tensor(2, 0, &[1 << 19], &[0]), b"q\x01"].concat();
    (0..1000)
        .for_each(|number| pickle.extend([text(&number.to_string()), b"h\x01".into()].concat()));
    pickle.extend(b"u.");
    assert_eq!(load(&pickle).unwrap().len(), 1001);
    // Storages that are not what the pickle says.
    for storages in [
        &[][..],
        &[("1", 2, &*data)],
        &[("0", 1, &*data)],
        &[("0", u64::MAX, &*data)],
        &[("0", 2, &*data), ("0", 2, &*data)],
        &[("0", 2, &data[1..])],
        &[("0", 2, &[0; 9])],
    ] {
        let error =
            loader.load(&legacy(&in_dict(&tensor(2, 0, &[2], &[1])), storages)).unwrap_err();
        assert!(error.contains("damage ("), "{error}");
    }
}

fn hostile_containers(loader: &Loader) {
    let load = |pickle: &[u8]| loader.load(&legacy(pickle, &[]));
    // Lists of two references to the list before: 2¹⁰⁰ leaves, or none at all.
    let doubled = |leaf: &[u8], depth: u8| {
        let mut bytes = [leaf, b"q\x000"].concat();
        (0..depth).for_each(|level| {
            bytes.extend([b']', b'(', b'h', level, b'h', level, b'e', b'q', level + 1, b'0']);
        });
        *bytes.last_mut().unwrap() = b'.';
        bytes
    };
    for (pickle, expected) in [
        (doubled(b"K\x01", 90), "a file of 131073 entries"),
        (doubled(b"]", 90), "a file of 131073 entries"),
        (doubled(b"K\x01", 101), "containers nested more than 100 deep"),
        (b"]q\0h\0a.".to_vec(), "containers nested more than 100 deep at `0.0.0."),
        (
            [&b"]".repeat(100_000)[..], &b"a".repeat(99_999), b"."].concat(),
            "containers nested more",
        ),
        (b"}q\0X\x01\0\0\0xh\0s.".to_vec(), "containers nested more than 100 deep at `x.x.x."),
        (in_dict(b"Nr\xff\xff\xff\xff"), "a file whose objects take too much memory"),
        (in_dict(b"X\xff\xff\xff\x7f"), "damage (2147483647 bytes in a pickle that has "),
        (in_dict(b"cposix\nsystem\nX\x02\0\0\0ls\x85R"), "the global posix.system"),
        (in_dict(b"cbuiltins\neval\n"), "the global builtins.eval"),
        (in_dict(b"ccollections\nOrderedDict\n"), "`x`: a class or function"),
        (b"K\x01.".to_vec(), "an integer"),
        (b"N.".to_vec(), "None"),
    ] {
        let error = load(&pickle).unwrap_err();
        assert!(error.contains(&format!("found {expected}")), "{error}");
    }
    // A key of a megabyte, repeated by reference.
    let key = [text(&"k".repeat(1 << 20)), b"q\0".into()].concat();
    let mut pickle = [&b"}"[..], &key, b"]("].concat();
    pickle.extend(b"K\x01".repeat(100));
    pickle.extend(b"es.");
    assert!(load(&pickle).unwrap_err().contains("a name of more than"));
    // So is a text.
    let value = [text(&"v".repeat(1 << 20)), b"q\0".into()].concat();
    let pickle = [&b"]("[..], &value, &b"h\0".repeat(1000), b"e."].concat();
    assert!(load(&pickle).unwrap_err().contains("objects take too much memory"));
    assert_eq!(load(b"}.").unwrap().len(), 0);
    // The longest pickles, each of one opcode or two.
    for piece in [
        &b"N"[..],
        b"(",
        b"]",
        b"]q\0h\0a",
        b"N\x94",
        b"K\x01\x85",
        b"X\0\0\0\0",
        b"X\x01\0\0\0x",
        b"ccollections\nOrderedDict\n)R",
        b"]K\x01a",
        b"](NNNNNe",
    ] {
        let error = load(&[&piece.repeat(15_000_000 / piece.len()), &b"."[..]].concat());
        assert!(error.is_err(), "{piece:?}");
    }
    let long = [&b"X\0\0\xe8\0"[..], &vec![b'x'; 0xe8_0000]].concat();
    let error = load(&[&b"}("[..], &long, &long, b"u."].concat()).unwrap_err();
    assert!(error.contains("found a pickle of 30"), "{error}");
    // The most entries, with an error at the last one.
    let mut pickle = b"}(".to_vec();
    (0..131_071)
        .for_each(|number| pickle.extend([text(&number.to_string()), b"N".into()].concat()));
    (0..131_071)
        .for_each(|number| pickle.extend([text(&number.to_string()), b"K\x01".into()].concat()));
    pickle.extend(b"u.");
    assert!(load(&pickle).unwrap_err().contains("a file of 131073 entries"));
    let mut pickle = b"}(".to_vec();
    (0..65_000)
        .for_each(|number| pickle.extend([text(&number.to_string()), b"K\x01".into()].concat()));
    let twice = [&pickle[..], &pickle[2..], b"u."].concat();
    assert!(load(&twice).unwrap_err().contains("found `0` twice"));
}

/// An `OrderedDict` of pairs, strings of bytes, `_rebuild_tensor`, and a view of a storage.
fn an_old_file_of_python_2(loader: &Loader) {
    let data: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let pickle = [
        &b"ccollections\nOrderedDict\n]](U\x01xctorch._utils\n_rebuild_tensor\n("[..],
        b"(U\x07storagectorch.cuda\nFloatStorage\nU\x010U\x06cuda:0K\x03(U\x011K\x01K\x02ttQ",
        b"K\x01(K\x01t(K\x01ttRea\x85R.",
    ]
    .concat();
    let state = loader.load(&legacy(&pickle, &[("0", 3, &data)])).unwrap();
    assert_eq!(state["x"].tensor::<f32>().unwrap().to_vec(), [3.0]);
}

fn other_kinds(loader: &Loader) {
    let mut bytes = b"storages".to_vec();
    bytes.resize(257, 0);
    bytes.extend(b"ustar\x0000");
    bytes.resize(2048, 0);
    let zip = |name: &str| {
        let fields = [&[0; 22][..], &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        let end = [&b"PK\x05\x06"[..], &[0; 12], &(30 + name.len() as u32).to_le_bytes(), &[0; 2]];
        [&b"PK\x03\x04"[..], &fields, name.as_bytes(), &end.concat()].concat()
    };
    for (bytes, expected) in [
        (bytes, "an archive of PyTorch 0.1 (tar), expected a state dict of torch.save; save it"),
        (
            zip("x.npy"),
            "an archive of NumPy arrays (.npz), expected a state dict of torch.save; use Npz",
        ),
        (b"\x80\x02\0\0\0\0\0\0{}".to_vec(), "a safetensors file, expected a state dict of torch"),
        (b"\x80\x04K\x01.".to_vec(), "a pickle that torch.save did not write, expected"),
        (b"\x80\x02".to_vec(), "damage (1 bytes in a pickle that has 0 more)"),
        (b"GGUF\x03\0\0\0\0".to_vec(), "a GGUF file of llama.cpp, expected a state dict"),
        (Vec::new(), "an empty file"),
    ] {
        let error = loader.load(&bytes).unwrap_err();
        assert!(error.contains(&format!("found {expected}")), "{error}");
    }
}

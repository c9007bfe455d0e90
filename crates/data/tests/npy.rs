//! Arrays written by NumPy (`fixtures/npy.py`), and the same files damaged.

use adamant_data::{FileError, Npy, NpyElements, Npz};
use adamant_tensor::{Indices, Tensor};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npy").join(name)
}

/// Calls `read` with a file of these bytes.
fn with_file<V>(bytes: &[u8], read: impl FnOnce(&Path) -> V) -> V {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

fn read(bytes: &[u8]) -> Result<Npy, FileError> {
    with_file(bytes, |path| Npy::read(path))
}

#[track_caller]
fn assert_rejected(bytes: &[u8], expected: &str) {
    let error = read(bytes).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn all_types_and_orders_are_read() {
    for kind in ["f4", "f8", "i4", "i8", "u1", "b1"] {
        let orders = if kind.ends_with('1') { vec!["bytes"] } else { vec!["little", "big"] };
        for order in orders {
            for index_order in ["C", "F"] {
                let name = format!("{kind}_{order}_{index_order}.npy");
                let array = Npy::read(fixture(&name)).unwrap();
                assert_eq!(array.shape(), [2, 3, 4], "{name}");
                let expected: Vec<f64> = (0..24)
                    .map(|i| match kind {
                        "b1" => f64::from(u8::from(i % 3 == 0)),
                        "u1" => f64::from(i),
                        _ => f64::from(i - 3),
                    })
                    .collect();
                assert_eq!(array.tensor::<f64>().to_vec(), expected, "{name}");
                let found = match array.elements() {
                    NpyElements::F32(_) => "f4",
                    NpyElements::F64(_) => "f8",
                    NpyElements::I32(_) => "i4",
                    NpyElements::I64(_) => "i8",
                    NpyElements::U8(_) => "u1",
                    NpyElements::Bool(_) => "b1",
                    _ => "another",
                };
                assert_eq!(found, kind);
            }
        }
    }
}

#[test]
fn scalars_empty_arrays_and_version_2_are_read() {
    let scalar = Npy::read(fixture("scalar.npy")).unwrap().tensor::<f32>();
    assert_eq!((scalar.shape(), scalar.item()), (&[][..], 2.5));
    let empty = Npy::read(fixture("empty.npy")).unwrap();
    assert_eq!((empty.shape(), empty.tensor::<f32>().numel()), (&[0, 3][..], 0));
    let version_2 = Npy::read(fixture("version_2.npy")).unwrap();
    assert_eq!(version_2.into_elements(), NpyElements::F64(vec![1.0, 2.0]));
}

#[test]
fn integers_are_indices() {
    let indices = Npy::read(fixture("vector.npy")).unwrap().indices().unwrap();
    assert_eq!((indices.shape(), indices.to_vec()), (&[3][..], vec![2, 0, 1]));
    let error = |name: &str| Npy::read(fixture(name)).unwrap().indices().err().unwrap();
    for (name, expected) in [
        ("i4_big_F.npy", "i4_big_F.npy, element 0: found -3, expected an index"),
        ("f4_little_C.npy", "f4_little_C.npy: found floats, expected integers"),
        ("b1_bytes_C.npy", "b1_bytes_C.npy: found booleans, expected integers"),
    ] {
        let text = error(name).to_string();
        assert!(text.ends_with(expected), "{text}");
    }
    let mut archive = Npz::open(fixture("stored.npz")).unwrap();
    let floats = archive.read("x").unwrap().indices().err().unwrap().to_string();
    assert!(floats.ends_with("stored.npz, array `x`: found floats, expected integers"), "{floats}");
}

#[test]
fn arrays_are_written_as_numpy_writes_them() {
    let values: Vec<f32> = (0..24).map(|i| i as f32 - 3.0).collect();
    let x = Tensor::from_vec(values, [2, 3, 4]).unwrap();
    let indices = Indices::from_vec(vec![2, 0, 1], [3]).unwrap();
    for (array, name) in [
        (Npy::from(&x), "f4_little_C.npy"),
        (Npy::from(&indices), "vector.npy"),
        (Npy::from(&Tensor::scalar(2.5f32)), "scalar.npy"),
        (Npy::from(&Tensor::<f64>::zeros([0, 3])), "empty.npy"),
        (Npy::read(fixture("f8_big_F.npy")).unwrap(), "f8_little_C.npy"),
        (Npy::read(fixture("i4_big_F.npy")).unwrap(), "i4_little_C.npy"),
        (Npy::read(fixture("u1_bytes_F.npy")).unwrap(), "u1_bytes_C.npy"),
        (Npy::read(fixture("b1_bytes_F.npy")).unwrap(), "b1_bytes_C.npy"),
    ] {
        let written = with_file(b"to be replaced", |path| {
            array.write(path).unwrap();
            std::fs::read(path).unwrap()
        });
        assert_eq!(written, std::fs::read(fixture(name)).unwrap(), "{name}");
    }
    let error = Npy::from(&x).write("no/such/x.npy").unwrap_err().to_string();
    assert!(error.starts_with("no/such/x.npy: "), "{error}");
    assert!(Npy::new([2, 2], NpyElements::U8(vec![1, 2, 3])).is_err());
}

#[test]
fn other_files_are_rejected() {
    let error = |name: &str| Npy::read(fixture(name)).unwrap_err().to_string();
    let half = error("half.npy");
    assert!(half.contains("found elements of type \"<f2\", expected one of f4, f8"), "{half}");
    assert!(error("record.npy").contains("expected a string"), "{}", error("record.npy"));
    assert!(error("stored.npz").contains("found an archive of NumPy arrays (.npz), expected"));
    assert_rejected(b"", "found an empty file, expected a NumPy array (.npy)");
    assert_rejected(b"\x89PNG\r\n\x1a\n\0\0\0\0\0\0", "found a PNG image, expected a NumPy array");
    assert!(error("missing.npy").contains("missing.npy: "));
}

/// A header of `float32` elements in Fortran order.
fn header(shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}}}");
    [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_wrong_length_is_rejected_before_there_is_memory() {
    let huge = header("(1099511627776,)");
    assert_rejected(&huge, "found only 0 bytes, expected the 4398046511104 bytes of shape");
    assert_rejected(&header("(1152921504606846976, 0)"), "found a header with shape");
    assert_rejected(&header("(9223372036854775807, 3)"), "a size that fits in memory");
    assert_rejected(&[header("(2,)"), vec![0; 9]].concat(), "found more bytes, expected the 8");
    let mut bytes = std::fs::read(fixture("b1_bytes_C.npy")).unwrap();
    *bytes.last_mut().unwrap() = 2;
    assert_rejected(&bytes, "found the bytes [2] for element 23, expected 0 or 1 for each bool");
}

#[test]
fn a_file_cut_anywhere_is_rejected() {
    for name in ["f8_little_F.npy", "version_2.npy"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{name} cut at {len}");
        }
    }
}

#[test]
fn any_changed_byte_is_an_error_or_an_array_of_the_file_s_size() {
    for name in ["i4_big_F.npy", "u1_bytes_C.npy"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for at in 0..whole.len() {
            for change in [1, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= change;
                if let Ok(array) = read(&damaged) {
                    assert_eq!(array.tensor::<f64>().numel(), array.shape().iter().product());
                    assert!(array.shape().iter().product::<usize>() <= whole.len());
                }
            }
        }
    }
}

#[test]
fn archives_are_read_by_name() {
    for name in ["stored.npz", "compressed.npz"] {
        let mut file = Npz::open(fixture(name)).unwrap();
        assert_eq!(file.names(), ["x", "labels"]);
        let x = file.read("x").unwrap().tensor::<f32>();
        assert_eq!((x.shape(), x.to_vec()), (&[2, 3][..], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(file.read("labels").unwrap().indices().unwrap().to_vec(), [1, 0]);
    }
    let error = Npz::open(fixture("vector.npy")).unwrap_err().to_string();
    let expected =
        "found a NumPy array (.npy), expected an archive of NumPy arrays (.npz); use Npy::read";
    assert!(error.ends_with(expected), "{error}");
    assert!(with_file(b"", |path| Npz::open(path)).unwrap_err().to_string().contains("an empty"));
}

/// Reads all arrays of an archive.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Npy)>, FileError> {
    with_file(bytes, |path| {
        let mut file = Npz::open(path)?;
        let names = file.names();
        names.into_iter().map(|name| Ok((name.clone(), file.read(&name)?))).collect()
    })
}

#[test]
fn memory_for_an_array_of_an_archive_follows_its_data() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, shape) in [("huge", "(1099511627776,)"), ("more", "(1,)"), ("fits", "(2,)")] {
            archive.start_file(format!("{name}.npy"), options).unwrap();
            archive.write_all(&[header(shape), vec![0; 8]].concat()).unwrap();
        }
        archive.start_file("notes.txt", options).unwrap();
        let bytes = archive.finish().unwrap().into_inner();
        with_file(&bytes, |path| {
            let mut file = Npz::open(path).unwrap();
            assert_eq!(file.names(), ["huge", "more", "fits"]);
            assert_eq!(file.read("fits").unwrap().shape(), [2]);
            let huge = file.read("huge").unwrap_err().to_string();
            let expected =
                "found only 8 bytes in `huge`, expected the 4398046511104 bytes of shape";
            assert!(huge.contains(expected), "{huge}");
            let more = file.read("more").unwrap_err().to_string();
            assert!(more.contains("found more bytes in `more`, expected the 4 bytes"), "{more}");
        });
    }
}

#[test]
fn an_archive_cut_anywhere_is_rejected() {
    for name in ["stored.npz", "compressed.npz"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for len in 0..whole.len() {
            assert!(read_all(&whole[..len]).is_err(), "{name} cut at {len}");
        }
    }
}

/// The checksums are those of the arrays; names and other fields do not have one.
#[test]
fn a_changed_byte_of_an_archive_does_not_change_an_array() {
    for name in ["stored.npz", "compressed.npz"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let arrays = read_all(&whole).unwrap();
        for at in 0..whole.len() {
            for change in [1, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= change;
                for (read_name, array) in read_all(&damaged).unwrap_or_default() {
                    let same = arrays.iter().any(|(_, other)| {
                        other.shape() == array.shape() && other.elements() == array.elements()
                    });
                    assert!(same, "{name} changed at {at}: {read_name}");
                }
            }
        }
    }
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let [old, new] = [1, 2].map(|byte| Npy::new([3], NpyElements::U8(vec![byte; 3])).unwrap());
    old.write(&path).unwrap();
    let full = std::io::ErrorKind::StorageFull;
    let (result, calls) = adamant_files::failing(0..0, full, || old.write(&path));
    result.unwrap();
    let write = calls.iter().position(|&call| call == "write").unwrap();
    let (result, _) = adamant_files::failing(write..usize::MAX, full, || new.write(&path));
    assert!(result.unwrap_err().to_string().contains("x.npy: injected into write"));
    assert_eq!(Npy::read(&path).unwrap().elements(), old.elements());
}

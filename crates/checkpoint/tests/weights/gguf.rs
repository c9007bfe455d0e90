//! GGUF files, against the reference's values.

use crate::fixture;
use crate::gguf_writer::Writer;
use adamant_checkpoint::{MetadataValue, Weights, load_safetensors};
use std::fs;

fn quants() -> Weights {
    Weights::open(fixture("gguf/quants.gguf")).unwrap()
}

#[test]
fn every_quantization_has_the_references_values() {
    let expected = load_safetensors(fixture("gguf/quants.safetensors")).unwrap();
    let found = quants().load().unwrap();
    assert_eq!((found.len(), expected.len()), (11, 11));
    for (name, value) in expected.iter() {
        assert_eq!(&found[name], value, "{name}");
        assert_eq!(&quants().read(name).unwrap(), value, "{name}");
    }
}

#[test]
fn a_file_is_listed_in_its_order() {
    let listed: Vec<String> =
        quants().entries().iter().map(|entry| format!("{}: {entry}", entry.name())).collect();
    let expected = [
        "q4_0.weight: Q4_0 [3, 64]",
        "q4_1.weight: Q4_1 [3, 64]",
        "q5_0.weight: Q5_0 [3, 64]",
        "q5_1.weight: Q5_1 [3, 64]",
        "q8_0.weight: Q8_0 [3, 64]",
        "q4_k.weight: Q4_K [2, 256]",
        "q5_k.weight: Q5_K [2, 256]",
        "q6_k.weight: Q6_K [2, 256]",
        "f32.weight: F32 [2, 3, 5]",
        "f16.weight: F16 [2, 3, 5]",
        "bf16.weight: BF16 [2, 3, 5]",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn metadata_of_every_type_is_read() {
    let file = quants();
    let ints = [
        ("u8", 255),
        ("i8", -128),
        ("u16", 65535),
        ("i16", -32768),
        ("u32", (1 << 32) - 1),
        ("i32", -(1 << 31)),
        ("u64", (1 << 64) - 1),
        ("i64", -(1 << 63)),
    ];
    for (name, value) in ints {
        assert_eq!(file.metadata(&format!("test.{name}")), Some(MetadataValue::Int(value)));
    }
    assert_eq!(file.metadata_float("test.f32").unwrap(), f64::from(1e-5f32));
    assert_eq!(file.metadata_float("test.f64").unwrap(), 0.1);
    assert_eq!(file.metadata_int("general.alignment").unwrap(), 64);
    assert!(file.metadata_bool("test.bool").unwrap());
    assert_eq!(file.metadata_text("test.text").unwrap(), "grüße");
    let array = |name| file.metadata_array(name).unwrap();
    assert_eq!(array("test.texts").texts().unwrap().collect::<Vec<_>>(), ["a", "", "π b"]);
    assert_eq!(array("test.ints").ints().unwrap().collect::<Vec<_>>(), [1, -2, 3]);
    assert_eq!(array("test.floats").floats().unwrap().collect::<Vec<_>>(), [0.5, -1.5]);
    let bools = [true, false].map(MetadataValue::Bool);
    assert_eq!(array("test.bools").iter().collect::<Vec<_>>(), bools);
    assert!(array("test.bools").ints().is_none() && array("test.ints").texts().is_none());
    assert_eq!(file.metadata_keys().len(), 18);
}

#[test]
fn metadata_of_another_type_is_named() {
    let path = fixture("gguf/quants.gguf");
    let error = |found: &str| format!("{}: found {found}", path.display());
    assert_eq!(
        quants().metadata_int("test.u64").unwrap_err().to_string(),
        error(
            "`test.u64` in the metadata, 18446744073709551615, expected a 64-bit signed integer there"
        )
    );
    assert_eq!(
        quants().metadata_text("test.ints").unwrap_err().to_string(),
        error("`test.ints` in the metadata, [1, -2, 3], expected a string there")
    );
    assert_eq!(
        quants().metadata_array("none").unwrap_err().to_string(),
        error("no `none` in the metadata, expected an array there")
    );
}

fn open(bytes: &[u8]) -> Result<Weights, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    fs::write(&path, bytes).unwrap();
    Weights::open(&path).map_err(|error| error.to_string())
}

#[test]
fn other_quantizations_are_rejected_when_they_are_read() {
    let file = Writer::new(3, 0)
        .tensor("a", &[256], 23, 0)
        .tensor("b", &[2], 0, 160)
        .tensor("c", &[2], 99, 192)
        .data(200);
    let file = open(&file).unwrap();
    let listed: Vec<_> = file.entries().iter().map(|e| (e.to_string(), e.bytes())).collect();
    let expected = [("IQ4_XS [256]", Some(136)), ("F32 [2]", Some(8)), ("number 99 [2]", None)];
    assert_eq!(listed, expected.map(|(text, bytes)| (text.to_string(), bytes)));
    assert_eq!(file.read("b").unwrap().kind(), "f32 [2]");
    let error = |name| file.read(name).unwrap_err().to_string();
    assert!(error("a").contains("x.gguf: found `a` with elements of type IQ4_XS, expected a type"));
    assert!(error("c").contains("found `c` with elements of type number 99"), "{}", error("c"));
    let error = file.load().unwrap_err().to_string();
    let expected = "found `a` with elements of type IQ4_XS, expected types that can be read; read the \
                    other tensors by Weights::load_where";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(file.load_where(|entry| entry.dtype().is_supported()).unwrap().len(), 1);
}

#[test]
fn versions_and_byte_orders_are_named() {
    let good = fs::read(fixture("gguf/quants.gguf")).unwrap();
    let version = |version: u32| {
        let mut bytes = good.clone();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        open(&bytes)
    };
    assert_eq!(version(2).unwrap().load().unwrap(), quants().load().unwrap());
    for (found, expected) in [
        (0, "found a GGUF file of version 0, expected version 2 or 3"),
        (1, "found a GGUF file of version 1, expected version 2 or 3"),
        (3 << 24, "found a big-endian GGUF file, expected a little-endian one; convert it with"),
        (4, "found version 4 of the format, expected 3, the newest that this adamant supports"),
    ] {
        let error = version(found).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn hostile_headers_are_rejected() {
    let one = || Writer::new(1, 0);
    let two = |sizes: &[u64], code, offset| {
        Writer::new(2, 0).tensor("a", &[8], 0, 0).tensor("b", sizes, code, offset).data(64)
    };
    let key = |code: u32| Writer::new(0, 1).text(b"k").u32(code);
    assert!(open(&two(&[8], 0, 32)).is_ok());
    for (file, expected) in [
        (Writer::new(1 << 60, 0).data(0), "a file of 1152921504606846976 entries"),
        (Writer::new(u64::MAX, u64::MAX).data(0), "entries, expected at most 131072"),
        (Writer::new(0, 1).u64(1 << 60).data(0), "damage (1152921504606846976 bytes at byte 32"),
        (key(8).u64(u64::MAX).data(0), "damage (18446744073709551615 bytes at byte"),
        (key(9).u32(4).u64(1 << 62).data(0), "damage ("),
        (key(9).u32(8).u64(1 << 62).data(64), "damage ("),
        (key(9).u32(9).u64(1).data(64), "`k` of an array of arrays, expected booleans, numbers"),
        (key(13).data(64), "`k` of type 13"),
        (key(8).text(b"\xff").data(0), "a string at byte 45, which is not UTF-8"),
        (Writer::new(0, 1).text(b"\xff").u32(0).data(8), "a key at byte 32, which is not UTF-8"),
        (
            Writer::new(0, 2).text(b"k").u32(4).u32(7).text(b"k").u32(4).u32(7).data(0),
            "the key `k` twice",
        ),
        (one().tensor("a", &[1; 5], 0, 0).data(4), "`a` of 5 dimensions, expected at most 4"),
        (one().text(b"a").u32(u32::MAX).data(4), "`a` of 4294967295 dimensions"),
        (
            one().tensor("a", &[1 << 32, 1 << 32], 0, 0).data(4),
            "`a` of shape [4294967296, 4294967296] and type F32, expected a shape that fits",
        ),
        (one().tensor("a", &[1 << 32, 1 << 32, 0], 0, 0).data(4), "expected a shape that fits"),
        (one().tensor("a", &[1 << 61], 0, 0).data(4), "expected a shape that fits"),
        (one().tensor("a", &[1 << 40], 0, 0).data(4), "expected a tensor within the file of"),
        (
            one().tensor("a", &[33, 32], 2, 0).data(4),
            "`a` of shape [32, 33] and type Q4_0, expected rows of whole blocks of 32",
        ),
        (one().tensor("a", &[], 2, 0).data(4), "expected rows of whole blocks of 32"),
        (two(&[8], 0, 0), "`b` over the end of `a`"),
        (two(&[8], 0, 8), "`b` at offset 8, expected a multiple of 32"),
        (two(&[9], 0, 32), "`b` with 36 bytes at offset 32, expected a tensor within the file"),
        (two(&[8], 0, u64::MAX - 31), "expected a tensor within the file"),
        (two(&[8], 99, 1 << 60), "expected a tensor within the file"),
        (two(&[1 << 32, 1 << 32], 99, 32), "and type number 99, expected a shape that fits"),
        (two(&[256], 23, 32), "`b` with 136 bytes at offset 32, expected a tensor within the file"),
        (two(&[32], 23, 32), "and type IQ4_XS, expected rows of whole blocks of 256"),
        (
            Writer::new(2, 0).tensor("a", &[8], 0, 0).tensor("a", &[8], 0, 32).data(64),
            "`a` twice, expected each name once",
        ),
        (
            Writer::new(0, 1).text(b"general.alignment").u32(4).u32(0).data(0),
            "`general.alignment` 0, expected a power of two",
        ),
        (
            Writer::new(0, 1).text(b"general.alignment").u32(8).text(b"32").data(0),
            "`general.alignment` \"32\", expected a power of two",
        ),
        (
            Writer::new(1, 1)
                .text(b"general.alignment")
                .u32(10)
                .u64(1 << 63)
                .tensor("a", &[8], 0, 0)
                .data(64),
            "expected a tensor within the file",
        ),
    ] {
        let error = open(&file).map(drop).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_scalar_and_an_empty_tensor_are_read() {
    let file = Writer::new(2, 0).tensor("a", &[], 0, 0).tensor("b", &[0, 3], 2, 32).data(32);
    let state = open(&file).unwrap().load().unwrap();
    assert_eq!((state["a"].kind(), state["b"].kind()), ("f32 []".into(), "f32 [3, 0]".into()));
}

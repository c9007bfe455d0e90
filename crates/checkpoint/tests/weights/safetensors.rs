//! Types of safetensors files, against PyTorch.

use crate::fixture;
use adamant_checkpoint::{
    MetadataValue, SavedType, StoredType, Weights, load_safetensors, save_safetensors,
    save_safetensors_as,
};
use adamant_tensor::{Array, StateDict, Tensor, Value};
use std::fs;

fn types() -> Weights {
    Weights::open(fixture("safetensors/types.safetensors")).unwrap()
}

fn expected() -> StateDict {
    load_safetensors(fixture("safetensors/expected.safetensors")).unwrap()
}

#[test]
fn every_type_has_pytorchs_values() {
    let found = types().load_where(|entry| entry.dtype().is_supported()).unwrap();
    assert_eq!(found.len(), 15);
    for (name, value) in expected().iter() {
        assert_eq!(&types().read(name).unwrap(), value, "{name}");
        assert_eq!(&found[name], value, "{name}");
    }
    assert_eq!(found, expected());
}

#[test]
fn a_file_is_listed_without_its_data() {
    let file = types();
    let listed: Vec<String> =
        file.entries().iter().map(|entry| format!("{}: {entry}", entry.name())).collect();
    let expected = [
        "bf16: BF16 [217]",
        "bf16 of f64: BF16 [217]",
        "bool: BOOL [2]",
        "f16: F16 [217]",
        "f16 of f64: F16 [217]",
        "f32: F32 [217]",
        "f64: F64 [217]",
        "f8: F8_E4M3 [3]",
        "i16: I16 [2]",
        "i32: I32 [2]",
        "i64: I64 [2]",
        "i8: I8 [2, 1]",
        "u16: U16 [2]",
        "u32: U32 [2]",
        "u64: U64 [2]",
        "u8: U8 []",
    ];
    assert_eq!(listed, expected);
    let bf16 = file.entry("bf16").unwrap();
    assert_eq!((bf16, file.entry("bf")), (&file.entries()[0], None));
    assert_eq!(
        (bf16.dtype(), bf16.shape(), bf16.bytes()),
        (&StoredType::Bf16, &[217][..], Some(434))
    );
    assert_eq!(file.metadata_keys(), ["by", "format"]);
    assert_eq!(
        (file.metadata("by"), file.metadata("to")),
        (Some(MetadataValue::Text("PyTorch")), None)
    );
}

#[test]
fn a_type_that_cannot_be_read_is_named() {
    let path = fixture("safetensors/types.safetensors");
    let found = format!("{}: found `f8` with elements of type F8_E4M3, expected", path.display());
    let expected = format!("{found} a type that can be read (see StoredType)");
    assert_eq!(types().read("f8").unwrap_err().to_string(), expected);
    assert_eq!(types().load_where(|_| true).unwrap_err().to_string(), expected);
    let expected =
        format!("{found} types that can be read; read the other tensors by Weights::load_where");
    assert_eq!(types().load().unwrap_err().to_string(), expected);
    assert_eq!(load_safetensors(&path).unwrap_err().to_string(), expected);
}

#[test]
fn a_missing_tensor_is_named() {
    let error = types().read("weight").unwrap_err().to_string();
    let expected =
        "found no tensor `weight`, expected the name of one of the 16 tensors, such as `bf16`";
    assert!(error.ends_with(expected), "{error}");
}

/// The bytes of the elements of an array in a file.
fn bytes(file: &[u8], name: &str) -> Vec<u8> {
    safetensors::SafeTensors::deserialize(file).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn floats_are_rounded_as_by_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let reference = fs::read(fixture("safetensors/types.safetensors")).unwrap();
    for (floats, names) in
        [(SavedType::F16, ["f16", "f16 of f64"]), (SavedType::Bf16, ["bf16", "bf16 of f64"])]
    {
        save_safetensors_as(&expected(), &path, floats).unwrap();
        let saved = fs::read(&path).unwrap();
        for (name, expected) in ["f32", "f64"].into_iter().zip(names) {
            assert_eq!(bytes(&saved, name), bytes(&reference, expected), "{expected}");
        }
        assert_eq!(bytes(&saved, "i32").len(), 16); // stays `i64`
    }
    save_safetensors_as(&expected(), &path, SavedType::F32).unwrap();
    assert_eq!(load_safetensors(&path).unwrap(), expected().cast::<f32>());
}

#[test]
fn halves_round_trip_to_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let reference = fs::read(fixture("safetensors/types.safetensors")).unwrap();
    for (name, floats) in [("f16", SavedType::F16), ("bf16", SavedType::Bf16)] {
        let state = types().load_where(|entry| entry.name() == name).unwrap();
        save_safetensors_as(&state, &path, floats).unwrap();
        assert_eq!(bytes(&fs::read(&path).unwrap(), name), bytes(&reference, name));
    }
}

#[test]
fn elements_are_aligned_to_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let count = |count| Value::I64(Array::full([count].into(), 1));
    let state = StateDict::from_iter([
        ("a", Value::from(Tensor::from([1.0f32]))),
        ("b", count(3)),
        ("c", Value::from(Tensor::from([1.0f32, 2.0]))),
        ("d", count(1)),
    ]);
    save_safetensors_as(&state, &path, SavedType::F16).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (header_len, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert!(header_len.is_multiple_of(8));
    let start = |name| header.info(name).unwrap().data_offsets.0;
    assert_eq!(["b", "d", "a", "c"].map(start), [0, 24, 32, 34]);
}

#[test]
fn large_tensors_are_the_same_in_every_piece() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let count = 300_001; // more than two pieces of a reader
    let values: Vec<f32> = (0..count).map(|i| (i % 251) as f32).collect(); // exact in both types
    let x = Tensor::from_vec(values, [count]).unwrap();
    let state = StateDict::from_iter([("x", x)]);
    for floats in [SavedType::F16, SavedType::Bf16] {
        save_safetensors_as(&state, &path, floats).unwrap();
        assert_eq!(load_safetensors(&path).unwrap(), state);
    }
}

#[test]
fn a_view_is_saved_in_its_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]).transpose(0, 1);
    let state = StateDict::from_iter([("x", Value::from(&x))]);
    for floats in [SavedType::F32, SavedType::F16, SavedType::Bf16] {
        save_safetensors_as(&state, &path, floats).unwrap();
        assert_eq!(load_safetensors(&path).unwrap(), state);
    }
}

#[test]
fn values_that_do_not_fit_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let read = |dtype: &str, data: &[u8]| {
        let len = data.len();
        let header =
            format!(r#"{{"x":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{len}]}}}}"#);
        let header_len = (header.len() as u64).to_le_bytes();
        fs::write(&path, [&header_len[..], header.as_bytes(), data].concat()).unwrap();
        load_safetensors(&path).map(drop).map_err(|error| error.to_string()).unwrap_err()
    };
    for (error, expected) in [
        (
            read("U64", &[255; 8]),
            "`x` with the element 18446744073709551615, expected elements below 2^63",
        ),
        (read("BOOL", &[2]), "`x` with the boolean 2, expected booleans that are 0 or 1"),
        (read("BF16", &[0]), "`x` of shape [1] at bytes 0 to 1, expected the number of bytes"),
        (read("Q4_0", &[0]), "`x` with elements of type Q4_0, expected types that can be read"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_tensors_of_a_replaced_file_are_those_of_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let state = |x: f32| StateDict::from_iter([("x", Tensor::from([x]))]);
    save_safetensors(&state(1.0), &path).unwrap();
    let file = Weights::open(&path).unwrap();
    save_safetensors(&state(2.0), &path).unwrap();
    assert_eq!(file.load().unwrap(), state(1.0));
}

//! `load_pt` and `save_pt` on files that PyTorch wrote: see `fixtures/pt/make.py`.

use adamant_checkpoint::{Weights, WeightsFormat, load_pt, save_pt};
use adamant_tensor::{Array, StateDict, Tensor, Value};
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pt").join(name)
}

#[track_caller]
fn load(name: &str) -> StateDict {
    load_pt(fixture(name)).unwrap()
}

#[track_caller]
fn single(values: &[f32], shape: &[usize]) -> Value {
    Value::F32(Array::from_slice(shape.into(), values))
}

fn int(values: &[i64]) -> Value {
    Value::I64(Array::from_slice([values.len()].into(), values))
}

fn assert_entries(state: &StateDict, expected: Vec<(&str, Value)>) {
    let expected = StateDict::from_iter(expected);
    let names = |state: &StateDict| state.keys().map(String::from).collect::<Vec<_>>();
    assert_eq!(names(state), names(&expected));
    for (name, value) in expected.iter() {
        let tensors = [&state[name], value].map(|value| value.tensor::<f32>().map(|x| x.to_vec()));
        assert_eq!(&state[name], value, "{name}: {tensors:?}");
    }
}

#[test]
fn every_form_of_torch_save_is_read() {
    for name in [
        "zip1.pt",
        "zip2.pt",
        "zip3.pt",
        "zip4.pt",
        "zip5.pt",
        "legacy1.pt",
        "legacy2.pt",
        "legacy3.pt",
        "legacy4.pt",
        "legacy5.pt",
        "no_checksums.pt",
    ] {
        let weight = single(&[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], &[2, 3]);
        assert_entries(&load(name), vec![("weight", weight), ("bias", single(&[0.1, -0.0], &[2]))]);
    }
}

#[test]
fn tensors_of_every_type_and_layout_are_read() {
    let ramp: Vec<f32> = (0..12u8).map(f32::from).collect();
    for name in ["tensors.pt", "tensors_legacy.pt"] {
        let state = load(name);
        let expected = vec![
            ("f64", Value::F64(Array::from_slice([2].into(), &[0.1, f64::NEG_INFINITY]))),
            ("f16", single(&[1.0, -65504.0, 2f32.powi(-24)], &[3])),
            ("bf16", single(&[1.0, -3.0, 2f32.powi(-133)], &[3])),
            ("i64", int(&[i64::MIN, i64::MAX])),
            ("i32", int(&[-2, 7])),
            ("i16", int(&[-2, 7])),
            ("i8", int(&[-2, 7])),
            ("u8", int(&[254, 7])),
            ("bool", int(&[1, 0])),
            ("whole", single(&ramp, &[4, 3])),
            ("row", single(&[3.0, 4.0, 5.0], &[3])),
            ("column", single(&[2.0, 5.0, 8.0, 11.0], &[4])),
            ("transposed", single(&[0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.], &[3, 4])),
            ("steps", single(&[1.0, 2.0, 7.0, 8.0], &[2, 2])),
            ("again", single(&ramp, &[4, 3])),
            ("expanded", single(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], &[2, 3])),
            ("scalar", single(&[0.5], &[])),
            ("empty", single(&[], &[0, 3])),
            ("channels_last", single(&ramp[..8], &[1, 2, 2, 2])),
            ("parameter", single(&[1.0, 1.0], &[2])),
            ("attributes", single(&[1.0, 1.0], &[2])),
            ("parameter_attributes", single(&[1.0, 1.0], &[2])),
        ];
        assert_entries(&state, expected);
        // Tied parameters: the same view of one storage.
        let elements =
            |name: &str| state[name].array::<f32>().unwrap().as_slice().unwrap().as_ptr();
        assert_eq!(elements("whole"), elements("again"));
    }
    assert_entries(&load("u64.pt"), vec![("x", int(&[1, 1]))]);
    let unsigned = vec![("u16", int(&[65534, 7])), ("u32", int(&[4_294_967_294, 7]))];
    assert_entries(&load("unsigned.pt"), unsigned);
    let swapped = vec![("f32", single(&[1.0, -2.5], &[2])), ("i64", int(&[258]))];
    assert_entries(&load("big_endian.pt"), swapped);
}

#[test]
fn nested_containers_become_dotted_names() {
    for name in ["nested.pt", "nested4.pt"] {
        let expected: Vec<(&str, Value)> = vec![
            ("list.0", single(&[1.0], &[1])),
            ("list.1", 2.into()),
            ("list.2.0", true.into()),
            ("tuple.0", 0.5.into()),
            ("tuple.1", "text".into()),
            ("dict.0.-1", "key".into()),
            ("size.0", 2.into()),
            ("size.1", 3.into()),
            ("dtype", "torch.bfloat16".into()),
            ("device", "cuda:1".into()),
            ("large", (1i64 << 40).into()),
            ("smallest", i64::MIN.into()),
            ("unicode", "π\n".into()),
            ("milestones.30", 1.into()),
            ("milestones.80", 1.into()),
        ];
        assert_entries(&load(name), expected);
    }
    let list = vec![("0", single(&[1.0], &[1])), ("1", single(&[0.0], &[1]))];
    assert_entries(&load("list.pt"), list);
    assert_entries(&load("tensor.pt"), vec![("", single(&[0.0, 1.0, 2.0, 3.0], &[2, 2]))]);
}

#[test]
fn an_optimizer_is_a_part() {
    let state = load("adam.pt");
    let names: Vec<&str> = state.keys().filter(|name| !name.contains("param_groups")).collect();
    let expected = [
        "model.weight",
        "model.bias",
        "optimizer.state.0.step",
        "optimizer.state.0.exp_avg",
        "optimizer.state.0.exp_avg_sq",
        "optimizer.state.1.step",
        "optimizer.state.1.exp_avg",
        "optimizer.state.1.exp_avg_sq",
        "epoch",
    ];
    assert_eq!(names, expected);
    let adam = state.part("optimizer");
    assert_eq!(adam["state.0.step"], single(&[1.0], &[]));
    assert_eq!(adam["state.0.exp_avg"], single(&[0.1; 6], &[2, 3]));
    assert_eq!(adam.float("param_groups.0.betas.1"), Ok(0.999));
    assert_eq!(adam.int("param_groups.0.params.1"), Ok(1));
    assert_eq!(adam.get("param_groups.0.foreach"), None); // None in PyTorch
}

#[test]
fn everything_else_is_refused_by_name() {
    for (name, expected) in [
        ("module.pt", "found a whole module (the global torch.nn.modules.linear.Linear), expected"),
        ("module_legacy.pt", "found the global __main__.Net, expected a state dict of torch.save"),
        ("function.pt", "found the global __main__.double, expected a state dict of torch.save"),
        ("complex.pt", "found `x` with elements of type complex64, expected types that can be"),
        ("negated.pt", "found `x` with elements of type lazy, expected types"),
        ("sparse.pt", "found `x` with elements of type sparse, expected types that can be read"),
        ("sparse_csr.pt", "found `x` with elements of type sparse, expected types"),
        ("quantized.pt", "found `x` with elements of type qint8, expected types that can be read"),
        ("float8.pt", "found `x` with elements of type float8_e4m3fn, expected types that can"),
        ("storage.pt", "found `x`: a storage, expected a tensor, a number or a string"),
        ("set.pt", "found the global __builtin__.set"),
        ("bytes.pt", "found a bytes object"),
        ("large_int.pt", "found an integer that does not fit 64 bits"),
        ("tuple_key.pt", "found a tuple as a key"),
        ("twice.pt", "found `a.b` twice, expected each name once"),
        ("numpy.pt", "found an object of NumPy (the global numpy._core.multiarray.scalar)"),
        (
            "script.pt",
            "found an archive of torch.jit.save, expected a state dict of torch.save; in",
        ),
        ("compressed.pt", "found `zip2/byteorder`, which is compressed"),
        ("make.py", "found a text file, expected a state dict of torch.save"),
    ] {
        let error = load_pt(fixture(name)).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: {expected}")), "{error}");
    }
}

#[test]
fn a_file_is_listed_with_the_tensors_that_cannot_be_read() {
    for name in ["mixed.pt", "mixed_legacy.pt"] {
        let weights = Weights::open(fixture(name)).unwrap();
        assert_eq!(weights.format(), WeightsFormat::PyTorch);
        let listed: Vec<_> = weights
            .entries()
            .iter()
            .map(|entry| (entry.name(), entry.to_string(), entry.bytes()))
            .collect();
        let expected = [
            ("weight", "F32 [2, 3]", Some(24)),
            ("complex", "complex64 [2, 3]", Some(48)),
            ("conjugated", "lazy [4]", None),
            ("negated", "lazy [4]", None),
            ("float8", "float8_e4m3fn [5]", Some(5)),
            ("quantized", "qint8 [3, 2]", Some(6)),
            ("channels", "quint8 [2, 2]", Some(4)),
            ("sparse", "sparse [3, 3]", None),
            ("csr", "sparse [2, 2]", None),
            ("sparse_parameter", "sparse [3, 3]", None),
            ("unsigned", "U64 [1]", Some(8)),
            ("flag", "BOOL [1]", Some(1)),
            ("bias", "F32 [4]", Some(16)),
        ];
        assert_eq!(listed, expected.map(|(name, text, bytes)| (name, text.to_string(), bytes)));
        assert_eq!(weights.scalars().collect::<Vec<_>>(), [("lr", 0.5.into())]);
        assert_eq!(weights.read("weight").unwrap(), single(&[0., 1., 2., 3., 4., 5.], &[2, 3]));
        assert_eq!(weights.read("bias").unwrap(), single(&[2., 5., 8., 11.], &[4]));
        let floats = weights.load_where(|entry| entry.dtype().to_string() == "F32").unwrap();
        assert_eq!(floats.keys().collect::<Vec<_>>(), ["weight", "bias"]);
        for (tensor, expected) in [
            ("complex", "complex64, expected a type that can be read (see StoredType); in Python"),
            ("negated", "lazy, expected a type"),
            (
                "sparse",
                "sparse, expected a type that can be read (see StoredType); in Python, save",
            ),
        ] {
            let error = weights.read(tensor).unwrap_err().to_string();
            let expected = format!("{name}: found `{tensor}` with elements of type {expected}");
            assert!(error.contains(&expected), "{error}");
        }
        for (tensor, expected) in [
            ("unsigned", "the element 9223372036854775808, expected elements below 2^63"),
            ("flag", "the boolean 2, expected booleans that are 0 or 1"),
        ] {
            let error = weights.read(tensor).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("{name}: found `{tensor}` with {expected}")),
                "{error}"
            );
        }
        let error = weights.load().unwrap_err().to_string();
        let expected = "found `complex` with elements of type complex64, expected types that can be \
                        read; read the other tensors by Weights::load_where; in Python, save \
                        torch.view_as_real(tensor)";
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn every_tensor_can_be_read_alone() {
    for name in ["tensors.pt", "tensors_legacy.pt", "big_endian.pt", "adam.pt", "nested.pt"] {
        let (weights, state) = (Weights::open(fixture(name)).unwrap(), load(name));
        assert_eq!(weights.entries().len() + weights.scalars().len(), state.len());
        for entry in weights.entries().iter().rev() {
            assert_eq!(weights.read(entry.name()).unwrap(), state[entry.name()], "{entry:?}");
        }
        for (name, value) in weights.scalars() {
            assert_eq!(value, state[name]);
        }
        assert_eq!(weights.has_checksums(), name != "tensors_legacy.pt");
    }
}

#[test]
fn the_checksum_of_a_whole_storage_is_verified_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let mut bytes = fs::read(fixture("tensors.pt")).unwrap();
    let eleven = 11f32.to_le_bytes(); // the last element of `whole`, which `row` does not have
    let at = bytes.windows(4).position(|found| found == eleven).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    for name in ["row", "column", "whole", "row"] {
        let weights = Weights::open(&path).unwrap();
        for _ in 0..2 {
            let error = weights.read(name).unwrap_err().to_string();
            assert!(
                error.contains(&format!("x.pt: found damage (`{name}` has checksum")),
                "{error}"
            );
        }
        assert_eq!(weights.read("expanded").unwrap(), load("tensors.pt")["expanded"]);
    }
}

#[test]
fn a_sharded_model_is_read() {
    let folder = fixture("sharded");
    let model = load_pt(&folder).unwrap();
    let expected = vec![
        ("embed.weight", single(&[0., 1., 2., 3., 4., 5.], &[3, 2])),
        ("head.bias", single(&[2., 5., 8., 11.], &[4])),
        ("head.weight", single(&[0., 1., 2., 3., 4., 5.], &[2, 3])),
    ];
    assert_entries(&model, expected);
    let weights = Weights::open(folder.join("pytorch_model.bin.index.json")).unwrap();
    assert_eq!(weights.files().len(), 2);
    assert_eq!(weights.load().unwrap(), model);
    assert_eq!(weights.read("head.weight").unwrap(), model["head.weight"]);
    assert_eq!(weights.entry("head.weight").unwrap().to_string(), "BF16 [2, 3]");
}

/// A state with every kind of value.
fn state() -> StateDict {
    let mut state = StateDict::new();
    state.insert("", 0.5);
    state.insert("z.weight", single(&[1.0, -0.0, f32::NAN, 4.0, 5.0, f32::INFINITY], &[2, 3]));
    let view = Tensor::from_vec(vec![1.0f64, 2.0, 3.0, 4.0], [2, 2]).unwrap().transpose(0, 1);
    state.insert("a.view", view);
    state.insert("a.scalar", Tensor::scalar(0.1f64));
    state.insert("seen", Value::I64(Array::full([].into(), i64::MIN + 7)));
    state.insert("empty", single(&[], &[2, 0, 3]));
    state.insert("flags", true);
    state.insert("flag", false);
    for (name, value) in [("small", 255), ("int", -256), ("large", i64::MIN), ("huge", i64::MAX)] {
        state.insert(name, value);
    }
    state.insert("lr", 0.1 + 0.2);
    state.insert("none", f64::NAN);
    state.insert("text", "π \" \n");
    state
}

#[test]
fn every_value_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.pt");
    for state in [state(), StateDict::new()] {
        save_pt(&state, &path).unwrap();
        assert_eq!(load_pt(&path).unwrap(), state);
        let first = fs::read(&path).unwrap();
        save_pt(&state, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1); // without temporary files
}

#[test]
fn contents_beyond_the_limits_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.pt");
    let rank = StateDict::from_iter([("deep", single(&[1.0], &[1; 65]))]);
    let entries = StateDict::from_iter((0..131_073).map(|i| (i.to_string(), true)));
    let text = StateDict::from_iter([("text", "x".repeat(1 << 24))]);
    let tensors = StateDict::from_iter((0..100_000).map(|i| (i.to_string(), single(&[1.0], &[1]))));
    for (state, expected) in [
        (rank, "found an array of 65 dimensions, expected at most 64"),
        (entries, "found a file of 131073 entries, expected at most 131072"),
        (text, "found a pickle of 16777"),
        (tensors, "found a file whose objects take too much memory, expected at most 56 MiB"),
    ] {
        fs::write(&path, "old").unwrap();
        let error = save_pt(&state, &path).unwrap_err().to_string();
        assert!(error.contains(&format!("state.pt: {expected}")), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
    let most = StateDict::from_iter((0..131_072).map(|i| (i.to_string(), true)));
    save_pt(&most, &path).unwrap();
    assert_eq!(load_pt(&path).unwrap(), most);
    let tensors =
        StateDict::from_iter((0..40_000).map(|i| (format!("layer.{i}"), single(&[1.0], &[1]))));
    save_pt(&tensors, &path).unwrap();
    assert_eq!(load_pt(&path).unwrap(), tensors);
}

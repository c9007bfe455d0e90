//! Models of several safetensors files.

use crate::fixture;
use adamant_checkpoint::{Weights, load_safetensors, save_safetensors};
use adamant_tensor::{StateDict, Tensor};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const INDEX: &str = "model.safetensors.index.json";

#[test]
fn a_folder_and_its_index_are_the_same_model() {
    let folder = fixture("safetensors/sharded");
    let model = load_safetensors(&folder).unwrap();
    let names: Vec<&str> = model.keys().collect();
    assert_eq!(names, ["embed.weight", "head.bias", "head.weight"]);
    assert_eq!(load_safetensors(folder.join(INDEX)).unwrap(), model);
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        for (name, value) in load_safetensors(folder.join(shard)).unwrap().iter() {
            assert_eq!(&model[name], value);
        }
    }
    let file = Weights::open(&folder).unwrap();
    assert_eq!(file.metadata_text("format").unwrap(), "pt");
    assert_eq!(file.read("head.bias").unwrap(), model["head.bias"]);
}

/// A folder with shards `a` and `b`, with a tensor of each name, and this index.
fn folder(a: &[&str], b: &[&str], index: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let state = |names: &[&str]| {
        StateDict::from_iter(names.iter().map(|name| (*name, Tensor::from([1.0f32]))))
    };
    save_safetensors(&state(a), folder.path().join("a")).unwrap();
    save_safetensors(&state(b), folder.path().join("b")).unwrap();
    fs::write(folder.path().join(INDEX), index).unwrap();
    folder
}

fn error(path: &Path) -> String {
    load_safetensors(path).map(drop).unwrap_err().to_string()
}

#[test]
fn shards_must_be_those_of_the_index() {
    let map = |members: &str| format!(r#"{{"metadata": {{}}, "weight_map": {{{members}}}}}"#);
    let good = map(r#""x": "a", "y": "b""#);
    assert_eq!(load_safetensors(folder(&["x"], &["y"], &good).path()).unwrap().len(), 2);
    for (a, b, index, expected) in [
        (&["x"][..], &[][..], &*good, "found no `y` in b, expected it there, by the index"),
        (&["y"], &["x"], &good, "found `y` in a, expected it in b, by the index"),
        (&["x", "z"], &["y"], &good, "found `z` in a, expected only tensors that are in the index"),
        (&["x", "y"], &["y"], &good, "found `y` twice, expected each name once"),
        (&[], &[], &map(r#""x": "a", "x": "b""#), "`x` twice"),
        (&[], &[], &map(r#""x": 1"#), "found other JSON ("),
        (&[], &[], r#"{"x": "a"}"#, "found other JSON (missing field `weight_map`"),
        (&[], &[], "[]", "found a text file, expected an index of shards"),
        (&[], &[], "", "found an empty file, expected an index of shards"),
    ] {
        let error = error(folder(a, b, index).path());
        assert!(error.contains(INDEX) && error.contains(expected), "{error}");
    }
}

#[test]
fn a_missing_shard_is_named() {
    let index = r#"{"weight_map": {"x": "a", "y": "c.safetensors"}}"#;
    let error = error(folder(&["x"], &[], index).path());
    assert!(error.contains("c.safetensors: No such file"), "{error}");
}

#[test]
fn headers_of_all_shards_have_one_limit() {
    let index = r#"{"weight_map": {"x": "a", "y": "b"}}"#;
    let folder = folder(&[], &[], index);
    let header = format!("{{}}{}", " ".repeat(9 << 20));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), &file).unwrap();
    }
    let error = error(folder.path());
    let all = index.len() + 2 * header.len();
    let expected = format!("b: found a header of {all} bytes, expected at most 16777216");
    assert!(error.ends_with(&expected), "{error}");
}

#[test]
fn the_index_counts_to_the_limit_of_the_headers() {
    let map = r#"{"weight_map": {"x": "a", "y": "b"}}"#;
    let folder = folder(&["x"], &["y"], &format!("{map}{}", " ".repeat(9 << 20)));
    assert_eq!(load_safetensors(folder.path()).unwrap().len(), 2);
    let header = format!("{{}}{}", " ".repeat(9 << 20));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    fs::write(folder.path().join("b"), &file).unwrap();
    let error = error(folder.path());
    assert!(error.contains("b: found a header of 188") && error.contains("at most"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn one_shard_is_open_at_a_time() {
    let folder = folder(&["x", "z"], &["y"], r#"{"weight_map": {"x": "a", "y": "b", "z": "a"}}"#);
    let weights = Weights::open(folder.path()).unwrap();
    let open = || {
        let handles = fs::read_dir("/proc/self/fd").unwrap();
        let paths = handles.filter_map(|handle| fs::read_link(handle.unwrap().path()).ok());
        Vec::from_iter(
            paths.filter_map(|path| Some(path.strip_prefix(folder.path()).ok()?.to_owned())),
        )
    };
    for (name, shard) in [("x", "a"), ("y", "b"), ("z", "a")] {
        weights.read(name).unwrap();
        assert_eq!(open(), [Path::new(shard)]);
    }
    assert_eq!(weights.load().unwrap().len(), 3);
}

#[test]
fn a_shard_that_has_changed_is_reported() {
    let folder = folder(&["x"], &["y"], r#"{"weight_map": {"x": "a", "y": "b"}}"#);
    let weights = Weights::open(folder.path()).unwrap();
    save_safetensors(
        &StateDict::from_iter([("x", Tensor::from([1.0f32; 9]))]),
        folder.path().join("a"),
    )
    .unwrap();
    assert!(weights.read("y").is_ok());
    let error = weights.read("x").unwrap_err().to_string();
    let expected =
        "a: found a file that has changed since its header was read, expected the same file";
    assert!(error.ends_with(expected), "{error}");
    assert!(weights.read("y").is_ok());
}

#[test]
fn shards_are_next_to_their_index() {
    for name in ["../a", "/etc/passwd", "b/../a", "./a", ".", "..", "", "a/", r"c:\\a"] {
        let index = format!(r#"{{"weight_map": {{"x": "{name}"}}}}"#);
        let error = error(folder(&["x"], &[], &index).path());
        let expected = "expected the name of a file next to the index";
        assert!(error.contains("found the shard \"") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_folder_without_a_model_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let found = error(folder.path());
    let expected = "found a folder without weights, expected model.safetensors, \
                    model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json, \
                    or the path of a file";
    assert!(found.ends_with(expected), "{found}");
    for name in ["training_args.bin", "config.json", "x.gguf"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let found = error(folder.path());
    assert!(found.contains("found a folder with training_args.bin, x.gguf, expected"), "{found}");
}

#[cfg(unix)]
#[test]
fn linked_shards_are_followed() {
    // The cache of Hugging Face is made of links to files with other names.
    let index = r#"{"weight_map": {"x": "a", "y": "b"}}"#;
    let (blobs, snapshot) = (folder(&["x"], &["y"], index), tempfile::tempdir().unwrap());
    for (blob, name) in [("a", "a"), ("b", "b"), (INDEX, INDEX)] {
        let link = snapshot.path().join(name);
        std::os::unix::fs::symlink(blobs.path().join(blob), link).unwrap();
    }
    assert_eq!(load_safetensors(snapshot.path()).unwrap().len(), 2);
}

//! Which files `Weights::open` reads, and what it says about others.

use crate::fixture;
use adamant_checkpoint::{
    Checkpoint, Weights, WeightsFormat, load_pt, load_safetensors, save_pt, save_safetensors,
};
use adamant_tensor::{StateDict, Tensor};
use std::fs;

#[test]
fn the_format_is_recognized_by_the_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format, text) in [
        ("safetensors/types.safetensors", WeightsFormat::SafeTensors, "safetensors"),
        ("gguf/quants.gguf", WeightsFormat::Gguf, "GGUF"),
        ("pt/zip2.pt", WeightsFormat::PyTorch, "PyTorch"),
        ("pt/legacy1.pt", WeightsFormat::PyTorch, "PyTorch"),
        ("pt/legacy2.pt", WeightsFormat::PyTorch, "PyTorch"),
    ] {
        let path = folder.path().join("file"); // the name does not matter
        fs::copy(fixture(name), &path).unwrap();
        let weights = Weights::open(&path).unwrap();
        assert_eq!((weights.format(), weights.format().to_string()), (format, text.into()));
        assert_eq!(weights.files().collect::<Vec<_>>(), [&path]);
        assert_eq!(weights.file_bytes(), fs::metadata(&path).unwrap().len());
        assert!(!weights.entries().is_empty());
    }
}

#[test]
fn a_folder_has_its_first_model() {
    let folder = tempfile::tempdir().unwrap();
    let state = |x: f32| StateDict::from_iter([("x", Tensor::from([x]))]);
    let path = |name| folder.path().join(name);
    save_pt(&state(1.0), path("shard")).unwrap();
    fs::write(path("pytorch_model.bin.index.json"), r#"{"weight_map": {"x": "shard"}}"#).unwrap();
    assert_eq!(Weights::open(folder.path()).unwrap().load().unwrap(), state(1.0));
    save_pt(&state(2.0), path("pytorch_model.bin")).unwrap();
    assert_eq!(load_pt(folder.path()).unwrap(), state(2.0));
    save_safetensors(&state(3.0), path("model.safetensors")).unwrap();
    assert_eq!(load_safetensors(folder.path()).unwrap(), state(3.0));
    let error = load_pt(folder.path()).unwrap_err().to_string();
    let expected = "model.safetensors: found a safetensors file, expected a state dict of torch.save; \
                    use load_safetensors";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_file_of_another_kind_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    Checkpoint::new().save(&path).unwrap();
    let any = "expected a file of weights: safetensors, PyTorch (.pt, .pth) or GGUF";
    for (path, found) in [
        (path, format!("an adamant checkpoint, {any}; use Checkpoint::load")),
        (fixture("gguf/generate.py"), format!("a text file, {any}")),
        (
            fixture("pt/script.pt"),
            "an archive of torch.jit.save, expected a state dict of torch.save; in Python: \
             torch.save(torch.jit.load(path).state_dict(), path)"
                .into(),
        ),
    ] {
        let error = Weights::open(path).unwrap_err().to_string();
        assert!(error.ends_with(&format!(": found {found}")), "{error}");
    }
}

#[test]
fn shards_have_one_format() {
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str| StateDict::from_iter([(name, Tensor::from([1.0f32]))]);
    save_safetensors(&state("x"), folder.path().join("a")).unwrap();
    save_pt(&state("y"), folder.path().join("b")).unwrap();
    fs::copy(fixture("gguf/quants.gguf"), folder.path().join("c")).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    for (map, expected) in [
        (
            r#"{"x": "a", "y": "b"}"#,
            "b: found an archive of torch.save (.pt, .pth), expected a safe",
        ),
        (
            r#"{"x": "c"}"#,
            "c: found a GGUF file, expected the safetensors or PyTorch files that an",
        ),
    ] {
        fs::write(&index, format!(r#"{{"weight_map": {map}}}"#)).unwrap();
        let error = Weights::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn names_in_messages_are_short_and_without_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let name = format!("a\u{1b}[2J{}", "b".repeat(1000));
    let header = format!(
        r#"{{"{}":{{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}}}"#,
        name.replace('\u{1b}', "\\u001b")
    );
    let len = (header.len() as u64).to_le_bytes();
    fs::write(&path, [&len[..], header.as_bytes(), &[0]].concat()).unwrap();
    let weights = Weights::open(&path).unwrap();
    assert_eq!(weights.entries()[0].name(), name);
    for error in
        [weights.load().map(drop), weights.read(&name).map(drop), weights.read("x").map(drop)]
    {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`a\\u{1b}[2Jbbb") && error.contains("b…`"), "{error}");
        assert!(error.len() < 400, "{error}");
    }
}

//! `inspect`, `verify` and `diff`.

use super::adamant;
use adamant_checkpoint::{Checkpoint, save_pt, save_safetensors};
use adamant_tensor::{StateDict, StateError, Stateful, Tensor};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A state that is saved as it is.
struct Saved(StateDict);

impl Stateful for Saved {
    fn state_dict(&self) -> StateDict {
        self.0.clone()
    }

    fn check_state_dict(&self, _: &StateDict) -> Result<(), StateError> {
        unreachable!("nothing is loaded")
    }

    fn load_state_dict(&mut self, _: &StateDict) -> Result<(), StateError> {
        unreachable!("nothing is loaded")
    }
}

fn model(bias: f32) -> StateDict {
    let mut state = StateDict::new();
    state.insert("0.weight", Tensor::from([[3.0f32, -4.0], [0.5, 0.25]]));
    state.insert("0.bias", Tensor::from([bias]));
    state
}

fn save(path: &Path, model: StateDict, lr: f64) {
    let mut optimizer = StateDict::new();
    optimizer.insert("groups.0.lr", lr);
    optimizer.insert("algorithm", "Adam");
    let saved = Checkpoint::new().with("model", &Saved(model)).with("optimizer", &Saved(optimizer));
    saved.note("step", "7").note("text", "two\nlines").save(path).unwrap();
}

/// A folder with `a.ckpt`, `b.ckpt`, which differs from it, and `model.safetensors`, the model of
/// `a.ckpt`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("a.ckpt"), model(0.5), 1e-3);
    save(&folder.path().join("b.ckpt"), model(0.75), 1e-4);
    save_safetensors(&model(0.5), folder.path().join("model.safetensors")).unwrap();
    folder
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_checkpoint_is_listed() {
    let folder = folder();
    let len = fs::metadata(folder.path().join("a.ckpt")).unwrap().len();
    let text = adamant(folder.path(), &["inspect", "a.ckpt"]).succeeds();
    let expected = format!(
        "a.ckpt: a checkpoint, {len} B, intact

notes
  step  7
  text  two\\nlines

model: 2 arrays, 5 elements, 20 B
  0.weight  f32  [2, 2]     16 B
  0.bias    f32  [1] = 0.5   4 B

optimizer: 2 values
  groups.0.lr  float  0.001
  algorithm    text   \"Adam\"
"
    );
    assert_eq!(text, expected);
}

#[test]
fn statistics_are_listed_on_request() {
    let folder = folder();
    let text = adamant(folder.path(), &["inspect", "--stats", "model.safetensors"]).succeeds();
    assert!(text.contains(" a safetensors file, "), "{text}");
    assert!(text.contains("\narrays: 2 arrays, 5 elements, 20 B\n"), "{text}");
    let line = "  0.weight  f32  [2, 2]     16 B  -4 to 3, mean -0.0625\n";
    assert!(text.contains(line), "{text}");
}

/// A fixture of the checkpoint crate.
fn fixture(name: &str) -> String {
    format!("{}/../checkpoint/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn types_of_weights_are_those_in_the_file() {
    let path = fixture("safetensors/types.safetensors");
    let text = adamant(Path::new("."), &["inspect", &path]).succeeds();
    for line in [
        "arrays: 16 arrays, 1,322 elements, 4.3 KiB",
        "  bf16         bf16     [217]       434 B\n",
        "  f8           f8_e4m3  [3]           3 B\n",
        "  u8           u8       [] = 255      1 B\n",
        "  not finite: f16          50 infinite of 217 elements",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let model = adamant(Path::new("."), &["inspect", &fixture("safetensors/sharded")]).succeeds();
    assert!(
        model.contains(
            "sharded: a safetensors model in 2 files, 316 B, complete, without checksums\n"
        ),
        "{model}"
    );
}

#[test]
fn a_gguf_file_is_listed_with_its_metadata() {
    let path = fixture("gguf/quants.gguf");
    let text = adamant(Path::new("."), &["inspect", &path]).succeeds();
    for line in [
        "quants.gguf: a GGUF file, 3.4 KiB, complete, without checksums\n",
        "  general.architecture  \"test\"\n",
        "  test.ints             [1, -2, 3]\n",
        "  q4_k.weight  q4_k  [2, 256]   288 B\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    adamant(Path::new("."), &["verify", &path]).succeeds();
}

#[test]
fn tensors_that_cannot_be_read_are_listed() {
    let path = fixture("pt/float8.pt");
    let text = adamant(Path::new("."), &["inspect", &path]).succeeds();
    assert!(text.contains("  x  float8_e4m3fn  [2]  2 B\n"), "{text}");
    let text = adamant(Path::new("."), &["inspect", &fixture("pt/sparse.pt")]).succeeds();
    assert!(text.contains("  x  sparse  [2, 2]  ?\n"), "{text}");
    adamant(Path::new("."), &["verify", &path]).succeeds();
    let error = adamant(Path::new("."), &["diff", &path, &path]).fails();
    assert!(error.contains("found `x` with elements of type float8_e4m3fn"), "{error}");
}

#[test]
fn elements_that_are_not_finite_are_reported() {
    let folder = folder();
    save(&folder.path().join("nan.ckpt"), model(f32::NAN), 1e-3);
    let text = adamant(folder.path(), &["inspect", "nan.ckpt"]).succeeds();
    assert!(text.contains("\n  not finite: 0.bias  1 NaN of 1 element\n"), "{text}");
}

#[test]
fn one_part_is_listed() {
    let folder = folder();
    let text = adamant(folder.path(), &["inspect", "--part", "model", "a.ckpt"]).succeeds();
    assert!(text.contains("\nmodel: 2 arrays"), "{text}");
    assert!(!text.contains("optimizer") && !text.contains("notes"), "{text}");
    let error = adamant(folder.path(), &["inspect", "--part", "net", "a.ckpt"]).fails();
    let expected = "error: a.ckpt: found the parts model, optimizer, expected a part `net`\n";
    assert_eq!(error, expected);
}

#[test]
fn long_parts_are_cut() {
    let folder = folder();
    let state = StateDict::from_iter((0..100).map(|i| (format!("entry {i}"), i)));
    save_safetensors(&state, folder.path().join("long.safetensors")).unwrap();
    let lines = |args: &[&str]| adamant(folder.path(), args).succeeds().lines().count();
    assert_eq!(lines(&["inspect", "long.safetensors"]), 44);
    assert_eq!(lines(&["inspect", "--all", "long.safetensors"]), 103);
}

#[test]
fn intact_files_are_verified() {
    let folder = folder();
    let text = adamant(folder.path(), &["verify", "a.ckpt", "model.safetensors"]).succeeds();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("a.ckpt: a checkpoint, "), "{text}");
    assert!(lines[1].starts_with("model.safetensors: a safetensors file, "), "{text}");
    assert!(lines[0].ends_with(", intact"), "{text}");
    assert!(lines[1].ends_with(", complete, without checksums"), "{text}");
}

#[test]
fn damage_is_reported_for_each_file() {
    let folder = folder();
    damage(&folder.path().join("a.ckpt"));
    let ran = adamant(folder.path(), &["verify", "a.ckpt", "b.ckpt", "missing"]);
    assert_eq!(ran.status, 2);
    assert!(ran.out.starts_with("b.ckpt: a checkpoint, ") && ran.out.lines().count() == 1);
    let errors: Vec<&str> = ran.err.lines().collect();
    assert!(errors[0].starts_with("error: a.ckpt: found damage in the file"), "{}", ran.err);
    assert!(errors[1].starts_with("error: missing: "), "{}", ran.err);
    for command in ["inspect", "verify"] {
        let error = adamant(folder.path(), &[command, "a.ckpt"]).fails();
        assert!(error.starts_with("error: a.ckpt: found damage"), "{error}");
    }
}

#[test]
fn another_kind_of_file_is_named() {
    let folder = folder();
    fs::write(folder.path().join("x.npy"), b"\x93NUMPY\x01\0").unwrap();
    for args in [&["inspect", "x.npy"][..], &["verify", "x.npy"], &["diff", "a.ckpt", "x.npy"]] {
        let error = adamant(folder.path(), args).fails();
        assert!(error.starts_with("error: x.npy: found a NumPy array (.npy), expected"), "{error}");
    }
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let error = adamant(folder.path(), &["inspect", "."]).fails();
    assert!(error.contains("found a folder without weights"), "{error}");
}

#[test]
fn equal_files_have_no_difference() {
    let folder = folder();
    save(&folder.path().join("nan.ckpt"), model(f32::NAN), f64::NAN);
    for file in ["a.ckpt", "nan.ckpt"] {
        let text = adamant(folder.path(), &["diff", file, file]).succeeds();
        assert_eq!(text, "equal in every bit; entries: 6\n");
    }
}

#[test]
fn differences_are_listed() {
    let folder = folder();
    let ran = adamant(folder.path(), &["diff", "a.ckpt", "b.ckpt"]);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    let expected = "entries: 2 differ, 4 equal
  model.0.bias           f32 [1]  1 of 1 differ, by up to 0.25
  optimizer.groups.0.lr  float 0.001 and float 0.0001
";
    assert_eq!(ran.out, expected);
}

#[test]
fn a_part_is_compared_with_a_safetensors_file() {
    let folder = folder();
    let ran = adamant(folder.path(), &["diff", "a.ckpt", "model.safetensors"]);
    assert_eq!(ran.status, 1);
    for line in ["  note step              only in the first: text \"7\"\n", "only in the second"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    let diff =
        |file| adamant(folder.path(), &["diff", "--part", "model", file, "model.safetensors"]);
    assert_eq!(diff("a.ckpt").succeeds(), "equal in every bit; entries: 2\n");
    assert_eq!(diff("b.ckpt").status, 1);
}

#[test]
fn the_name_of_a_part_cannot_control_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let saved = Checkpoint::new().with("a\u{1b}[2J", &model(0.5));
    saved.save(folder.path().join("a.ckpt")).unwrap();
    let text = adamant(folder.path(), &["inspect", "a.ckpt"]).succeeds();
    assert!(text.contains("\na\\u{1b}[2J: 2 arrays"), "{text}");
}

#[test]
fn a_pytorch_file_is_listed_and_compared() {
    let folder = folder();
    save_pt(&model(0.5), folder.path().join("model.pt")).unwrap();
    let text = adamant(folder.path(), &["inspect", "model.pt"]).succeeds();
    assert!(text.contains("model.pt: a PyTorch file, "), "{text}");
    assert!(text.contains(", intact\n") && text.contains("0.weight  f32  [2, 2]"), "{text}");
    let diff = ["diff", "model.pt", "model.safetensors"];
    let text = adamant(folder.path(), &diff).succeeds();
    assert_eq!(text, "equal in every bit; entries: 2\n");
}

//! Tokens as Hugging Face's `tokenizers` computes them: `fixtures/vocabularies.py`.

use adamant_text::{Pair, Tokenizer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as usize).collect()
}

fn pair(value: &Value) -> Pair {
    Pair { tokens: indices(&value[0]), types: indices(&value[1]) }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Compares everything that a tokenizer computes with the fixture of this name.
#[track_caller]
fn assert_is(tokenizer: &Tokenizer, name: &str) {
    let all = expected();
    let (texts, expected) = (texts(&all["texts"]), &all[name]);
    for (i, text) in texts.iter().enumerate() {
        let special = indices(&expected["special"][i]);
        assert_eq!(
            tokenizer.encode_without_special_tokens(text).unwrap(),
            indices(&expected["plain"][i]),
            "{text:?}"
        );
        assert_eq!(tokenizer.encode(text).unwrap(), special, "{text:?}");
        assert_eq!(tokenizer.decode(&special).unwrap(), expected["decoded"][i]);
        let decoded = tokenizer.decode_with_special_tokens(&special).unwrap();
        assert_eq!(decoded, expected["decoded_special"][i]);
    }
    let batch = tokenizer.encode_batch(&texts).unwrap();
    let special = expected["special"].as_array().unwrap();
    assert_eq!(batch, special.iter().map(indices).collect::<Vec<_>>());
    assert_eq!(tokenizer.encode_pair(texts[0], texts[1]).unwrap(), pair(&expected["pair"]));
    assert_eq!(tokenizer.vocab_size(), expected["vocab_size"]);
}

#[test]
fn vocabularies_of_gguf_files() {
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2", "llama", "llama-no-prefix", "bert"] {
        assert_is(&Tokenizer::open(fixture(&format!("{name}.gguf"))).unwrap(), name);
    }
}

#[test]
fn a_tokenizer_json_and_its_folder() {
    for path in ["folder", "folder/tokenizer.json"] {
        let tokenizer = Tokenizer::open(fixture(path)).unwrap();
        assert_is(&tokenizer, "smollm");
        let special = [tokenizer.bos(), tokenizer.eos(), tokenizer.unk(), tokenizer.pad()];
        assert_eq!(special, [Some(1), Some(2), Some(0), Some(2)]);
    }
}

#[test]
fn special_tokens_of_gguf_files() {
    let tokenizer = Tokenizer::open(fixture("bert.gguf")).unwrap();
    assert_eq!([tokenizer.bos(), tokenizer.unk(), tokenizer.pad()], [None, Some(1), Some(0)]);
    let tokenizer = Tokenizer::open(fixture("llama.gguf")).unwrap();
    assert_eq!([tokenizer.bos(), tokenizer.eos(), tokenizer.pad()], [Some(1), Some(2), None]);
    assert_eq!(tokenizer.token_to_id("</s>"), Some(2));
    assert_eq!(tokenizer.id_to_token(2).as_deref(), Some("</s>"));
    assert_eq!(
        (tokenizer.token_to_id("no such token"), tokenizer.id_to_token(1 << 40)),
        (None, None)
    );
    assert_eq!(tokenizer.decode(&[usize::MAX, 100_000]).unwrap(), "");
}

#[test]
fn truncation_counts_special_tokens() {
    let all = expected();
    let (texts, bert) = (texts(&all["texts"]), &all["bert"]);
    let tokenizer = Tokenizer::open(fixture("bert.gguf")).unwrap().max_length(12);
    let cut = tokenizer.encode(texts[1]).unwrap();
    assert_eq!(cut, indices(&bert["truncated"]));
    let cut = tokenizer.encode_pair(texts[0], texts[1]).unwrap();
    assert_eq!(cut, pair(&bert["truncated_pair"]));
}

#[test]
#[should_panic(expected = "max_length: max_length is 3; expected more than 3, the special tokens")]
fn truncation_leaves_room_for_text() {
    let _ = Tokenizer::open(fixture("bert.gguf")).unwrap().max_length(3);
}

#[test]
fn a_saved_tokenizer_is_the_same() {
    for name in ["llama-bpe", "llama", "bert"] {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::open(fixture(&format!("{name}.gguf"))).unwrap();
        tokenizer.clone().max_length(5).save(folder.path()).unwrap();
        let again = Tokenizer::open(folder.path()).unwrap();
        assert_is(&again, name);
        assert_eq!((again.bos(), again.eos()), (tokenizer.bos(), tokenizer.eos()));
        assert_eq!((again.pad(), again.unk()), (tokenizer.pad(), tokenizer.unk()));
    }
}

/// The error of opening a file with these bytes.
fn error(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    let error = Tokenizer::open(path).unwrap_err().to_string();
    error.split_once("file: ").unwrap().1.to_string()
}

/// The error of a GGUF fixture in which strings of the metadata were replaced by others as long.
fn error_with(name: &str, replaced: &[(&str, &str)]) -> String {
    let mut bytes = fs::read(fixture(name)).unwrap();
    for (old, new) in replaced {
        assert_eq!(old.len(), new.len());
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    error(&bytes)
}

#[test]
fn an_unknown_vocabulary_is_named() {
    let found = error_with("smollm.gguf", &[("smollm", "chatml")]);
    assert!(found.starts_with("found \"chatml\", expected \"gpt-2\", \"smollm\""), "{found}");
    let found = error_with("smollm.gguf", &[("gpt2", "rwkv")]);
    let expected =
        "found \"rwkv\", expected \"gpt2\", \"llama\" or \"bert\" in `tokenizer.ggml.model`";
    assert_eq!(found, expected);
}

#[test]
fn incomplete_metadata_is_reported() {
    let found = error_with("smollm.gguf", &[("ggml.merges", "ggml.mergez")]);
    assert!(found.starts_with("found no `tokenizer.ggml.merges` in the metadata"), "{found}");
    let found = error_with("llama.gguf", &[("ggml.scores", "ggml.scorez")]);
    assert!(found.starts_with("found no `tokenizer.ggml.scores`"), "{found}");
    // A merge of tokens that do not exist.
    let found = error_with("smollm.gguf", &[("Ġ t", "Ġ \u{1}")]);
    assert!(found.starts_with("found a damaged vocabulary ("), "{found}");
    let replaced = [("seperator", "separator"), ("[SEP]", "[PES]")];
    let found = error_with("bert.gguf", &replaced);
    assert_eq!(found, "found no token [SEP], expected one");
}

#[test]
fn other_files_are_recognized() {
    let expected = ", expected a tokenizer.json, its folder or a GGUF file";
    assert_eq!(error(b""), format!("found an empty file{expected}"));
    assert_eq!(error(b"\x89PNG\r\n\x1a\n\0\0"), format!("found a PNG image{expected}"));
    assert!(error(b"{").starts_with("found a damaged tokenizer ("), "{}", error(b"{"));
    assert!(error(b"{}").starts_with("found a damaged tokenizer ("), "{}", error(b"{}"));
    let folder = tempfile::tempdir().unwrap();
    let found = Tokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(found.contains("tokenizer.json: No such file"), "{found}");
}

#[test]
fn a_damaged_gguf_file_is_an_error_at_each_length() {
    let bytes = fs::read(fixture("bert.gguf")).unwrap();
    for len in (4..bytes.len()).step_by(97) {
        error(&bytes[..len]);
    }
}

#[test]
fn a_text_that_cannot_be_encoded_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let model = r#"{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"?"}}"#;
    fs::write(&path, model).unwrap();
    let tokenizer = Tokenizer::open(path).unwrap();
    let found = tokenizer.encode("b").unwrap_err().to_string();
    assert!(found.starts_with("found the text \"b\", expected one that the tokenizer"), "{found}");
}

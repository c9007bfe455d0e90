//! Models of Llama's shape beside `transformers`: `fixtures/llama.py`.

use adamant_checkpoint::load_safetensors;
use adamant_models::{GenerateOptions, Llama, LlamaCache};
use adamant_nn::{Module, StateDict, Stateful};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{
    Generator, Indices, Parameter, Storage, Tensor, Value, graph_to_dot, no_grad,
};
use std::fs;
use std::path::{Path, PathBuf};

const MODELS: [&str; 5] = ["tied", "untied", "qwen2", "mistral", "llama3"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama").join(name)
}

fn expected(name: &str) -> StateDict {
    load_safetensors(fixture(&format!("{name}.expected.safetensors"))).unwrap()
}

fn tokens(state: &StateDict, name: &str) -> Vec<usize> {
    let Value::I64(tokens) = &state[name] else { panic!("`{name}` are not integers") };
    tokens.to_vec().into_iter().map(|token| token as usize).collect()
}

/// Rows of 13 tokens: the first 12, and the last 12.
fn inputs_and_targets(rows: &[usize]) -> (Indices, Vec<usize>) {
    let part = |from: usize| rows.chunks(13).flat_map(move |row| row[from..from + 12].to_vec());
    let inputs = Vec::from_iter(part(0));
    (Indices::from(&inputs[..]).reshape([rows.len() / 13, 12]), part(1).collect())
}

#[track_caller]
fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.shape(), expected.shape());
    let (difference, largest) =
        ((found - expected).abs().max().item(), expected.abs().max().item());
    assert!(difference <= tolerance * largest, "differs by {difference} of {largest}");
}

#[test]
fn scores_and_losses_are_pytorchs() {
    for name in MODELS {
        let expected = expected(name);
        let (inputs, targets) = inputs_and_targets(&tokens(&expected, "tokens"));
        let model = Llama::open(fixture(name)).unwrap();
        assert_close(&model.forward(&inputs), &expected["logits"].tensor().unwrap(), 1e-5);
        let loss = model.loss(&inputs, &targets);
        assert_close(&loss, &expected["loss"].tensor().unwrap(), 1e-6);
    }
}

#[test]
fn both_kinds_of_files_hold_the_same_weights() {
    for name in MODELS.into_iter().filter(|name| *name != "llama3") {
        let open = |path: &str| Llama::open(fixture(path)).unwrap();
        let (folder, gguf) = (open(name), open(&format!("{name}.gguf")));
        assert_eq!(folder.state_dict(), gguf.state_dict());
        // The ends of a text are part of the vocabulary, which these files do not have.
        let mut config = gguf.config().clone();
        assert_eq!((config.bos_token_id, &config.eos_token_id[..]), (None, &[][..]));
        config.bos_token_id = folder.config().bos_token_id;
        config.eos_token_id.clone_from(&folder.config().eos_token_id);
        assert_eq!(*folder.config(), config);
    }
}

#[test]
fn greedy_tokens_are_pytorchs() {
    for name in MODELS {
        let expected = expected(name);
        let prompt = &tokens(&expected, "tokens")[..5];
        let model = Llama::open(fixture(name)).unwrap();
        let options = GenerateOptions::default().max_new_tokens(12);
        let generated = model.generate(prompt, options, &mut Generator::seed(0));
        assert_eq!(generated, tokens(&expected, "greedy"));
    }
}

#[test]
fn training_follows_pytorchs_losses() {
    for name in MODELS {
        let expected = expected(name);
        let model = Llama::open(fixture(name)).unwrap();
        let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(1e-3)).unwrap();
        let losses = expected["losses"].tensor::<f64>().unwrap().to_vec();
        for (batch, expected) in tokens(&expected, "batches").chunks(2 * 13).zip(losses) {
            let (inputs, targets) = inputs_and_targets(batch);
            adam.zero_grad();
            let loss = model.loss(&inputs, &targets);
            loss.backward();
            adam.step();
            let loss = f64::from(loss.item());
            assert!((loss - expected).abs() < 1e-5 * expected, "{name}: {loss}, not {expected}");
        }
    }
}

#[test]
fn a_cache_changes_nothing() {
    let model = Llama::open(fixture("tied")).unwrap();
    let tokens = Indices::from([[3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]]);
    no_grad(|| {
        let whole = model.model.forward(&tokens);
        let mut cache = LlamaCache::new();
        for (start, len) in [(0, 3), (3, 1), (4, 4)] {
            let part = Vec::from_iter(
                tokens.to_vec().chunks(8).flat_map(|row| row[start..start + len].to_vec()),
            );
            let part = Indices::from(&part[..]).reshape([2, len]);
            let rows = model.model.forward_cached(&part, &mut cache);
            assert_close(&rows, &whole.narrow(1, start, len), 1e-5);
        }
    });
}

#[test]
fn generation_stops_and_repeats() {
    let model = Llama::open(fixture("tied")).unwrap();
    let generate = |options: GenerateOptions, seed| {
        model.generate(&[3, 1, 4], options, &mut Generator::seed(seed))
    };
    let options = GenerateOptions::default().do_sample(true).max_new_tokens(1000);
    let all = generate(options.clone(), 7);
    assert_eq!(all.len(), 61); // with the prompt, the 64 of its training
    assert_eq!(all, generate(options.clone(), 7));
    assert_ne!(all, generate(options.clone(), 8));
    let eos = all[20];
    let first = all.iter().position(|&token| token == eos).unwrap();
    assert_eq!(generate(options.eos_token(eos), 7), all[..=first]);
}

#[test]
fn a_saved_model_is_the_same() {
    for name in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let model = Llama::open(fixture(name)).unwrap();
        model.save(folder.path()).unwrap();
        let again = Llama::open(folder.path()).unwrap();
        assert_eq!(again.state_dict(), model.state_dict());
        assert_eq!(again.config(), model.config());
    }
}

#[test]
fn new_weights_score_all_tokens_alike() {
    let config = Llama::open(fixture("qwen2")).unwrap().config().clone();
    let model = Llama::new(&config, &mut Generator::seed(0));
    assert!(model.lm_head.weight.is_same(&model.model.embed_tokens.weight));
    let (inputs, targets) = inputs_and_targets(&Vec::from_iter(0..26));
    let loss = model.loss(&inputs, &targets).item();
    assert!((loss - (config.vocab_size as f32).ln()).abs() < 0.05, "{loss}");
}

/// The error of opening a folder whose configuration is that of a fixture, with a text replaced.
fn error_with(name: &str, old: &str, new: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(fixture(name).join("config.json")).unwrap();
    assert!(config.contains(old), "{config}");
    fs::write(folder.path().join("config.json"), config.replace(old, new)).unwrap();
    let weights = fixture(name).join("model.safetensors");
    fs::copy(weights, folder.path().join("model.safetensors")).unwrap();
    let error = Llama::open(folder.path()).unwrap_err().to_string();
    error.replace(&folder.path().display().to_string(), "folder")
}

#[test]
fn a_model_of_another_shape_is_refused() {
    for (old, new, expected) in [
        (
            "\"model_type\": \"llama\"",
            "\"model_type\": \"bert\"",
            "found `model_type` \"bert\", expected \"llama\", \"mistral\" or \"qwen2\"",
        ),
        ("silu", "gelu", "found `hidden_act` \"gelu\", expected \"silu\""),
        (
            "\"rope_type\": \"default\"",
            "\"rope_type\": \"yarn\"",
            "type \"yarn\", expected \"default\", \"linear\" or",
        ),
        ("\"head_dim\": 8", "\"head_dim\": 7", "found heads of width 7, expected an even width"),
        (
            "\"num_key_value_heads\": 1",
            "\"num_key_value_heads\": 3",
            "found 3 heads of keys, expected a divisor of the 4 heads of queries",
        ),
        ("\"vocab_size\": 61", "\"vocab_size\": 0", "found `vocab_size` 0, expected 1 to 1048576"),
        ("\"vocab_size\": 61", "\"size\": 61", "missing field `vocab_size`"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 99999", "found 99999 layers"),
    ] {
        let found = error_with("untied", old, new);
        assert!(found.starts_with("folder/config.json: ") && found.contains(expected), "{found}");
    }
    let found = error_with("untied", "\"vocab_size\": 61", "\"vocab_size\": 61000000");
    assert!(found.contains("found `vocab_size` 61000000, expected 1 to 1048576"), "{found}");
    let found = error_with("llama3", "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0");
    assert!(found.contains("\"llama3\", with parameters in range"), "{found}");
    let found = error_with("untied", "\"hidden_size\": 24", "\"hidden_size\": 26");
    assert!(
        found.starts_with("folder: ") && found.contains("`model.embed_tokens.weight`: found"),
        "{found}"
    );
    let found = error_with("untied", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(found.contains("`model.layers.2.mlp.up_proj.weight`: missing"), "{found}");
}

/// The error of opening the GGUF fixture in which a text was replaced by one as long.
fn gguf_error_with(old: &str, new: &str) -> String {
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(fixture("tied.gguf")).unwrap();
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
    bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    let error = Llama::open(&path).unwrap_err().to_string();
    error.replace(&path.display().to_string(), "file")
}

#[test]
fn a_gguf_file_of_another_model_is_refused() {
    for (old, new, expected) in [
        (
            "llama",
            "gemma",
            "file: found the architecture \"gemma\", expected \"llama\" or \"qwen2\"",
        ),
        (
            "llama.block_count",
            "llama.bl0ck_count",
            "file: found no `llama.block_count` in the metadata",
        ),
        ("blk.1.attn_q", "blk.1.attn_x", "`blk.1.attn_x.weight`"),
        ("blk.1.attn_q", "blk.1.attn_x", "`model.layers.1.self_attn.q_proj.weight`: missing"),
    ] {
        let found = gguf_error_with(old, new);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn a_frozen_model_is_opened_in_16_bits() {
    let (whole, frozen) = (
        Llama::open(fixture("tied")).unwrap(),
        Llama::open_frozen(fixture("tied"), Storage::Bf16).unwrap(),
    );
    assert!(frozen.parameters().iter().all(|parameter| !parameter.is_tracked()));
    whole.set_requires_grad(false);
    whole.store_frozen_as(Storage::Bf16);
    assert_eq!(frozen.state_dict(), whole.state_dict());
    let storage = |model: &Llama| Vec::from_iter(model.parameters().iter().map(Parameter::storage));
    assert!(storage(&frozen).contains(&Storage::Bf16));
    assert_eq!(storage(&frozen), storage(&whole));
}

/// transformers writes both.
#[test]
fn a_scaling_may_have_its_old_name_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(fixture("llama3").join("config.json")).unwrap();
    let both = config.replace("\"rope_type\"", "\"type\": \"llama3\",\n    \"rope_type\"");
    assert_ne!(both, config);
    for text in [&both, &config.replace("rope_parameters", "rope_scaling")] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        let weights = fixture("llama3").join("model.safetensors");
        fs::copy(weights, folder.path().join("model.safetensors")).unwrap();
        let model = Llama::open(folder.path()).unwrap();
        assert_eq!(model.config(), Llama::open(fixture("llama3")).unwrap().config());
    }
}

/// The loss and the gradients of all weights, and how many values the graph keeps.
fn gradients(checkpointed: usize) -> (f32, Vec<Vec<f32>>, usize) {
    let mut model = Llama::open(fixture("tied")).unwrap();
    model.checkpoint_layers(checkpointed);
    let (inputs, targets) = inputs_and_targets(&Vec::from_iter(0..26));
    let loss = model.loss(&inputs, &targets);
    let nodes = graph_to_dot(&loss).matches("label=\"linear").count();
    loss.backward();
    let gradients = model.parameters().iter().map(|p| p.grad().unwrap().to_vec()).collect();
    (loss.item(), gradients, nodes)
}

#[test]
fn layers_that_run_again_have_the_same_gradients() {
    let (loss, expected, nodes) = gradients(0);
    for checkpointed in [1, usize::MAX] {
        let (same, found, fewer) = gradients(checkpointed);
        assert_eq!((same, &found), (loss, &expected));
        assert!(fewer < nodes, "{fewer} nodes instead of {nodes}");
    }
}

//! Adapters against Python's `peft`, in files and in training, and resumed: `fixtures/lora.py`.

use adamant_checkpoint::{load_safetensors, save_safetensors};
use adamant_nn::{
    Forward, Linear, LinearOptions, Lora, LoraInit, LoraOptions, Module, Stateful, TargetModules,
    cross_entropy,
};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Float, Generator, StateDict, Tensor};
use adamant_train::{load_peft, save_peft};
use std::fs;
use std::path::PathBuf;

#[derive(Module)]
#[module(crate = adamant_nn, float = T)]
struct Attention<T: Float> {
    q_proj: Linear<T>,
    v_proj: Linear<T>,
}

#[derive(Module)]
#[module(crate = adamant_nn, float = T)]
struct Block<T: Float> {
    attn: Attention<T>,
    down_proj: Linear<T>,
}

/// `Net` of `fixtures/lora.py`.
#[derive(Module)]
#[module(crate = adamant_nn, float = T)]
struct Net<T: Float> {
    layers: Vec<Block<T>>,
    lm_head: Linear<T>,
}

impl<T: Float> Net<T> {
    fn new(rng: &mut Generator) -> Self {
        let mut linear = |inputs, outputs, bias| {
            Linear::with_options(inputs, outputs, LinearOptions::default().bias(bias), rng)
        };
        let mut block = || Block {
            attn: Attention { q_proj: linear(12, 12, false), v_proj: linear(12, 6, true) },
            down_proj: linear(6, 12, true),
        };
        Net { layers: vec![block(), block()], lm_head: linear(12, 5, true) }
    }

    /// With the weights of `fixtures/lora_run.safetensors`.
    fn of_fixture() -> Self {
        let mut net = Net::new(&mut Generator::seed(0));
        net.load_state_dict(&run().part("base").cast::<T>()).unwrap();
        net
    }
}

impl<T: Float> Forward<T> for Net<T> {
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let x = self.layers.iter().fold(x.clone(), |x, block| {
            let gate = block.attn.q_proj.forward(&x).sigmoid().narrow(-1, 0, 6);
            let y = gate * block.attn.v_proj.forward(&x).tanh();
            &x + block.down_proj.forward(&y)
        });
        self.lm_head.forward(&x)
    }
}

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures"].iter().collect()
}

fn run() -> StateDict {
    load_safetensors(fixtures().join("lora_run.safetensors")).unwrap()
}

fn tensor<T: Float>(name: &str) -> Tensor<T> {
    run().get(name).expect(name).cast::<T>().tensor().expect(name)
}

fn targets() -> Vec<usize> {
    let run = run();
    let adamant_tensor::Value::I64(targets) = run.get("targets").unwrap() else { panic!("i64") };
    targets.to_vec().into_iter().map(|target| target as usize).collect()
}

#[track_caller]
fn close<T: Float>(found: &Tensor<T>, name: &str) {
    let expected = tensor::<T>(name);
    assert_eq!(found.shape(), expected.shape());
    for (found, expected) in found.to_vec().into_iter().zip(expected.to_vec()) {
        let (found, expected) = (found.to_f64(), expected.to_f64());
        assert!((found - expected).abs() <= 1e-5, "{name}: found {found}, expected {expected}");
    }
}

fn loss<T: Float>(net: &Net<T>) -> Tensor<T> {
    cross_entropy(&net.forward(&tensor("inputs")).reshape([28, 5]), &targets())
}

fn follows_peft<T: Float>() {
    let net = Net::<T>::of_fixture();
    let lora = load_peft(fixtures().join("lora_names"), &net, &mut Generator::seed(0)).unwrap();
    let layers: Vec<&str> = lora.layers().collect();
    let expected =
        ["0.attn.q_proj", "0.attn.v_proj", "1.attn.q_proj", "1.attn.v_proj", "1.down_proj"];
    assert_eq!(layers, expected.map(|layer| format!("layers.{layer}")));
    close(&net.forward(&tensor("inputs")), "outputs");

    let mut adam = Adam::new(lora.parameters(), AdamOptions::default().lr(1e-2)).unwrap();
    let mut losses = Vec::new();
    for _ in 0..20 {
        adam.zero_grad();
        let loss = loss(&net);
        loss.backward();
        adam.step();
        losses.push(loss.item());
    }
    close(&Tensor::from_vec(losses, [20]).unwrap(), "losses");
    close(&net.forward(&tensor("inputs")), "trained");

    lora.merge_and_unload().unwrap();
    close(&net.forward(&tensor("inputs")), "trained");
    for i in 0..2 {
        let weight = net.layers[i].attn.v_proj.weight.tensor();
        close(&weight, &format!("merged.layers.{i}.attn.v_proj.weight"));
    }
}

#[test]
fn twenty_steps_follow_peft() {
    follows_peft::<f32>();
    follows_peft::<f64>();
}

#[test]
fn adapters_chosen_by_a_pattern_are_loaded() {
    let mut net = Net::<f32>::of_fixture();
    let lora = load_peft(fixtures().join("lora_pattern"), &net, &mut Generator::seed(0)).unwrap();
    let options = lora.options();
    assert_eq!((options.rank, options.lora_alpha, options.lora_dropout), (2, 0.5, 0.1));
    assert!(options.use_rslora && options.init_lora_weights == LoraInit::Gaussian);
    net.eval();
    close(&net.forward(&tensor("inputs")), "pattern.outputs");
}

/// Every file that we write is read by `peft`: ours has the same matrices and, for what it
/// contains, the same configuration.
#[test]
fn saved_folders_are_those_of_peft() {
    for name in ["lora_names", "lora_pattern"] {
        let mut net = Net::<f32>::of_fixture();
        net.eval();
        let lora = load_peft(fixtures().join(name), &net, &mut Generator::seed(0)).unwrap();
        let saved = tempfile::tempdir().unwrap();
        save_peft(&saved, &lora).unwrap();
        let matrices = |folder: PathBuf| {
            let state = load_safetensors(folder.join("adapter_model.safetensors")).unwrap();
            let mut entries: Vec<_> =
                state.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries
        };
        assert_eq!(matrices(saved.path().into()), matrices(fixtures().join(name)));
        let config = |folder: PathBuf| -> serde_json::Map<String, serde_json::Value> {
            let text = fs::read(folder.join("adapter_config.json")).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let (mut ours, mut theirs) = (config(saved.path().into()), config(fixtures().join(name)));
        for config in [&mut ours, &mut theirs] {
            match config.get_mut("target_modules").unwrap() {
                serde_json::Value::Array(names) => names.sort_by_key(ToString::to_string),
                pattern => *pattern = serde_json::json!(lora.layers().collect::<Vec<_>>()),
            }
        }
        assert!(ours.len() >= 12);
        for (key, value) in ours {
            assert_eq!(value, theirs[&key], "{name}: {key}");
        }
        // For `fixtures/lora.py FOLDER`, which loads it in `peft`.
        if let Some(folder) = std::env::var_os("ADAMANT_PEFT") {
            let folder = PathBuf::from(folder).join(name);
            save_peft(&folder, &lora).unwrap();
            let outputs = net.forward(&tensor("inputs"));
            let outputs = StateDict::from_iter([("outputs", outputs)]);
            save_safetensors(&outputs, folder.join("outputs.safetensors")).unwrap();
        }
    }
}

/// Loads the adapters of `lora_names` with a change to their configuration, and returns the error.
fn error(key: &str, value: serde_json::Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let from = fixtures().join("lora_names");
    let file = "adapter_model.safetensors";
    fs::copy(from.join(file), folder.path().join(file)).unwrap();
    let text = fs::read(from.join("adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    config[key] = value;
    fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    let net = Net::<f32>::of_fixture();
    let before = (net.state_dict(), net.forward(&tensor("inputs")).to_vec());
    let error = load_peft(&folder, &net, &mut Generator::seed(0)).unwrap_err().to_string();
    assert_eq!((net.state_dict(), net.forward(&tensor("inputs")).to_vec()), before);
    assert!(net.parameters().iter().all(|parameter| parameter.is_tracked()));
    error
}

#[test]
fn what_does_not_fit_is_reported_and_changes_nothing() {
    use serde_json::json;
    let text = error("use_dora", json!(true));
    let expected = "adapter_config.json: found `use_dora`: true, expected `use_dora`: its default: \
                    adamant does not have this option";
    assert!(text.ends_with(expected), "{text}");
    let text = error("peft_type", json!("IA3"));
    assert!(text.ends_with("found `peft_type`: \"IA3\", expected `peft_type`: \"LORA\""), "{text}");
    let text = error("r", json!(-1));
    assert!(text.ends_with("found `r`: -1, expected `r`: an integer of at least 1"), "{text}");
    assert!(error("lora_alpha", json!("8")).contains("expected `lora_alpha`: a number"));
    let text = error("lora_dropout", json!(1));
    assert_eq!(text, "LoraOptions: lora_dropout is 1.0; expected at least 0 and below 1");
    for (key, value) in [
        ("bias", json!("all")),
        ("init_lora_weights", json!("pissa")),
        ("target_modules", json!([1])),
        ("rank_pattern", json!({"q_proj": 2})),
        ("modules_to_save", json!(["lm_head"])),
        ("an_option_of_the_future", json!(3)),
    ] {
        assert!(error(key, value).contains(&format!("found `{key}`: ")), "{key}");
    }
    let text = error("r", json!(u64::MAX));
    let expected =
        "expected `r`: 4, as `base_model.model.layers.0.attn.q_proj.lora_A.weight` has rows";
    assert!(text.ends_with(expected), "{text}");
    let text = error("target_modules", json!(["q_proj"]));
    assert!(text.contains("layers.1.down_proj.lora_A.weight"), "{text}");
    let text = error("target_modules", json!(["q_proj", "lm_head"]));
    assert!(text.contains("lm_head.lora_A.weight"), "{text}");
}

#[test]
fn a_configuration_that_is_not_json_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let net = Net::<f32>::of_fixture();
    let load = || load_peft(&folder, &net, &mut Generator::seed(0)).unwrap_err().to_string();
    assert!(load().contains("adapter_config.json: "), "{}", load());
    fs::write(folder.path().join("adapter_config.json"), "{").unwrap();
    assert!(load().ends_with("expected the configuration of an adapter"), "{}", load());
}

/// What a fine-tuning run saves: the adapters and their optimizer, without the model.
#[derive(adamant_nn::Stateful)]
#[stateful(crate = adamant_tensor)]
struct Training {
    lora: Lora,
    adam: Adam,
}

impl Training {
    fn new(net: &Net<f32>, seed: u64) -> Self {
        let options = LoraOptions::default().rank(3).lora_dropout(0.3).all_linear();
        let lora = Lora::new(net, options, &mut Generator::seed(seed)).unwrap();
        let adam = Adam::new(lora.parameters(), AdamOptions::default().lr(1e-2)).unwrap();
        Training { lora, adam }
    }

    fn steps(&mut self, net: &Net<f32>, n: usize) -> Vec<f32> {
        let step = |_| {
            self.adam.zero_grad();
            let loss = loss(net);
            loss.backward();
            self.adam.step();
            loss.item()
        };
        (0..n).map(step).collect()
    }
}

#[test]
fn a_resumed_run_equals_one_that_was_not_interrupted() {
    let net = Net::<f32>::of_fixture();
    let mut training = Training::new(&net, 1);
    training.steps(&net, 4);
    let saved = training.state_dict();
    let expected = training.steps(&net, 4);

    // Another process: the same base, and other adapters until the state is loaded.
    let net = Net::<f32>::of_fixture();
    let mut resumed = Training::new(&net, 2);
    resumed.load_state_dict(&saved).unwrap();
    assert_eq!(resumed.steps(&net, 4), expected);
    assert_eq!(resumed.state_dict(), training.state_dict());
    assert_eq!(resumed.lora.options().target_modules, TargetModules::AllLinear);
}

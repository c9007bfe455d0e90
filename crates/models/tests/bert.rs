//! BERT against transformers. Fixture: `fixtures/bert.py`.

use adamant_checkpoint::load_safetensors;
use adamant_models::{Bert, BertConfig, mean_of_tokens};
use adamant_nn::{Forward, Linear, Module, Stateful, cross_entropy, load_with};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Generator, Indices, Mask, StateDict, Tensor, Value, no_grad};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bert");

/// `BertForSequenceClassification`.
#[derive(Module)]
#[module(crate = adamant_nn)]
struct Classification {
    bert: Bert,
    classifier: Linear,
}

struct Fixture {
    outputs: StateDict,
    tokens: Indices,
    kinds: Indices,
    mask: Mask,
}

impl Fixture {
    fn open() -> Self {
        let outputs = load_safetensors(format!("{FOLDER}/outputs.safetensors")).unwrap();
        let integers = |name: &str| match &outputs[name] {
            Value::I64(array) => array.to_vec().into_iter().map(|i| i as usize).collect::<Vec<_>>(),
            other => panic!("{name}: {other:?}"),
        };
        let shape = [3, 7];
        let tokens = Indices::from_vec(integers("tokens"), shape).unwrap();
        let kinds = Indices::from_vec(integers("kinds"), shape).unwrap();
        let mask = integers("mask").into_iter().map(|bit| bit == 1).collect();
        Fixture { tokens, kinds, mask: Mask::from_vec(mask, shape).unwrap(), outputs }
    }

    fn floats(&self, name: &str) -> Tensor {
        match &self.outputs[name] {
            Value::F32(array) => array.clone().into(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Checks `found`; the rows of padding are not compared.
    fn assert_close(&self, name: &str, found: &Tensor) {
        let expected = self.floats(name);
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let rows = self.mask.to_vec();
        let width = found.numel() / if found.shape().len() == 3 { rows.len() } else { 3 };
        let is_padding = |row: usize| found.shape().len() == 3 && !rows[row];
        for (i, (found, expected)) in found.to_vec().iter().zip(expected.to_vec()).enumerate() {
            let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
            assert!(close || is_padding(i / width), "{name}[{i}]: {found}, not {expected}");
        }
    }
}

fn model(classes: usize) -> Classification {
    let config = BertConfig::open(FOLDER).unwrap();
    let rng = &mut Generator::seed(0);
    let bert = Bert::new(&config, rng);
    let classifier = Linear::new(config.hidden_size, classes, rng);
    Classification { bert, classifier }
}

#[test]
fn outputs_equal_those_of_transformers() {
    let (fixture, Classification { mut bert, .. }) = (Fixture::open(), model(3));
    let state = load_safetensors(format!("{FOLDER}/model.safetensors")).unwrap();
    let report = load_with(&bert, &state, Bert::load_options()).unwrap();
    assert_eq!(report.skipped, ["classifier.bias", "classifier.weight"]);
    let opened = Bert::open(FOLDER, &mut Generator::seed(1)).unwrap();
    for ((name, found), (_, expected)) in
        opened.named_parameters().iter().zip(bert.named_parameters())
    {
        assert_eq!(found.tensor().to_vec(), expected.tensor().to_vec(), "{name}");
    }
    bert.eval();
    no_grad(|| {
        let Fixture { tokens, kinds, mask, .. } = &fixture;
        let features = bert.forward_kinds(tokens, kinds, mask);
        fixture.assert_close("features", &features);
        fixture.assert_close("features_of_kind_0", &bert.forward(tokens, mask));
        fixture.assert_close("mean", &mean_of_tokens(&features, mask));
        fixture.assert_close("pooled", &bert.pooler.unwrap().forward(&features));
    });
}

#[test]
fn new_weights_are_small_and_padding_is_zero() {
    let config = BertConfig::open(FOLDER).unwrap();
    let bert = Bert::new(&config, &mut Generator::seed(0));
    for (name, parameter) in bert.named_parameters() {
        let values = parameter.tensor();
        match name.rsplit('.').next() {
            Some("bias") => assert_eq!(values.abs().max().item(), 0.0, "{name}"),
            _ if name.contains("LayerNorm") => assert_eq!(values.min().item(), 1.0, "{name}"),
            _ => assert!((0.01..0.1).contains(&values.abs().max().item()), "{name}"),
        }
        if name == "embeddings.word_embeddings.weight" {
            assert_eq!(values.select(0, config.pad_token_id).abs().max().item(), 0.0);
        }
    }
}

#[test]
fn training_follows_transformers() {
    let (fixture, mut model) = (Fixture::open(), model(3));
    model
        .load_state_dict(&load_safetensors(format!("{FOLDER}/model.safetensors")).unwrap())
        .unwrap();
    let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(1e-2)).unwrap();
    let expected = fixture.outputs.array::<f64>("losses", &[20]).unwrap().to_vec();
    for (step, expected) in expected.into_iter().enumerate() {
        adam.zero_grad();
        let Fixture { tokens, kinds, mask, .. } = &fixture;
        let features = model.bert.forward_kinds(tokens, kinds, mask);
        let pooled = model.bert.pooler.as_ref().unwrap().forward(&features);
        let loss = cross_entropy(&model.classifier.forward(&pooled), &[2, 0, 1]);
        loss.backward();
        adam.step();
        let loss = f64::from(loss.item());
        assert!((loss - expected).abs() <= 1e-4 * expected, "step {step}: {loss}, not {expected}");
    }
}

#[test]
fn a_configuration_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    for (text, expected) in [
        (r#"{"model_type": "gpt2"}"#, "found `model_type` \"gpt2\", expected \"bert\""),
        (r#"{"hidden_size": 4}"#, "found `model_type` \"\", expected \"bert\""),
        (
            r#"{"model_type": "bert", "num_attention_heads": 5}"#,
            "found `num_attention_heads` 5, expected a divisor of `hidden_size` 768",
        ),
        (
            r#"{"model_type": "bert", "vocab_size": 0}"#,
            "found `vocab_size` 0, expected 1 to 1048576",
        ),
        (
            r#"{"model_type": "bert", "hidden_act": "swish"}"#,
            "found unknown variant `swish`, expected one of `gelu`, `gelu_new`",
        ),
        (
            r#"{"model_type": "bert", "pad_token_id": 30522}"#,
            "found `pad_token_id` 30522, expected a token below `vocab_size`",
        ),
        (
            r#"{"model_type": "bert", "hidden_dropout_prob": 1.5}"#,
            "found the dropout 1.5, expected 0 to 1",
        ),
        (
            r#"{"model_type": "bert", "num_hidden_layers": 1000000}"#,
            "found 1000000 layers, expected at most 10000",
        ),
        ("{", "found EOF while parsing"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = BertConfig::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

//! Exchange of a model with PyTorch, in both directions. Fixtures: `tests/fixtures/exchange.py`,
//! PyTorch 2.15.0, which can also run it live.

use crate::close::close;
use crate::common::{fixture, numbers};
use adamant::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Module)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    words: Embedding,
    encoder: TransformerEncoderLayer,
    lstm: Lstm,
    head: Linear,
}

impl Net {
    fn new(seed: u64) -> Net {
        let rng = &mut Generator::seed(seed);
        let padded = Conv2dOptions::default().padding(1);
        let encoder = TransformerEncoderLayerOptions::default().dim_feedforward(16);
        let lstm = LstmOptions::default().num_layers(2).dropout(0.2).bidirectional(true);
        Net {
            conv: Conv2d::with_options(1, 4, 3, padded, rng),
            norm: BatchNorm2d::new(4),
            words: Embedding::with_options(11, 12, EmbeddingOptions::default().padding_idx(0), rng),
            encoder: TransformerEncoderLayer::with_options(12, 3, encoder, rng),
            lstm: Lstm::with_options(12, 5, lstm, rng),
            head: Linear::new(14, 7, rng),
        }
    }

    /// The logits of the images and words in `exchange.py`.
    fn logits(&self) -> Tensor {
        let images = numbers(1, &[6, 1, 5, 7], 4.0);
        let words = (0..48).map(|i| (5 * (i / 8) + 3 * (i % 8)) % 11).collect();
        let words = Indices::from_vec(words, [6, 8]).unwrap();
        let pixels = self.norm.forward(&self.conv.forward(&images)).relu().mean_dim([2, 3]);
        let text = self.lstm.forward(&self.encoder.forward(&self.words.forward(&words)));
        self.head.forward(&Tensor::cat(&[&pixels, &text.mean_dim(1)], 1))
    }
}

/// Loads PyTorch's model from `folder`, and compares its logits with PyTorch's.
fn read(folder: &Path) -> Net {
    let load = |name: &str| load_safetensors(folder.join(name)).unwrap();
    let mut net = Net::new(0);
    net.load_state_dict(&load("exchange.safetensors")).unwrap();
    net.eval();
    close(&net.logits(), &load("exchange_logits.safetensors"), "logits", 1e-5);
    net
}

/// A model that was trained and saved here, with the logits that PyTorch computed for it.
#[test]
fn a_model_written_here_has_equal_logits_in_pytorch() {
    let mut net = Net::new(0);
    net.load_state_dict(&fixture("exchange_ours")).unwrap();
    net.eval();
    close(&net.logits(), &fixture("exchange_back"), "logits", 1e-5);
}

#[test]
fn a_pytorch_model_round_trips_with_equal_logits() {
    let net = read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.safetensors");
    save_safetensors(&net.state_dict(), &path).unwrap();
    // Equal names, types, shapes and bits.
    let saved = load_safetensors(path).unwrap();
    let mut arrays = StateDict::new();
    for (name, value) in saved.iter().filter(|(name, _)| !name.contains(".rng.")) {
        arrays.insert(name, value.clone());
    }
    assert_eq!(arrays, fixture("exchange"));
}

/// Writes to the folder from which `exchange.py --live` reads.
#[test]
fn a_model_trained_here_has_equal_logits_when_loaded() {
    let scratch = tempfile::tempdir().unwrap();
    let live = std::env::var_os("ADAMANT_EXCHANGE").map(PathBuf::from);
    if let Some(folder) = &live {
        read(folder);
    }
    let folder = live.as_deref().unwrap_or(scratch.path());
    let mut net = Net::new(7);
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(1e-2)).unwrap();
    for _ in 0..3 {
        adam.zero_grad();
        cross_entropy(&net.logits(), &[0, 1, 2, 3, 4, 5]).backward();
        adam.step();
    }
    net.eval();
    save_safetensors(&net.state_dict(), folder.join("exchange_ours.safetensors")).unwrap();
    let mut logits = StateDict::new();
    logits.insert("logits", net.logits().array().clone());
    save_safetensors(&logits, folder.join("exchange_ours_logits.safetensors")).unwrap();

    let mut reader = Net::new(0);
    let saved = load_safetensors(folder.join("exchange_ours.safetensors")).unwrap();
    reader.load_state_dict(&saved).unwrap();
    reader.eval();
    assert_eq!(reader.logits().to_vec(), net.logits().to_vec());
}

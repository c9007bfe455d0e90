//! Models whose frozen weights are stored as BF16.

use adamant_nn::{
    CrossEntropyLoss, Embedding, EmbeddingOptions, Forward, LayerNorm, Linear, Module,
    MultiheadAttention,
};
use adamant_tensor::{Generator, Indices, Parameter, Stateful, Storage, Tensor};
use std::thread;

/// A tied head, and a bias that is trained.
#[derive(Module)]
#[module(crate = adamant_nn, clone)]
struct Net {
    embedding: Embedding,
    attention: MultiheadAttention,
    hidden: Linear,
    norm: LayerNorm,
    head: Linear,
}

fn net(seed: u64) -> Net {
    let rng = &mut Generator::seed(seed);
    let options = EmbeddingOptions::default().padding_idx(0);
    let embedding = Embedding::with_options(40, 16, options, rng);
    let mut head = Linear::new(16, 40, rng);
    head.weight = embedding.weight.clone();
    let net = Net {
        embedding,
        attention: MultiheadAttention::new(16, 2, rng),
        hidden: Linear::new(16, 16, rng),
        norm: LayerNorm::new([16]),
        head,
    };
    net.set_requires_grad(false);
    net.hidden.bias.as_ref().unwrap().set_requires_grad(true);
    net
}

impl Net {
    fn loss(&self) -> Tensor {
        let words = Indices::from([[0, 5, 39, 5], [1, 2, 3, 0]]);
        let x = self.hidden.forward(&self.embedding.forward(&words)).tanh();
        let x = self.norm.forward(&self.attention.forward(&x));
        let logits = self.head.forward(&x);
        let targets = [1, 2, 3, 4, 5, 6, 7, 8];
        let options = CrossEntropyLoss::new();
        let bias = self.head.bias.as_ref().map(Parameter::tensor);
        options.loss(&logits.reshape([8, 40]), &targets)
            + options.loss_of_linear(&x, &self.head.weight, bias.as_ref(), &targets)
    }

    /// The loss and the gradient of the bias.
    fn results(&self) -> [Vec<f32>; 2] {
        self.zero_grad();
        let loss = self.loss();
        loss.backward();
        [loss.to_vec(), self.hidden.bias.as_ref().unwrap().grad().unwrap().to_vec()]
    }

    fn storages(&self) -> Vec<(String, Storage)> {
        let of = |(name, parameter): (String, Parameter)| (name, parameter.storage());
        self.named_parameters().into_iter().map(of).collect()
    }
}

#[test]
fn matrices_that_are_frozen_are_compressed() {
    let net = net(0);
    net.norm.weight.as_ref().unwrap().set_requires_grad(true);
    net.attention.out_proj.weight.set_requires_grad(true);
    net.store_frozen_as(Storage::Bf16);
    let compressed = ["embedding.weight", "attention.in_proj_weight", "hidden.weight"];
    for (name, storage) in net.storages() {
        assert_eq!(storage == Storage::Bf16, compressed.contains(&&*name), "{name}");
    }
}

#[test]
fn results_have_the_bits_of_the_rounded_weights() {
    let net = net(0);
    net.store_frozen_as(Storage::Bf16);
    let full = net.clone();
    full.store_frozen_as(Storage::Full);
    assert_eq!(net.results(), full.results());
    let copy = net.clone();
    assert_eq!(copy.storages(), net.storages());
    assert_eq!(copy.results(), net.results());
    assert!(copy.head.weight.is_same(&copy.embedding.weight));
}

#[test]
fn a_state_is_in_full_and_is_rounded_when_it_is_loaded() {
    let (rounded, original) = (net(0), net(0));
    rounded.store_frozen_as(Storage::Bf16);
    let mut other = net(1);
    other.store_frozen_as(Storage::Bf16);
    for source in [original.state_dict(), rounded.state_dict()] {
        other.load_state_dict(&source).unwrap();
        assert_eq!(other.storages(), rounded.storages());
        assert_eq!(other.results(), rounded.results());
    }
    let mut full = net(1);
    full.load_state_dict(&rounded.state_dict()).unwrap();
    assert!(full.storages().iter().all(|(_, storage)| *storage == Storage::Full));
    assert_eq!(full.results(), rounded.results());
}

#[test]
fn a_model_is_read_while_it_is_loaded() {
    let (net, states) = (net(0), [net(1), net(2)].map(|net| net.state_dict()));
    net.store_frozen_as(Storage::Bf16);
    let weight = |net: &Net| net.hidden.weight.tensor().to_vec();
    let mut loaded = net.clone();
    loaded.hidden.weight = net.hidden.weight.clone(); // shared by the two threads
    let values = states.each_ref().map(|state| {
        loaded.load_state_dict(state).unwrap();
        weight(&net)
    });
    assert_ne!(values[0], values[1]);
    thread::scope(|scope| {
        let loads = scope.spawn(|| {
            for i in 0..200 {
                loaded.load_state_dict(&states[i % 2]).unwrap();
            }
        });
        while !loads.is_finished() {
            assert!(values.contains(&weight(&net)));
            assert!(net.loss().item().is_finite());
        }
    });
}

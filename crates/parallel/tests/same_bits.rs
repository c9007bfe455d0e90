//! Trainings have the same bits on any number of ranks and threads.

#![allow(unused_qualifications)] // the glob imports what derived code names in full

use adamant_data::{Batch, DataLoader, TensorDataset};
use adamant_nn::*;
use adamant_optim::{
    Adam, AdamOptions, LinearLr, Optimizer, ParamGroup, Scheduler, Sgd, SgdOptions,
};
use adamant_parallel::{DataParallel, Transport, run_threads};
use adamant_tensor::{Generator, Indices, Parameter, REST, StateDict, Stateful, Tensor};
use std::sync::Arc;

const SHARDS: usize = 8;
const STEPS: u64 = 6;

/// A model, and parameters that are trained from the fourth step on.
trait Net: Module + Stateful {
    fn new(rng: &mut Generator) -> Self;
    fn loss(&self, batch: &Batch) -> Tensor;
    fn late(&self) -> Vec<Parameter>;
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Mlp {
    body: Sequential,
    head: Linear,
    /// Reached by odd shards only.
    rare: Parameter,
    /// Never reached.
    unused: Linear,
}

impl Net for Mlp {
    fn new(rng: &mut Generator) -> Self {
        let body =
            Sequential::new().add(Linear::new(64, 200, rng)).add(Relu).add(Dropout::new(0.2, rng));
        let (head, unused) = (Linear::new(200, 4, rng), Linear::new(3, 3, rng));
        Mlp { body, head, rare: Parameter::new(Tensor::zeros([4])), unused }
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let mut scores = self.head.forward(&self.body.forward(&batch.inputs));
        if batch.targets[0].is_multiple_of(2) {
            scores += self.rare.tensor();
        }
        cross_entropy(&scores, &batch.targets)
    }

    fn late(&self) -> Vec<Parameter> {
        self.head.parameters()
    }
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Cnn {
    body: Sequential,
    head: Linear,
}

impl Net for Cnn {
    fn new(rng: &mut Generator) -> Self {
        let body = Sequential::new()
            .add(Conv2d::new(1, 6, 3, rng))
            .add(BatchNorm2d::new(6))
            .add(Relu)
            .add(Dropout::new(0.3, rng))
            .add(Conv2d::new(6, 4, 3, rng))
            .add(BatchNorm2d::with_options(4, BatchNormOptions::default().momentum(None)))
            .add(Flatten::default());
        Cnn { body, head: Linear::new(4 * 4 * 4, 4, rng) }
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let images = batch.inputs.reshape([REST, 1, 8, 8]);
        cross_entropy(&self.head.forward(&self.body.forward(&images)), &batch.targets)
    }

    fn late(&self) -> Vec<Parameter> {
        self.head.parameters()
    }
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Recurrent {
    lstm: Lstm,
    head: Linear,
}

impl Net for Recurrent {
    fn new(rng: &mut Generator) -> Self {
        let options = LstmOptions::default().num_layers(2).dropout(0.1);
        Recurrent { lstm: Lstm::with_options(8, 16, options, rng), head: Linear::new(16, 4, rng) }
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let outputs = self.lstm.forward(&batch.inputs.reshape([REST, 8, 8]));
        cross_entropy(&self.head.forward(&outputs.select(1, 7)), &batch.targets)
    }

    fn late(&self) -> Vec<Parameter> {
        self.head.parameters()
    }
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Gpt {
    tokens: Embedding,
    layers: Vec<TransformerEncoderLayer>,
    head: Linear,
}

impl Net for Gpt {
    fn new(rng: &mut Generator) -> Self {
        let options = TransformerEncoderLayerOptions::default().dim_feedforward(64).dropout(0.1);
        let tokens = Embedding::new(16, 32, rng);
        let layer = |_| TransformerEncoderLayer::with_options(32, 4, options, rng);
        let layers = (0..2).map(layer).collect();
        Gpt { tokens, layers, head: Linear::new(32, 16, rng) }
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let tokens: Vec<usize> =
            batch.inputs.to_vec().iter().map(|&x| (x.abs() * 7.0) as usize % 16).collect();
        let x = Indices::from(&tokens[..]).reshape([batch.inputs.shape()[0], 64]);
        let mut h = self.tokens.forward(&x);
        for layer in &self.layers {
            h = layer.forward_masked(&h, AttentionMasks::default().causal(true));
        }
        cross_entropy(&self.head.forward(&h).flatten(0, 1), &tokens)
    }

    fn late(&self) -> Vec<Parameter> {
        self.head.parameters()
    }
}

/// The state after step `until`, and the losses and norms; continues `state`.
fn train<N: Net, O: Optimizer>(
    transport: Arc<dyn Transport>,
    optimizer: impl Fn(ParamGroup) -> O,
    until: u64,
    state: Option<&StateDict>,
) -> (StateDict, Vec<u64>) {
    let parallel = DataParallel::new(transport, SHARDS);
    let rng = &mut Generator::seed(3);
    let mut net = N::new(rng);
    let late = net.late();
    let early = net.parameters().into_iter().filter(|p| !late.iter().any(|other| other.is_same(p)));
    let mut optimizer = optimizer(ParamGroup::new(early.collect::<Vec<_>>()));
    parallel.share(&mut optimizer);
    let mut schedule = LinearLr::new(&mut optimizer, 1.0, 0.1, STEPS);
    let set = TensorDataset::new(
        Tensor::randn([130, 64], rng),
        (0..130).map(|i| i % 4).collect::<Vec<usize>>(),
    );
    // Batches of 40 samples, and one of 10.
    let mut loader = DataLoader::new(set.unwrap(), 40).shuffle(rng).shards(parallel.shards());
    let mut step = 0;
    let add_late = |optimizer: &mut O| {
        optimizer.add_param_group(ParamGroup::new(late.clone()).lr(2e-3)).unwrap();
    };
    if let Some(state) = state {
        step = state.int("step").unwrap() as u64;
        if step > 3 {
            add_late(&mut optimizer);
        }
        net.load_state_dict(&state.part("net")).unwrap();
        optimizer.load_state_dict(&state.part("optimizer")).unwrap();
        schedule.load_state_dict(&state.part("schedule")).unwrap();
        loader.load_state_dict(&state.part("loader")).unwrap();
    }
    let mut losses = Vec::new();
    while step < until {
        if step == 3 {
            add_late(&mut optimizer);
        }
        optimizer.zero_grad();
        let loss =
            parallel.backward(&net, &optimizer, loader.next_batch(), |batch| net.loss(&batch));
        losses.push(loss.unwrap().to_bits());
        losses.push(parallel.clip_grad_norm(&optimizer, 0.5).unwrap().to_bits());
        optimizer.step();
        schedule.step(&mut optimizer);
        step += 1;
    }
    let mut state = StateDict::from_iter([("step", step as i64)]);
    state.insert_part("net", net.state_dict());
    state.insert_part("optimizer", optimizer.state_dict());
    state.insert_part("schedule", schedule.state_dict());
    state.insert_part("loader", loader.state_dict());
    (state, losses)
}

fn adam(group: ParamGroup) -> Adam {
    Adam::new(group, AdamOptions::default().lr(1e-2)).unwrap()
}

fn sgd(group: ParamGroup) -> Sgd {
    Sgd::new(group, SgdOptions::default().lr(1e-2).momentum(0.9)).unwrap()
}

/// What rank 0 has at the end; the losses and the model are those of every rank.
fn run<N: Net, O: Optimizer>(
    (ranks, threads): (usize, usize),
    optimizer: impl Fn(ParamGroup) -> O + Sync,
    until: u64,
    state: Option<&StateDict>,
) -> (StateDict, Vec<u64>) {
    let mut trained = run_threads(ranks, |transport| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train::<N, O>(transport, &optimizer, until, state))
    });
    for (state, losses) in &trained {
        assert_eq!(*losses, trained[0].1);
        assert!(state.part("net") == trained[0].0.part("net"), "models of {ranks} ranks");
    }
    trained.swap_remove(0)
}

fn assert_same<N: Net, O: Optimizer>(optimizer: impl Fn(ParamGroup) -> O + Sync) {
    let expected = run::<N, O>((1, 1), &optimizer, STEPS, None);
    for ranks in [1, 2, 3, 4, 8] {
        for threads in [1, 2, 3] {
            let found = run::<N, O>((ranks, threads), &optimizer, STEPS, None);
            assert!(found == expected, "{ranks} ranks of {threads} threads");
        }
    }
    // Saved by one number of ranks, continued by another.
    for (saved, resumed, step) in [(4, 3, 2), (3, 8, 4), (8, 1, 5), (1, 4, 3)] {
        let (state, losses) = run::<N, O>((saved, 1), &optimizer, step, None);
        let rest = run::<N, O>((resumed, 2), &optimizer, STEPS, Some(&state));
        assert!(rest.0 == expected.0, "{saved} ranks, then {resumed}");
        assert_eq!([losses, rest.1].concat(), expected.1);
    }
}

#[test]
fn a_perceptron_with_missing_gradients() {
    assert_same::<Mlp, Adam>(adam);
}

#[test]
fn a_perceptron_under_sgd() {
    assert_same::<Mlp, Sgd>(sgd);
}

#[test]
fn a_convolutional_net_with_batch_norm_and_dropout() {
    assert_same::<Cnn, Adam>(adam);
}

#[test]
fn a_recurrent_net() {
    assert_same::<Recurrent, Adam>(adam);
}

#[test]
fn a_small_gpt() {
    assert_same::<Gpt, Adam>(adam);
}

//! Small trainings of several kinds of models, which use everything that an optimizer has.

#![allow(unused_qualifications)] // the glob imports what derived code names in full
#![allow(dead_code)] // each test uses a part of it

use adamant_data::{Batch, DataLoader, ShardBatch, TensorDataset};
use adamant_nn::*;
use adamant_optim::{
    Adam, AdamOptions, LinearLr, Optimizer, ParamGroup, Scheduler, Sgd, SgdOptions,
};
use adamant_parallel::{DataParallel, Transport, TransportError};
use adamant_tensor::{
    Generator, Indices, Parameter, REST, StateDict, StateError, Stateful, Tensor,
};
use std::sync::Arc;

pub(crate) const SHARDS: usize = 8;
pub(crate) const STEPS: u64 = 6;

/// A model, and parameters that are trained from the fourth step on.
pub(crate) trait Net: Module + Stateful + Sized {
    fn new(rng: &mut Generator) -> Self;
    fn loss(&self, batch: &Batch) -> Tensor;
    fn late(&self) -> Vec<Parameter>;

    fn backward(
        &self,
        parallel: &DataParallel,
        optimizer: &impl Optimizer,
        batch: Vec<ShardBatch>,
    ) -> Result<f64, TransportError> {
        parallel.backward(self, optimizer, batch, |batch| self.loss(&batch))
    }
}

#[derive(Module)]
#[module(crate = adamant_nn)]
pub(crate) struct Mlp {
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
pub(crate) struct Cnn {
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

/// With layers that synchronize the shards, and one that does not.
#[derive(Module)]
#[module(crate = adamant_nn)]
pub(crate) struct SyncCnn {
    body: Sequential,
    head: Linear,
    /// Reached by odd shards only.
    rare: Parameter,
    /// Never reached.
    unused: Linear,
}

impl Net for SyncCnn {
    fn new(rng: &mut Generator) -> Self {
        let body = Sequential::new()
            .add(Dropout::new(0.1, rng))
            .add(Conv2d::new(1, 6, 3, rng))
            .add(SyncBatchNorm::new(6))
            .add(Relu)
            .add(Dropout::new(0.3, rng))
            .add(Conv2d::new(6, 4, 3, rng))
            .add(BatchNorm2d::new(4))
            .add(Flatten::default())
            .add(SyncBatchNorm::with_options(64, BatchNormOptions::default().momentum(None)))
            .add(Dropout::new(0.1, rng));
        let (head, unused) = (Linear::new(64, 4, rng), Linear::new(3, 3, rng));
        SyncCnn { body, head, rare: Parameter::new(Tensor::zeros([4])), unused }
    }

    fn loss(&self, batch: &Batch) -> Tensor {
        let images = batch.inputs.reshape([REST, 1, 8, 8]);
        let mut scores = self.head.forward(&self.body.forward(&images));
        if batch.targets[0].is_multiple_of(2) {
            scores += self.rare.tensor();
        }
        cross_entropy(&scores, &batch.targets)
    }

    fn late(&self) -> Vec<Parameter> {
        self.head.parameters()
    }

    fn backward(
        &self,
        parallel: &DataParallel,
        optimizer: &impl Optimizer,
        batch: Vec<ShardBatch>,
    ) -> Result<f64, TransportError> {
        parallel.backward_synchronized(self, optimizer, batch, |batch| self.loss(&batch))
    }
}

#[derive(Module)]
#[module(crate = adamant_nn)]
pub(crate) struct Recurrent {
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
pub(crate) struct Gpt {
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

pub(crate) fn adam(group: ParamGroup) -> Adam {
    Adam::new(group, AdamOptions::default().lr(1e-2)).unwrap()
}

pub(crate) fn sgd(group: ParamGroup) -> Sgd {
    Sgd::new(group, SgdOptions::default().lr(1e-2).momentum(0.9)).unwrap()
}

/// A training, on this process's shards.
pub(crate) struct Training<N, O> {
    pub(crate) net: N,
    optimizer: O,
    schedule: LinearLr,
    loader: DataLoader<Vec<ShardBatch>>,
    pub(crate) step: u64,
    parallel: DataParallel,
}

impl<N: Net, O: Optimizer> Training<N, O> {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        optimizer: impl Fn(ParamGroup) -> O,
        steps: u64,
    ) -> Self {
        let parallel = DataParallel::new(transport, SHARDS);
        let rng = &mut Generator::seed(3);
        let net = N::new(rng);
        let late = net.late();
        let is_early = |p: &Parameter| !late.iter().any(|late| late.is_same(p));
        let early: Vec<Parameter> = net.parameters().into_iter().filter(is_early).collect();
        let mut optimizer = optimizer(ParamGroup::new(early));
        parallel.share(&mut optimizer);
        let schedule = LinearLr::new(&mut optimizer, 1.0, 0.1, steps);
        let targets: Vec<usize> = (0..130).map(|i| i % 4).collect();
        let set = TensorDataset::new(Tensor::randn([130, 64], rng), targets).unwrap();
        // Batches of 40 samples, and one of 10.
        let loader = DataLoader::new(set, 40).shuffle(rng).shards(parallel.shards());
        Training { net, optimizer, schedule, loader, step: 0, parallel }
    }

    /// The gradient's norm and the loss.
    pub(crate) fn step(&mut self) -> [f64; 2] {
        let Training { net, optimizer, schedule, loader, step, parallel } = self;
        if *step == 3 {
            add_late(optimizer, net);
        }
        optimizer.zero_grad();
        let loss = net.backward(parallel, optimizer, loader.next_batch());
        let norm = parallel.clip_grad_norm(optimizer, 0.5);
        optimizer.step();
        schedule.step(optimizer);
        *step += 1;
        [loss.unwrap(), norm.unwrap()]
    }
}

fn add_late(optimizer: &mut impl Optimizer, net: &impl Net) {
    optimizer.add_param_group(ParamGroup::new(net.late()).lr(2e-3)).unwrap();
}

impl<N: Net, O: Optimizer> Stateful for Training<N, O> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::from_iter([("step", self.step as i64)]);
        state.insert_part("net", self.net.state_dict());
        state.insert_part("optimizer", self.optimizer.state_dict());
        state.insert_part("schedule", self.schedule.state_dict());
        state.insert_part("loader", self.loader.state_dict());
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.net.check_state_dict(&state.part("net"))
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let step = state.int("step").unwrap() as u64;
        if step > 3 && self.step <= 3 {
            add_late(&mut self.optimizer, &self.net);
        }
        self.step = step;
        self.net.load_state_dict(&state.part("net"))?;
        self.optimizer.load_state_dict(&state.part("optimizer"))?;
        self.schedule.load_state_dict(&state.part("schedule"))?;
        self.loader.load_state_dict(&state.part("loader"))
    }
}

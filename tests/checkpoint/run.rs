//! A training run that contains everything with a state.

use adamant::nn::Forward;
use adamant::prelude::*;

pub(crate) trait Net: Stateful {
    fn loss(&self, batch: &Batch) -> Tensor;
    /// The parameters that are trained from the start, and those that are thawed later.
    fn head_and_body(&self) -> [Vec<(String, Parameter)>; 2];
}

fn split(parameters: Vec<(String, Parameter)>) -> [Vec<(String, Parameter)>; 2] {
    let (head, body) = parameters.into_iter().partition(|(name, _)| name.starts_with("head"));
    [head, body]
}

#[derive(Module)]
struct Mlp {
    body: Sequential,
    head: Linear,
}

impl Net for Mlp {
    fn loss(&self, batch: &Batch) -> Tensor {
        let h = self.body.forward(&batch.inputs.flatten(1, -1));
        cross_entropy(&self.head.forward(&h), &batch.targets)
    }
    fn head_and_body(&self) -> [Vec<(String, Parameter)>; 2] {
        split(self.named_parameters())
    }
}

#[derive(Module)]
struct Cnn {
    conv: Conv2d,
    norm: BatchNorm2d,
    dropout2d: Dropout2d,
    dropout: Dropout,
    head: Linear,
}

impl Net for Cnn {
    fn loss(&self, batch: &Batch) -> Tensor {
        let h = self.norm.forward(&self.conv.forward(&batch.inputs)).relu();
        let h = self.dropout.forward(&self.dropout2d.forward(&h).flatten(1, -1));
        cross_entropy(&self.head.forward(&h), &batch.targets)
    }
    fn head_and_body(&self) -> [Vec<(String, Parameter)>; 2] {
        split(self.named_parameters())
    }
}

/// Reads an image as a row of characters, and predicts a function of each.
#[derive(Module)]
struct Gpt {
    characters: Embedding,
    places: Parameter,
    norm1: LayerNorm,
    attention: MultiheadAttention,
    norm2: LayerNorm,
    widen: Linear,
    dropout: Dropout,
    narrow: Linear,
    head: Linear,
}

impl Net for Gpt {
    fn loss(&self, batch: &Batch) -> Tensor {
        let inputs = batch.inputs.flatten(1, -1);
        let [n, length] = [inputs.shape()[0], inputs.shape()[1]];
        let characters: Vec<usize> = inputs.to_vec().iter().map(|&x| x as usize % 16).collect();
        let targets: Vec<usize> = characters.iter().map(|x| (x * 7 + 3) % 16).collect();
        let x = Indices::from_vec(characters, [n, length]).unwrap();
        let x = self.characters.forward(&x) + self.places.tensor();
        let seen = self.norm1.forward(&x);
        let masks = AttentionMasks::default().causal(true);
        let x = x + self.attention.attend(&seen, &seen, &seen, masks);
        let h = self.widen.forward(&self.norm2.forward(&x)).gelu();
        let x = &x + self.narrow.forward(&self.dropout.forward(&h));
        cross_entropy(&self.head.forward(&x).flatten(0, 1), &targets)
    }
    fn head_and_body(&self) -> [Vec<(String, Parameter)>; 2] {
        split(self.named_parameters())
    }
}

/// Wide enough for several threads: it has 48,010 parameters, and work is shared from 32,768
/// elements.
fn mlp(rng: &mut Generator) -> Box<dyn Net> {
    let body =
        Sequential::new().add(Linear::new(64, 640, rng)).add(Relu).add(Dropout::new(0.2, rng));
    Box::new(Mlp { body, head: Linear::new(640, 10, rng) })
}

fn cnn(rng: &mut Generator) -> Box<dyn Net> {
    Box::new(Cnn {
        conv: Conv2d::new(1, 6, 3, rng),
        norm: BatchNorm2d::new(6),
        dropout2d: Dropout2d::new(0.1, rng),
        dropout: Dropout::new(0.3, rng),
        head: Linear::new(6 * 36, 10, rng),
    })
}

fn gpt(rng: &mut Generator) -> Box<dyn Net> {
    Box::new(Gpt {
        characters: Embedding::new(16, 12, rng),
        places: Parameter::new(Tensor::randn([64, 12], rng)),
        norm1: LayerNorm::new([12]),
        attention: MultiheadAttention::with_options(
            12,
            2,
            MultiheadAttentionOptions::default().dropout(0.1),
            rng,
        ),
        norm2: LayerNorm::new([12]),
        widen: Linear::new(12, 24, rng),
        dropout: Dropout::new(0.1, rng),
        narrow: Linear::new(24, 12, rng),
        head: Linear::new(12, 16, rng),
    })
}

pub(crate) type MakeNet = fn(&mut Generator) -> Box<dyn Net>;
pub(crate) const NETS: [(&str, MakeNet); 3] = [("mlp", mlp), ("cnn", cnn), ("gpt", gpt)];

/// A schedule by epochs or by losses.
pub(crate) enum Plan {
    Steps(Box<dyn Scheduler>),
    Plateau(ReduceLrOnPlateau),
}

impl Plan {
    fn step(&mut self, adam: &mut Adam, loss: f64) {
        match self {
            Plan::Steps(schedule) => schedule.step(adam),
            Plan::Plateau(schedule) => schedule.step(adam, loss),
        }
    }

    fn state(&mut self) -> &mut dyn Stateful {
        match self {
            Plan::Steps(schedule) => &mut **schedule,
            Plan::Plateau(schedule) => schedule,
        }
    }
}

pub(crate) type MakePlan = fn(&mut Adam) -> Plan;
pub(crate) const PLANS: [(&str, MakePlan); 9] = [
    ("step", |adam| Plan::Steps(Box::new(StepLr::new(adam, 4, 0.7)))),
    ("multi_step", |adam| Plan::Steps(Box::new(MultiStepLr::new(adam, [3, 11, 14], 0.5)))),
    ("exponential", |adam| Plan::Steps(Box::new(ExponentialLr::new(adam, 0.95)))),
    ("cosine", |adam| Plan::Steps(Box::new(CosineAnnealingLr::new(adam, 20)))),
    ("linear", |adam| Plan::Steps(Box::new(LinearLr::new(adam, 0.3, 1.0, 13)))),
    ("lambda", |adam| Plan::Steps(Box::new(LambdaLr::new(adam, |epoch| 1.0 / (1 + epoch) as f64)))),
    ("one_cycle", |adam| Plan::Steps(Box::new(OneCycleLr::new(adam, 0.01, 18)))),
    ("sequential", |adam| {
        let warm_up = LinearLr::new(adam, 0.5, 1.0, 4);
        let (down, slow) = (CosineAnnealingLr::new(adam, 8), ExponentialLr::new(adam, 0.9));
        Plan::Steps(Box::new(SequentialLr::new(adam, warm_up).then(4, down).then(12, slow)))
    }),
    ("plateau", |_| {
        let options = ReduceLrOnPlateauOptions::default().patience(1).threshold(0.2);
        Plan::Plateau(ReduceLrOnPlateau::with_options(PlateauMode::Min, options))
    }),
];

/// Forty images of 8 × 8.
pub(crate) fn images() -> TensorDataset<ByteRows> {
    let mut rng = Generator::seed(11);
    let bytes = (0..40 * 64).map(|_| rng.below(16) as u8).collect();
    let images = ByteRows::new(bytes, [1, 8, 8]).unwrap();
    TensorDataset::new(images, (0..40).map(|i| i % 10).collect()).unwrap()
}

pub(crate) struct Run {
    net: Box<dyn Net>,
    adam: Adam,
    plan: Plan,
    loader: DataLoader,
    rng: Generator,
}

impl Run {
    /// With batches of 6: an epoch has seven, the last one of 4.
    pub(crate) fn new(
        data: &TensorDataset<ByteRows>,
        net: MakeNet,
        plan: MakePlan,
        seed: u64,
    ) -> Self {
        let mut rng = Generator::seed(seed);
        let net = net(&mut rng);
        let [head, _] = net.head_and_body();
        let options = AdamOptions::default().lr(3e-3).weight_decay(1e-3).amsgrad(true);
        let mut adam = Adam::with_groups([ParamGroup::new(head)], options).unwrap();
        let plan = plan(&mut adam);
        let loader = DataLoader::new(data, 6).shuffle(&mut rng);
        Run { net, adam, plan, loader, rng }
    }

    /// Trains the body too from here on.
    pub(crate) fn thaw(&mut self) {
        let [_, body] = self.net.head_and_body();
        self.adam.add_param_group(ParamGroup::new(body).lr(1e-3).weight_decay(0.0)).unwrap();
    }

    /// Trains `steps` steps; returns the bits of their losses.
    pub(crate) fn advance(&mut self, steps: usize) -> Vec<u32> {
        let step = |_| {
            let mut batch = self.loader.next_batch();
            batch.inputs =
                &batch.inputs + Tensor::uniform(batch.inputs.shape(), 0.0, 2.0, &mut self.rng);
            self.adam.zero_grad();
            let loss = self.net.loss(&batch);
            loss.backward();
            self.adam.step();
            self.plan.step(&mut self.adam, f64::from(loss.item()));
            loss.item().to_bits()
        };
        (0..steps).map(step).collect()
    }

    /// The whole state; equal states are saved in equal bytes.
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint::new()
            .with("model", &*self.net)
            .with("optimizer", &self.adam)
            .with("schedule", self.plan.state())
            .with("loader", &self.loader)
            .with("rng", &self.rng)
    }

    pub(crate) fn restore(&mut self, saved: &Checkpoint) {
        let targets: &mut [(&str, &mut dyn Stateful)] = &mut [
            ("model", &mut *self.net),
            ("optimizer", &mut self.adam),
            ("schedule", self.plan.state()),
            ("loader", &mut self.loader),
            ("rng", &mut self.rng),
        ];
        saved.restore(targets).unwrap();
    }
}

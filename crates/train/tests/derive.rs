//! A run as one value: `#[derive(Stateful)]`, saved to a file and resumed.

use adamant_checkpoint::Checkpoint;
use adamant_nn::{Forward, Linear, Module, Stateful, mse_loss};
use adamant_optim::{
    Adam, AdamOptions, ExponentialLr, LearningRates, Optimizer, PlateauMode, Scheduler,
};
use adamant_tensor::{Generator, Tensor};
use adamant_train::{AveragedModel, EarlyStopping};

#[derive(Module)]
#[module(crate = adamant_nn, clone)]
struct Net {
    fc1: Linear,
    fc2: Linear,
}

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Run {
    model: Net,
    averaged: AveragedModel<Net>,
    optimizer: Adam,
    schedule: ExponentialLr,
    stopping: EarlyStopping,
    rng: Generator,
    step: u64,
    losses: Vec<f32>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = &mut Generator::seed(seed);
        let model = Net { fc1: Linear::new(3, 4, rng), fc2: Linear::new(4, 1, rng) };
        let optimizer = Adam::new(model.parameters(), AdamOptions::default().lr(0.1)).unwrap();
        Run {
            averaged: AveragedModel::ema(&model, 0.9),
            schedule: ExponentialLr::new(&optimizer, 0.95),
            stopping: EarlyStopping::new(PlateauMode::Min),
            rng: rng.fork(),
            step: 0,
            losses: Vec::new(),
            model,
            optimizer,
        }
    }

    fn step(&mut self) {
        let x = Tensor::randn([8, 3], &mut self.rng);
        self.optimizer.zero_grad();
        let loss = mse_loss(
            &self.model.fc2.forward(&self.model.fc1.forward(&x).tanh()),
            &x.narrow(1, 0, 1),
        );
        loss.backward();
        self.optimizer.step();
        self.schedule.step(&mut self.optimizer);
        self.averaged.update_parameters(&self.model);
        self.stopping.step(loss.item().into(), &self.model);
        self.losses.push(loss.item());
        self.step += 1;
    }
}

#[test]
fn a_run_resumes_from_a_file_to_the_bit() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut straight = Run::new(0);
    (0..5).for_each(|_| straight.step());
    Checkpoint::new()
        .with("run", &straight)
        .with("step", &straight.step)
        .save(file.path())
        .unwrap();

    let (mut resumed, mut step) = (Run::new(1), 0u64);
    let saved = Checkpoint::load(file.path()).unwrap();
    saved.restore(&mut [("run", &mut resumed), ("step", &mut step)]).unwrap();
    assert_eq!(resumed.state_dict(), straight.state_dict());
    (0..5).for_each(|_| [&mut straight, &mut resumed].into_iter().for_each(Run::step));
    assert_eq!((step, resumed.step, resumed.losses.len()), (5, 10, 10));
    assert_eq!(resumed.state_dict(), straight.state_dict());
    assert_eq!(resumed.optimizer.lr(0), straight.optimizer.lr(0));
}

#[test]
fn a_mismatch_anywhere_changes_nothing_anywhere() {
    let mut saved = Run::new(0);
    saved.step();
    let mut state = saved.state_dict();
    state.rename("model.fc1.weight", "model.fc0.weight").unwrap();
    state.insert("stopping.bad_steps", -1);
    let mut run = Run::new(1);
    let before = run.state_dict();
    let error = run.load_state_dict(&state).unwrap_err();
    let expected = [
        "`model.fc1.weight`: missing, expected f32 [4, 3]",
        "`stopping.bad_steps`: found the integer -1, expected a u64",
    ];
    for line in expected {
        assert!(error.mismatches().iter().any(|mismatch| *mismatch == line), "{error}");
    }
    assert_eq!(error.mismatches().len(), 3, "{error}"); // and `model.fc0.weight`
    assert_eq!(run.state_dict(), before);
}

//! A small training program.

use adamant_nn::{Forward, Linear, Module, mse_loss};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Generator, StateDict, StateError, Stateful, Tensor};
use adamant_train::{History, Run, RunError, RunFolder};
use std::path::Path;

/// A linear model that learns to add.
pub(crate) struct Training {
    pub(crate) model: Linear,
    pub(crate) adam: Adam,
    pub(crate) rng: Generator,
    pub(crate) step: u64,
}

impl Training {
    pub(crate) fn new(width: usize) -> Self {
        let mut rng = Generator::seed(1);
        let model = Linear::new(width, 1, &mut rng);
        let adam = Adam::new(model.parameters(), AdamOptions::default().lr(0.01)).unwrap();
        Training { model, adam, rng, step: 0 }
    }

    /// A step; returns the loss.
    pub(crate) fn advance(&mut self) -> f64 {
        let inputs = Tensor::randn([16, self.model.weight.shape()[1]], &mut self.rng);
        let targets = inputs.sum_dim(1).reshape([16, 1]);
        self.adam.zero_grad();
        let loss = mse_loss(&self.model.forward(&inputs), &targets);
        loss.backward();
        self.adam.step();
        self.step += 1;
        loss.item().into()
    }

    /// Trains to `steps`, with a row for each step.
    pub(crate) fn train(&mut self, run: &mut Run, steps: u64) -> Result<(), RunError> {
        while self.step < steps {
            let loss = self.advance();
            run.log(self.step, &[("loss", loss), ("lr", 0.01)]);
            run.step(self.step, self)?;
        }
        Ok(())
    }
}

impl Stateful for Training {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::from_iter([("step", self.step as i64)]);
        state.insert_part("model", self.model.state_dict());
        state.insert_part("adam", self.adam.state_dict());
        state.insert_part("rng", self.rng.state_dict());
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let mut errors = StateError::new();
        errors.take(state.int("step"));
        errors.extend("model", self.model.check_state_dict(&state.part("model")));
        errors.extend("adam", self.adam.check_state_dict(&state.part("adam")));
        errors.extend("rng", self.rng.check_state_dict(&state.part("rng")));
        errors.into_result()
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.check_state_dict(state)?;
        self.step = state.int("step").unwrap() as u64;
        self.model.load_state_dict(&state.part("model"))?;
        self.adam.load_state_dict(&state.part("adam"))?;
        self.rng.load_state_dict(&state.part("rng"))
    }
}

/// Opens a folder that no run uses.
pub(crate) fn open(folder: &Path) -> RunFolder {
    Run::open(folder).unwrap().quiet()
}

/// What a straight run of `steps` ends in: its state and its log.
pub(crate) fn straight(steps: u64) -> (StateDict, Vec<Logged>) {
    let folder = tempfile::tempdir().unwrap();
    let mut training = Training::new(8);
    let mut run = open(folder.path()).resume(&mut training).unwrap();
    training.train(&mut run, steps).unwrap();
    run.finish(training.step, &training).unwrap();
    (training.state_dict(), logged(folder.path()))
}

/// A row of the log without its time.
pub(crate) type Logged = (u64, Vec<(String, f64)>);

/// The log without times, which must not decrease.
pub(crate) fn logged(folder: &Path) -> Vec<Logged> {
    let rows = History::read(folder).unwrap().rows;
    assert!(rows.is_sorted_by(|a, b| a.time <= b.time));
    rows.into_iter().map(|row| (row.step, row.values)).collect()
}

/// The names of the files in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The steps of the checkpoints in a folder, in the order in which they were saved.
pub(crate) fn saved_steps(folder: &Path) -> Vec<u64> {
    let names = names(folder).into_iter();
    let step = |name: &str| {
        let rest = name.strip_suffix(".ckpt")?.split_once("-step-")?.1;
        rest.split('-').next()?.parse().ok()
    };
    names.filter_map(|name| step(&name)).collect()
}

//! Checkpoints of a run in which values overflowed can be restored.

use adamant::prelude::*;

#[derive(Module)]
struct Net {
    linear: Linear,
    norm: BatchNorm1d,
    dropout: Dropout,
    head: Linear,
}

/// Everything that has a state.
struct Run {
    net: Net,
    adam: Adam,
    schedule: CosineAnnealingLr,
    plateau: ReduceLrOnPlateau,
    loader: DataLoader,
    rng: Generator,
    steps: u64,
}

impl Run {
    fn new(data: &TensorDataset, seed: u64) -> Self {
        let mut rng = Generator::seed(seed);
        let net = Net {
            linear: Linear::new(2, 3, &mut rng),
            norm: BatchNorm1d::new(3),
            dropout: Dropout::new(0.2, &mut rng),
            head: Linear::new(3, 2, &mut rng),
        };
        let group = ParamGroup::new(net.named_parameters());
        let options = AdamOptions::default().lr(seed as f64 * 1e-3).amsgrad(true);
        let adam = Adam::with_groups([group], options).unwrap();
        let schedule = CosineAnnealingLr::new(&adam, 10 * seed);
        let plateau = ReduceLrOnPlateauOptions::default().patience(seed);
        let plateau = ReduceLrOnPlateau::with_options(PlateauMode::Min, plateau);
        let loader = DataLoader::new(data, 4).shuffle(&mut rng);
        Run { net, adam, schedule, plateau, loader, rng, steps: 0 }
    }

    /// In the fourth step, the square of a gradient, a running variance and the metric overflow.
    fn step(&mut self) {
        self.steps += 1;
        let batch = self.loader.next_batch();
        self.adam.zero_grad();
        let noise = Tensor::randn(batch.inputs.shape(), &mut self.rng);
        let hidden = self.net.norm.forward(&self.net.linear.forward(&(&batch.inputs + noise)));
        let out = self.net.head.forward(&self.net.dropout.forward(&hidden));
        let loss = cross_entropy(&out, &batch.targets);
        loss.backward();
        let mut metric = f64::from(loss.item());
        if self.steps == 4 {
            let [first, rest @ ..] = &self.net.parameters()[..] else { unreachable!() };
            first.change_grad(|grad| grad[1] = 1e21);
            assert!(rest.iter().all(|p| p.grad().is_some()));
            let variance = self.net.norm.running_var.as_ref().unwrap();
            variance.set(&Tensor::from([1.0, f32::INFINITY, f32::NAN]));
            metric = f64::NEG_INFINITY;
        }
        self.adam.step();
        self.schedule.step(&mut self.adam);
        self.plateau.step(&mut self.adam, metric);
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new()
            .with("net", &self.net)
            .with("adam", &self.adam)
            .with("schedule", &self.schedule)
            .with("plateau", &self.plateau)
            .with("loader", &self.loader)
            .with("rng", &self.rng)
    }

    fn states(&self) -> Vec<(String, StateDict)> {
        let checkpoint = self.checkpoint();
        checkpoint.parts().map(|(name, state)| (name.to_string(), state.clone())).collect()
    }
}

#[test]
fn checkpoints_after_an_overflow_restore() {
    let inputs = Tensor::randn([10, 2], &mut Generator::seed(0));
    let data = TensorDataset::new(inputs, (0..10).map(|i| i % 2).collect()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = CheckpointManager::new(folder.path()).unwrap().keep_last(2);
    let mut run = Run::new(&data, 1);
    for step in 1..=8 {
        run.step();
        checkpoints.save(step, run.checkpoint()).unwrap();
    }
    assert!(run.net.parameters().iter().all(|p| p.tensor().to_vec().iter().all(|x| x.is_finite())));
    let report = run.adam.non_finite();
    assert!(report[0].to_string().contains("`linear.weight`, shape [3, 2]): exp_avg_sq is inf"));
    assert_eq!(report.len(), 2); // and its maximum
    let state = run.net.state_dict();
    let names: Vec<&str> = state.non_finite().map(|(name, ..)| name).collect();
    assert_eq!(names, ["norm.running_var"]);

    let (step, saved) = checkpoints.newest().unwrap().unwrap();
    assert_eq!(step, 8);
    let mut other = Run::new(&data, 3);
    other.step();
    let targets: &mut [(&str, &mut dyn Stateful)] = &mut [
        ("net", &mut other.net),
        ("adam", &mut other.adam),
        ("schedule", &mut other.schedule),
        ("plateau", &mut other.plateau),
        ("loader", &mut other.loader),
        ("rng", &mut other.rng),
    ];
    saved.restore(targets).unwrap();
    other.steps = step;
    assert_eq!(other.states(), run.states());
    for _ in 0..5 {
        run.step();
        other.step();
    }
    assert_eq!(other.states(), run.states());
}

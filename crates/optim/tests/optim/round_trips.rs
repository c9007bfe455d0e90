//! Whatever state an optimizer and its schedule reach is saved and restored bit for bit, into
//! objects that were built with other values, and both continue to the same bits.
//!
//! Random walks: hyperparameters, gradients and the moments at which they are saved are drawn.

use adamant_optim::{
    AdamOptions, Algorithm, Amsgrad, AnnealStrategy, CosineAnnealingLr, CosineAnnealingLrOptions,
    ExponentialLr, GroupOptimizer, LambdaLr, LearningRates, LinearLr, MultiStepLr, OneCycleLr,
    OneCycleLrOptions, Optimizer, ParamGroup, PlateauMode, ReduceLrOnPlateau,
    ReduceLrOnPlateauOptions, Scheduler, SequentialLr, SgdOptions, StepLr, SwaLr, SwaLrOptions,
    ThresholdMode,
};
use adamant_tensor::{Generator, Parameter, StateDict, Stateful, Tensor, Value};

/// Gradients, from 0 to those whose square overflows, or that are not finite.
const GRADIENTS: [f32; 10] =
    [0.0, -0.0, 1e-45, -3e-39, 0.5, -2.0, 1e21, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];

fn pick<V: Clone>(rng: &mut Generator, values: &[V]) -> V {
    values[rng.below(values.len())].clone()
}

/// Hyperparameters to draw from.
trait Draw: Algorithm<f32> {
    fn draw(rng: &mut Generator) -> Self;
}

impl Draw for AdamOptions {
    fn draw(rng: &mut Generator) -> Self {
        let beta = |rng: &mut Generator| pick(rng, &[0.0, 0.3, 0.9, 0.999, 1.0 - f64::EPSILON]);
        AdamOptions {
            lr: pick(rng, &[0.0, 1e-3, 0.07, 10.0]),
            betas: (beta(rng), beta(rng)),
            eps: pick(rng, &[0.0, 1e-8, 1e-3]),
            weight_decay: pick(rng, &[0.0, 0.01, 3.0]),
            amsgrad: pick(rng, &[Amsgrad::Off, Amsgrad::Raw, Amsgrad::Corrected]),
            maximize: pick(rng, &[true, false]),
            decoupled_weight_decay: pick(rng, &[true, false]),
        }
    }
}

impl Draw for SgdOptions {
    fn draw(rng: &mut Generator) -> Self {
        let nesterov = pick(rng, &[true, false]);
        SgdOptions {
            lr: pick(rng, &[0.0, 1e-3, 0.07, 10.0]),
            momentum: if nesterov { 0.8 } else { pick(rng, &[0.0, 0.9, 2.0]) },
            dampening: if nesterov { 0.0 } else { pick(rng, &[0.0, -0.5, 1.0]) },
            weight_decay: pick(rng, &[0.0, 0.01, 3.0]),
            nesterov,
            maximize: pick(rng, &[true, false]),
        }
    }
}

enum Plan {
    Steps(Box<dyn Scheduler>),
    Plateau(ReduceLrOnPlateau),
}

const PLANS: usize = 10;

impl Plan {
    fn draw<A: Draw>(
        plan: usize,
        optimizer: &mut GroupOptimizer<f32, A>,
        rng: &mut Generator,
    ) -> Plan {
        let epochs = [1, 2, 3, 7, 20, u64::MAX / 4 + 1, u64::MAX];
        let epochs = |rng: &mut Generator| pick(rng, &epochs);
        let gamma = pick(rng, &[0.0, 0.3, 0.99, 1.1]);
        let from = pick(rng, &[1e-9, 0.1, 0.3, 1.0]);
        let to = pick(rng, &[0.0, 0.7, 1.0]);
        let cosine = |optimizer: &GroupOptimizer<f32, A>, t_max, rng: &mut Generator| {
            let options = CosineAnnealingLrOptions::default();
            let options = options.eta_min(pick(rng, &[0.0, 1e-3, 0.3]));
            CosineAnnealingLr::with_options(optimizer, t_max, options)
        };
        Plan::Steps(match plan {
            0 => Box::new(StepLr::new(optimizer, epochs(rng), gamma)),
            1 => {
                let milestones: Vec<u64> = (0..rng.below(4)).map(|_| epochs(rng)).collect();
                Box::new(MultiStepLr::new(optimizer, milestones, gamma))
            }
            2 => Box::new(ExponentialLr::new(optimizer, gamma)),
            3 => Box::new(cosine(optimizer, epochs(rng), rng)),
            4 => Box::new(LinearLr::new(optimizer, from, to, epochs(rng))),
            5 => Box::new(LambdaLr::new(optimizer, |epoch| 1.0 / (1.0 + epoch as f64))),
            6 => {
                let (max_lr, total_steps) = (pick(rng, &[1e-3, 0.5]), epochs(rng));
                let options = OneCycleLrOptions::default()
                    .pct_start(pick(rng, &[0.0, 0.2, 0.5, 0.9, 1.0]))
                    .anneal_strategy(pick(rng, &[AnnealStrategy::Cosine, AnnealStrategy::Linear]))
                    .three_phase(pick(rng, &[true, false]))
                    .div_factor(pick(rng, &[0.1, 1.0, 25.0]))
                    .final_div_factor(pick(rng, &[1e-2, 1.0, 1e20]))
                    .cycle_momentum(pick(rng, &[true, false]))
                    .base_momentum(pick(rng, &[0.0, 0.85]))
                    .max_momentum(pick(rng, &[0.0, 0.95, 0.999]));
                Box::new(OneCycleLr::with_options(optimizer, max_lr, total_steps, options))
            }
            7 => {
                let warm_up = LinearLr::new(optimizer, from, 1.0, 3);
                let down = cosine(optimizer, epochs(rng), rng);
                let tail = StepLr::new(optimizer, epochs(rng), gamma);
                let (first, last) = (pick(rng, &[1, 4]), pick(rng, &[9, u64::MAX]));
                Box::new(SequentialLr::new(optimizer, warm_up).then(first, down).then(last, tail))
            }
            8 => {
                let mode = pick(rng, &[PlateauMode::Min, PlateauMode::Max]);
                let threshold = pick(rng, &[ThresholdMode::Relative, ThresholdMode::Absolute]);
                let options = ReduceLrOnPlateauOptions::default()
                    .factor(pick(rng, &[0.0, 0.5, 0.9]))
                    .patience(pick(rng, &[0, 1, 3, u64::MAX]))
                    .threshold(pick(rng, &[0.0, 0.1]))
                    .threshold_mode(threshold)
                    .cooldown(pick(rng, &[0, 1, 3, u64::MAX]))
                    .min_lr(pick(rng, &[0.0, 1e-3]))
                    .eps(pick(rng, &[0.0, 1e-8]));
                return Plan::Plateau(ReduceLrOnPlateau::with_options(mode, options));
            }
            9 => {
                let options = SwaLrOptions::default()
                    .anneal_epochs(pick(rng, &[0, 1, 4, 20, u64::MAX]))
                    .anneal_strategy(pick(rng, &[AnnealStrategy::Cosine, AnnealStrategy::Linear]));
                let swa_lr = pick(rng, &[0.0, 1e-3, 0.5]);
                Box::new(SwaLr::with_options(optimizer, swa_lr, options))
            }
            _ => unreachable!("one of PLANS"),
        })
    }

    fn state(&mut self) -> &mut dyn Stateful {
        match self {
            Plan::Steps(schedule) => schedule.as_mut(),
            Plan::Plateau(schedule) => schedule,
        }
    }
}

struct Run<A: Draw> {
    params: Vec<Parameter>,
    optimizer: GroupOptimizer<f32, A>,
    plan: Plan,
}

impl<A: Draw> Run<A> {
    fn new(plan: usize, groups: usize, rng: &mut Generator) -> Self {
        let shapes: [&[usize]; 4] = [&[19], &[2, 2], &[], &[3]];
        let params = shapes.map(|shape| Parameter::new(Tensor::randn(shape, rng))).to_vec();
        let first = [("a".to_string(), params[0].clone()), ("b".to_string(), params[1].clone())];
        let first = ParamGroup::new(first).name("first").lr(pick(rng, &[0.0, 0.02]));
        let second = ParamGroup::new([params[2].clone()]);
        let mut optimizer = GroupOptimizer::with_groups([first, second], A::draw(rng)).unwrap();
        let plan = Plan::draw(plan, &mut optimizer, rng);
        let mut run = Run { params, optimizer, plan };
        if groups == 3 {
            run.add_group();
        }
        run
    }

    fn add_group(&mut self) {
        let late = ParamGroup::new([self.params[3].clone()]);
        self.optimizer.add_param_group(late).unwrap();
    }

    /// Moves every count that has begun to just below the largest that a state holds.
    fn move_counts(&mut self, rng: &mut Generator) {
        let counts = ["epoch", "bad_epochs", "cooldown_left", "step"];
        let mut move_state = |stateful: &mut dyn Stateful| {
            let mut state = stateful.state_dict();
            for (name, value) in stateful.state_dict().iter() {
                if counts.contains(&name.rsplit('.').next().unwrap()) && *value != Value::Int(0) {
                    state.insert(name, i64::MAX - rng.below(3) as i64);
                }
            }
            stateful.load_state_dict(&state).unwrap();
        };
        move_state(&mut self.optimizer);
        move_state(self.plan.state());
    }

    fn step(&mut self, rng: &mut Generator) {
        if rng.below(8) == 0 {
            // All but the rate, which the schedule moves.
            let group = rng.below(self.optimizer.param_groups().len());
            let (lr, options) = (self.optimizer.lr(group), A::draw(rng));
            self.optimizer.update_param_group(group, |current| *current = options).unwrap();
            self.optimizer.set_lr(group, lr).unwrap();
        }
        // Mostly tame: NaN stays NaN, and tests little.
        let tame = rng.below(4) > 0;
        let gradients = if tame { &GRADIENTS[..6] } else { &GRADIENTS };
        for p in &self.params {
            let grad = Tensor::build(p.shape(), |out| out.fill_with(|| pick(rng, gradients)));
            p.set_grad((rng.below(5) > 0).then_some(grad));
        }
        self.optimizer.step();
        if rng.below(5) > 0 {
            match &mut self.plan {
                Plan::Steps(schedule) => schedule.step(&mut self.optimizer),
                Plan::Plateau(schedule) => {
                    let metrics = [1.0, 1.0, 0.5, -3.0, f64::INFINITY, f64::NAN];
                    schedule.step(&mut self.optimizer, pick(rng, &metrics));
                }
            }
        }
    }

    fn state(&mut self) -> [StateDict; 3] {
        let mut values = StateDict::new();
        for (i, p) in self.params.iter().enumerate() {
            values.insert(i.to_string(), p.tensor().array().clone());
        }
        [values, self.optimizer.state_dict(), self.plan.state().state_dict()]
    }

    /// Another run, built with other values, that then takes over the state of this one.
    fn restored(&mut self, plan: usize, rng: &mut Generator) -> Self {
        let mut other = Run::new(plan, self.optimizer.param_groups().len(), rng);
        (0..rng.below(3)).for_each(|_| other.step(rng));
        for (new, p) in other.params.iter().zip(&self.params) {
            new.set_value(&p.tensor().detach());
        }
        let [_, optimizer, schedule] = self.state();
        if rng.below(2) == 0 {
            other.optimizer.load_state_dict(&optimizer).unwrap();
            other.plan.state().load_state_dict(&schedule).unwrap();
        } else {
            other.plan.state().load_state_dict(&schedule).unwrap();
            other.optimizer.load_state_dict(&optimizer).unwrap();
        }
        other
    }
}

fn walk<A: Draw>(seeds: std::ops::Range<u64>) {
    for (seed, plan) in seeds.flat_map(|seed| (0..PLANS).map(move |plan| (seed, plan))) {
        let rng = &mut Generator::seed(seed);
        let mut run = Run::<A>::new(plan, 2, rng);
        let (late, far) = (rng.below(30), rng.below(90));
        for step in 0..30 {
            if step == late {
                run.add_group();
            }
            if step == far {
                run.move_counts(rng);
            }
            run.step(rng);
            if rng.below(4) == 0 {
                let mut other = run.restored(plan, rng);
                let case = format!("seed {seed}, plan {plan}, after step {step}");
                assert_eq!(other.state(), run.state(), "{case}: restored");
                // Both continue for a while, then they are compared again.
                for _ in 0..rng.below(6) {
                    other.step(&mut rng.clone());
                    run.step(rng);
                }
                assert_eq!(other.state(), run.state(), "{case}: continued");
            }
        }
    }
}

#[test]
fn any_state_of_adam_and_a_schedule_restores() {
    walk::<AdamOptions>(0..40);
}

#[test]
fn any_state_of_sgd_and_a_schedule_restores() {
    walk::<SgdOptions>(0..40);
}

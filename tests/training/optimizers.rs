//! The behavior that PyTorch's own tests require of an optimizer.

use adamant::prelude::*;

fn parameter(values: &[f64]) -> Parameter<f64> {
    Parameter::new(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
}

fn tensor(values: &[f64]) -> Tensor<f64> {
    Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
}

/// A problem with a minimum of 0, and a starting point.
type Problem = (&'static str, fn(&Tensor<f64>) -> Tensor<f64>, [f64; 2]);
const PROBLEMS: [Problem; 3] = [
    ("a bowl", |p| (p * p).sum(), [3.0, -2.0]),
    ("a stretched bowl", |p| (p * p * tensor(&[1.0, 20.0])).sum(), [3.0, -2.0]),
    (
        "Rosenbrock's valley",
        |p| {
            let (x, y) = (p.select(0, 0), p.select(0, 1));
            (1.0 - &x).powf(2.0) + (y - x.powf(2.0)).powf(2.0) * 100.0
        },
        [-1.5, 1.5],
    ),
];

/// The value of a problem after `steps` steps. Asserts that it has decreased.
fn descend<O: Optimizer<f64>>(
    problem: Problem,
    sign: f64,
    steps: usize,
    make: impl Fn(Parameter<f64>) -> O,
    mut schedule: impl FnMut(&mut O, f64),
) -> f64 {
    let (_, f, start) = problem;
    let p = parameter(&start);
    let mut optimizer = make(p.clone());
    let first = f(&p.tensor()).item();
    for _ in 0..steps {
        let loss = optimizer.step_with(|optimizer| {
            optimizer.zero_grad();
            let loss = f(&p.tensor()) * sign;
            loss.backward();
            loss
        });
        schedule(&mut optimizer, loss.item());
    }
    let last = f(&p.tensor()).item();
    assert!(last < first);
    last
}

#[test]
fn every_optimizer_finds_every_minimum() {
    let adam = AdamOptions::default();
    let variants = [
        ("adam", adam.lr(0.01)),
        ("amsgrad", adam.lr(0.05).amsgrad(true)),
        ("corrected amsgrad", adam.lr(0.5).amsgrad_corrected()),
        ("low betas", adam.lr(0.01).betas(0.5, 0.9)),
        ("maximize", adam.lr(0.01).maximize(true)),
        ("adamw", AdamOptions::adamw().lr(0.01).weight_decay(1e-9)),
    ];
    for problem in PROBLEMS {
        for (name, options) in variants {
            let sign = if options.maximize { -1.0 } else { 1.0 };
            let make = |p| Adam::new([p], options).unwrap();
            let last = descend(problem, sign, 20_000, make, |_, _| ());
            assert!(last < 1e-3, "{name} on {}: {last}", problem.0);
        }
        let options = SgdOptions::default().lr(5e-4);
        for (name, options) in [
            ("sgd", options),
            ("momentum", options.momentum(0.9)),
            ("nesterov", options.momentum(0.9).nesterov(true)),
        ] {
            let make = |p| Sgd::new([p], options).unwrap();
            let last = descend(problem, 1.0, 20_000, make, |_, _| ());
            assert!(last < 1e-3, "{name} on {}: {last}", problem.0);
        }
    }
}

#[test]
fn stacked_schedules_decrease_the_loss() {
    let make = |p| Adam::new([p], AdamOptions::default().lr(0.1)).unwrap();
    for problem in PROBLEMS {
        let mut stack: Option<(StepLr, LinearLr, ReduceLrOnPlateau)> = None;
        descend(problem, 1.0, 300, make, |adam, loss| {
            let (step, linear, plateau) = stack.get_or_insert_with(|| {
                let plateau = ReduceLrOnPlateau::new(PlateauMode::Min);
                (StepLr::new(adam, 10, 0.9), LinearLr::new(adam, 0.4, 1.0, 4), plateau)
            });
            step.step(adam);
            linear.step(adam);
            plateau.step(adam, loss);
        });
        let mut pair: Option<(ExponentialLr, CosineAnnealingLr)> = None;
        descend(problem, 1.0, 300, make, |adam, _| {
            let (exponential, cosine) = pair.get_or_insert_with(|| {
                (ExponentialLr::new(adam, 0.99), CosineAnnealingLr::new(adam, 300))
            });
            exponential.step(adam);
            cosine.step(adam);
        });
    }
}

/// Textbook Adam, for one parameter.
struct Reference {
    p: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    t: i32,
}

impl Reference {
    fn new(p: &Parameter<f64>) -> Self {
        let p = p.tensor().to_vec();
        Reference { m: vec![0.0; p.len()], v: vec![0.0; p.len()], p, t: 0 }
    }

    fn step(&mut self, grad: Option<Tensor<f64>>) {
        let Some(grad) = grad else { return };
        self.t += 1;
        for (i, g) in grad.to_vec().into_iter().enumerate() {
            self.m[i] = 0.9 * self.m[i] + 0.1 * g;
            self.v[i] = 0.999 * self.v[i] + 0.001 * g * g;
            let m = self.m[i] / (1.0 - 0.9f64.powi(self.t));
            let v = self.v[i] / (1.0 - 0.999f64.powi(self.t));
            self.p[i] -= 1e-2 * m / (v.sqrt() + 1e-8);
        }
    }
}

#[test]
fn adam_matches_a_reference_when_gradients_are_missing() {
    let mut rng = Generator::seed(0);
    let net = Sequential::<f64>::default()
        .add(Linear::with_options(4, 5, LinearOptions::default(), &mut rng))
        .add(Tanh)
        .add(Linear::with_options(5, 3, LinearOptions::default(), &mut rng));
    let params = net.parameters();
    let mut references: Vec<Reference> = params.iter().map(Reference::new).collect();
    let mut adam = Adam::new(params.clone(), AdamOptions::default().lr(1e-2)).unwrap();
    for step in 0..20 {
        adam.zero_grad();
        let frozen = (7..9).contains(&step);
        params[..2].iter().for_each(|p| p.set_requires_grad(!frozen));
        if step != 12 {
            let inputs = Tensor::randn([6, 4], &mut rng);
            cross_entropy(&net.forward(&inputs), &[0, 1, 2, 0, 1, 2]).backward();
        }
        assert_eq!(params[0].grad().is_none(), frozen || step == 12);
        for (reference, p) in references.iter_mut().zip(&params) {
            reference.step(p.grad());
        }
        adam.step();
        for (reference, p) in references.iter().zip(&params) {
            for (found, expected) in p.tensor().to_vec().iter().zip(&reference.p) {
                assert!((found - expected).abs() < 1e-12, "step {step}: {found} {expected}");
            }
        }
    }
    assert_eq!(references.iter().map(|r| r.t).collect::<Vec<_>>(), [17, 17, 19, 19]);
}

#[test]
fn a_group_with_a_tiny_rate_does_not_move() {
    let (p, q) = (parameter(&[1.0, 2.0]), parameter(&[3.0]));
    let groups = [ParamGroup::new([p.clone()]), ParamGroup::new([q.clone()]).lr(1e-28)];
    let mut adam = Adam::with_groups(groups, AdamOptions::default().lr(1e-3)).unwrap();
    for _ in 0..20 {
        adam.zero_grad();
        ((p.tensor() * p.tensor()).sum() * q.tensor().sum()).backward();
        adam.step();
    }
    assert_ne!(p.tensor().to_vec(), [1.0, 2.0]);
    assert_eq!(q.tensor().to_vec(), [3.0]);
}

#[test]
fn missing_and_zero_gradients_move_nothing() {
    let p = parameter(&[1.0, 2.0]);
    let mut adam = Adam::new([p.clone()], AdamOptions::default().weight_decay(0.5)).unwrap();
    let before = adam.state_dict();
    (0..5).for_each(|_| adam.step());
    assert_eq!((p.tensor().to_vec(), adam.state_dict()), (vec![1.0, 2.0], before));

    let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
    p.set_grad(Some(tensor(&[0.0, 0.0])));
    (0..5).for_each(|_| adam.step());
    assert_eq!(p.tensor().to_vec(), [1.0, 2.0]);
    assert_eq!(adam.state(&p).unwrap().step(), 5); // a zero gradient counts as a step

    let mut adam = Adam::new([p.clone()], AdamOptions::default().weight_decay(0.5)).unwrap();
    adam.step();
    assert_ne!(p.tensor().to_vec(), [1.0, 2.0]); // decay acts on a zero gradient
}

#[test]
fn a_clone_by_state_stays_in_lockstep() {
    let options = AdamOptions::default().lr(0.05).amsgrad(true);
    let grad = |p: &Parameter<f64>, i: usize| {
        p.set_grad(Some(tensor(&[(i as f64).sin(), (i as f64 * 0.7).cos()])));
    };
    let p = parameter(&[1.0, 2.0]);
    let mut adam = Adam::new([p.clone()], options).unwrap();
    for i in 0..20 {
        grad(&p, i);
        adam.step();
    }
    let q = Parameter::new(p.tensor().detach());
    let mut clone = Adam::new([q.clone()], AdamOptions::default()).unwrap();
    clone.load_state_dict(&adam.state_dict()).unwrap();
    for i in 20..40 {
        grad(&p, i);
        grad(&q, i);
        adam.step();
        clone.step();
        assert_eq!(p.tensor().to_vec(), q.tensor().to_vec());
        assert_eq!(adam.state_dict(), clone.state_dict());
    }
}

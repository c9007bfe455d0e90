//! A run that starts in PyTorch resumes here, and one that starts here resumes in PyTorch, with the
//! losses of an undisturbed run. Fixtures: `tests/fixtures/exchange_run.py`, PyTorch 2.15.0.

use crate::common::{fixture, numbers};
use adamant::prelude::*;
use adamant::tensor::Value;

const HALF: u64 = 30;
const MORE: u64 = 50;

struct Run<O> {
    net: Sequential,
    optimizer: O,
}

impl<O: Optimizer + Stateful> Run<O> {
    fn new(make: impl Fn([ParamGroup; 2]) -> O) -> Self {
        let rng = &mut Generator::seed(0);
        let net = Sequential::new().add(Linear::new(6, 16, rng)).add(Tanh);
        let net = net.add(Linear::new(16, 3, rng));
        for (p, parameter) in net.parameters().iter().enumerate() {
            parameter.set_value(&numbers(p as u64, parameter.shape(), 0.8));
        }
        let mut named = net.named_parameters();
        let head = named.split_off(2);
        let optimizer = make([ParamGroup::new(named), ParamGroup::new(head)]);
        Run { net, optimizer }
    }

    fn losses(&mut self, steps: std::ops::Range<u64>) -> Vec<f64> {
        let loss = |step| {
            let inputs: Tensor = numbers(100 + step, &[8, 6], 4.0);
            let sums = inputs.sum_dim(1).to_vec();
            let firsts = inputs.select(1, 0).to_vec();
            let target =
                |(sum, first): (&f32, &f32)| usize::from(*sum > 0.0) + usize::from(*first > 0.0);
            let targets: Vec<usize> = sums.iter().zip(&firsts).map(target).collect();
            self.optimizer.zero_grad();
            let loss = cross_entropy(&self.net.forward(&inputs), &targets);
            loss.backward();
            self.optimizer.step();
            f64::from(loss.item())
        };
        steps.map(loss).collect()
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_part("model", self.net.state_dict());
        state.insert_part("optimizer", self.optimizer.state_dict());
        state
    }

    fn load(&mut self, state: &StateDict) {
        self.net.load_state_dict(&state.part("model")).unwrap();
        self.optimizer.load_state_dict(&state.part("optimizer")).unwrap();
    }
}

fn adam() -> Run<Adam> {
    Run::new(|[body, head]| {
        let head = head.lr(3e-3).amsgrad(true).decoupled_weight_decay(true);
        let options = AdamOptions::default().lr(1e-2).weight_decay(1e-3);
        Adam::with_groups([body, head], options).unwrap()
    })
}

fn sgd() -> Run<Sgd> {
    Run::new(|[body, head]| {
        let options = SgdOptions::default().lr(1e-1).momentum(0.9).weight_decay(1e-3);
        Sgd::with_groups([body, head.lr(3e-2).nesterov(true)], options).unwrap()
    })
}

fn assert_follows(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (step, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * b.abs(), "{what}, step {step}: {a}, PyTorch {b}");
    }
}

fn losses(state: &StateDict) -> Vec<f64> {
    state.get("losses").and_then(Value::array::<f64>).unwrap().to_vec()
}

fn check<O: Optimizer + Stateful>(name: &str, make: fn() -> Run<O>) {
    let theirs = fixture(&format!("exchange_run_{name}"));
    let expected = losses(&theirs);

    let mut run = make();
    run.load(&theirs);
    assert_follows(&run.losses(HALF..HALF + MORE), &expected, "from PyTorch to here");

    let mut run = make();
    run.losses(0..HALF);
    let ours = format!("exchange_run_{name}_ours");
    if std::env::var_os("ADAMANT_WRITE").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        save_safetensors(&run.state(), format!("{folder}/{ours}.safetensors")).unwrap();
    }
    // The file that PyTorch read equals the one written here, up to the rounding of another machine.
    let written = fixture(&ours);
    let state = run.state();
    for (name, value) in state.iter() {
        match (value, written.get(name).unwrap_or_else(|| panic!("{name}: not in {ours}"))) {
            (Value::F32(found), Value::F32(expected)) => {
                let largest = expected.to_vec().iter().fold(0.0f32, |a, b| a.max(b.abs()));
                let pairs = found.to_vec().into_iter().zip(expected.to_vec());
                let near = |(a, b): (f32, f32)| (a - b).abs() <= 1e-4 * largest;
                assert!(found.shape() == expected.shape() && pairs.into_iter().all(near), "{name}");
            }
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
    }
    assert_eq!(state.iter().count(), written.iter().count());
    let back = losses(&fixture(&format!("exchange_run_{name}_back")));
    assert_follows(&back, &expected, "from here to PyTorch");
}

#[test]
fn adam_resumes_on_the_other_side() {
    check("adam", adam);
}

#[test]
fn sgd_resumes_on_the_other_side() {
    check("sgd", sgd);
}

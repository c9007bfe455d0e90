//! Recurrent layers equal PyTorch's. Fixtures: `tests/fixtures/recurrent.py`, PyTorch 2.15.0.

use crate::cases::{Cases, leaf};
use adamant::prelude::*;
use adamant::tensor::Float;

/// The options that all nets have.
#[derive(Clone, Copy)]
struct Plan {
    num_layers: usize,
    bias: bool,
    bidirectional: bool,
    dropout: f64,
}

const PLAIN: Plan = Plan { num_layers: 1, bias: true, bidirectional: false, dropout: 0.0 };

macro_rules! options {
    ($Options:ident, $plan:ident) => {
        $Options::default()
            .num_layers($plan.num_layers)
            .bias($plan.bias)
            .bidirectional($plan.bidirectional)
            .dropout($plan.dropout)
    };
}

/// The common interface of the three nets.
trait Net<T: Float>: Module<T> + Stateful {
    fn make(plan: Plan, kind: &str) -> Self;
    /// The outputs and the last state, from an optional initial state.
    fn run(&self, inputs: &[Tensor<T>]) -> Vec<Tensor<T>>;
    const STATES: u64;
}

impl<T: Float> Net<T> for Rnn<T> {
    fn make(plan: Plan, kind: &str) -> Self {
        let nonlinearity = if kind == "relu" { Nonlinearity::Relu } else { Nonlinearity::Tanh };
        let options = options!(RnnOptions, plan).nonlinearity(nonlinearity);
        Rnn::with_options(3, 4, options, &mut Generator::seed(0))
    }
    fn run(&self, inputs: &[Tensor<T>]) -> Vec<Tensor<T>> {
        let (y, last) = self.forward_from(&inputs[0], inputs.get(1));
        vec![y, last]
    }
    const STATES: u64 = 1;
}

impl<T: Float> Net<T> for Gru<T> {
    fn make(plan: Plan, _: &str) -> Self {
        Gru::with_options(3, 4, options!(GruOptions, plan), &mut Generator::seed(0))
    }
    fn run(&self, inputs: &[Tensor<T>]) -> Vec<Tensor<T>> {
        let (y, last) = self.forward_from(&inputs[0], inputs.get(1));
        vec![y, last]
    }
    const STATES: u64 = 1;
}

impl<T: Float> Net<T> for Lstm<T> {
    fn make(plan: Plan, _: &str) -> Self {
        Lstm::with_options(3, 4, options!(LstmOptions, plan), &mut Generator::seed(0))
    }
    fn run(&self, inputs: &[Tensor<T>]) -> Vec<Tensor<T>> {
        let (y, (h, c)) = self.forward_from(&inputs[0], inputs.get(1).zip(inputs.get(2)));
        vec![y, h, c]
    }
    const STATES: u64 = 2;
}

fn compare<T: Float, N: Net<T>>(cases: &Cases, kind: &str) {
    for (name, plan, parts) in [
        ("plain", PLAIN, 1),
        ("no_bias", Plan { bias: false, ..PLAIN }, 1),
        ("deep", Plan { num_layers: 2, bidirectional: true, ..PLAIN }, 4),
        ("both_no_bias", Plan { bias: false, bidirectional: true, ..PLAIN }, 2),
    ] {
        for (len, given) in [(5, false), (1, true), (4, true)] {
            if (len == 1 && name != "plain") || (len == 5 && name.contains("no_bias")) {
                continue;
            }
            let mut inputs = vec![leaf::<T>(1, &[2, len, 3])];
            if given {
                inputs.extend((0..N::STATES).map(|i| leaf::<T>(2 + i, &[parts, 2, 4])));
            }
            for mode in
                if (kind, name) == ("lstm", "deep") { &["train", "eval"][..] } else { &["train"] }
            {
                // In evaluation, dropout does nothing.
                let dropout = if *mode == "train" { 0.0 } else { 0.3 };
                let mut net = N::make(Plan { dropout, ..plan }, kind);
                net.load_state_dict(&cases.state(&format!("{kind}_{name}_{len}_train"))).unwrap();
                net.set_training(*mode == "train");
                let outputs = net.run(&inputs);
                let case = format!("{kind}_{name}_{len}_{mode}");
                cases.compare(&case, &inputs, &outputs, Some(&net));
            }
        }
    }
}

fn one_sequence<T: Float, N: Net<T>>(cases: &Cases, kind: &str) {
    let mut net = N::make(Plan { bidirectional: true, ..PLAIN }, kind);
    net.load_state_dict(&cases.state(&format!("{kind}_one"))).unwrap();
    let mut inputs = vec![leaf::<T>(1, &[5, 3])];
    inputs.extend((0..N::STATES).map(|i| leaf::<T>(2 + i, &[2, 4])));
    cases.compare(&format!("{kind}_one"), &inputs, &net.run(&inputs), Some(&net));
}

/// With projections of the output, h is narrower than c.
fn projected<T: Float>(cases: &Cases) {
    let plain = LstmOptions::default().proj_size(2);
    let one = plain.bidirectional(true);
    for (name, options, parts) in [
        ("plain", plain, None),
        ("given", plain, Some(1)),
        ("no_bias", plain.bias(false), Some(1)),
        ("both", one, Some(2)),
        ("deep", one.num_layers(3), Some(6)),
    ] {
        let mut inputs = vec![leaf::<T>(1, &[2, 5, 3])];
        inputs.extend(parts.iter().map(|&parts| leaf(2, &[parts, 2, 2])));
        inputs.extend(parts.iter().map(|&parts| leaf(3, &[parts, 2, 4])));
        compare_projected(cases, name, options, &inputs);
    }
    let inputs = [leaf::<T>(1, &[5, 3]), leaf(2, &[2, 2]), leaf(3, &[2, 4])];
    compare_projected(cases, "one", one, &inputs);
}

fn compare_projected<T: Float>(
    cases: &Cases,
    name: &str,
    options: LstmOptions,
    inputs: &[Tensor<T>],
) {
    let case = format!("lstm_projected_{name}");
    let mut net = Lstm::<T>::with_options(3, 4, options, &mut Generator::seed(0));
    net.load_state_dict(&cases.state(&case)).unwrap();
    cases.compare(&case, inputs, &net.run(inputs), Some(&net));
}

fn all<T: Float>(file: &str, tolerance: f64) {
    let cases = Cases::of(file, tolerance);
    compare::<T, Rnn<T>>(&cases, "rnn");
    compare::<T, Rnn<T>>(&cases, "relu");
    compare::<T, Lstm<T>>(&cases, "lstm");
    compare::<T, Gru<T>>(&cases, "gru");
    one_sequence::<T, Rnn<T>>(&cases, "rnn");
    one_sequence::<T, Lstm<T>>(&cases, "lstm");
    one_sequence::<T, Gru<T>>(&cases, "gru");
    projected::<T>(&cases);
    cases.finish(None);
}

#[test]
fn f32_recurrent_layers_are_pytorchs() {
    all::<f32>("recurrent_f32", 1e-5);
}

#[test]
fn f64_recurrent_layers_are_pytorchs() {
    all::<f64>("recurrent_f64", 1e-10);
}

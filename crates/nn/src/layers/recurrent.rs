//! Recurrent layers: the same step for each element of a sequence in order.

use crate::tree::deep_copy::deep_copy;
use crate::tree::module::{Forward, Leaf, LeafMut, Module, Path};
use crate::tree::observe::observe;
use crate::tree::state;
use crate::{Dropout, check, init};
use adamant_tensor::{
    Direction, Float, Generator, Parameter, RecurrentCell, RecurrentWeights, StateDict, StateError,
    Stateful, Tensor, recurrence,
};

/// The activation of an [`Rnn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// [`Tensor::tanh`]
    #[default]
    Tanh,
    /// [`Tensor::relu`]
    Relu,
}

/// The options that all nets have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Common {
    num_layers: usize,
    bias: bool,
    dropout: f64,
    bidirectional: bool,
}

impl Default for Common {
    fn default() -> Self {
        Common { num_layers: 1, bias: true, dropout: 0.0, bidirectional: false }
    }
}

macro_rules! common_setters {
    ($Options:ident) => {
        impl $Options {
            /// The number of stacked layers; each has the output of the one before as its input;
            /// default 1.
            #[must_use]
            pub fn num_layers(mut self, num_layers: usize) -> Self {
                self.common.num_layers = num_layers;
                self
            }

            /// Whether the steps have biases; default true.
            #[must_use]
            pub fn bias(mut self, bias: bool) -> Self {
                self.common.bias = bias;
                self
            }

            /// The probability with which an element of the output of each layer but the last is
            /// dropped in training; default 0.
            #[must_use]
            pub fn dropout(mut self, dropout: f64) -> Self {
                self.common.dropout = dropout;
                self
            }

            /// Whether each layer also runs over the sequence in reverse; default false.
            #[must_use]
            pub fn bidirectional(mut self, bidirectional: bool) -> Self {
                self.common.bidirectional = bidirectional;
                self
            }
        }
    };
}

/// The options of an [`Rnn`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RnnOptions {
    common: Common,
    nonlinearity: Nonlinearity,
}

common_setters!(RnnOptions);

impl RnnOptions {
    /// The activation; default tanh.
    #[must_use]
    pub fn nonlinearity(self, nonlinearity: Nonlinearity) -> Self {
        RnnOptions { nonlinearity, ..self }
    }
}

/// The options of an [`Lstm`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LstmOptions {
    common: Common,
    proj_size: Option<usize>,
}

common_setters!(LstmOptions);

impl LstmOptions {
    /// The width to which the output is projected, less than the hidden size; default: no
    /// projection.
    #[must_use]
    pub fn proj_size(self, proj_size: usize) -> Self {
        LstmOptions { proj_size: Some(proj_size), ..self }
    }
}

/// The options of a [`Gru`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GruOptions {
    common: Common,
}

common_setters!(GruOptions);

/// The parameters of one layer in one direction; `ih` and `hh` hold the matrices of all gates.
#[derive(Clone, Debug)]
struct Weights<T: Float> {
    ih: Parameter<T>,
    hh: Parameter<T>,
    biases: Option<[Parameter<T>; 2]>,
    /// The projection of the output.
    hr: Option<Parameter<T>>,
}

/// The layers of a recurrent net. A clone shares them: the net copies them.
#[derive(Clone, Debug)]
struct Layers<T: Float> {
    name: &'static str,
    cell: RecurrentCell,
    inputs: usize,
    hidden: usize,
    /// The width of the output in one direction: `hidden`, or the width of the projection.
    output: usize,
    /// For each layer the forward direction, then the reverse one.
    weights: Vec<Weights<T>>,
    directions: usize,
    dropout: Option<Dropout>,
}

impl<T: Float> Layers<T> {
    #[track_caller]
    fn new(
        name: &'static str,
        cell: RecurrentCell,
        [inputs, hidden]: [usize; 2],
        common: Common,
        proj_size: Option<usize>,
        rng: &mut Generator,
    ) -> Self {
        let Common { num_layers, bias, dropout, bidirectional } = common;
        check::at_least_one(name, "input_size", inputs);
        check::at_least_one(name, "hidden_size", hidden);
        check::at_least_one(name, "num_layers", num_layers);
        check::probability(name, "dropout", dropout);
        if let Some(proj_size) = proj_size {
            check::at_least_one(name, "proj_size", proj_size);
            assert!(
                proj_size < hidden,
                "{name}: proj_size is {proj_size}; expected less than hidden_size = {hidden}"
            );
        }
        let output = proj_size.unwrap_or(hidden);
        let (gates, directions) = (cell.gates(), 1 + usize::from(bidirectional));
        let (first, others) = (
            [gates, hidden, inputs, directions, 1],
            [gates, hidden, output, directions, num_layers],
        );
        for factors in [first, others] {
            check::fits::<T>(
                name,
                format_args!(
                    "input_size = {inputs}, hidden_size = {hidden}, num_layers = {num_layers}"
                ),
                &factors,
            );
        }
        let bound = 1.0 / (hidden as f64).sqrt();
        let mut weights = Vec::new();
        for layer in 0..num_layers {
            let width = if layer == 0 { inputs } else { directions * output };
            for _ in 0..directions {
                let mut draw =
                    |shape: &[usize]| Parameter::new(init::uniform(shape, -bound, bound, rng));
                weights.push(Weights {
                    ih: draw(&[gates * hidden, width]),
                    hh: draw(&[gates * hidden, output]),
                    biases: bias.then(|| [draw(&[gates * hidden]), draw(&[gates * hidden])]),
                    hr: proj_size.map(|proj_size| draw(&[proj_size, hidden])),
                });
            }
        }
        let dropout = (dropout > 0.0 && num_layers > 1).then(|| Dropout::new(dropout, rng));
        Layers { name, cell, inputs, hidden, output, weights, directions, dropout }
    }

    /// The width of a part of the state.
    fn width(&self, part: usize) -> usize {
        if part == 0 { self.output } else { self.hidden }
    }

    /// The last layer's outputs `[N, L, directions · output]`, and each part of the last state,
    /// `[layers · directions, N, width]`; without `N` for one sequence.
    #[track_caller]
    fn run(&self, x: &Tensor<T>, initial: &[Option<&Tensor<T>>]) -> (Tensor<T>, Vec<Tensor<T>>) {
        let (name, inputs, shape) = (self.name, self.inputs, x.shape());
        let fits = matches!(shape, [_, len, width] | [len, width] if *len > 0 && *width == inputs);
        assert!(
            fits,
            "{name}: an input of shape {shape:?}; expected [N, L, {inputs}], or [L, {inputs}] for \
             one sequence, with L at least 1"
        );
        let mut state_shape = shape.to_vec(); // [N, L, inputs] or [L, inputs]
        state_shape.remove(shape.len() - 2);
        let last = state_shape.len();
        state_shape.insert(0, self.weights.len());
        for (part, state) in initial.iter().enumerate() {
            let Some(state) = state else { continue };
            state_shape[last] = self.width(part);
            assert!(
                *state.shape() == state_shape,
                "{name}: an initial state of shape {:?} for an input of shape {shape:?}; expected \
                 {state_shape:?}",
                state.shape(),
            );
        }
        if shape.len() == 3 {
            return self.run_batch(x, initial);
        }
        // One sequence is a batch of one.
        let initial: Vec<_> = initial.iter().map(|part| part.map(|x| x.unsqueeze(1))).collect();
        let initial: Vec<_> = initial.iter().map(Option::as_ref).collect();
        let (y, last) = self.run_batch(&x.unsqueeze(0), &initial);
        (y.squeeze(0), last.iter().map(|part| part.squeeze(1)).collect())
    }

    /// [`run`](Layers::run) for `[N, L, inputs]`, without checks.
    fn run_batch(
        &self,
        x: &Tensor<T>,
        initial: &[Option<&Tensor<T>>],
    ) -> (Tensor<T>, Vec<Tensor<T>>) {
        let batch = x.shape()[0];
        let mut x = x.clone();
        let mut last: Vec<Vec<Tensor<T>>> = vec![Vec::new(); initial.len()];
        for (layer, directions) in self.weights.chunks(self.directions).enumerate() {
            if let Some(dropout) = self.dropout.as_ref().filter(|_| layer > 0) {
                x = dropout.forward(&x);
            }
            let mut outputs = Vec::new();
            let order = [Direction::Forward, Direction::Reverse];
            for (i, (weights, direction)) in directions.iter().zip(order).enumerate() {
                let start = |(part, initial): (usize, &Option<&Tensor<T>>)| match initial {
                    Some(initial) => initial.select(0, layer * self.directions + i),
                    None => Tensor::zeros([batch, self.width(part)]),
                };
                let state: Vec<_> = initial.iter().enumerate().map(start).collect();
                let (output, state) =
                    recurrence(self.cell, &x, &weights.tensors(), &state, direction);
                outputs.push(output);
                last.iter_mut().zip(state).for_each(|(last, state)| last.push(state));
            }
            x = match &outputs[..] {
                [output] => output.clone(),
                outputs => Tensor::cat(&outputs.iter().collect::<Vec<_>>(), 2),
            };
        }
        (x, last.iter().map(|parts| Tensor::stack(&parts.iter().collect::<Vec<_>>(), 0)).collect())
    }
}

impl<T: Float> Weights<T> {
    fn tensors(&self) -> RecurrentWeights<T> {
        RecurrentWeights {
            ih: self.ih.tensor(),
            hh: self.hh.tensor(),
            biases: self.biases.as_ref().map(|biases| biases.each_ref().map(Parameter::tensor)),
            hr: self.hr.as_ref().map(Parameter::tensor),
        }
    }
}

impl<T: Float> Module<T> for Layers<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for (i, weights) in self.weights.iter().enumerate() {
            let (layer, is_reverse) = (i / self.directions, i % self.directions == 1);
            let reverse = if is_reverse { "_reverse" } else { "" };
            let mut show = |kind: &str, parameter: &Parameter<T>| {
                path.child(&format!("{kind}_l{layer}{reverse}"), |path| {
                    parameter.visit(path, visit);
                });
            };
            show("weight_ih", &weights.ih);
            show("weight_hh", &weights.hh);
            if let Some([ih, hh]) = &weights.biases {
                show("bias_ih", ih);
                show("bias_hh", hh);
            }
            if let Some(hr) = &weights.hr {
                show("weight_hr", hr);
            }
        }
        path.child("dropout", |path| Module::<T>::visit(&self.dropout, path, visit));
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        for Weights { ih, hh, biases, hr } in &mut self.weights {
            let parameters = [ih, hh].into_iter().chain(biases.iter_mut().flatten()).chain(hr);
            parameters.for_each(|parameter| visit(LeafMut::Parameter(parameter)));
        }
        self.dropout.visit_mut(visit);
    }
}

/// A net by its options; `$parts` takes them apart: the options that all nets have, the width of the
/// projection, and the cell.
macro_rules! recurrent {
    ($(#[$doc:meta])* $Name:ident, $Options:ident, $parts:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $Name<T: Float = f32> {
            layers: Layers<T>,
        }

        impl $Name {
            /// A net with PyTorch's defaults, in `f32`: one layer in one direction, with biases.
            ///
            /// # Panics
            /// If a size is 0, or the parameters do not fit in memory.
            #[must_use]
            #[track_caller]
            pub fn new(input_size: usize, hidden_size: usize, rng: &mut Generator) -> Self {
                $Name::with_options(input_size, hidden_size, $Options::default(), rng)
            }
        }

        impl<T: Float> $Name<T> {
            /// A net with these options, of any type.
            ///
            /// # Panics
            /// If a size or the number of layers is 0, the dropout is not from 0 to 1, the width of
            /// a projection is not less than the hidden size, or the parameters do not fit in
            /// memory.
            #[must_use]
            #[track_caller]
            pub fn with_options(
                input_size: usize,
                hidden_size: usize,
                options: $Options,
                rng: &mut Generator,
            ) -> Self {
                let (common, proj_size, cell) = $parts(options);
                let (name, sizes) = (stringify!($Name), [input_size, hidden_size]);
                $Name { layers: Layers::new(name, cell, sizes, common, proj_size, rng) }
            }
        }

        impl<T: Float> Clone for $Name<T> {
            fn clone(&self) -> Self {
                deep_copy(self, $Name { layers: self.layers.clone() })
            }
        }

        impl<T: Float> Forward<T> for $Name<T> {
            /// The outputs `[N, L, directions · H]` (with `proj_size`, `P` instead of `H`), from an
            /// initial state of zeros.
            ///
            /// # Panics
            /// If `x` is not `[N, L, inputs]` or `[L, inputs]`, or L is 0.
            #[track_caller]
            fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
                self.forward_from(x, None).0
            }
        }

        impl<T: Float> Module<T> for $Name<T> {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
                path.enter(self);
                self.layers.visit(path, visit);
            }
            fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
                self.layers.visit_mut(visit);
            }
        }

        impl<T: Float> Stateful for $Name<T> {
            fn state_dict(&self) -> StateDict {
                state::module_state(&self.layers)
            }
            fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
                state::check_module_state(&self.layers, state)
            }
            fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
                state::load_module_state(&self.layers, state)
            }
        }
    };
}

recurrent!(
    /// The plain recurrent net: `hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh)`, or with ReLU
    /// ([`nonlinearity`](RnnOptions::nonlinearity)): `[N, L, inputs] → [N, L, directions · H]`.
    ///
    /// The batch is always the first dimension (PyTorch: `batch_first=True`); a single sequence is
    /// `[L, inputs]`. Parameters start uniform in ±1/√H.
    ///
    /// PyTorch: `torch.nn.RNN(…, batch_first=True)`.
    ///
    /// ```
    /// use adamant_nn::{Forward, Rnn};
    /// use adamant_tensor::{Generator, Tensor};
    /// let net = Rnn::new(3, 4, &mut Generator::seed(0));
    /// assert_eq!(net.forward(&Tensor::ones([2, 5, 3])).shape(), [2, 5, 4]);
    /// ```
    Rnn, RnnOptions,
    |RnnOptions { common, nonlinearity }| match nonlinearity {
        Nonlinearity::Tanh => (common, None, RecurrentCell::Tanh),
        Nonlinearity::Relu => (common, None, RecurrentCell::Relu),
    }
);

recurrent!(
    /// Long short-term memory: with gates i, f, g, o (in this order in the weights),
    /// `cₜ = f cₜ₋₁ + i g` and `hₜ = o tanh(cₜ)`: `[N, L, inputs] → [N, L, directions · H]`. With
    /// [`proj_size`](LstmOptions::proj_size) `P`, `hₜ = W_hr (o tanh(cₜ))` has width `P`,
    /// and the outputs are `[N, L, directions · P]`.
    ///
    /// The batch is always the first dimension (PyTorch: `batch_first=True`); a single sequence is
    /// `[L, inputs]`. Parameters start uniform in ±1/√H.
    ///
    /// PyTorch: `torch.nn.LSTM(…, batch_first=True)`.
    ///
    /// ```
    /// use adamant_nn::{Forward, Lstm, LstmOptions};
    /// use adamant_tensor::{Generator, Tensor};
    /// let options = LstmOptions::default().num_layers(2).bidirectional(true);
    /// let net = Lstm::with_options(3, 4, options, &mut Generator::seed(0));
    /// let (y, (h, c)) = net.forward_from(&Tensor::<f32>::ones([2, 5, 3]), None);
    /// assert_eq!((y.shape(), h.shape(), c.shape()), (&[2, 5, 8][..], &[4, 2, 4][..], &[4, 2, 4][..]));
    /// let net = Lstm::with_options(3, 4, options.proj_size(1), &mut Generator::seed(0));
    /// let (y, (h, c)) = net.forward_from(&Tensor::<f32>::ones([2, 5, 3]), None);
    /// assert_eq!((y.shape(), h.shape(), c.shape()), (&[2, 5, 2][..], &[4, 2, 1][..], &[4, 2, 4][..]));
    /// ```
    Lstm, LstmOptions,
    |LstmOptions { common, proj_size }| (common, proj_size, RecurrentCell::Lstm)
);

recurrent!(
    /// Gated recurrent units: with gates r, z, n (in this order in the weights),
    /// `n = tanh(W_in xₜ + b_in + r (W_hn hₜ₋₁ + b_hn))` and `hₜ = (1 − z) n + z hₜ₋₁`:
    /// `[N, L, inputs] → [N, L, directions · H]`.
    ///
    /// The batch is always the first dimension (PyTorch: `batch_first=True`); a single sequence is
    /// `[L, inputs]`. Parameters start uniform in ±1/√H.
    ///
    /// PyTorch: `torch.nn.GRU(…, batch_first=True)`.
    ///
    /// ```
    /// use adamant_nn::{Forward, Gru};
    /// use adamant_tensor::{Generator, Tensor};
    /// let net = Gru::new(3, 4, &mut Generator::seed(0));
    /// assert_eq!(net.forward(&Tensor::ones([2, 5, 3])).shape(), [2, 5, 4]);
    /// ```
    Gru, GruOptions, |GruOptions { common }| (common, None, RecurrentCell::Gru)
);

macro_rules! one_state {
    ($Name:ident) => {
        impl<T: Float> $Name<T> {
            /// The outputs `[N, L, directions · H]` and the last state
            /// `[layers · directions, N, H]`, from an initial state of that shape (default:
            /// zeros).
            ///
            /// PyTorch: `net(x, h0)`.
            ///
            /// # Panics
            /// If the shapes do not match, or L is 0.
            #[must_use]
            #[track_caller]
            pub fn forward_from(
                &self,
                x: &Tensor<T>,
                initial: Option<&Tensor<T>>,
            ) -> (Tensor<T>, Tensor<T>) {
                let (y, mut state) = self.layers.run(x, &[initial]);
                (observe(self, y), state.remove(0))
            }
        }
    };
}

one_state!(Rnn);
one_state!(Gru);

impl<T: Float> Lstm<T> {
    /// The outputs `[N, L, directions · H]` and the last state `(h, c)`, each
    /// `[layers · directions, N, H]`, from an initial state of these shapes (default: zeros). With
    /// `proj_size` `P`, the outputs and `h` have `P` in place of `H`.
    ///
    /// PyTorch: `net(x, (h0, c0))`.
    ///
    /// # Panics
    /// If the shapes do not match, or L is 0.
    #[must_use]
    #[track_caller]
    pub fn forward_from(
        &self,
        x: &Tensor<T>,
        initial: Option<(&Tensor<T>, &Tensor<T>)>,
    ) -> (Tensor<T>, (Tensor<T>, Tensor<T>)) {
        let (h, c) = initial.unzip();
        let (y, mut state) = self.layers.run(x, &[h, c]);
        let c = state.remove(1);
        (observe(self, y), (state.remove(0), c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_pytorchs_names_and_bounds() {
        let options = GruOptions::default().num_layers(2).bidirectional(true);
        let net = Gru::<f32>::with_options(3, 25, options, &mut Generator::seed(0));
        let parameters = net.named_parameters();
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names[..5],
            ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse"]
        );
        assert_eq!((names.len(), names[15]), (16, "bias_hh_l1_reverse"));
        assert_eq!(parameters[8].1.shape(), [75, 50]);
        let largest = parameters[1].1.tensor().abs().max().item();
        assert!((0.19..=0.2).contains(&largest));
    }

    #[test]
    fn projections_have_pytorchs_names_shapes_and_bounds() {
        let options = LstmOptions::default().num_layers(2).bidirectional(true).proj_size(7);
        let net = Lstm::<f32>::with_options(3, 25, options, &mut Generator::seed(0));
        let parameters = net.named_parameters();
        let names: Vec<_> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let first = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"];
        assert_eq!(names[..5], first);
        assert_eq!((names.len(), names[19]), (20, "weight_hr_l1_reverse"));
        let shapes: Vec<_> = parameters[10..15].iter().map(|(_, p)| p.shape()).collect();
        assert_eq!(shapes, [&[100, 14][..], &[100, 7], &[100], &[100], &[7, 25]]);
        let largest = parameters[4].1.tensor().abs().max().item();
        assert!((0.19..=0.2).contains(&largest)); // 1/√25
    }

    #[test]
    fn dropout_acts_between_layers_in_training() {
        let rng = &mut Generator::seed(0);
        let options = RnnOptions::default().dropout(0.5).num_layers(2);
        let mut net = Rnn::<f32>::with_options(3, 8, options, rng);
        let x = Tensor::randn([2, 3, 3], rng);
        assert_ne!(net.forward(&x).to_vec(), net.forward(&x).to_vec());
        net.eval();
        assert_eq!(net.forward(&x).to_vec(), net.forward(&x).to_vec());
        let one = Rnn::<f32>::with_options(3, 8, options.num_layers(1), rng);
        assert_eq!(one.forward(&x).to_vec(), one.forward(&x).to_vec());
    }
}

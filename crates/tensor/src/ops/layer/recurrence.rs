//! Recurrent layers: one operation for a whole sequence.
//!
//! Backward runs once over the steps and collects the gradients of the gates of all steps in one
//! array; those of the weights are then one product.
//!
//! Composed of tensor operations, a forward and backward pass of an LSTM of 100 steps, 32 sequences,
//! 64 inputs and 128 hidden units takes more than twice as long on two cores.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::tape::backward::Seed;
use crate::tape::collect::{CollectOptions, collect_gradients};
use crate::tape::context::Context;
use crate::tape::mode::is_pass_recorded;
use crate::tape::node::{Gradients, Graph, next_sequence};
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float, Recurrence, RecurrenceGradients, RecurrentCell};

/// The weights of a recurrent layer in one direction; `G` is H for each gate of the cell.
#[derive(Clone, Debug)]
pub struct RecurrentWeights<T: Float> {
    /// Of the inputs: `[G, inputs]`.
    pub ih: Tensor<T>,
    /// Of the outputs of the step before: `[G, P]`.
    pub hh: Tensor<T>,
    /// `[G]` each.
    pub biases: Option<[Tensor<T>; 2]>,
    /// The projection of an LSTM's output: `[P, H]`. Without it, P is H.
    pub hr: Option<Tensor<T>>,
}

/// The order of a recurrent layer's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first element of a sequence to the last.
    Forward,
    /// From the last element to the first.
    Reverse,
}

/// A recurrent layer in one direction: the outputs `[N, L, P]` in the order of the inputs, and the
/// state after the last step. `state` is the initial state and has the parts of the last one:
/// the output `[N, P]` and, for an LSTM, the cell `[N, H]`.
///
/// PyTorch: one layer of `torch.nn.RNN`, `LSTM` or `GRU`, which document the formulas.
///
/// # Panics
/// If the shapes do not fit, or L or H is 0.
///
/// ```
/// use adamant_tensor::{Direction, RecurrentCell, RecurrentWeights, Tensor, recurrence};
/// let one = Tensor::<f32>::ones([1, 1]);
/// let weights = RecurrentWeights { ih: one.clone(), hh: one.clone(), biases: None, hr: None };
/// let x = Tensor::from([[[1.0], [2.0]]]);
/// let (y, last) = recurrence(RecurrentCell::Relu, &x, &weights, &[one], Direction::Forward);
/// assert_eq!((y.to_vec(), last[0].to_vec()), (vec![2.0, 4.0], vec![4.0]));
/// ```
#[must_use]
#[track_caller]
pub fn recurrence<T: Float>(
    cell: RecurrentCell,
    x: &Tensor<T>,
    weights: &RecurrentWeights<T>,
    state: &[Tensor<T>],
    direction: Direction,
) -> (Tensor<T>, Vec<Tensor<T>>) {
    let layer = Layer::new(cell, x, weights, state, direction);
    let ([rows, steps, _, output], reverse) = (layer.sizes, layer.reverse);
    let (all, [gates, more]) = layer.value();
    let inputs: Vec<Tensor<T>> = layer.inputs().into_iter().cloned().collect();
    let inputs: Vec<&Tensor<T>> = inputs.iter().collect();
    let (value, op, has_c) = (all.clone(), layer.op(), state.len() == 2);
    let result = record_many(op, &inputs, value, move |ctx| {
        if is_pass_recorded() {
            layer.backward_in_operations(ctx)
        } else {
            layer.backward(ctx, [&gates, &more, &all])
        }
    });
    let y = match has_c {
        true => result.narrow(0, 0, rows * steps * output).reshape([rows, steps, output]),
        false => result.reshape([rows, steps, output]),
    };
    let mut last = vec![y.select(1, if reverse { 0 } else { steps - 1 })];
    if let Some(c) = state.get(1) {
        last.push(result.narrow(0, rows * steps * output, c.numel()).reshape(c.shape()));
    }
    (y, last)
}

/// The inputs and options of one call. Its result is one vector: the outputs, then the last c.
struct Layer<T: Float> {
    cell: RecurrentCell,
    x: Tensor<T>,
    weights: RecurrentWeights<T>,
    state: Vec<Tensor<T>>,
    reverse: bool,
    /// N, L, H, P
    sizes: [usize; 4],
}

impl<T: Float> Layer<T> {
    #[track_caller]
    fn new(
        cell: RecurrentCell,
        x: &Tensor<T>,
        weights: &RecurrentWeights<T>,
        state: &[Tensor<T>],
        direction: Direction,
    ) -> Self {
        let (shape, gates) = (x.array.shape(), cell.gates());
        let (ih, hh) = (weights.ih.array.shape(), weights.hh.array.shape());
        let (&[rows, steps, inputs], &[width, output]) = (&**shape, &**hh) else {
            panic!(
                "recurrence: an input of shape {shape} and a hidden weight of {hh}; expected \
                 [N, L, inputs] and [gates · H, P]"
            )
        };
        let hidden = width / gates;
        let parts = 1 + usize::from(cell == RecurrentCell::Lstm);
        let mut expected = vec![
            ("the weight of the inputs", Some(&weights.ih), vec![gates * hidden, inputs]),
            ("the weight of the outputs", Some(&weights.hh), vec![gates * hidden, output]),
            ("the initial output", state.first(), vec![rows, output]),
        ];
        if cell == RecurrentCell::Lstm {
            expected.push(("the initial cell", state.get(1), vec![rows, hidden]));
        }
        for bias in weights.biases.iter().flatten() {
            expected.push(("a bias", Some(bias), vec![gates * hidden]));
        }
        if let Some(hr) = &weights.hr {
            expected.push(("the projection", Some(hr), vec![output, hidden]));
        }
        for (what, tensor, expected) in expected {
            let found = tensor.map(|tensor| tensor.shape());
            assert!(
                found == Some(&expected[..]),
                "recurrence: {what} has shape {found:?}; expected {expected:?}, for an input of \
                 shape {shape} and weights of shapes {ih} and {hh}"
            );
        }
        assert!(
            state.len() == parts && (weights.hr.is_none() || parts == 2),
            "recurrence: {cell:?} has {parts} parts of the state; found {}, and a projection is \
             for an LSTM only",
            state.len()
        );
        assert!(
            weights.hr.is_some() || output == hidden,
            "recurrence: outputs of width {output} and {hidden} hidden units; expected equal \
             widths without a projection"
        );
        assert!(
            steps > 0 && hidden > 0 && output > 0,
            "recurrence: an input of shape {shape} and weights of shapes {ih} and {hh}; expected at \
             least one step and one hidden unit"
        );
        Layer {
            cell,
            x: x.clone(),
            weights: weights.clone(),
            state: state.to_vec(),
            reverse: direction == Direction::Reverse,
            sizes: [rows, steps, hidden, output],
        }
    }

    fn op(&self) -> &'static str {
        match self.cell {
            RecurrentCell::Tanh | RecurrentCell::Relu => "rnn",
            RecurrentCell::Lstm => "lstm",
            RecurrentCell::Gru => "gru",
        }
    }

    /// G
    fn width(&self) -> usize {
        self.cell.gates() * self.sizes[2]
    }

    /// Everything that may be tracked, in the order of the gradients.
    fn inputs(&self) -> Vec<&Tensor<T>> {
        let RecurrentWeights { ih, hh, biases, hr } = &self.weights;
        let biases = biases.iter().flatten();
        [&self.x, ih, hh].into_iter().chain(biases).chain(hr).chain(&self.state).collect()
    }

    /// Calls `f` with the arguments of the kernels.
    #[track_caller]
    fn with<R>(&self, f: impl FnOnce(&Recurrence<'_, T>) -> R) -> R {
        let [_, steps, hidden, output] = self.sizes;
        let op = self.op();
        let (h, hh) = (self.state[0].array.contiguous(op), self.weights.hh.array.contiguous(op));
        let c = self.state.get(1).map(|c| c.array.contiguous(op));
        let hr = self.weights.hr.as_ref().map(|hr| hr.array.contiguous(op));
        let (x, ih) = (self.x.array.contiguous(op), self.weights.ih.array.contiguous(op));
        f(&Recurrence {
            cell: self.cell,
            sizes: [steps, hidden, output],
            reverse: self.reverse,
            x: x.contiguous_slice(),
            input: ih.matrix(),
            hidden: hh.matrix(),
            projection: hr.as_ref().map(Array::matrix),
            h: h.contiguous_slice(),
            c: c.as_ref().map_or(&[], Array::contiguous_slice),
        })
    }

    /// The result, and the values of the gates `[N, L, G]` and what else the cell saves, which the
    /// backward pass reads.
    #[track_caller]
    fn value(&self) -> (Array<T>, [Array<T>; 2]) {
        let [rows, steps, hidden, output] = self.sizes;
        let (op, width, positions) = (self.op(), self.width(), rows * steps);
        let saved = if self.cell.saves_more() { hidden } else { 0 };
        let mut gates = Array::build(op, [rows, steps, width].into(), |_| {});
        let mut more = Array::build(op, [rows, steps, saved].into(), |_| {});
        let (gates_out, more_out) = (gates.make_mut_for(op), more.make_mut_for(op));
        let zeros = Array::full_for(op, [width].into(), T::ZERO);
        let biases = match &self.weights.biases {
            Some(biases) => biases.each_ref().map(|bias| bias.array.contiguous(op)),
            None => [zeros.clone(), zeros],
        };
        let last = self.state.get(1).map_or(0, |c| c.numel());
        let result = Array::build(op, [positions * output + last].into(), |out| {
            let (out, last) = out.split_at_mut(positions * output);
            let biases = biases.each_ref().map(Array::contiguous_slice);
            self.with(|net| kernels::recurrence(gates_out, more_out, out, net, biases));
            let at = if self.reverse { 0 } else { steps - 1 };
            let c = more_out.chunks_exact(steps * hidden).map(|c| &c[at * hidden..][..hidden]);
            last.chunks_exact_mut(hidden).zip(c).for_each(|(last, c)| last.copy_from_slice(c));
        });
        (result, [gates, more])
    }

    #[track_caller]
    fn backward(&self, ctx: &Context<'_, T>, [gates, more, all]: [&Array<T>; 3]) -> Gradients<T> {
        let [rows, steps, hidden, output] = self.sizes;
        let (op, width, positions) = (self.op(), self.width(), rows * steps);
        let is_gru = self.cell == RecurrentCell::Gru;
        let g = ctx.grad().array.contiguous(op);
        let (g, g_last) = g.contiguous_slice().split_at(positions * output);
        let out = &all.contiguous_slice()[..positions * output];
        let more_width = match (is_gru, &self.weights.hr) {
            (true, _) => hidden,
            (_, Some(_)) => output,
            _ => 0,
        };
        let dx_shape = if ctx.needs(0) { self.x.array.shape().clone() } else { [0].into() };
        let mut dx = Array::build(op, dx_shape, |_| {});
        let mut dgates = Array::build(op, [positions, width].into(), |_| {});
        let mut dmore = Array::build(op, [positions, more_width].into(), |_| {});
        let mut dh = Array::build(op, [rows, output].into(), |_| {});
        let cells = if self.state.len() == 2 { hidden } else { 0 };
        let last: Shape = [rows, cells].into();
        let mut dc = Array::from_slice_for(op, last, g_last);
        let gradients = RecurrenceGradients {
            x: dx.make_mut_for(op),
            gates: dgates.make_mut_for(op),
            more: dmore.make_mut_for(op),
            h: dh.make_mut_for(op),
            c: dc.make_mut_for(op),
        };
        let saved = [gates.contiguous_slice(), more.contiguous_slice(), out];
        self.with(|net| kernels::recurrence_backward(gradients, g, saved, net));

        let [of_gates, of_n] = [&dgates, &dmore].map(|x| Tensor::from(x.clone()));
        let inputs = self.x.shape()[2];
        let factors = Tensor::from(self.factors(out));
        // One product for both weights: packing the gradients of the gates takes long.
        let of_weights = of_gates.transpose(0, 1).matmul(&factors);
        let of_bias = of_gates.sum_dim(0);
        // A GRU's hidden contributions to n have other gradients than the inputs' contributions.
        let of_hidden = |all: Tensor<T>, of_n: &dyn Fn() -> Tensor<T>| match is_gru {
            true => Tensor::cat(&[&all.narrow(0, 0, 2 * hidden), &of_n()], 0),
            false => all,
        };
        let mut needed = (0..).map(|i| ctx.needs(i));
        let mut gradients = Gradients::new();
        let mut push = |gradient: &dyn Fn() -> Tensor<T>| {
            let is_needed = needed.next().unwrap_or(false);
            gradients.push(is_needed.then(gradient));
        };
        push(&|| dx.clone().into());
        push(&|| of_weights.narrow(1, 0, inputs));
        push(&|| {
            let before = || factors.narrow(1, inputs, output);
            let of_n = || of_n.transpose(0, 1).matmul(&before());
            of_hidden(of_weights.narrow(1, inputs, output), &of_n)
        });
        if self.weights.biases.is_some() {
            push(&|| of_bias.clone());
            push(&|| of_hidden(of_bias.clone(), &|| of_n.sum_dim(0)));
        }
        if self.weights.hr.is_some() {
            push(&|| {
                let o = Tensor::from(gates.clone()).narrow(2, 3 * hidden, hidden);
                let units = (o * Tensor::from(more.clone()).tanh()).reshape([positions, hidden]);
                of_n.transpose(0, 1).matmul(&units)
            });
        }
        push(&|| dh.clone().into());
        if self.state.len() == 2 {
            push(&|| dc.clone().into());
        }
        gradients
    }

    /// What the weights multiply in each step: its input and the output of the step before,
    /// `[N · L, inputs + P]`.
    fn factors(&self, out: &[T]) -> Array<T> {
        let ([rows, steps, _, output], op) = (self.sizes, self.op());
        let (x, h) = (self.x.array.contiguous(op), self.state[0].array.contiguous(op));
        let (x, h, inputs) = (x.contiguous_slice(), h.contiguous_slice(), self.x.shape()[2]);
        let width = inputs + output;
        Array::build(op, [rows * steps, width].into(), |factors| {
            let cost = factors.len();
            kernels::drain(
                factors.chunks_mut(steps * width).enumerate(),
                cost,
                |(row, factors)| {
                    let (x, out) = (&x[row * steps * inputs..], &out[row * steps * output..]);
                    for (t, factors) in factors.chunks_exact_mut(width).enumerate() {
                        let before = if self.reverse { Some(t + 1) } else { t.checked_sub(1) };
                        let before = match before.filter(|&before| before < steps) {
                            Some(before) => &out[before * output..][..output],
                            None => &h[row * output..][..output],
                        };
                        factors[..inputs].copy_from_slice(&x[t * inputs..][..inputs]);
                        factors[inputs..].copy_from_slice(before);
                    }
                },
            );
        })
    }

    /// The result in tensor operations, a step at a time.
    #[track_caller]
    fn in_operations(&self) -> Tensor<T> {
        let [rows, steps, hidden, output] = self.sizes;
        let RecurrentWeights { ih, hh, biases, hr } = &self.weights;
        let [input_bias, bias] = match biases {
            Some([ih, hh]) => [Some(ih), Some(hh)],
            None => [None, None],
        };
        let inputs = self.x.linear(ih, input_bias);
        let mut state = self.state.clone();
        let mut outputs = vec![state[0].clone(); steps];
        for step in 0..steps {
            let t = if self.reverse { steps - 1 - step } else { step };
            let (input, before) = (inputs.select(1, t), state[0].linear(hh, bias));
            let part = |x: &Tensor<T>, i: usize| x.narrow(1, i * hidden, hidden);
            let gate = |i: usize| part(&input, i) + part(&before, i);
            state[0] = match self.cell {
                RecurrentCell::Tanh => (input + before).tanh(),
                RecurrentCell::Relu => (input + before).relu(),
                RecurrentCell::Lstm => {
                    let (new, forget) = (gate(0).sigmoid(), gate(1).sigmoid());
                    state[1] = forget * &state[1] + new * gate(2).tanh();
                    gate(3).sigmoid() * state[1].tanh()
                }
                RecurrentCell::Gru => {
                    let (reset, keep) = (gate(0).sigmoid(), gate(1).sigmoid());
                    let new = (part(&input, 2) + reset * part(&before, 2)).tanh();
                    (&state[0] - &new) * keep + new
                }
            };
            if let Some(hr) = hr {
                state[0] = state[0].linear(hr, None);
            }
            outputs[t] = state[0].clone();
        }
        let y = Tensor::stack(&outputs.iter().collect::<Vec<_>>(), 1);
        let y = y.reshape([rows * steps * output]);
        match state.get(1) {
            Some(c) => Tensor::cat(&[&y, &c.reshape([rows * hidden])], 0),
            None => y,
        }
    }

    /// [`backward`](Layer::backward) in tensor operations, which can be differentiated again: a pass
    /// over the operations of which the result could have been computed.
    #[track_caller]
    fn backward_in_operations(&self, ctx: &Context<'_, T>) -> Gradients<T> {
        let begin = next_sequence();
        let result = self.in_operations();
        let wanted =
            || ctx.parents().iter().map(|parent| parent.as_ref().map(|node| node.sequence));
        let Some(node) = result.node else { return wanted().map(|_| None).collect() };
        let seeds = vec![Seed { node, grad: ctx.grad().clone() }];
        let options = CollectOptions { graph: Graph::Record, since: begin };
        let mut found = collect_gradients(seeds, wanted().flatten(), options);
        // A tensor that is two of the inputs gets its whole gradient as the first of them.
        wanted().map(|sequence| found.remove(&sequence?).flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Generator, GradOptions, grad};

    const CELLS: [RecurrentCell; 4] =
        [RecurrentCell::Tanh, RecurrentCell::Relu, RecurrentCell::Lstm, RecurrentCell::Gru];

    /// The shapes of the inputs of a layer of N = 2, L = 3, 2 inputs, in the order of `inputs`.
    fn shapes(
        cell: RecurrentCell,
        hidden: usize,
        bias: bool,
        proj: Option<usize>,
    ) -> Vec<Vec<usize>> {
        let (width, output) = (cell.gates() * hidden, proj.unwrap_or(hidden));
        let mut shapes = vec![vec![2, 3, 2], vec![width, 2], vec![width, output]];
        shapes.extend(bias.then(|| [vec![width], vec![width]]).into_iter().flatten());
        shapes.extend(proj.map(|_| vec![output, hidden]));
        shapes.push(vec![2, output]);
        shapes.extend((cell == RecurrentCell::Lstm).then(|| vec![2, hidden]));
        shapes
    }

    /// The layer whose inputs are `x`, of the shapes of [`shapes`].
    fn layer(
        cell: RecurrentCell,
        x: &[Tensor<f64>],
        bias: bool,
        proj: bool,
        direction: Direction,
    ) -> Layer<f64> {
        let mut x = x.iter().cloned();
        let mut next = || x.next().unwrap();
        let (input, ih, hh) = (next(), next(), next());
        let biases = bias.then(|| [next(), next()]);
        let hr = proj.then(&mut next);
        let weights = RecurrentWeights { ih, hh, biases, hr };
        Layer::new(cell, &input, &weights, &x.collect::<Vec<_>>(), direction)
    }

    /// The outputs and the last state in one vector.
    fn run(layer: &Layer<f64>) -> Tensor<f64> {
        let Layer { cell, x, weights, state, reverse, .. } = layer;
        let direction = if *reverse { Direction::Reverse } else { Direction::Forward };
        let (y, last) = recurrence(*cell, x, weights, state, direction);
        let parts: Vec<_> = [y].iter().chain(&last).map(|part| part.flatten(0, -1)).collect();
        Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)
    }

    #[test]
    fn gradients() {
        for cell in CELLS {
            for (bias, direction) in [(true, Direction::Forward), (false, Direction::Reverse)] {
                let shapes = shapes(cell, 2, bias, None);
                let shapes: Vec<_> = shapes.iter().map(Vec::as_slice).collect();
                // Above the kink of relu.
                let domain = if cell == RecurrentCell::Relu { 0.1..0.8 } else { -1.0..1.0 };
                check_op(|x| run(&layer(cell, x, bias, false, direction)), &shapes, domain);
            }
        }
        let shapes = shapes(RecurrentCell::Lstm, 2, true, Some(1));
        let shapes: Vec<_> = shapes.iter().map(Vec::as_slice).collect();
        check_op(
            |x| run(&layer(RecurrentCell::Lstm, x, true, true, Direction::Reverse)),
            &shapes,
            -1.0..1.0,
        );
    }

    #[test]
    fn an_empty_batch_has_gradients() {
        for cell in CELLS {
            let mut shapes = shapes(cell, 2, true, None);
            let states = shapes.len() - if cell == RecurrentCell::Lstm { 2 } else { 1 };
            shapes[0][0] = 0;
            shapes[states..].iter_mut().for_each(|shape| shape[0] = 0);
            let x: Vec<_> = shapes.iter().map(|s| Tensor::ones(&s[..]).requires_grad()).collect();
            run(&layer(cell, &x, true, false, Direction::Forward)).sum().backward();
            for (x, shape) in x.iter().zip(&shapes) {
                let g = x.grad().unwrap();
                assert_eq!(g.shape(), shape);
                assert!(g.to_vec().iter().all(|&g| g == 0.0));
            }
        }
    }

    #[test]
    fn values_match_the_operations() {
        let mut rng = Generator::seed(0);
        for cell in CELLS {
            for (hidden, proj) in [(3, None), (37, None), (19, Some(5))] {
                if proj.is_some() && cell != RecurrentCell::Lstm {
                    continue;
                }
                for direction in [Direction::Forward, Direction::Reverse] {
                    let x: Vec<_> = shapes(cell, hidden, true, proj)
                        .iter()
                        .map(|shape| Tensor::randn(&shape[..], &mut rng).requires_grad())
                        .collect();
                    let layer = layer(cell, &x, true, proj.is_some(), direction);
                    let gradients = |y: &Tensor<f64>| {
                        let y = y.narrow(0, 0, layer.value().0.numel());
                        let all: Vec<_> = x.iter().collect();
                        let options = GradOptions::default();
                        (y.detach(), grad(&(&y * &y).sum(), &all, options))
                    };
                    let has_c = cell == RecurrentCell::Lstm;
                    let fused = recurrence(cell, &layer.x, &layer.weights, &layer.state, direction);
                    let fused: Vec<_> = [&fused.0]
                        .into_iter()
                        .chain(has_c.then(|| &fused.1[1]))
                        .map(|x| x.flatten(0, -1))
                        .collect();
                    let fused = Tensor::cat(&fused.iter().collect::<Vec<_>>(), 0);
                    let (y, first) = gradients(&fused);
                    let (z, second) = gradients(&layer.in_operations());
                    assert!((y - z).abs().max().item() < 1e-12, "{cell:?}");
                    for (a, b) in first.iter().zip(second) {
                        assert!((a - b).abs().max().item() < 1e-10, "{cell:?}");
                    }
                }
            }
        }
    }
}

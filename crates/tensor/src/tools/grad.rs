//! Gradients as return values: [`grad()`].

use crate::tape::backward::{seed_of_one, seed_with};
use crate::tape::collect::{CollectOptions, collect_gradients};
use crate::tape::node::Graph;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// The options of [`grad()`].
///
/// ```
/// use adamant_tensor::GradOptions;
/// let options = GradOptions::default().create_graph(true);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GradOptions {
    create_graph: bool,
    retain_graph: bool,
    allow_unused: bool,
}

impl GradOptions {
    /// Records the computation of the gradients, so that they can be differentiated. This also
    /// retains the graph; default `false`.
    #[must_use]
    pub fn create_graph(self, on: bool) -> Self {
        GradOptions { create_graph: on, ..self }
    }

    /// Keeps the graph for another pass; default `false`.
    #[must_use]
    pub fn retain_graph(self, on: bool) -> Self {
        GradOptions { retain_graph: on, ..self }
    }

    /// Returns zeros for an input that no output depends on, instead of panicking; default `false`.
    ///
    /// PyTorch: `allow_unused=True, materialize_grads=True`.
    #[must_use]
    pub fn allow_unused(self, on: bool) -> Self {
        GradOptions { allow_unused: on, ..self }
    }
}

/// The outputs that [`grad()`] differentiates:
///
/// * `&y`, a tensor with a single element;
/// * `&[&y, &z]`, several of these: [`grad()`] differentiates their sum;
/// * `(&y, &gradient)`, a tensor of any shape with its gradient;
/// * `&[(&y, &gradient), …]`, several of these.
///
/// PyTorch: `outputs` and `grad_outputs` of `torch.autograd.grad`.
pub trait Outputs<T: Float>: sealed::Pairs<T> {}

impl<T: Float, O: sealed::Pairs<T>> Outputs<T> for O {}

mod sealed {
    use super::{Float, Tensor};

    pub trait Pairs<T: Float> {
        /// Each output with its gradient, if one is given.
        fn pairs(&self) -> Vec<Pair<'_, T>>;
    }

    pub(crate) type Pair<'a, T> = (&'a Tensor<T>, Option<&'a Tensor<T>>);

    impl<T: Float> Pairs<T> for &Tensor<T> {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            vec![(self, None)]
        }
    }

    impl<T: Float> Pairs<T> for (&Tensor<T>, &Tensor<T>) {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            vec![(self.0, Some(self.1))]
        }
    }

    impl<T: Float> Pairs<T> for &[&Tensor<T>] {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            self.iter().map(|&output| (output, None)).collect()
        }
    }

    impl<T: Float> Pairs<T> for &[(&Tensor<T>, &Tensor<T>)] {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            self.iter().map(|&(output, gradient)| (output, Some(gradient))).collect()
        }
    }

    impl<T: Float, const N: usize> Pairs<T> for &[&Tensor<T>; N] {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            self.iter().map(|&output| (output, None)).collect()
        }
    }

    impl<T: Float, const N: usize> Pairs<T> for &[(&Tensor<T>, &Tensor<T>); N] {
        fn pairs(&self) -> Vec<Pair<'_, T>> {
            self.iter().map(|&(output, gradient)| (output, Some(gradient))).collect()
        }
    }
}

/// Returns the gradients `∂outputs/∂inputs` without changing any leaf's `.grad`.
///
/// The result for each input has its shape and is `Σ gᵢ ∂outputᵢ/∂input`, where `gᵢ` is the
/// gradient given for output `i`, or 1 for an output with a single element (see [`Outputs`]). An
/// input may be a leaf or any tensor between it and an output. Several outputs take a single pass
/// over the graph. With [`create_graph`](GradOptions::create_graph), the results also depend on the
/// given gradients that are tracked.
///
/// PyTorch: `torch.autograd.grad`.
///
/// # Panics
/// If an output is not tracked, or has neither a single element nor a gradient of its shape; if an
/// input is not tracked, or no output depends on it (unless
/// [`allow_unused`](GradOptions::allow_unused) is set); if an earlier pass has freed an operation
/// that may lead to an input: one that an output was computed from and that is newer than the oldest
/// input.
///
/// ```
/// use adamant_tensor::{GradOptions, Tensor, grad};
/// let x = Tensor::from_vec(vec![2.0f64], [1]).unwrap().requires_grad();
/// let y = (&x * &x * &x).sum();
/// let first = grad(&y, &[&x], GradOptions::default().create_graph(true));
/// let second = grad(&first[0].sum(), &[&x], GradOptions::default());
/// assert_eq!((first[0].item(), second[0].item()), (12.0, 12.0));
/// ```
#[track_caller]
#[must_use]
pub fn grad<T: Float>(
    outputs: impl Outputs<T>,
    inputs: &[&Tensor<T>],
    options: GradOptions,
) -> Vec<Tensor<T>> {
    let GradOptions { create_graph, retain_graph, allow_unused } = options;
    let outputs = outputs.pairs();
    let mut seeds = Vec::with_capacity(outputs.len());
    for (i, &(output, gradient)) in outputs.iter().enumerate() {
        let op = match outputs.len() {
            1 => "grad".to_string(),
            _ => format!("grad: output {i}"),
        };
        seeds.push(match gradient {
            None => seed_of_one(&op, output),
            Some(gradient) => seed_with(&op, output, gradient),
        });
    }
    let mut wanted = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let Some(node) = &input.node else {
            panic!(
                "grad: input {i}, of shape {}, is not tracked: it does not require a gradient, and \
                 was not computed from anything that does",
                input.array.shape()
            )
        };
        wanted.push(node.sequence);
    }
    let graph = match (create_graph, retain_graph) {
        (true, _) => Graph::Record,
        (false, true) => Graph::Retain,
        (false, false) => Graph::Free,
    };
    let found =
        collect_gradients(seeds, wanted.iter().copied(), CollectOptions { graph, since: 0 });
    let mut grads = Vec::with_capacity(inputs.len());
    for (i, (input, sequence)) in inputs.iter().zip(wanted).enumerate() {
        let shape = input.array.shape();
        assert!(
            found[&sequence].is_some() || allow_unused,
            "grad: no output depends on input {i}, of shape {shape}; with allow_unused its \
             gradient is zero"
        );
        grads.push(found[&sequence].clone().unwrap_or_else(|| Tensor::zeros(shape)));
    }
    grads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(values: &[f64]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap().requires_grad()
    }

    #[test]
    fn grad_returns_gradients_and_leaves_the_leaves_alone() {
        let x = leaf(&[3.0]);
        let y = &x * &x;
        let z = (&y * &y).sum();
        let grads = grad(&z, &[&y, &x, &x], GradOptions::default());
        let values: Vec<f64> = grads.iter().map(Tensor::item).collect();
        assert_eq!(values, [18.0, 108.0, 108.0]);
        assert!(x.grad().is_none());
    }

    #[test]
    fn grad_frees_only_the_graph_it_visits() {
        let (x, w) = (leaf(&[3.0]), leaf(&[2.0]));
        let h = &x * &w;
        let loss = (&h * &h).sum();
        let found = grad(&loss, &[&h], GradOptions::default());
        h.backward_with(&found[0]); // the graph of h still exists
        assert_eq!(x.grad().unwrap().item(), 24.0); // 2 x w²
    }

    #[test]
    #[should_panic(expected = "the graph of `mul`")]
    fn an_input_behind_a_freed_graph_is_not_unused() {
        let x = leaf(&[2.0]);
        let y = &x * &x;
        y.sum().backward();
        let _ = grad(&(&y * 1.0).sum(), &[&x], GradOptions::default().allow_unused(true));
    }

    #[test]
    fn the_graph_behind_the_oldest_input_may_be_freed() {
        let x = leaf(&[3.0]);
        let h = &x * &x;
        h.sum().backward();
        let found = grad(&(&h * 2.0).sum(), &[&h], GradOptions::default());
        assert_eq!(found[0].item(), 2.0);
        let later = leaf(&[1.0]);
        let found = grad(&(h.sum() + later.sum()), &[&later, &h], GradOptions::default());
        assert_eq!((found[0].item(), found[1].item()), (1.0, 1.0));
    }

    #[test]
    #[should_panic(expected = "the graph of `mul`")]
    fn a_freed_graph_may_lead_to_an_older_input() {
        let older = leaf(&[1.0]);
        let x = leaf(&[3.0]);
        let h = &x * &x;
        h.sum().backward();
        let _ = grad(&(h.sum() + older.sum()), &[&older], GradOptions::default());
    }

    #[test]
    fn an_unused_input_is_zero_only_if_allowed() {
        let (x, unused) = (leaf(&[3.0]), leaf(&[1.0, 2.0]));
        let options = GradOptions::default().allow_unused(true);
        assert_eq!(grad(&x.sum(), &[&unused], options)[0].to_vec(), [0.0, 0.0]);
        let result =
            std::panic::catch_unwind(|| grad(&x.sum(), &[&unused], GradOptions::default()));
        assert!(result.is_err());
    }

    #[test]
    fn several_outputs_take_a_single_pass() {
        let x = leaf(&[1.0, 2.0]);
        let h = &x * &x;
        let (a, b) = (h.sum(), (&h * &x).sum());
        // The graph of h is shared and not retained, so two passes would panic.
        let both = grad(&[&a, &b], &[&x], GradOptions::default());
        assert_eq!(both[0].to_vec(), [5.0, 16.0]); // 2x + 3x²
        let y = x.sum();
        let twice = grad(&[&y, &y][..], &[&x, &y], GradOptions::default());
        assert_eq!((twice[0].to_vec(), twice[1].item()), (vec![2.0, 2.0], 2.0));
    }

    #[test]
    fn outputs_may_depend_on_each_other_or_on_no_input() {
        let (x, w) = (leaf(&[3.0]), leaf(&[1.0]));
        let y = &x * &x;
        let z = &y * &y;
        let other = &w * 2.0;
        let found = grad(&[&z, &y, &other], &[&x], GradOptions::default());
        assert_eq!(found[0].item(), 114.0); // 4x³ + 2x
        other.backward(); // its graph was not freed
        assert_eq!(w.grad().unwrap().item(), 2.0);
    }

    #[test]
    fn given_gradients_are_weights_and_are_differentiated() {
        let x = leaf(&[1.0, 2.0]);
        let v = leaf(&[10.0, 100.0]);
        let y = &x * &x;
        let options = GradOptions::default().create_graph(true);
        let first = &grad((&y, &v), &[&x], options)[0];
        assert_eq!(first.to_vec(), [20.0, 400.0]); // 2 x v
        assert_eq!(grad(&first.sum(), &[&v], GradOptions::default())[0].to_vec(), [2.0, 4.0]);
        let (y, z) = (&x * &x, &x * 3.0);
        let both = grad(&[(&y, &v), (&z, &v)], &[&x], GradOptions::default());
        assert_eq!(both[0].to_vec(), [50.0, 700.0]);
        assert!(!both[0].is_tracked());
    }

    #[test]
    #[should_panic(
        expected = "grad: output 1: the output has shape [2]; expected a single element"
    )]
    fn outputs_without_gradients_have_a_single_element() {
        let x = leaf(&[1.0, 2.0]);
        let _ = grad(&[&x.sum(), &x], &[&x], GradOptions::default());
    }

    #[test]
    #[should_panic(expected = "grad: the gradient has shape [3]; expected the output's shape [2]")]
    fn a_given_gradient_has_the_shape_of_its_output() {
        let x = leaf(&[1.0, 2.0]);
        let _ = grad((&x, &Tensor::ones([3])), &[&x], GradOptions::default());
    }
}

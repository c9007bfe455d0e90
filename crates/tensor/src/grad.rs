//! Gradients as values: [`grad()`].

use crate::backward::{Pass, collect, given, single_number};
use crate::tensor::Tensor;
use adamant_kernels::Float;

/// What [`grad()`] does besides; nothing by default.
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
    /// Record the gradients' own computation, to differentiate them again.
    /// Retains the graph too.
    #[must_use]
    pub fn create_graph(self, on: bool) -> Self {
        GradOptions { create_graph: on, ..self }
    }

    /// Keep what the operations saved, for another pass over the same graph.
    #[must_use]
    pub fn retain_graph(self, on: bool) -> Self {
        GradOptions { retain_graph: on, ..self }
    }

    /// Give zeros for an input that no output depends on, instead of panicking.
    #[must_use]
    pub fn allow_unused(self, on: bool) -> Self {
        GradOptions { allow_unused: on, ..self }
    }
}

/// What [`grad()`] differentiates:
///
/// * `&y`, a single number;
/// * `&[&y, &z]`, several single numbers: the gradients of their sum;
/// * `(&y, &gradient)`, a tensor of any shape and the gradient that arrives at it;
/// * `&[(&y, &gradient), …]`, several of these.
///
/// PyTorch: `outputs` and `grad_outputs` of `torch.autograd.grad`.
pub trait Outputs<T: Float>: sealed::Pairs<T> {}

impl<T: Float, O: sealed::Pairs<T>> Outputs<T> for O {}

mod sealed {
    use super::{Float, Tensor};

    pub trait Pairs<T: Float> {
        /// The outputs, each with the gradient that is given for it, if one is.
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

/// The gradients `∂outputs/∂inputs`, collected nowhere else: no leaf's `.grad` changes.
///
/// One result for each input, of its shape: `Σ gᵢ ∂outputᵢ/∂input`, with `gᵢ` = 1 for
/// an output that is a single number (see [`Outputs`]). An input may be a leaf or any
/// tensor on the way. Several outputs are one pass over the graph. With
/// [`create_graph`](GradOptions::create_graph) the results depend on the given
/// gradients too, if these are tracked.
///
/// PyTorch: `torch.autograd.grad`.
///
/// # Panics
/// If an output is not tracked, or is neither a single number nor comes with a
/// gradient of its shape; if an input is not tracked, or no output depends on it (unless
/// [`allow_unused`](GradOptions::allow_unused)); if an earlier pass has freed the graph.
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
        let what = match outputs.len() {
            1 => "grad".to_string(),
            _ => format!("grad: output {i}"),
        };
        seeds.push(match gradient {
            None => single_number(&what, output),
            Some(gradient) => given(&what, output, gradient),
        });
    }
    let mut wanted = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let Some(node) = &input.node else {
            panic!(
                "grad: input {i}, of shape {}, is not tracked: it neither requires a gradient nor \
                 was computed from what does",
                input.array.shape()
            )
        };
        wanted.push(node.sequence);
    }
    let found = collect(seeds, wanted.iter().copied(), 0, Pass { retain_graph, create_graph });
    let mut grads = Vec::with_capacity(inputs.len());
    for (i, (input, sequence)) in inputs.iter().zip(wanted).enumerate() {
        let shape = input.array.shape();
        assert!(
            found[&sequence].is_some() || allow_unused,
            "grad: no output depends on input {i}, of shape {shape}; allow_unused gives zeros for it"
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
    fn grad_collects_at_inner_tensors_and_leaves_alone_the_leaves() {
        let x = leaf(&[3.0]);
        let y = &x * &x;
        let z = (&y * &y).sum();
        let grads = grad(&z, &[&y, &x, &x], GradOptions::default());
        let values: Vec<f64> = grads.iter().map(Tensor::item).collect();
        assert_eq!(values, [18.0, 108.0, 108.0]);
        assert!(x.grad().is_none());
    }

    #[test]
    fn what_is_not_asked_for_is_left_alone() {
        let (x, w) = (leaf(&[3.0]), leaf(&[2.0]));
        let h = &x * &w;
        let loss = (&h * &h).sum();
        let found = grad(&loss, &[&h], GradOptions::default());
        h.backward_with(&found[0]); // the graph above h is still there
        assert_eq!(x.grad().unwrap().item(), 24.0); // 2 x w²
    }

    #[test]
    #[should_panic(expected = "the graph of `mul`")]
    fn a_freed_graph_is_not_taken_for_an_unused_input() {
        let x = leaf(&[2.0]);
        let y = &x * &x;
        y.sum().backward();
        let _ = grad(&(&y * 1.0).sum(), &[&x], GradOptions::default().allow_unused(true));
    }

    #[test]
    fn an_unused_input_is_zero_only_if_allowed() {
        let (x, unused) = (leaf(&[3.0]), leaf(&[1.0, 2.0]));
        let options = GradOptions::default().allow_unused(true);
        assert_eq!(grad(&x.sum(), &[&unused], options)[0].to_vec(), [0.0, 0.0]);
        let refused =
            std::panic::catch_unwind(|| grad(&x.sum(), &[&unused], GradOptions::default()));
        assert!(refused.is_err());
    }

    #[test]
    fn several_outputs_are_one_pass() {
        let x = leaf(&[1.0, 2.0]);
        let h = &x * &x;
        let (a, b) = (h.sum(), (&h * &x).sum());
        // The graph above h is shared, and is not retained: two passes could not be made.
        let both = grad(&[&a, &b], &[&x], GradOptions::default());
        assert_eq!(both[0].to_vec(), [5.0, 16.0]); // 2x + 3x²
        let y = x.sum();
        let twice = grad(&[&y, &y][..], &[&x, &y], GradOptions::default());
        assert_eq!((twice[0].to_vec(), twice[1].item()), (vec![2.0, 2.0], 2.0));
    }

    #[test]
    fn an_output_may_lie_above_another_or_lead_nowhere() {
        let (x, w) = (leaf(&[3.0]), leaf(&[1.0]));
        let y = &x * &x;
        let z = &y * &y;
        let other = &w * 2.0;
        let found = grad(&[&z, &y, &other], &[&x], GradOptions::default());
        assert_eq!(found[0].item(), 114.0); // 4x³ + 2x
        other.backward(); // was not gone through
        assert_eq!(w.grad().unwrap().item(), 2.0);
    }

    #[test]
    fn arriving_gradients_weight_the_outputs_and_are_differentiated() {
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
    #[should_panic(expected = "grad: output 1: a pass starts from a single number")]
    fn each_output_without_a_gradient_is_a_single_number() {
        let x = leaf(&[1.0, 2.0]);
        let _ = grad(&[&x.sum(), &x], &[&x], GradOptions::default());
    }

    #[test]
    #[should_panic(expected = "grad: the tensor has shape [2], the gradient that is to \
                               arrive there [3]")]
    fn an_arriving_gradient_has_the_outputs_shape() {
        let x = leaf(&[1.0, 2.0]);
        let _ = grad((&x, &Tensor::ones([3])), &[&x], GradOptions::default());
    }
}

//! A backward pass that reports parameters as soon as their gradients are complete.
//!
//! Leaves are older than the operations that use them, so an ordinary pass visits them last.

use crate::tape::backward::{enter, seed_with, visit_node};
use crate::tape::node::{Graph, Node};
use crate::tape::parameter::Parameter;
use crate::tape::pending::Pending;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

impl<T: Float> Tensor<T> {
    /// [`backward_with`](Tensor::backward_with), which calls `complete(i)` as soon as this pass has
    /// added its gradient to the `.grad` of `parameters[i]`, so that it can be sent to another process,
    /// or taken, during the pass.
    ///
    /// One that is used by the last operations is reported first. Each is reported once, of several
    /// handles the first; a parameter without a gradient in this pass is not. The gradients are those of
    /// `backward_with`, to the bit; the hooks of a parameter run right before its report. If `complete`
    /// panics, the pass ends as for a panic in a hook.
    ///
    /// PyTorch: `tensor.backward(gradient)`, with `register_post_accumulate_grad_hook` of each
    /// parameter.
    ///
    /// # Panics
    /// As `backward_with`.
    ///
    /// ```
    /// use adamant_tensor::{Parameter, Tensor};
    /// let [first, last] = [2.0f32, 3.0].map(|x| Parameter::new(Tensor::from([x])));
    /// let y = (first.tensor() * 5.0).exp() * last.tensor();
    /// let mut order = Vec::new();
    /// y.backward_each(&Tensor::ones([1]), &[first, last], |i| order.push(i));
    /// assert_eq!(order, [1, 0]);
    /// ```
    #[track_caller]
    pub fn backward_each(
        &self,
        gradient: &Tensor<T>,
        parameters: &[Parameter<T>],
        mut complete: impl FnMut(usize),
    ) {
        let seed = seed_with("backward_each", self, gradient);
        let mut leaves = find_leaves(&seed.node, parameters);
        let graph = Graph::Free;
        let _mode = enter(graph);
        let mut pending = Pending::new(graph);
        pending.add(seed.node, seed.grad);
        while let Some(next) = pending.next() {
            // A leaf's gradient is complete when the first operation that uses it has been visited:
            // the later ones have been visited before.
            while let Some(leaf) = leaves.pop_if(|leaf| leaf.first_use > next) {
                if let Some((node, gradient)) = pending.take(&leaf.node) {
                    visit_node(&node, gradient, graph, &mut pending);
                    complete(leaf.position);
                }
            }
            if let Some((node, gradient)) = pending.pop() {
                visit_node(&node, gradient, graph, &mut pending);
            }
        }
    }
}

/// A leaf that a tensor was computed from.
struct Leaf<T: Float> {
    /// The index of its parameter.
    position: usize,
    node: Arc<Node<T>>,
    /// The lowest sequence number of the operations that use it and that the tensor was computed from.
    first_use: u64,
}

/// The leaves of `parameters` that `output` was computed from, by ascending first use.
fn find_leaves<T: Float>(output: &Arc<Node<T>>, parameters: &[Parameter<T>]) -> Vec<Leaf<T>> {
    let mut leaves = HashMap::new();
    for (position, parameter) in parameters.iter().enumerate() {
        let node = parameter.leaf().clone();
        leaves.entry(node.sequence).or_insert(Leaf { position, node, first_use: u64::MAX });
    }
    let oldest = leaves.keys().copied().min().unwrap_or(u64::MAX);
    let (mut seen, mut to_visit) = (HashSet::new(), vec![output.clone()]);
    while let Some(node) = to_visit.pop() {
        // A freed operation has no parents here; the pass panics when it visits it.
        for parent in node.parents().unwrap_or_default() {
            if let Some(leaf) = leaves.get_mut(&parent.sequence) {
                leaf.first_use = leaf.first_use.min(node.sequence);
            } else if parent.sequence > oldest && seen.insert(parent.sequence) {
                to_visit.push(parent);
            }
        }
    }
    let mut leaves: Vec<_> = leaves.into_values().collect();
    leaves.retain(|leaf| leaf.first_use < u64::MAX);
    leaves.sort_unstable_by_key(|leaf| (leaf.first_use, leaf.position));
    leaves
}

#[cfg(test)]
mod tests {
    use crate::{Parameter, Tensor, checkpoint};

    fn parameters<const N: usize>(values: [f64; N]) -> [Parameter<f64>; N] {
        values.map(|x| Parameter::new(Tensor::from([x, -x])))
    }

    /// The order in which parameters are reported. Each has its whole gradient when it is.
    fn order(
        parameters: &[Parameter<f64>],
        output: impl Fn(&[Tensor<f64>]) -> Tensor<f64>,
    ) -> Vec<usize> {
        let output = || output(&parameters.iter().map(Parameter::tensor).collect::<Vec<_>>());
        let gradient = Tensor::from([1.0, 2.0]);
        output().backward_with(&gradient);
        let take = |parameter: &Parameter<f64>| {
            let taken = parameter.grad().map(|grad| grad.to_vec());
            parameter.zero_grad();
            taken
        };
        let expected: Vec<_> = parameters.iter().map(take).collect();
        let mut order = Vec::new();
        output().backward_each(&gradient, parameters, |i| {
            assert!(expected[i].is_some());
            assert_eq!(take(&parameters[i]), expected[i]);
            order.push(i);
        });
        // Nothing is added after the report.
        assert!(order.iter().all(|&i| parameters[i].grad().is_none()));
        order
    }

    #[test]
    fn the_last_operations_come_first() {
        let layers = |p: &[Tensor<f64>]| ((&p[0] * 2.0).exp() * &p[1]).tanh() * &p[2];
        assert_eq!(order(&parameters([0.1, 0.2, 0.3]), layers), [2, 1, 0]);
    }

    #[test]
    fn a_parameter_of_several_uses_waits_for_the_first() {
        let tied = |p: &[Tensor<f64>]| (((&p[0] * &p[1]).exp() * &p[2]).tanh() * &p[0]).sin();
        assert_eq!(order(&parameters([0.1, 0.2, 0.3]), tied), [2, 1, 0]);
    }

    #[test]
    fn parameters_without_a_use_are_not_reported() {
        let skipping = |p: &[Tensor<f64>]| &p[2] * p[0].detach() + &p[2];
        let parameters = parameters([0.1, 0.2, 0.3]);
        assert_eq!(order(&parameters, skipping), [2]);
        parameters[2].set_requires_grad(false);
        parameters[0].set_requires_grad(true);
        assert_eq!(order(&parameters, |p| &p[0] * &p[2]), [0]);
    }

    #[test]
    fn an_operation_may_return_no_gradient() {
        let custom = |p: &[Tensor<f64>]| {
            Tensor::custom("none", &[&p[0], &p[1]], p[0].detach(), |grad| {
                vec![None, Some(grad * 3.0)]
            })
        };
        assert_eq!(order(&parameters([0.1, 0.2]), custom), [1]);
    }

    #[test]
    fn a_checkpointed_segment_is_one_use() {
        let segment = |p: &[Tensor<f64>]| {
            let (a, b) = (p[0].clone(), p[1].clone());
            checkpoint(move || (&a * &b).exp() * &a) * &p[1]
        };
        assert_eq!(order(&parameters([0.1, 0.2]), segment), [1, 0]);
    }

    #[test]
    #[should_panic(expected = "backward_each: the tensor is not tracked")]
    fn an_untracked_tensor_is_refused() {
        Tensor::<f64>::ones([2]).backward_each(&Tensor::ones([2]), &[], |_| {});
    }
}

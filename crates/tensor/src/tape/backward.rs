//! The backward pass: from outputs to the leaves they were computed from.
//!
//! A pass starts from *seeds*, nodes of outputs with their gradients, and visits nodes by
//! descending sequence number. So a node is visited after everything computed from it, when its
//! gradient is complete. A visit runs the node's hooks. For a leaf, it then adds the gradient to
//! `.grad`. For an operation, it calls the backward function, and adds each gradient that this
//! returns to the pending gradient of the input's node.
//!
//! [`run_into_leaves`] is the pass of `backward()`; [`collect_gradients`], which returns gradients
//! instead, is the pass of `grad()`.
//!
//! [`collect_gradients`]: crate::tape::collect::collect_gradients

use crate::tape::anomaly;
use crate::tape::context::Context;
use crate::tape::mode::{Mode, ModeGuard};
use crate::tape::node::{Graph, Kind, Node, Operation, Recorded};
use crate::tape::pending::Pending;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::smallvec;
use std::sync::Arc;

impl<T: Float> Tensor<T> {
    /// Adds `∂self/∂leaf` to `.grad` of every leaf and parameter that this tensor was computed
    /// from, and frees the graph.
    ///
    /// PyTorch: `tensor.backward()`.
    ///
    /// # Panics
    /// If this does not have exactly one element, is not tracked, or its graph has been freed by an
    /// earlier pass.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32], [1]).unwrap().requires_grad();
    /// (&x * &x).sum().backward();
    /// assert_eq!(x.grad().unwrap().item(), 6.0);
    /// ```
    #[track_caller]
    pub fn backward(&self) {
        let seed = seed_of_one("backward", self);
        run_into_leaves(seed, Graph::Free);
    }

    /// [`backward`](Tensor::backward), but keeps the graph for another pass.
    ///
    /// PyTorch: `tensor.backward(retain_graph=True)`.
    ///
    /// # Panics
    /// As `backward`.
    #[track_caller]
    pub fn backward_retain_graph(&self) {
        let seed = seed_of_one("backward_retain_graph", self);
        run_into_leaves(seed, Graph::Retain);
    }

    /// [`backward`](Tensor::backward) from a tensor of any shape, whose own gradient is `gradient`.
    ///
    /// PyTorch: `tensor.backward(gradient)`.
    ///
    /// # Panics
    /// If this is not tracked, `gradient` has a different shape, or the graph has been freed by an
    /// earlier pass.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap().requires_grad();
    /// (&x * &x).backward_with(&Tensor::from_vec(vec![1.0, 10.0], [2]).unwrap());
    /// assert_eq!(x.grad().unwrap().to_vec(), [2.0, 40.0]);
    /// ```
    #[track_caller]
    pub fn backward_with(&self, gradient: &Tensor<T>) {
        let seed = seed_with("backward_with", self, gradient);
        run_into_leaves(seed, Graph::Free);
    }
}

/// A node where a pass starts, and its gradient.
pub(crate) struct Seed<T: Float> {
    pub(crate) node: Arc<Node<T>>,
    pub(crate) grad: Tensor<T>,
}

/// The seed of an output with a single element: its gradient is 1.
#[track_caller]
pub(crate) fn seed_of_one<T: Float>(op: &str, output: &Tensor<T>) -> Seed<T> {
    let shape = output.array.shape();
    assert!(
        shape.numel() == 1,
        "{op}: the output has shape {shape}; expected a single element: reduce it with sum() or \
         mean(), or pass its gradient: backward_with(&gradient), grad((&output, &gradient), …)"
    );
    Seed { node: tracked_node(op, output), grad: Tensor::ones(shape) }
}

/// The seed of an output whose gradient is given.
#[track_caller]
pub(crate) fn seed_with<T: Float>(op: &str, output: &Tensor<T>, gradient: &Tensor<T>) -> Seed<T> {
    let (expected, found) = (output.array.shape(), gradient.array.shape());
    assert!(
        found == expected,
        "{op}: the gradient has shape {found}; expected the output's shape {expected}"
    );
    Seed { node: tracked_node(op, output), grad: gradient.clone() }
}

#[track_caller]
fn tracked_node<T: Float>(op: &str, output: &Tensor<T>) -> Arc<Node<T>> {
    let Some(node) = &output.node else {
        panic!(
            "{op}: the tensor is not tracked: it was not computed from anything that requires a \
             gradient, or it was computed under no_grad"
        )
    };
    node.clone()
}

/// Adds the gradients of all leaves that the seed was computed from to their `.grad`.
#[track_caller]
fn run_into_leaves<T: Float>(seed: Seed<T>, graph: Graph) {
    let _mode = enter(graph);
    let mut pending = Pending::new(graph);
    pending.add(seed.node, seed.grad);
    while let Some((node, grad)) = pending.pop() {
        visit_node(&node, grad, graph, &mut pending);
    }
}

/// Adds `grad`, the complete gradient of `node`, to the leaf's `.grad`, or the gradients of the
/// operation's inputs to `pending`.
#[track_caller]
#[inline]
pub(crate) fn visit_node<T: Float>(
    node: &Arc<Node<T>>,
    mut grad: Tensor<T>,
    graph: Graph,
    pending: &mut Pending<T>,
) {
    pending.run_hooks(node, &mut grad);
    match &node.kind {
        Kind::Leaf(cell) => cell.accumulate(grad.array),
        Kind::Operation(operation) => {
            let recorded = operation.take_or_clone(graph);
            visit(node, operation, recorded, grad, pending);
        }
    }
}

/// Puts this thread in the mode of a backward pass until the guard is dropped.
pub(crate) fn enter(graph: Graph) -> ModeGuard {
    Mode { record: graph == Graph::Record, in_backward: true, ..Mode::now() }.enter()
}

/// Computes the gradients of an operation's inputs from `grad`, the gradient of its output, and
/// adds them to `pending`.
#[track_caller]
pub(crate) fn visit<T: Float>(
    node: &Arc<Node<T>>,
    operation: &Operation<T>,
    recorded: Recorded<T>,
    grad: Tensor<T>,
    pending: &mut Pending<T>,
) {
    let Operation { name, location, .. } = operation;
    let (parents, backward) = match recorded {
        Recorded::Formula { parents, backward } => (parents, backward),
        Recorded::Selection { parent, positions } => {
            if Mode::now().detect_anomaly {
                let whole = positions.gradient(&grad, &parent.shape);
                anomaly::check_gradients(name, location, &grad, &smallvec![Some(whole)]);
            }
            return pending.add_at(parent, &grad, &positions);
        }
    };
    let context = Context::new(node, &parents, grad);
    let grads = backward(&context);
    if Mode::now().detect_anomaly {
        anomaly::check_gradients(name, location, context.grad(), &grads);
    }
    // Frees the output's gradient and, if the graph is not retained, the saved values.
    drop((context, backward));
    assert!(
        grads.len() == parents.len(),
        "{name}: backward returned {} gradients; expected {}, one for each input (the operation \
         is at {location})",
        grads.len(),
        parents.len(),
    );
    for (i, (parent, grad)) in parents.into_iter().zip(grads).enumerate() {
        let (Some(parent), Some(grad)) = (parent, grad) else { continue };
        let (found, expected) = (grad.array.shape(), &parent.shape);
        assert!(
            found == expected,
            "{name}: backward returned a gradient of shape {found} for input {i}; expected the \
             input's shape {expected} (the operation is at {location})"
        );
        pending.add(parent, grad);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(values: &[f64]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap().requires_grad()
    }

    #[test]
    fn gradients_of_several_uses_add_up() {
        let x = leaf(&[2.0, 3.0]);
        let y = &x * 2.0;
        (&y * &y + &y).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [18.0, 26.0]); // 8x + 2
    }

    #[test]
    fn shuffled_operands_get_their_own_gradients() {
        let n = 20_000;
        let leaves: Vec<_> = (0..n).map(|i| leaf(&[f64::from(i)])).collect();
        let mut parts: Vec<_> = leaves.iter().map(|x| x * 2.0).collect();
        crate::Generator::seed(0).shuffle(&mut parts);
        let all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        (&all * &all).sum().backward();
        let is_right = |(i, x): (usize, &Tensor<f64>)| x.grad().unwrap().item() == 8.0 * i as f64;
        assert!(leaves.iter().enumerate().all(is_right));
    }

    #[test]
    fn shuffled_operands_are_visited_in_order() {
        // Each element of the chain also feeds the next one. Visited too early, it would miss the
        // gradient from there.
        let n = 1000;
        let x = leaf(&[1.0]);
        let mut chain = vec![&x * 1.0];
        for i in 1..n {
            chain.push(&chain[i - 1] + &x);
        }
        crate::Generator::seed(0).shuffle(&mut chain);
        Tensor::cat(&chain.iter().collect::<Vec<_>>(), 0).sum().backward();
        assert_eq!(x.grad().unwrap().item(), (n * (n + 1) / 2) as f64);
    }

    #[test]
    #[should_panic(expected = "the graph of `mul`")]
    fn a_second_pass_names_the_freed_operation() {
        let x = leaf(&[2.0]);
        let y = &x * &x;
        (&y * 1.0).sum().backward();
        (&y * 2.0).sum().backward();
    }

    #[test]
    fn a_retained_graph_can_be_used_again() {
        let x = leaf(&[2.0]);
        let y = (&x * &x).sum();
        y.backward_retain_graph();
        y.backward();
        assert_eq!(x.grad().unwrap().item(), 8.0);
    }

    #[test]
    #[should_panic(expected = "the output has shape [2]; expected a single element")]
    fn backward_requires_a_single_element() {
        leaf(&[1.0, 2.0]).backward();
    }

    #[test]
    #[should_panic(expected = "not tracked")]
    fn backward_requires_a_tracked_tensor() {
        Tensor::<f32>::ones([1]).backward();
    }

    #[test]
    fn backward_with_starts_from_the_given_gradient() {
        let x = leaf(&[1.0, 2.0]);
        let gradient = Tensor::from_vec(vec![10.0, 100.0], [2]).unwrap();
        (&x * &x).backward_with(&gradient);
        assert_eq!(x.grad().unwrap().to_vec(), [20.0, 400.0]);
    }

    #[test]
    fn concurrent_passes_lose_no_gradient() {
        let x = leaf(&[1.0; 1000]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..100).for_each(|_| (&x * 3.0).sum().backward()));
            }
        });
        assert_eq!(x.grad().unwrap().to_vec(), vec![2400.0; 1000]);
    }
}

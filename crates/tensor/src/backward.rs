//! The backward pass: from an output to the leaves it was computed from.
//!
//! Nodes are visited by falling sequence number, so every node after all that was computed from it.
//! A visit runs the node's hooks, then either adds the gradient to a leaf's `.grad` or calls the
//! operation's backward function, which returns a gradient for each input.

use crate::anomaly;
use crate::grad_mode::{Mode, ModeGuard};
use crate::node::{Backward, Context, Kind, Node, Operation, Recorded};
use crate::pending::Pending;
use crate::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl<T: Float> Tensor<T> {
    /// Adds `∂self/∂leaf` to `.grad` of every leaf and parameter that this
    /// number was computed from, and frees the graph.
    ///
    /// PyTorch: `tensor.backward()`.
    ///
    /// # Panics
    /// If this is not a single number, is not tracked, or its graph has been
    /// freed by an earlier pass.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32], [1]).unwrap().requires_grad();
    /// (&x * &x).sum().backward();
    /// assert_eq!(x.grad().unwrap().item(), 6.0);
    /// ```
    #[track_caller]
    pub fn backward(&self) {
        let seed = single_number("backward", self);
        accumulate(seed, false);
    }

    /// [`backward`](Tensor::backward) that keeps the graph for another pass.
    ///
    /// PyTorch: `tensor.backward(retain_graph=True)`.
    ///
    /// # Panics
    /// As `backward`.
    #[track_caller]
    pub fn backward_retain_graph(&self) {
        let seed = single_number("backward_retain_graph", self);
        accumulate(seed, true);
    }

    /// [`backward`](Tensor::backward) from a tensor of any shape, given the
    /// gradient that arrives at it.
    ///
    /// PyTorch: `tensor.backward(gradient)`.
    ///
    /// # Panics
    /// If this is not tracked, `gradient` has another shape, or the graph has
    /// been freed.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap().requires_grad();
    /// (&x * &x).backward_with(&Tensor::from_vec(vec![1.0, 10.0], [2]).unwrap());
    /// assert_eq!(x.grad().unwrap().to_vec(), [2.0, 40.0]);
    /// ```
    #[track_caller]
    pub fn backward_with(&self, gradient: &Tensor<T>) {
        let (root, gradient) = given("backward_with", self, gradient);
        accumulate((root, gradient.detach()), false);
    }
}

/// Where a pass starts, and the gradient that arrives there.
pub(crate) type Seed<T> = (Arc<Node<T>>, Tensor<T>);

/// The start of a pass from a single number: 1 arrives there.
#[track_caller]
pub(crate) fn single_number<T: Float>(what: &str, output: &Tensor<T>) -> Seed<T> {
    let shape = output.array.shape();
    assert!(
        shape.numel() == 1,
        "{what}: a pass starts from a single number, not from a tensor of shape {shape}; \
         reduce it with sum() or mean(), or give the gradient that arrives there: \
         backward_with(&gradient), grad((&output, &gradient), …)"
    );
    (root(what, output), Tensor::ones(shape))
}

/// The start of a pass where `gradient` arrives at `output`.
#[track_caller]
pub(crate) fn given<T: Float>(what: &str, output: &Tensor<T>, gradient: &Tensor<T>) -> Seed<T> {
    let (expected, found) = (output.array.shape(), gradient.array.shape());
    assert!(
        found == expected,
        "{what}: the tensor has shape {expected}, the gradient that is to arrive there {found}: \
         they must be equal"
    );
    (root(what, output), gradient.clone())
}

#[track_caller]
fn root<T: Float>(what: &str, output: &Tensor<T>) -> Arc<Node<T>> {
    let Some(node) = &output.node else {
        panic!(
            "{what}: the tensor is not tracked: nothing that it was computed from requires a \
             gradient, or it was computed under no_grad"
        )
    };
    node.clone()
}

/// Adds the gradients of all leaves above `seed` to their `.grad`.
#[track_caller]
fn accumulate<T: Float>((root, seed): Seed<T>, retain_graph: bool) {
    let _mode = enter(false);
    let mut pending = Pending::new();
    pending.add(root, seed);
    while let Some((node, grad)) = pending.pop() {
        let grad = node.hooks.run(grad);
        match &node.kind {
            Kind::Leaf(cell) => cell.accumulate(grad.array),
            Kind::Operation(operation) => {
                let recorded = operation.recorded(retain_graph);
                visit(&node, operation, recorded, grad, &mut pending);
            }
        }
    }
}

/// How [`collect`] treats the graph.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pass {
    /// Operations keep what they recorded, for another pass.
    pub(crate) retain_graph: bool,
    /// The pass itself is recorded.
    pub(crate) create_graph: bool,
}

/// The gradients that reach the nodes `wanted`, by sequence number; `None` for a node that none
/// reaches.
///
/// Only operations that lead to a wanted node are visited; the others keep what they recorded. The
/// pass ends at nodes older than `since`.
#[track_caller]
pub(crate) fn collect<T: Float>(
    seeds: Vec<Seed<T>>,
    wanted: impl IntoIterator<Item = u64>,
    since: u64,
    pass: Pass,
) -> BTreeMap<u64, Option<Tensor<T>>> {
    let mut found: BTreeMap<u64, _> = wanted.into_iter().map(|sequence| (sequence, None)).collect();
    let leading = leading(&seeds, &found, since);
    let leads = |node: &Arc<Node<T>>| leading.contains(&node.sequence);
    let _mode = enter(pass.create_graph);
    let mut pending = Pending::new();
    for (root, seed) in seeds.into_iter().filter(|(root, _)| leads(root)) {
        pending.add(root, seed);
    }
    while let Some((node, mut grad)) = pending.pop() {
        let is_inside = node.sequence >= since;
        if is_inside {
            grad = node.hooks.run(grad);
        }
        if let Some(found) = found.get_mut(&node.sequence) {
            *found = Some(if pass.create_graph { grad.clone() } else { grad.detach() });
        }
        if let Kind::Operation(operation) = &node.kind
            && is_inside
            && node.parents().is_none_or(|parents| parents.iter().any(leads))
        {
            let mut recorded = operation.recorded(pass.retain_graph || pass.create_graph);
            recorded.parents.iter_mut().for_each(|parent| *parent = parent.take().filter(leads));
            visit(&node, operation, recorded, grad, &mut pending);
        }
    }
    found
}

/// The sequence numbers of all nodes that lead from the seeds to a wanted node, these included.
fn leading<T: Float, V>(seeds: &[Seed<T>], wanted: &BTreeMap<u64, V>, since: u64) -> BTreeSet<u64> {
    let mut leading = BTreeSet::new();
    let Some((&oldest, _)) = wanted.first_key_value() else { return leading };
    let mut parents_of = BTreeMap::new();
    let mut open: Vec<_> = seeds.iter().map(|(root, _)| root.clone()).collect();
    while let Some(node) = open.pop() {
        if node.sequence < oldest || parents_of.contains_key(&node.sequence) {
            continue;
        }
        let parents = if node.sequence < since { Some(Vec::new()) } else { node.parents() };
        let numbers = parents.as_ref().map(|p| p.iter().map(|p| p.sequence).collect::<Vec<_>>());
        parents_of.insert(node.sequence, numbers);
        open.extend(parents.into_iter().flatten());
    }
    // By rising number: a node's parents are older than the node.
    for (sequence, parents) in parents_of {
        // The inputs of a freed operation are unknown: the pass goes there and panics.
        let leads = parents.is_none_or(|parents| parents.iter().any(|p| leading.contains(p)));
        if leads || wanted.contains_key(&sequence) {
            leading.insert(sequence);
        }
    }
    leading
}

/// The mode of a backward pass on this thread, until the guard is dropped.
fn enter(create_graph: bool) -> ModeGuard {
    Mode { record: create_graph, in_backward: true, ..Mode::now() }.enter()
}

/// Calls the backward function of an operation, to which `grad` has come, and adds the results to
/// the gradients of its inputs.
#[track_caller]
fn visit<T: Float>(
    node: &Arc<Node<T>>,
    operation: &Operation<T>,
    recorded: Recorded<T>,
    grad: Tensor<T>,
    pending: &mut Pending<T>,
) {
    let Operation { name, location, .. } = operation;
    let Recorded { mut parents, backward } = recorded;
    let backward = match backward {
        Backward::Formula(backward) => backward,
        Backward::View(layout) => {
            if let Some(parent) = parents.pop().flatten() {
                pending.add_view(parent, &grad, &layout);
            }
            return;
        }
    };
    let context = Context { node, op: name, parents: &parents, grad };
    let grads = backward(&context);
    if Mode::now().detect_anomaly {
        anomaly::check_gradients(name, location, &context.grad, &grads);
    }
    drop((context, backward)); // and with them the gradient and what the operation saved
    assert!(
        grads.len() == parents.len(),
        "{name}: backward returned {} gradients, expected {}: one for each input (the operation \
         is that of {location})",
        grads.len(),
        parents.len(),
    );
    for (i, (parent, grad)) in parents.into_iter().zip(grads).enumerate() {
        let (Some(parent), Some(grad)) = (parent, grad) else { continue };
        let (found, expected) = (grad.array.shape(), &parent.shape);
        assert!(
            found == expected,
            "{name}: backward returned a gradient of shape {found} for input {i}, expected the \
             input's shape {expected} (the operation is that of {location})"
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
    fn a_tensor_used_twice_gets_both_gradients() {
        let x = leaf(&[2.0, 3.0]);
        let y = &x * 2.0;
        (&y * &y + &y).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [18.0, 26.0]); // 8x + 2
    }

    #[test]
    fn operands_in_any_order_are_quick() {
        let n = 20_000;
        let leaves: Vec<_> = (0..n).map(|i| leaf(&[f64::from(i)])).collect();
        let mut parts: Vec<_> = leaves.iter().map(|x| x * 2.0).collect();
        crate::Generator::seed(0).shuffle(&mut parts);
        let all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        (&all * &all).sum().backward();
        let right = |(i, x): (usize, &Tensor<f64>)| x.grad().unwrap().item() == 8.0 * i as f64;
        assert!(leaves.iter().enumerate().all(right));
    }

    #[test]
    fn operations_too_deep_for_the_deque_come_in_order() {
        // Each operation in the middle also feeds the next one: taken too early, it lacks what
        // arrives from there.
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
    fn a_second_pass_names_the_freed_op() {
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
    #[should_panic(expected = "not from a tensor of shape [2]")]
    fn backward_wants_a_single_number() {
        leaf(&[1.0, 2.0]).backward();
    }

    #[test]
    #[should_panic(expected = "not tracked")]
    fn backward_wants_a_tracked_tensor() {
        Tensor::<f32>::ones([1]).backward();
    }

    #[test]
    fn a_given_gradient_is_passed_on() {
        let x = leaf(&[1.0, 2.0]);
        let gradient = Tensor::from_vec(vec![10.0, 100.0], [2]).unwrap();
        (&x * &x).backward_with(&gradient);
        assert_eq!(x.grad().unwrap().to_vec(), [20.0, 400.0]);
    }

    #[test]
    fn threads_lose_no_gradient() {
        let x = leaf(&[1.0; 1000]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..100).for_each(|_| (&x * 3.0).sum().backward()));
            }
        });
        assert_eq!(x.grad().unwrap().to_vec(), vec![2400.0; 1000]);
    }
}

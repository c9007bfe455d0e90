//! Replaying the tape from an output to what it was computed from.

use crate::grad_cell::add_to;
use crate::grad_mode::with_grad;
use crate::node::{Context, Kind, Node, Recorded, lock};
use crate::tensor::Tensor;
use adamant_kernels::Float;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What [`grad`] does besides; nothing by default.
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

    /// Give zeros for an input that the output does not depend on, instead of panicking.
    #[must_use]
    pub fn allow_unused(self, on: bool) -> Self {
        GradOptions { allow_unused: on, ..self }
    }
}

/// The gradients `∂output/∂inputs`, collected nowhere else: no leaf's `.grad` changes.
///
/// One result for each input, of its shape. An input may be a leaf or any
/// tensor on the way.
///
/// PyTorch: `torch.autograd.grad`.
///
/// # Panics
/// If `output` is not a single number or not tracked, if an input is not
/// tracked, or if the output does not depend on one (unless
/// [`allow_unused`](GradOptions::allow_unused)).
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
    output: &Tensor<T>,
    inputs: &[&Tensor<T>],
    options: GradOptions,
) -> Vec<Tensor<T>> {
    let (root, seed) = start("grad", output);
    let mut wanted: BTreeMap<u64, Option<Tensor<T>>> = BTreeMap::new();
    for (i, input) in inputs.iter().enumerate() {
        let node = input.node.as_ref();
        let node = node.unwrap_or_else(|| panic!("grad: input {i} is not tracked"));
        wanted.insert(node.sequence, None);
    }
    let keep = options.retain_graph || options.create_graph;
    replay(root, seed, keep, options.create_graph, Goal::Collect(&mut wanted));
    let collect = |(i, input): (usize, &&Tensor<T>)| {
        let found = input.node.as_ref().and_then(|node| wanted[&node.sequence].clone());
        found.unwrap_or_else(|| {
            assert!(
                options.allow_unused,
                "grad: the output does not depend on input {i}; allow_unused gives zeros for it"
            );
            Tensor::zeros(input.array.shape())
        })
    };
    inputs.iter().enumerate().map(collect).collect()
}

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
        let (root, seed) = start("backward", self);
        replay(root, seed, false, false, Goal::Accumulate);
    }

    /// [`backward`](Tensor::backward) that keeps the graph for another pass.
    ///
    /// PyTorch: `tensor.backward(retain_graph=True)`.
    ///
    /// # Panics
    /// As `backward`.
    #[track_caller]
    pub fn backward_retain_graph(&self) {
        let (root, seed) = start("backward", self);
        replay(root, seed, true, false, Goal::Accumulate);
    }

    /// [`backward`](Tensor::backward) from a tensor of any shape, given the
    /// gradient that arrives at it.
    ///
    /// PyTorch: `tensor.backward(gradient)`.
    ///
    /// # Panics
    /// If this is not tracked, `gradient` has another shape, or the graph has
    /// been freed.
    #[track_caller]
    pub fn backward_with(&self, gradient: &Tensor<T>) {
        let (expected, found) = (self.array.shape(), gradient.array.shape());
        assert_eq!(found, expected, "backward_with: the gradient has the tensor's shape");
        let root = root("backward_with", self);
        replay(root, gradient.detach(), false, false, Goal::Accumulate);
    }
}

#[track_caller]
fn root<T: Float>(what: &str, output: &Tensor<T>) -> Arc<Node<T>> {
    output.node.clone().unwrap_or_else(|| {
        panic!(
            "{what}: the tensor is not tracked: nothing that it was computed from requires a \
             gradient, or it was computed under no_grad"
        )
    })
}

/// The root of a pass from a single number, and the 1 that it starts with.
#[track_caller]
fn start<T: Float>(what: &str, output: &Tensor<T>) -> (Arc<Node<T>>, Tensor<T>) {
    let shape = output.array.shape();
    assert!(
        shape.numel() == 1,
        "{what}: a pass starts from a single number, not from a tensor of shape {shape}; \
         reduce it with sum() or mean(), or give a gradient to backward_with()"
    );
    (root(what, output), Tensor::ones(shape))
}

/// Where gradients go.
enum Goal<'a, T: Float> {
    /// Into the leaves.
    Accumulate,
    /// To those of these nodes (by sequence number) that are reached.
    Collect(&'a mut BTreeMap<u64, Option<Tensor<T>>>),
}

/// The nodes from `root` up that lead to one of the wanted ones, by sequence
/// number: all that a pass for these has to go through.
fn leading_to<T: Float>(
    root: &Arc<Node<T>>,
    wanted: &BTreeMap<u64, Option<Tensor<T>>>,
) -> BTreeSet<u64> {
    let Some((&oldest, _)) = wanted.first_key_value() else { return BTreeSet::new() };
    // A node's parents are older than it: collect by falling number, then mark by rising.
    let mut seen = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(node) = open.pop() {
        if node.sequence < oldest || seen.contains_key(&node.sequence) {
            continue;
        }
        let parents = node.parents();
        let numbers = parents.as_ref().map(|p| p.iter().map(|p| p.sequence).collect::<Vec<_>>());
        seen.insert(node.sequence, numbers);
        open.extend(parents.into_iter().flatten());
    }
    let mut leading = BTreeSet::new();
    for (sequence, parents) in seen {
        // Where a freed operation led is not known: the pass goes there, and says so.
        let leads = parents.is_none_or(|parents| parents.iter().any(|p| leading.contains(p)));
        if leads || wanted.contains_key(&sequence) {
            leading.insert(sequence);
        }
    }
    leading
}

/// Nodes that gradients have reached and what has arrived at each, by falling
/// sequence number. A deque: operations come near its front, leaves near its back.
struct Pending<T: Float>(VecDeque<(Arc<Node<T>>, Tensor<T>)>);

impl<T: Float> Pending<T> {
    fn add(&mut self, node: Arc<Node<T>>, grad: Tensor<T>) {
        match self.0.binary_search_by_key(&Reverse(node.sequence), |(n, _)| Reverse(n.sequence)) {
            Ok(at) => add_to(&mut self.0[at].1, grad),
            Err(at) => self.0.insert(at, (node, grad)),
        }
    }
}

#[track_caller]
fn replay<T: Float>(
    root: Arc<Node<T>>,
    seed: Tensor<T>,
    keep: bool,
    create_graph: bool,
    mut goal: Goal<'_, T>,
) {
    // with_grad takes a closure, which would hide the caller; panics below name the op instead.
    with_grad(create_graph, || {
        let leading = match &goal {
            Goal::Accumulate => None,
            Goal::Collect(wanted) => Some(leading_to(&root, wanted)),
        };
        // Whatever may still add to the highest node has a higher number: it is complete.
        let mut pending = Pending(VecDeque::new());
        pending.add(root, seed);
        while let Some((node, grad)) = pending.0.pop_front() {
            let sequence = node.sequence;
            if let Goal::Collect(wanted) = &mut goal
                && let Some(found) = wanted.get_mut(&sequence)
            {
                *found = Some(grad.clone());
            }
            let name = match &node.kind {
                Kind::Op { name, .. } => name,
                Kind::Leaf(cell) => {
                    if let Goal::Accumulate = goal {
                        cell.accumulate(grad);
                    }
                    continue;
                }
            };
            if let Some(leading) = &leading
                && node.parents().is_some_and(|p| p.iter().all(|p| !leading.contains(&p.sequence)))
            {
                continue; // what lies further up is not asked for, and stays as it is
            }
            let Recorded { mut parents, backward } = node.recorded(keep);
            if let Some(leading) = &leading {
                let asked = |parent: &Arc<Node<T>>| leading.contains(&parent.sequence);
                parents.iter_mut().for_each(|parent| *parent = parent.take().filter(asked));
            }
            let grads = backward(&Context { node: &node, parents: &parents, grad });
            drop(backward); // and with it what the operation saved
            assert_eq!(
                grads.len(),
                parents.len(),
                "{name}: backward gives a gradient for each input"
            );
            for (i, (parent, grad)) in parents.into_iter().zip(grads).enumerate() {
                let (Some(parent), Some(grad)) = (parent, grad) else { continue };
                let (found, expected) = (grad.array.shape(), &parent.shape);
                assert_eq!(
                    found, expected,
                    "{name}: backward gives input {i} a gradient of its shape"
                );
                pending.add(parent, grad);
            }
        }
    });
}

impl<T: Float> Node<T> {
    /// The inputs' nodes; `None` of an operation that has been freed.
    fn parents(&self) -> Option<Vec<Arc<Node<T>>>> {
        match &self.kind {
            Kind::Leaf(_) => Some(Vec::new()),
            Kind::Op { recorded, .. } => {
                let recorded = lock(recorded);
                Some(recorded.as_ref()?.parents.iter().flatten().cloned().collect())
            }
        }
    }

    fn recorded(&self, keep: bool) -> Recorded<T> {
        let Kind::Op { name, location, recorded } = &self.kind else {
            unreachable!("only operations are asked")
        };
        let mut recorded = lock(recorded);
        let found = if keep { recorded.clone() } else { recorded.take() };
        drop(recorded);
        found.unwrap_or_else(|| {
            panic!(
                "backward: the graph of `{name}` ({location}) has been freed by an earlier pass; \
                 to go through it twice, the first pass must retain it"
            )
        })
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

//! Replaying the tape from an output to what it was computed from.

use crate::anomaly;
use crate::grad_mode::Mode;
use crate::node::{Backward, Context, Kind, Node, Recorded, ViewFn, lock};
use crate::ops::narrow::unview;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::Float;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
        replay([seed], Pass::default(), Goal::Accumulate);
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
        replay([seed], Pass { retain_graph: true, ..Pass::default() }, Goal::Accumulate);
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
        replay([(root, gradient.detach())], Pass::default(), Goal::Accumulate);
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

/// What a pass does besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pass {
    /// What the operations saved is kept.
    pub(crate) retain_graph: bool,
    /// The pass itself is recorded.
    pub(crate) create_graph: bool,
}

/// Where gradients go.
enum Goal<'a, T: Float> {
    /// Into the leaves.
    Accumulate,
    Collect(&'a mut Wanted<T>),
}

/// What a pass is to find.
struct Wanted<T: Float> {
    /// What has arrived at the wanted nodes, by sequence number.
    found: BTreeMap<u64, Option<Tensor<T>>>,
    /// Nodes older than this are where the graph ends for this pass.
    since: u64,
    /// All nodes that the pass has to go through.
    leading: BTreeSet<u64>,
}

/// The gradients that arrive at the nodes `wanted` (sequence numbers) from `seeds`;
/// `None` where none does. The pass goes through no node older than `since`.
#[track_caller]
pub(crate) fn collect<T: Float>(
    mut seeds: Vec<Seed<T>>,
    wanted: impl IntoIterator<Item = u64>,
    since: u64,
    pass: Pass,
) -> BTreeMap<u64, Option<Tensor<T>>> {
    let found = wanted.into_iter().map(|sequence| (sequence, None)).collect();
    let mut wanted = Wanted { found, since, leading: BTreeSet::new() };
    wanted.find_leading(&seeds);
    seeds.retain(|(root, _)| wanted.leading.contains(&root.sequence));
    replay(seeds, pass, Goal::Collect(&mut wanted));
    wanted.found
}

impl<T: Float> Wanted<T> {
    /// Whether the graph ends at this node.
    fn is_boundary(&self, node: &Node<T>) -> bool {
        node.sequence < self.since
    }

    /// Finds the nodes from the seeds up that lead to a wanted one.
    fn find_leading(&mut self, seeds: &[Seed<T>]) {
        let Some((&oldest, _)) = self.found.first_key_value() else { return };
        // A node's parents are older than it: collect by falling number, then mark by rising.
        let mut seen = BTreeMap::new();
        let mut open: Vec<_> = seeds.iter().map(|(root, _)| root.clone()).collect();
        while let Some(node) = open.pop() {
            if node.sequence < oldest || seen.contains_key(&node.sequence) {
                continue;
            }
            let parents = if self.is_boundary(&node) { Some(Vec::new()) } else { node.parents() };
            let numbers =
                parents.as_ref().map(|p| p.iter().map(|p| p.sequence).collect::<Vec<_>>());
            seen.insert(node.sequence, numbers);
            open.extend(parents.into_iter().flatten());
        }
        for (sequence, parents) in seen {
            // Where a freed operation led is not known: the pass goes there, and says so.
            let leads =
                parents.is_none_or(|parents| parents.iter().any(|p| self.leading.contains(p)));
            if leads || self.found.contains_key(&sequence) {
                self.leading.insert(sequence);
            }
        }
    }
}

/// Nodes that gradients have reached and what has arrived at each, to be taken by falling
/// sequence number.
struct Pending<T: Float> {
    /// By falling number. Nearly all are put near an end of it: operations near its front,
    /// leaves near its back.
    near: VecDeque<Seed<T>>,
    /// What would have gone too deep into the deque.
    far: BTreeMap<u64, Seed<T>>,
}

/// A gradient on its way to a node.
enum Arriving<'a, T: Float> {
    Whole(Tensor<T>),
    /// That of what a view shows of the node's tensor.
    Part(&'a Tensor<T>, &'a Arc<ViewFn<T>>),
}

impl<T: Float> Arriving<'_, T> {
    fn whole(self, shape: &Shape) -> Tensor<T> {
        match self {
            Arriving::Whole(grad) => grad,
            Arriving::Part(grad, see) => unview(grad, shape, see),
        }
    }

    fn add_to(self, sum: &mut Tensor<T>) {
        let (grad, see) = match self {
            Arriving::Whole(grad) => return add_to(sum, grad),
            Arriving::Part(grad, see) => (grad, see),
        };
        let shape = sum.array.shape().clone();
        let to_record = crate::is_grad_enabled() && (sum.is_tracked() || grad.is_tracked());
        match sum.array.get_mut() {
            Some(numbers) if !to_record => grad.array.add_to_places(numbers, &shape, &**see),
            _ => add_to(sum, unview(grad, &shape, see)),
        }
    }
}

/// Adds a gradient to another: recorded in a pass that is, else in place where it can be.
fn add_to<T: Float>(sum: &mut Tensor<T>, grad: Tensor<T>) {
    if crate::is_grad_enabled() && (sum.is_tracked() || grad.is_tracked()) {
        *sum = &*sum + grad;
    } else {
        sum.node = None;
        sum.array.add_assign(grad.array);
    }
}

/// How many entries a deque may move to make room.
const REACH: usize = 64;

impl<T: Float> Pending<T> {
    fn new() -> Self {
        Pending { near: VecDeque::new(), far: BTreeMap::new() }
    }

    fn add(&mut self, node: Arc<Node<T>>, grad: Arriving<'_, T>) {
        let place =
            self.near.binary_search_by_key(&Reverse(node.sequence), |(n, _)| Reverse(n.sequence));
        match place {
            Ok(at) => grad.add_to(&mut self.near[at].1),
            Err(at) => match self.far.get_mut(&node.sequence) {
                Some((_, sum)) => grad.add_to(sum),
                None => {
                    let grad = grad.whole(&node.shape);
                    if at.min(self.near.len() - at) <= REACH {
                        self.near.insert(at, (node, grad));
                    } else {
                        self.far.insert(node.sequence, (node, grad));
                    }
                }
            },
        }
    }

    fn pop(&mut self) -> Option<Seed<T>> {
        let near = self.near.front().map(|(node, _)| node.sequence);
        match self.far.last_entry() {
            Some(far) if near.is_none_or(|near| *far.key() > near) => Some(far.remove()),
            _ => self.near.pop_front(),
        }
    }
}

#[track_caller]
fn replay<T: Float>(seeds: impl IntoIterator<Item = Seed<T>>, pass: Pass, mut goal: Goal<'_, T>) {
    let mode = Mode { record: pass.create_graph, in_backward: true, ..Mode::now() };
    let _guard = mode.enter();
    let keep = pass.retain_graph || pass.create_graph;
    let mut pending = Pending::new();
    for (root, seed) in seeds {
        pending.add(root, Arriving::Whole(seed));
    }
    // Whatever may still add to the highest node has a higher number: it is complete.
    while let Some((node, mut grad)) = pending.pop() {
        let sequence = node.sequence;
        let boundary = matches!(&goal, Goal::Collect(wanted) if wanted.is_boundary(&node));
        if !boundary {
            grad = node.hooks.run(grad);
        }
        if let Goal::Collect(wanted) = &mut goal
            && let Some(found) = wanted.found.get_mut(&sequence)
        {
            *found = Some(if pass.create_graph { grad.clone() } else { grad.detach() });
        }
        let (name, location) = match &node.kind {
            _ if boundary => continue,
            Kind::Op { name, location, .. } => (*name, *location),
            Kind::Leaf(cell) => {
                if let Goal::Accumulate = goal {
                    cell.accumulate(grad.array);
                }
                continue;
            }
        };
        let leading = match &goal {
            Goal::Accumulate => None,
            Goal::Collect(wanted) => Some(&wanted.leading),
        };
        if let Some(leading) = leading
            && node.parents().is_some_and(|p| p.iter().all(|p| !leading.contains(&p.sequence)))
        {
            continue; // what lies further up is not asked for, and stays as it is
        }
        let Recorded { mut parents, backward } = node.recorded(keep);
        if let Some(leading) = leading {
            let asked = |parent: &Arc<Node<T>>| leading.contains(&parent.sequence);
            parents.iter_mut().for_each(|parent| *parent = parent.take().filter(asked));
        }
        let backward = match backward {
            Backward::Formula(backward) => backward,
            Backward::View(see) => {
                if let Some(parent) = parents.pop().flatten() {
                    pending.add(parent, Arriving::Part(&grad, &see));
                }
                continue;
            }
        };
        let context = Context { node: &node, parents: &parents, grad };
        let grads = backward(&context);
        if mode.detect_anomaly {
            anomaly::check_gradients(name, location, &context.grad, &grads);
        }
        drop(context);
        drop(backward); // and with it what the operation saved
        assert!(
            grads.len() == parents.len(),
            "{name}: backward gives a gradient for each input: {} of them, not {} (the operation \
             is that of {location})",
            parents.len(),
            grads.len(),
        );
        for (i, (parent, grad)) in parents.into_iter().zip(grads).enumerate() {
            let (Some(parent), Some(grad)) = (parent, grad) else { continue };
            let (found, expected) = (grad.array.shape(), &parent.shape);
            assert!(
                found == expected,
                "{name}: backward gives input {i} a gradient of its shape: {expected}, not {found} \
                 (the operation is that of {location})"
            );
            pending.add(parent, Arriving::Whole(grad));
        }
    }
}

impl<T: Float> Node<T> {
    /// The inputs' nodes; `None` of an operation that has been freed.
    pub(crate) fn parents(&self) -> Option<Vec<Arc<Node<T>>>> {
        match &self.kind {
            Kind::Leaf(_) => Some(Vec::new()),
            Kind::Op { recorded, .. } => {
                let recorded = lock(recorded);
                Some(recorded.as_ref()?.parents.iter().flatten().cloned().collect())
            }
        }
    }

    #[track_caller]
    fn recorded(&self, keep: bool) -> Recorded<T> {
        let Kind::Op { name, location, recorded } = &self.kind else {
            unreachable!("only operations are asked")
        };
        let mut recorded = lock(recorded);
        let found = if keep { recorded.clone() } else { recorded.take() };
        drop(recorded);
        let Some(found) = found else {
            panic!(
                "backward: the graph of `{name}` ({location}) has been freed by an earlier pass; \
                 to go through it twice, the first pass must retain it"
            )
        };
        found
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

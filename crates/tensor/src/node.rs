//! The tape: a graph of nodes that record how tensors were computed.
//!
//! There is no tape object. A tensor holds its node, and a node holds its parents, the nodes of the
//! operation's inputs. So a graph lives exactly as long as something needs it.
//!
//! Nodes are numbered in the order of their creation. A node is created after its parents, so
//! descending sequence numbers are a topological order for the backward pass.

use crate::anomaly;
use crate::array::Array;
use crate::grad_cell::GradCell;
use crate::grad_mode::Mode;
use crate::hooks::HookList;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;
use std::any::Any;
use std::cell::RefCell;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A leaf, which accumulates a gradient, or a recorded operation.
pub(crate) struct Node<T: Float> {
    /// Higher than the numbers of all older nodes.
    pub(crate) sequence: u64,
    /// The shape of the tensor, and of its gradient.
    pub(crate) shape: Shape,
    pub(crate) kind: Kind<T>,
    pub(crate) hooks: HookList<T>,
}

pub(crate) enum Kind<T: Float> {
    Leaf(GradCell<T>),
    Operation(Operation<T>),
}

pub(crate) struct Operation<T: Float> {
    pub(crate) name: &'static str,
    /// The line of the user's program that called the operation.
    pub(crate) location: &'static Location<'static>,
    /// `None` once a backward pass has freed it.
    recorded: Mutex<Option<Recorded<T>>>,
}

/// What an operation records for the backward pass.
#[derive(Clone)]
pub(crate) struct Recorded<T: Float> {
    /// The nodes of the inputs; `None` for an untracked input.
    pub(crate) parents: Parents<T>,
    pub(crate) backward: Backward<T>,
}

/// How to compute the gradients of an operation's inputs from the gradient of its output.
#[derive(Clone)]
pub(crate) enum Backward<T: Float> {
    /// A function that returns a gradient for each input.
    Formula(Arc<BackwardFn<T>>),
    /// The output is a view of the only input. The layout gives the positions of the output's
    /// elements among the row-major elements of the input. The pass adds the output's gradient to
    /// the input's at these positions, so a view does not allocate a gradient of the input's size.
    View(Box<Layout>),
}

pub(crate) type Parents<T> = SmallVec<[Option<Arc<Node<T>>>; 2]>;
pub(crate) type Gradients<T> = SmallVec<[Option<Tensor<T>>; 2]>;
type BackwardFn<T> = dyn Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The sequence number of the next node. All existing nodes have lower numbers.
pub(crate) fn next_sequence() -> u64 {
    SEQUENCE.load(Ordering::Relaxed)
}

pub(crate) fn live_nodes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Locks a mutex and ignores poisoning, for values that a panic cannot leave half-written.
pub(crate) fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Float> Node<T> {
    fn new(shape: Shape, kind: Kind<T>) -> Arc<Self> {
        LIVE.fetch_add(1, Ordering::Relaxed);
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        Arc::new(Node { sequence, shape, kind, hooks: HookList::default() })
    }

    pub(crate) fn leaf(shape: Shape) -> Arc<Self> {
        Node::new(shape, Kind::Leaf(GradCell::empty()))
    }

    /// The cell of a leaf's gradient; `None` if this is not a leaf.
    pub(crate) fn grad_cell(&self) -> Option<&GradCell<T>> {
        match &self.kind {
            Kind::Leaf(cell) => Some(cell),
            Kind::Operation(_) => None,
        }
    }

    /// The nodes of the tracked inputs; `None` if a backward pass has freed the operation.
    pub(crate) fn parents(&self) -> Option<Vec<Arc<Node<T>>>> {
        match &self.kind {
            Kind::Leaf(_) => Some(Vec::new()),
            Kind::Operation(operation) => {
                let recorded = lock(&operation.recorded);
                Some(recorded.as_ref()?.parents.iter().flatten().cloned().collect())
            }
        }
    }

    /// Takes what the operation recorded, if anything is left, to drop it.
    fn take_recorded(&mut self) -> Option<Recorded<T>> {
        match &mut self.kind {
            Kind::Leaf(_) => None,
            Kind::Operation(Operation { recorded, .. }) => {
                recorded.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            }
        }
    }
}

impl<T: Float> Operation<T> {
    /// Takes what was recorded, or clones it if the graph is retained.
    ///
    /// # Panics
    /// If an earlier pass has freed it.
    #[track_caller]
    pub(crate) fn recorded(&self, retain_graph: bool) -> Recorded<T> {
        let mut recorded = lock(&self.recorded);
        let found = if retain_graph { recorded.clone() } else { recorded.take() };
        drop(recorded);
        let Operation { name, location, .. } = self;
        let Some(found) = found else {
            panic!(
                "backward: the graph of `{name}` ({location}) has been freed by an earlier pass; \
                 for a second pass, the first must retain the graph"
            )
        };
        found
    }
}

thread_local! {
    /// `Some` while this thread drops a node. It queues the contents of nodes whose drop begins
    /// meanwhile: those reached through captured values, not through parents.
    static DROPPING: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

impl<T: Float> Drop for Node<T> {
    /// Drops the ancestors iteratively, so that a chain of any length fits any stack.
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let recorded = self.take_recorded();
        let hooks = self.hooks.take(); // like backward functions, hooks may hold further nodes
        if recorded.is_none() && hooks.is_none() {
            return;
        }
        /// Removes the queue when the outermost drop ends, even by a panic.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                let _ = DROPPING.try_with(RefCell::take);
            }
        }
        let outermost = DROPPING.try_with(|queue| {
            let mut queue = queue.borrow_mut();
            let outermost = queue.is_none();
            queue.get_or_insert_default();
            outermost
        });
        match outermost {
            Ok(true) => {
                let _end = End;
                if let Some(recorded) = recorded {
                    drop_ancestors(recorded);
                }
                drop(hooks);
                let next = || DROPPING.try_with(|queue| queue.borrow_mut().as_mut()?.pop());
                while let Ok(Some(later)) = next() {
                    drop(later);
                }
            }
            Ok(false) => {
                let later: Box<dyn Any> = Box::new((recorded, hooks));
                let _ = DROPPING
                    .try_with(|queue| queue.borrow_mut().get_or_insert_default().push(later));
            }
            Err(_) => {
                // The thread is exiting, and its queue is gone.
                if let Some(recorded) = recorded {
                    drop_ancestors(recorded);
                }
            }
        }
    }
}

/// Drops what a node recorded, and all ancestors that nothing else holds.
fn drop_ancestors<T: Float>(recorded: Recorded<T>) {
    let mut orphans: SmallVec<[Arc<Node<T>>; 8]> = SmallVec::new();
    let mut recorded = Some(recorded);
    loop {
        if let Some(Recorded { parents, backward }) = recorded {
            // The parents first: `backward` may hold the same nodes, and must not drop the last
            // handle to one, which would recurse.
            orphans.extend(parents.into_iter().flatten());
            drop(backward);
        }
        let Some(node) = orphans.pop() else { return };
        recorded = Arc::into_inner(node).and_then(|mut node| node.take_recorded());
    }
}

/// The argument of a backward function.
pub(crate) struct Context<'a, T: Float> {
    pub(crate) node: &'a Arc<Node<T>>,
    pub(crate) op: &'static str,
    pub(crate) parents: &'a Parents<T>,
    pub(crate) grad: Tensor<T>,
}

impl<T: Float> Context<'_, T> {
    /// The gradient of the operation's output.
    pub(crate) fn grad(&self) -> &Tensor<T> {
        &self.grad
    }

    /// The name of the operation.
    pub(crate) fn op(&self) -> &'static str {
        self.op
    }

    /// Whether the gradient of input `i` is needed.
    pub(crate) fn needs(&self, i: usize) -> bool {
        self.parents[i].is_some()
    }

    /// The gradient of input `i`, which the operation may have broadcast: `gradient()`, which has
    /// the broadcast shape, summed to the input's shape. `None` if it is not needed.
    #[track_caller]
    pub(crate) fn broadcast_back(
        &self,
        i: usize,
        gradient: impl FnOnce() -> Tensor<T>,
    ) -> Option<Tensor<T>> {
        self.parents[i].as_ref().map(|input| gradient().sum_to(&input.shape))
    }

    /// The operation's output, from its saved array. (Saving the tensor would be a reference
    /// cycle: it holds the node.)
    pub(crate) fn output(&self, saved: &Array<T>) -> Tensor<T> {
        Tensor { array: saved.clone(), node: Some(self.node.clone()) }
    }

    /// The gradient of an elementwise operation's input, from the output's gradient and `x`, which
    /// is the input or the output. A recorded pass uses `in_operations`, which can be
    /// differentiated again; any other pass uses `in_one_loop`, the same formula.
    #[track_caller]
    pub(crate) fn chain(
        &self,
        x: &Tensor<T>,
        in_one_loop: impl Fn(T, T) -> T + Sync,
        in_operations: impl FnOnce(&Tensor<T>, &Tensor<T>) -> Tensor<T>,
    ) -> Tensor<T> {
        if crate::is_grad_enabled() {
            in_operations(&self.grad, x)
        } else {
            self.grad.array.zip(self.op(), &x.array, x.array.shape().clone(), in_one_loop).into()
        }
    }
}

/// The result of an operation, recorded if recording is on and an input is tracked.
///
/// `backward` returns a gradient for each input, `None` where [`Context::needs`] is false. It is
/// written in tensor operations, so that it can be differentiated again. What it captures are the
/// operation's saved values.
#[track_caller]
pub(crate) fn record<T: Float, const N: usize>(
    name: &'static str,
    inputs: [&Tensor<T>; N],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> [Option<Tensor<T>>; N] + Send + Sync + 'static,
) -> Tensor<T> {
    record_many(name, &inputs, value, move |context| {
        let mut gradients = Gradients::new();
        // Faster than `collect`.
        backward(context).into_iter().for_each(|gradient| gradients.push(gradient));
        gradients
    })
}

/// [`record`] for any number of inputs.
#[track_caller]
pub(crate) fn record_many<T: Float>(
    name: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync + 'static,
) -> Tensor<T> {
    record_if_tracked(name, inputs, value, || Backward::Formula(Arc::new(backward)))
}

/// A view of `x`, where `view` maps the layout of an array to the layout of its view.
///
/// The value uses the layout of `x`'s array; the backward pass uses a contiguous layout of the same
/// shape, since it adds to a contiguous gradient.
#[track_caller]
pub(crate) fn record_view<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    view: impl Fn(&Layout) -> Layout,
) -> Tensor<T> {
    let value = x.array.with_layout(view(x.array.layout()));
    record_if_tracked(name, &[x], value, || {
        Backward::View(Box::new(view(&Layout::contiguous(x.array.shape().clone()))))
    })
}

/// The view of `x` whose elements are at the positions of `layout` among the row-major elements of
/// `x`.
#[track_caller]
fn as_strided<T: Float>(x: &Tensor<T>, layout: &Layout) -> Tensor<T> {
    let value = x.array.contiguous("as_strided").with_layout(layout.clone());
    record_if_tracked("as_strided", &[x], value, || Backward::View(Box::new(layout.clone())))
}

/// The gradient of a view's input: zeros of the input's `shape`, with `grad`, the gradient of the
/// view, added at the positions of `layout`.
#[track_caller]
pub(crate) fn view_gradient<T: Float>(
    grad: &Tensor<T>,
    shape: &Shape,
    layout: &Layout,
) -> Tensor<T> {
    let (value, layout) = (grad.array.scatter(shape, layout), layout.clone());
    record("view_gradient", [grad], value, move |ctx| [Some(as_strided(ctx.grad(), &layout))])
}

#[track_caller]
fn record_if_tracked<T: Float>(
    name: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl FnOnce() -> Backward<T>,
) -> Tensor<T> {
    let mode = Mode::now();
    if mode.detect_anomaly && !mode.in_backward {
        anomaly::check_value(name, inputs, &value);
    }
    if !mode.record || inputs.iter().all(|input| input.node.is_none()) {
        return Tensor { array: value, node: None };
    }
    let mut parents = Parents::new();
    inputs.iter().for_each(|input| parents.push(input.node.clone())); // faster than collect
    record_node(name, parents, value, backward())
}

/// The result of an operation with these parents: `value` with a new node.
#[track_caller]
pub(crate) fn record_node<T: Float>(
    name: &'static str,
    parents: Parents<T>,
    value: Array<T>,
    backward: Backward<T>,
) -> Tensor<T> {
    let recorded = Recorded { parents, backward };
    let recorded = Mutex::new(Some(recorded));
    let operation = Operation { name, location: Location::caller(), recorded };
    let node = Node::new(value.shape().clone(), Kind::Operation(operation));
    Tensor { array: value, node: Some(node) }
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, grad_mode::no_grad};

    #[test]
    fn a_long_chain_fits_a_small_stack() {
        let chain = || {
            let x = Tensor::from_vec(vec![1.0f64], [1]).unwrap().requires_grad();
            let mut y = x.clone();
            for _ in 0..200_000 {
                y = &y + 1.0;
            }
            let mut unused = x.clone();
            for _ in 0..200_000 {
                unused = &unused * &x; // saves its inputs
            }
            drop(unused);
            let mut hidden = x.clone();
            for _ in 0..200_000 {
                let captured = hidden.clone(); // tracked, but not an input
                hidden = Tensor::custom("hidden", &[&x], x.detach(), move |g| {
                    vec![Some(g * captured.detach())]
                });
            }
            drop(hidden);
            let mut hooked = x.clone();
            for _ in 0..200_000 {
                let captured = hooked.clone();
                hooked = &x + 1.0;
                hooked.register_hook(move |g| captured.is_tracked().then(|| g.clone()));
            }
            drop(hooked);
            y.sum().backward();
            x.grad().unwrap().item()
        };
        let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(chain).unwrap();
        assert_eq!(thread.join().unwrap(), 1.0);
    }

    #[test]
    fn untracked_inputs_record_nothing() {
        let x = Tensor::from_vec(vec![1.0f32], [1]).unwrap();
        assert!(!(&x * &x).is_tracked());
        let x = x.requires_grad();
        assert!(!no_grad(|| &x * &x).is_tracked());
        assert!((&x * &x).is_tracked());
    }
}

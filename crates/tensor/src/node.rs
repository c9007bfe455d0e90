//! The tape: what was computed from what.
//!
//! There is no tape object. A node belongs to the tensors computed by it and
//! holds its parents, so a graph lives exactly as long as something needs it.
//! Sequence numbers grow with time and a node is made after its parents: to
//! visit nodes from the highest number down is to visit them in order.

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

/// A leaf that collects a gradient, or one recorded operation.
pub(crate) struct Node<T: Float> {
    pub(crate) sequence: u64,
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
    /// The user's line.
    pub(crate) location: &'static Location<'static>,
    /// `None` once a backward pass has used and freed it.
    recorded: Mutex<Option<Recorded<T>>>,
}

/// An operation's part of the graph.
#[derive(Clone)]
pub(crate) struct Recorded<T: Float> {
    /// The nodes of the inputs; `None` for an input that does not require a gradient.
    pub(crate) parents: Parents<T>,
    pub(crate) backward: Backward<T>,
}

/// How the gradients of an operation's inputs follow from that of its output.
#[derive(Clone)]
pub(crate) enum Backward<T: Float> {
    Formula(Arc<BackwardFn<T>>),
    /// The output is the only input under this layout over its row-major elements. Its gradient is
    /// added to the input's at these positions: no view allocates a gradient as large as its input.
    View(Box<Layout>),
}

pub(crate) type Parents<T> = SmallVec<[Option<Arc<Node<T>>>; 2]>;
pub(crate) type Gradients<T> = SmallVec<[Option<Tensor<T>>; 2]>;
type BackwardFn<T> = dyn Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync;

static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The number of the next node: nodes that exist have lower numbers.
pub(crate) fn next_sequence() -> u64 {
    SEQUENCE.load(Ordering::Relaxed)
}

pub(crate) fn live_nodes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Locks a mutex that is only held to move a value in or out, which cannot panic.
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

    /// The gradient of a leaf; `None` if this is not a leaf.
    pub(crate) fn grad_cell(&self) -> Option<&GradCell<T>> {
        match &self.kind {
            Kind::Leaf(cell) => Some(cell),
            Kind::Operation(_) => None,
        }
    }

    /// The nodes of the inputs that require a gradient; `None` if a backward pass has freed the
    /// operation.
    pub(crate) fn parents(&self) -> Option<Vec<Arc<Node<T>>>> {
        match &self.kind {
            Kind::Leaf(_) => Some(Vec::new()),
            Kind::Operation(operation) => {
                let recorded = lock(&operation.recorded);
                Some(recorded.as_ref()?.parents.iter().flatten().cloned().collect())
            }
        }
    }

    /// Takes what the operation recorded, for a drop.
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
    /// What was recorded, which stays there if the graph is retained.
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
                 to go through it twice, the first pass must retain it"
            )
        };
        found
    }
}

thread_local! {
    /// While a node is being dropped on this thread: what further nodes held,
    /// that were reached through a user's captures and not through parents.
    static DROPPING: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

impl<T: Float> Drop for Node<T> {
    /// Drops the graph above iteratively: a chain of any length fits any stack.
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let recorded = self.take_recorded();
        let hooks = self.hooks.take(); // they may hold further nodes, as a backward may
        if recorded.is_none() && hooks.is_none() {
            return;
        }
        /// Ends the outermost drop, by a panic of something captured too.
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
                // The thread is ending.
                if let Some(recorded) = recorded {
                    drop_ancestors(recorded);
                }
            }
        }
    }
}

/// The usual way up, over parents, without a queue of boxes.
fn drop_ancestors<T: Float>(recorded: Recorded<T>) {
    let mut orphans: SmallVec<[Arc<Node<T>>; 8]> = SmallVec::new();
    let mut recorded = Some(recorded);
    loop {
        if let Some(Recorded { parents, backward }) = recorded {
            // The parents first: what the backward saved then holds no last handle to them.
            orphans.extend(parents.into_iter().flatten());
            drop(backward);
        }
        let Some(node) = orphans.pop() else { return };
        recorded = Arc::into_inner(node).and_then(|mut node| node.take_recorded());
    }
}

/// What a backward function is given.
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

    /// Whether input `i` wants a gradient.
    pub(crate) fn needs(&self, i: usize) -> bool {
        self.parents[i].is_some()
    }

    /// For an input that was broadcast: its gradient, from that of the broadcast
    /// input; `None` if it wants none.
    #[track_caller]
    pub(crate) fn broadcast_back(
        &self,
        i: usize,
        gradient: impl FnOnce() -> Tensor<T>,
    ) -> Option<Tensor<T>> {
        self.parents[i].as_ref().map(|input| gradient().sum_to(&input.shape))
    }

    /// The operation's output, from its saved array. (To save the tensor itself
    /// would make the node hold itself.)
    pub(crate) fn output(&self, saved: &Array<T>) -> Tensor<T> {
        Tensor { array: saved.clone(), node: Some(self.node.clone()) }
    }

    /// A gradient from that of the output and `x`, which is the input or the output:
    /// in one loop, or where it is to be differentiated again in tensor operations.
    /// The two are the same formula.
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

/// The result of an operation: recorded if gradients are on and an input is tracked.
///
/// `backward` gives a gradient for each input, `None` where the context needs
/// none. It is written in tensor operations, so that it can be differentiated
/// in its turn; what it captures is what the operation saves.
#[track_caller]
pub(crate) fn record<T: Float, const N: usize>(
    name: &'static str,
    inputs: [&Tensor<T>; N],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> [Option<Tensor<T>>; N] + Send + Sync + 'static,
) -> Tensor<T> {
    record_many(name, &inputs, value, move |context| {
        let mut gradients = Gradients::new();
        backward(context).into_iter().for_each(|gradient| gradients.push(gradient)); // quicker than to collect
        gradients
    })
}

/// [`record`] for a number of inputs that is not known in advance.
#[track_caller]
pub(crate) fn record_many<T: Float>(
    name: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync + 'static,
) -> Tensor<T> {
    record_if_tracked(name, inputs, value, || Backward::Formula(Arc::new(backward)))
}

/// A view of `x`: `view` maps the layout of an array to that of the view.
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

/// The view of `x` that has `layout` over its row-major elements.
#[track_caller]
fn as_strided<T: Float>(x: &Tensor<T>, layout: &Layout) -> Tensor<T> {
    let value = x.array.contiguous("as_strided").with_layout(layout.clone());
    record_if_tracked("as_strided", &[x], value, || Backward::View(Box::new(layout.clone())))
}

/// The gradient of a view with this layout over a tensor of `shape`: zeros with `grad` added at the
/// positions of the layout.
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
    inputs.iter().for_each(|input| parents.push(input.node.clone())); // quicker than to collect
    record_node(name, parents, value, backward())
}

/// The result of an operation on what these nodes stand for.
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
                unused = &unused * &x; // saves its inputs, and is dropped unused
            }
            drop(unused);
            let mut hidden = x.clone();
            for _ in 0..200_000 {
                let captured = hidden.clone(); // tracked, and no input
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

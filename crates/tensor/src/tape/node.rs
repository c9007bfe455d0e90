//! The tape: a graph of nodes that record how tensors were computed.
//!
//! There is no tape object. A tensor holds its node, and a node holds its parents, the nodes of the
//! operation's inputs. So a graph lives exactly as long as something needs it.
//!
//! Nodes are numbered in the order of their creation. A node is created after its parents, so
//! descending sequence numbers are a topological order for the backward pass.

use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use crate::tape::grad_cell::GradCell;
use crate::tape::hooks::HookList;
use crate::tape::record::Context;
use crate::tape::tensor::Tensor;
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

    pub(crate) fn operation(
        shape: Shape,
        name: &'static str,
        location: &'static Location<'static>,
        recorded: Recorded<T>,
    ) -> Arc<Self> {
        let recorded = Mutex::new(Some(recorded));
        Node::new(shape, Kind::Operation(Operation { name, location, recorded }))
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

#[cfg(test)]
mod tests {
    use crate::{Tensor, no_grad};

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

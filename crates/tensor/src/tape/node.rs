//! The tape: a graph of nodes that record how tensors were computed.
//!
//! There is no tape object. A tensor holds its node, and a node holds its parents, the nodes of the
//! operation's inputs. So a graph lives exactly as long as something needs it.
//!
//! Nodes are numbered in the order of their creation. A node is created after its parents, so
//! descending sequence numbers are a topological order for the backward pass.

use crate::arrays::shape::Shape;
use crate::tape::context::Context;
use crate::tape::grad_cell::GradCell;
use crate::tape::hooks::{HookList, Hooks};
use crate::tape::positions::Positions;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;
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
pub(crate) enum Recorded<T: Float> {
    /// `backward` returns a gradient for each input, from the gradient of the output.
    Formula {
        /// The nodes of the inputs; `None` for an untracked input.
        parents: Parents<T>,
        backward: Arc<BackwardFn<T>>,
    },
    /// The output consists of elements of the only input. The pass adds the output's gradient to the
    /// input's at their positions, so it need not allocate a gradient of the input's size.
    Selection { parent: Arc<Node<T>>, positions: Box<Positions> },
}

pub(crate) type Parents<T> = SmallVec<[Option<Arc<Node<T>>>; 2]>;
pub(crate) type Gradients<T> = SmallVec<[Option<Tensor<T>>; 2]>;
type BackwardFn<T> = dyn Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync;

/// What a backward pass does with the graph that it visits.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Graph {
    /// Takes what operations recorded, so the graph is freed as the pass goes.
    Free,
    /// Clones what operations recorded, so the graph stays for another pass.
    Retain,
    /// Retains the graph and is itself recorded, so its results can be differentiated.
    Record,
}

/// `Relaxed`: all changes of one atomic have one order, and a parent reaches its child's thread by
/// synchronization, so the child's number is higher.
static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The sequence number of the next node. All existing nodes have lower numbers.
pub(crate) fn next_sequence() -> u64 {
    SEQUENCE.load(Ordering::Relaxed)
}

pub(crate) fn live_nodes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Locks a mutex and ignores poisoning: the values in these mutexes are valid after a panic too.
/// (A panic in `change_grad` leaves some elements changed, as its documentation says.)
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
            Kind::Operation(operation) => Some(match lock(&operation.recorded).as_ref()? {
                Recorded::Formula { parents, .. } => parents.iter().flatten().cloned().collect(),
                Recorded::Selection { parent, .. } => vec![parent.clone()],
            }),
        }
    }

    /// Takes out what may hold other nodes, if there is anything left.
    #[inline]
    fn take_contents(&mut self) -> Option<Contents<T>> {
        let recorded = match &mut self.kind {
            Kind::Leaf(_) => None,
            Kind::Operation(Operation { recorded, .. }) => {
                recorded.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            }
        };
        let hooks = self.hooks.take();
        if recorded.is_none() && hooks.is_none() {
            return None;
        }
        Some(Contents { recorded, hooks })
    }
}

impl<T: Float> Operation<T> {
    /// Takes what was recorded, or clones it if the graph stays.
    ///
    /// # Panics
    /// If an earlier pass has freed it.
    #[track_caller]
    pub(crate) fn take_or_clone(&self, graph: Graph) -> Recorded<T> {
        let mut recorded = lock(&self.recorded);
        let found = match graph {
            Graph::Free => recorded.take(),
            Graph::Retain | Graph::Record => recorded.clone(),
        };
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

/// What a node holds that may hold other nodes.
struct Contents<T: Float> {
    recorded: Option<Recorded<T>>,
    hooks: Option<Box<Hooks<T>>>,
}

impl<T: Float> Contents<T> {
    /// Drops the contents of a node and of all its ancestors that nothing else holds.
    fn dismantle(self) {
        let mut orphans: SmallVec<[Arc<Node<T>>; 8]> = SmallVec::new();
        let Contents { mut recorded, mut hooks } = self;
        loop {
            // The parents first: the backward function and hooks may hold the same nodes, and must
            // not drop the last handle to one.
            match recorded {
                Some(Recorded::Formula { parents, backward }) => {
                    orphans.extend(parents.into_iter().flatten());
                    drop(backward);
                }
                Some(Recorded::Selection { parent, .. }) => orphans.push(parent),
                None => {}
            }
            drop(hooks);
            Contents { recorded, hooks } = loop {
                let Some(node) = orphans.pop() else { return };
                if let Some(mut orphan) = Arc::into_inner(node)
                    && let Some(contents) = orphan.take_contents()
                {
                    break contents;
                }
            };
        }
    }
}

/// Calls of [`Contents::dismantle`]: as functions, since nodes have two element types.
type Queue = Vec<Box<dyn FnOnce()>>;

thread_local! {
    /// The queue of the outermost node drop on this thread; `None` outside of one. A nested drop
    /// leaves its contents here instead of recursing.
    static DROPPING: RefCell<Option<Queue>> = const { RefCell::new(None) };
}

impl<T: Float> Drop for Node<T> {
    /// Drops the ancestors iteratively, so that a chain of any length fits any stack.
    ///
    /// Parents need no queue: `dismantle` owns them. The queue is for nodes in captured values of
    /// backward functions and hooks, whose `drop` is called by the compiler's glue.
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let Some(contents) = self.take_contents() else { return };
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
                contents.dismantle();
                let next = || DROPPING.try_with(|queue| queue.borrow_mut().as_mut()?.pop());
                while let Ok(Some(dismantle)) = next() {
                    dismantle();
                }
            }
            Ok(false) => {
                let later = Box::new(|| contents.dismantle());
                let _ = DROPPING
                    .try_with(|queue| queue.borrow_mut().get_or_insert_default().push(later));
            }
            // The thread is exiting, and its queue is gone.
            Err(_) => contents.dismantle(),
        }
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

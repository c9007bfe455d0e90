//! Hooks: users' functions that are called with a tensor's gradient.

use crate::tape::node::{Node, lock};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

type Hook<T> = dyn Fn(&Tensor<T>) -> Option<Tensor<T>> + Send + Sync;
pub(crate) type Hooks<T> = Mutex<Vec<(u64, Arc<Hook<T>>)>>;

/// A node's hooks. Nearly all nodes have none; these hold an empty `OnceLock`, of two words.
pub(crate) struct HookList<T: Float>(OnceLock<Box<Hooks<T>>>);

impl<T: Float> Default for HookList<T> {
    #[inline]
    fn default() -> Self {
        HookList(OnceLock::new())
    }
}

impl<T: Float> HookList<T> {
    /// Runs the hooks in the order of registration on a gradient, which they may replace. Returns
    /// whether there are any.
    #[track_caller]
    #[inline]
    pub(crate) fn run(&self, grad: &mut Tensor<T>) -> bool {
        match self.0.get() {
            Some(hooks) => {
                run(hooks, grad);
                true
            }
            None => false,
        }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Option<Box<Hooks<T>>> {
        self.0.take()
    }
}

#[track_caller]
#[cold]
fn run<T: Float>(hooks: &Hooks<T>, grad: &mut Tensor<T>) {
    // Clones the list rather than holding the lock: a hook may be slow, panic, or register and
    // remove hooks.
    let hooks = lock(hooks).clone();
    for (_, hook) in hooks {
        let Some(changed) = hook(grad) else { continue };
        let (found, expected) = (changed.array.shape(), grad.array.shape());
        assert!(
            found == expected,
            "register_hook: the hook returned a gradient of shape {found}; expected the tensor's \
             shape {expected}"
        );
        *grad = changed;
    }
}

impl<T: Float> Tensor<T> {
    /// Registers a function that every backward pass calls with the complete gradient of this
    /// tensor. If it returns `Some`, that replaces the gradient.
    ///
    /// For a leaf or a parameter, the hook gets what the pass is about to add to `.grad`. For a
    /// result of an operation, it runs before the gradients of the inputs are computed. Hooks run
    /// in the order of registration: each gets the gradient that the previous one left, and
    /// [`grad`](crate::grad()) returns the final one.
    ///
    /// The hook belongs to the node of the tensor: all clones of a leaf share it. A hook on a
    /// parameter's [`tensor`](crate::Parameter::tensor) stays with the parameter. A hook that
    /// captures its own tensor keeps it alive until the hook is removed. Operations in a hook are
    /// recorded only in a pass with [`create_graph`](crate::GradOptions::create_graph).
    ///
    /// While the hook waits for rayon's pool, this thread may run an unrelated task, which then runs
    /// in the mode of the pass too: begin such tasks with [`enable_grad`](crate::enable_grad) or
    /// [`no_grad`](crate::no_grad).
    ///
    /// A panic in a hook ends the pass: leaves that were already visited have their gradients, and
    /// the visited part of the graph is freed.
    ///
    /// PyTorch: `tensor.register_hook(hook)`.
    ///
    /// # Panics
    /// If this is not tracked. In a backward pass, if the hook returns a gradient of another shape.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32], [1]).unwrap().requires_grad();
    /// let hook = x.register_hook(|g| Some(g * 0.5));
    /// (&x * &x).sum().backward();
    /// assert_eq!(x.grad().unwrap().item(), 3.0);
    /// hook.remove();
    /// ```
    #[track_caller]
    pub fn register_hook(
        &self,
        hook: impl Fn(&Tensor<T>) -> Option<Tensor<T>> + Send + Sync + 'static,
    ) -> HookHandle<T> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Some(node) = &self.node else {
            panic!("register_hook: the tensor is not tracked, so it never has a gradient")
        };
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        lock(node.hooks.0.get_or_init(Box::default)).push((id, Arc::new(hook)));
        HookHandle { node: Arc::downgrade(node), id }
    }
}

/// A handle that removes a hook, from [`Tensor::register_hook`]. Dropping it does not remove the
/// hook.
pub struct HookHandle<T: Float = f32> {
    node: Weak<Node<T>>,
    id: u64,
}

impl<T: Float> HookHandle<T> {
    /// Removes the hook. A pass on another thread that has already started to run the tensor's
    /// hooks still runs it.
    ///
    /// PyTorch: `handle.remove()`.
    pub fn remove(self) {
        let Some(node) = self.node.upgrade() else { return };
        let Some(hooks) = node.hooks.0.get() else { return };
        let mut list = lock(hooks);
        let removed = list.iter().position(|(id, _)| *id == self.id).map(|at| list.remove(at));
        drop(list);
        drop(removed); // not under the lock: dropping its captures may run any code
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradOptions, Parameter, Tensor, grad};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, Mutex};

    fn leaf(values: &[f64]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap().requires_grad()
    }

    #[test]
    fn hooks_change_the_complete_gradient_in_order() {
        let x = leaf(&[3.0]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str, factor: f64| {
            let seen = seen.clone();
            move |g: &Tensor<f64>| {
                seen.lock().unwrap().push((name, g.item()));
                Some(g * factor)
            }
        };
        let y = &x * &x;
        x.register_hook(note("leaf", 10.0));
        y.register_hook(note("first", 2.0));
        y.register_hook(note("second", 0.5));
        y.register_hook(|_| None);
        let z = (&y * &y).sum(); // the gradient of y arrives in two parts
        let retain = GradOptions::default().retain_graph(true);
        let found = grad(&z, &[&y, &x], retain);
        // As in PyTorch, grad returns the gradients after the hooks.
        assert_eq!((found[0].item(), found[1].item()), (18.0, 1080.0));
        assert_eq!(*seen.lock().unwrap(), [("first", 18.0), ("second", 36.0), ("leaf", 108.0)]);
        z.backward();
        assert_eq!(x.grad().unwrap().item(), 1080.0);
    }

    #[test]
    fn a_removed_hook_is_not_called() {
        let x = leaf(&[1.0, 2.0]);
        let kept = x.register_hook(|g| Some(g * 2.0));
        x.clone().register_hook(|g| Some(g * 3.0)).remove();
        (&x * 1.0).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [2.0, 2.0]);
        drop(kept); // does not remove the hook
        (&x * 1.0).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [4.0, 4.0]);
        let y = &x * 1.0;
        let handle = y.register_hook(|_| None);
        drop(y);
        handle.remove();
    }

    #[test]
    fn a_hook_may_remove_itself_and_register_others() {
        let x = leaf(&[1.0]);
        let handle = Arc::new(Mutex::new(None::<super::HookHandle<f64>>));
        let (inner, leaf) = (handle.clone(), x.detach().requires_grad());
        let captured = leaf.clone();
        *handle.lock().unwrap() = Some(leaf.register_hook(move |g| {
            inner.lock().unwrap().take().unwrap().remove();
            captured.register_hook(|g| Some(g * 5.0));
            Some(g * 3.0)
        }));
        (&leaf * 1.0).sum().backward();
        assert_eq!(leaf.grad().unwrap().item(), 3.0);
        (&leaf * 1.0).sum().backward();
        assert_eq!(leaf.grad().unwrap().item(), 8.0);
    }

    #[test]
    fn a_hook_on_a_parameters_tensor_stays() {
        let w = Parameter::new(Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap());
        w.tensor().register_hook(|g| Some(-g));
        (w.tensor() * 2.0).sum().backward();
        w.set_value(&Tensor::zeros([2]));
        (w.tensor() * 2.0).sum().backward();
        assert_eq!(w.grad().unwrap().to_vec(), [-4.0, -4.0]);
    }

    #[test]
    fn create_graph_differentiates_hooks() {
        let x = leaf(&[2.0]);
        let y = &x * &x;
        let inner = x.clone();
        y.register_hook(move |g| Some(g * &inner));
        let first = grad(&y.sum(), &[&x], GradOptions::default().create_graph(true));
        assert_eq!(first[0].item(), 8.0); // x · 2x
        assert_eq!(grad(&first[0].sum(), &[&x], GradOptions::default())[0].item(), 8.0); // 4x
    }

    #[test]
    fn gradients_are_tracked_only_with_create_graph() {
        let (x, w) = (leaf(&[1.0]), leaf(&[2.0]));
        let y = &x * 1.0;
        y.register_hook(move |_| Some(w.clone()));
        let tracked = |create_graph| {
            let options = GradOptions::default().retain_graph(true).create_graph(create_graph);
            grad(&y, &[&y, &x], options).iter().any(Tensor::is_tracked)
        };
        assert!(tracked(true) && !tracked(false));
    }

    #[test]
    fn gradients_of_an_unrecorded_pass_are_untracked() {
        let (x, w) = (leaf(&[1.0, 1.0]), leaf(&[2.0, 2.0]));
        let tracked = w.clone();
        let first =
            Tensor::custom("first", &[&x], x.detach(), move |_| vec![Some(tracked.clone())]);
        let y = &first + x.narrow(0, 0, 1); // two gradients add up at `x`: in place, at a view
        y.register_hook(move |_| Some(w.clone()));
        for node in [&first, &x] {
            node.register_hook(|g| {
                assert!(!g.is_tracked());
                None
            });
        }
        y.sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [6.0, 2.0]);
    }

    #[test]
    fn a_pass_works_after_a_panic_in_a_hook() {
        let (x, w) = (leaf(&[1.0]), leaf(&[2.0]));
        let handle = x.register_hook(|_| panic!("on purpose"));
        let run = || (&x * &w).sum().backward();
        for _ in 0..2 {
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err()); // the hook stays registered
        }
        assert!(x.grad().is_none());
        assert!(crate::is_grad_enabled());
        w.zero_grad();
        handle.remove();
        run();
        assert_eq!((x.grad().unwrap().item(), w.grad().unwrap().item()), (2.0, 1.0));
    }

    #[test]
    #[should_panic(expected = "returned a gradient of shape [3]; expected the tensor's shape [2]")]
    fn a_hook_cannot_change_the_shape() {
        let x = leaf(&[1.0, 2.0]);
        x.register_hook(|_| Some(Tensor::ones([3])));
        x.sum().backward();
    }

    #[test]
    #[should_panic(expected = "register_hook: the tensor is not tracked")]
    fn untracked_tensors_reject_hooks() {
        Tensor::<f32>::ones([2]).register_hook(|_| None);
    }
}

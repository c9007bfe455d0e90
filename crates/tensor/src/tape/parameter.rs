//! Parameters: shared weights, whose values change.
//!
//! A parameter's value is written in one of two ways, neither of which makes a concurrent reader
//! fail:
//!
//! * [`Parameter::value_mut`], for users' code, works on a copy. Readers get the old value until
//!   the guard publishes the new one, so they never wait, whatever that code does.
//! * [`take_values`](crate::take_values), for steps and for loading, takes values out of their slots
//!   and changes them in place. Readers wait until the value is back. This cannot deadlock. All steps
//!   take values in one order, so of the steps that wait for each other's values, one waits for none. That one
//!   runs only kernels, which run no tasks of the thread pool and wait only for threads that have
//!   already begun to help.

use crate::arrays::array::Array;
use crate::tape::grad_cell::GradCell;
use crate::tape::mode::is_grad_enabled;
use crate::tape::node::{Node, lock};
use crate::tape::stored::{NewValue, Storage, Stored};
use crate::tape::tensor::Tensor;
use crate::tape::value_mut::ValueMut;
use adamant_kernels::Float;
use std::fmt;
use std::mem;
use std::ops::DerefMut;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A weight of a model: a value that can be replaced, and its accumulated gradient.
///
/// Clones are handles to the same parameter: a model and its optimizer each hold one. A reader gets the
/// value from before an update or from after it, never a mixture, and a tensor obtained before the
/// update keeps its elements. So a model can serve while it is trained, but a forward pass that
/// overlaps a step may use some parameters from before the step and others from after it.
///
/// PyTorch: `torch.nn.Parameter`.
///
/// ```
/// use adamant_tensor::{Parameter, Tensor};
/// let w = Parameter::new(Tensor::from_vec(vec![0.5f32; 6], [3, 2]).unwrap());
/// (w.tensor() * 2.0).sum().backward();
/// assert_eq!(w.grad().unwrap().to_vec(), [2.0; 6]);
/// w.value_mut().fill(1.0);
/// assert_eq!(w.tensor().to_vec(), [1.0; 6]);
/// ```
pub struct Parameter<T: Float = f32> {
    pub(super) shared: Arc<Shared<T>>,
}

/// What all handles to a parameter share.
pub(super) struct Shared<T: Float> {
    pub(super) slot: Mutex<Slot<T>>,
    /// Notified when a taken value is back.
    pub(super) returned: Condvar,
    /// The node of every tracked tensor of this parameter; holds the gradient.
    leaf: Arc<Node<T>>,
}

pub(super) struct Slot<T: Float> {
    pub(super) state: SlotState<T>,
    /// The number of threads that wait for a taken value.
    pub(super) waiting: usize,
}

pub(super) enum SlotState<T: Float> {
    Free(Stored<T>),
    /// A [`ValueMut`] exists, which will replace the value.
    Guarded(Stored<T>),
    /// A [`TakenValue`](crate::TakenValue) holds the value, and will return it.
    Taken,
}

impl<T: Float> Parameter<T> {
    /// A parameter with this initial value, which requires a gradient.
    #[must_use]
    pub fn new(value: Tensor<T>) -> Self {
        let leaf = Node::leaf(value.array.shape().clone());
        let state = SlotState::Free(Stored::Full(value.array));
        let slot = Mutex::new(Slot { state, waiting: 0 });
        Parameter { shared: Arc::new(Shared { slot, returned: Condvar::new(), leaf }) }
    }

    /// The current value, tracked if the parameter requires a gradient and recording is on.
    ///
    /// Copies only a value that is stored as BF16 ([`store_as`](Parameter::store_as)), which it
    /// widens. Waits while an optimizer's step on another thread changes the value.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        Tensor { array: self.stored().widen("Parameter::tensor"), node: self.node() }
    }

    /// The current value as it is stored.
    pub(crate) fn stored(&self) -> Stored<T> {
        self.shared.wait_for_value().stored().clone()
    }

    /// The node of its tensors, if the parameter requires a gradient and recording is on.
    pub(crate) fn node(&self) -> Option<Arc<Node<T>>> {
        (self.is_tracked() && is_grad_enabled()).then(|| self.shared.leaf.clone())
    }

    /// A new parameter with the same value, stored in the same way, which is frozen if this one is. It
    /// has no gradient. The elements are shared until one of the two changes.
    ///
    /// PyTorch: `copy.deepcopy(parameter)`.
    #[must_use]
    pub fn copy(&self) -> Self {
        let slot = Mutex::new(Slot { state: SlotState::Free(self.stored()), waiting: 0 });
        let leaf = Node::leaf(self.shared.leaf.shape.clone());
        let copy = Parameter { shared: Arc::new(Shared { slot, returned: Condvar::new(), leaf }) };
        // If this was frozen and stored as BF16 until a moment ago, the copy is.
        copy.grad_cell().set_accumulates(copy.storage() == Storage::Full && self.is_tracked());
        copy
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shared.leaf.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.shared.leaf.shape.numel()
    }

    /// Whether the parameter requires a gradient: it has not been frozen by
    /// [`set_requires_grad`](Parameter::set_requires_grad).
    ///
    /// PyTorch: `parameter.requires_grad`.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.grad_cell().accumulates()
    }

    /// Freezes (`false`) or thaws (`true`) the parameter; [`is_tracked`](Parameter::is_tracked)
    /// returns the setting.
    ///
    /// An existing gradient is kept. A backward pass does not add to it while the parameter is
    /// frozen, even if the graph was recorded before. A value that was stored as BF16 is widened for
    /// good when the parameter is thawed.
    ///
    /// PyTorch: `parameter.requires_grad_(on)`.
    pub fn set_requires_grad(&self, on: bool) {
        let mut slot = self.shared.wait_for_value(); // only frozen parameters are stored as BF16
        if on {
            slot.store_as(Storage::Full);
        }
        self.grad_cell().set_accumulates(on);
    }

    /// How the value is stored.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.stored().storage()
    }

    /// Changes how the value of a frozen parameter is stored, now and whenever it is replaced.
    ///
    /// [`Storage::Bf16`] takes half the memory of `f32`. Elements are rounded to nearest, ties to even
    /// (from `f64` by way of `f32`); those of a BF16 file are stored exactly. Products widen the value
    /// block by block ([`Weight`](crate::Weight)), and [`tensor`](Parameter::tensor) returns a widened
    /// copy. Values from [`set_value`](Parameter::set_value), [`value_mut`](Parameter::value_mut) or a
    /// loaded state are rounded in turn. Thawing the parameter widens its value for good.
    ///
    /// PyTorch: `parameter.data = parameter.data.to(torch.bfloat16)`. There, a product with an `f32`
    /// input needs `weight.float()`, a copy that the graph keeps.
    ///
    /// # Panics
    /// If the parameter is not frozen and `storage` is not [`Storage::Full`], or a [`ValueMut`] of it
    /// exists.
    ///
    /// ```
    /// use adamant_tensor::{Parameter, Storage, Tensor};
    /// let w = Parameter::new(Tensor::from([1.0f32, 1.01]));
    /// w.set_requires_grad(false);
    /// w.store_as(Storage::Bf16);
    /// assert_eq!(w.tensor().to_vec(), [1.0, 1.0078125]);
    /// ```
    #[track_caller]
    pub fn store_as(&self, storage: Storage) {
        let mut slot = self.shared.wait_for_value();
        slot.assert_no_guard("store_as");
        assert!(
            storage == Storage::Full || !self.is_tracked(),
            "store_as: {self:?} requires a gradient; expected a frozen parameter"
        );
        slot.store_as(storage);
    }

    /// A value for this parameter, already stored in the parameter's way: for
    /// [`TakenValue::replace`](crate::TakenValue::replace).
    /// So values that are read one after the other take no more memory than the parameters.
    ///
    /// Call it before [`take_values`](crate::take_values): while the value is taken, it waits.
    #[must_use]
    pub fn new_value(&self, array: Array<T>) -> NewValue<T> {
        NewValue(Stored::new(array, self.storage()))
    }

    /// The node that operations on the parameter have as a parent.
    pub(crate) fn leaf(&self) -> &Arc<Node<T>> {
        &self.shared.leaf
    }

    fn grad_cell(&self) -> &GradCell<T> {
        self.shared.leaf.grad_cell().expect("the node is a leaf")
    }

    /// The accumulated gradient; `None` if no backward pass has reached the parameter since it was
    /// cleared.
    ///
    /// PyTorch: `parameter.grad`.
    #[must_use]
    pub fn grad(&self) -> Option<Tensor<T>> {
        self.grad_cell().get().map(Tensor::from)
    }

    /// Replaces the gradient.
    ///
    /// PyTorch: `parameter.grad = grad`.
    ///
    /// # Panics
    /// If its shape is not the parameter's.
    #[track_caller]
    pub fn set_grad(&self, grad: Option<Tensor<T>>) {
        if let Some(grad) = &grad {
            let (found, expected) = (grad.array.shape(), &self.shared.leaf.shape);
            assert!(
                found == expected,
                "set_grad: the gradient has shape {found}; expected the parameter's shape \
                 {expected}"
            );
        }
        self.grad_cell().set(grad.map(|grad| grad.array));
    }

    /// Calls `change` with the elements of the gradient in row-major order, if there is a gradient.
    /// They are changed in place if no tensor shares them.
    ///
    /// The gradient is locked during the call, so gradients from other threads are not lost: they
    /// are added afterwards. If `change` panics, the gradient stays as `change` left it.
    ///
    /// # Deadlocks
    /// If `change` accesses this parameter's gradient in any other way, or waits for a thread that
    /// does.
    pub fn change_grad(&self, change: impl FnOnce(&mut [T])) {
        self.grad_cell().change(change);
    }

    /// Sets the gradient to `None`.
    pub fn zero_grad(&self) {
        self.grad_cell().set(None);
    }

    /// Sets the elements of the gradient to zero; `None` stays `None`.
    pub fn zero_grad_in_place(&self) {
        self.grad_cell().zero();
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// If its shape is not the parameter's, or a [`ValueMut`] of this parameter exists.
    #[track_caller]
    pub fn set_value(&self, value: &Tensor<T>) {
        let (found, expected) = (value.array.shape(), &self.shared.leaf.shape);
        assert!(
            found == expected,
            "set_value: the value has shape {found}; expected the parameter's shape {expected}"
        );
        let mut slot = self.shared.wait_for_value();
        slot.assert_no_guard("set_value");
        let value = Stored::new(value.array.clone(), slot.stored().storage());
        let old = mem::replace(&mut slot.state, SlotState::Free(value));
        drop(slot);
        drop(old); // not under the lock
    }

    /// A guard to write to the elements in row-major order. It works on a copy, which replaces the
    /// value when the guard is dropped: at the end of its scope, and also at a `return` or `?`
    /// before. Until then readers get the old value. If a panic drops the guard, the old value
    /// stays.
    ///
    /// # Panics
    /// If another `ValueMut` of this parameter exists: one of the two updates would be lost.
    #[must_use]
    #[track_caller]
    pub fn value_mut(&self) -> ValueMut<T> {
        let mut slot = self.shared.wait_for_value();
        slot.assert_no_guard("value_mut");
        let stored = slot.stored().clone();
        let array = stored.clone().widen("value_mut");
        slot.state = SlotState::Guarded(stored);
        drop(slot);
        let mut guard = ValueMut { parameter: self.clone(), array, unwinding: thread::panicking() };
        // Copies if the slot shares the array. If this panics for lack of memory, the guard is
        // dropped.
        let _ = guard.deref_mut();
        guard
    }

    /// Whether a [`ValueMut`] of this parameter exists.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        matches!(self.shared.wait_for_value().state, SlotState::Guarded(_))
    }

    /// Whether both are handles to the same parameter.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// An identifier, unique among the parameters that exist at the same time. Clones share it.
    #[must_use]
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

impl<T: Float> Shared<T> {
    /// Locks the slot; waits first while the value is taken.
    pub(super) fn wait_for_value(&self) -> MutexGuard<'_, Slot<T>> {
        let mut slot = lock(&self.slot);
        while matches!(slot.state, SlotState::Taken) {
            slot.waiting += 1;
            slot = self.returned.wait(slot).unwrap_or_else(PoisonError::into_inner);
            slot.waiting -= 1;
        }
        slot
    }
}

impl<T: Float> Slot<T> {
    /// The value, after [`Shared::wait_for_value`].
    fn stored(&self) -> &Stored<T> {
        match &self.state {
            SlotState::Free(stored) | SlotState::Guarded(stored) => stored,
            SlotState::Taken => unreachable!("`wait_for_value` has waited for the value"),
        }
    }

    /// Stores the value in another way, after [`Shared::wait_for_value`].
    #[track_caller]
    fn store_as(&mut self, storage: Storage) {
        let new = self.stored().clone().stored_as(storage);
        match &mut self.state {
            SlotState::Free(stored) | SlotState::Guarded(stored) => *stored = new,
            SlotState::Taken => unreachable!("checked by `stored`"),
        }
    }

    #[track_caller]
    pub(super) fn assert_no_guard(&self, op: &str) {
        assert!(
            !matches!(self.state, SlotState::Guarded(_)),
            "{op}: the parameter is already being written to; drop its `ValueMut` first"
        );
    }
}

impl<T: Float> Clone for Parameter<T> {
    fn clone(&self) -> Self {
        Parameter { shared: self.shared.clone() }
    }
}

impl<T: Float> fmt::Debug for Parameter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frozen = if self.is_tracked() { "" } else { ", frozen" };
        write!(f, "Parameter<{}>({}{frozen})", T::DTYPE, self.shared.leaf.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter() -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap())
    }

    #[test]
    fn an_older_graph_keeps_its_values() {
        let w = parameter();
        let y = (w.tensor() * w.tensor()).sum(); // holds the value
        w.value_mut().fill(100.0);
        y.backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0, 4.0]);
        assert_eq!(w.tensor().to_vec(), [100.0, 100.0]);
    }

    #[test]
    fn a_panic_in_change_grad_keeps_the_gradient() {
        let w = parameter();
        w.set_grad(Some(Tensor::ones([2])));
        let change = || w.change_grad(|_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(change)).is_err());
        assert_eq!(w.grad().unwrap().to_vec(), [1.0, 1.0]);
    }

    #[test]
    fn a_frozen_parameter_is_not_tracked() {
        let w = parameter();
        w.set_requires_grad(false);
        assert!(!(w.tensor() * 2.0).is_tracked());
        w.set_requires_grad(true);
        (w.tensor() * 2.0).sum().backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0, 2.0]);
    }

    #[test]
    fn a_parameter_frozen_before_backward_gets_no_gradient() {
        let w = parameter();
        let loss = (w.tensor() * 2.0).sum();
        w.set_requires_grad(false);
        loss.backward_retain_graph();
        assert!(w.grad().is_none());
        w.set_requires_grad(true);
        loss.backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0, 2.0]);
    }
}

//! The one thing that changes in place.

use crate::array::Array;
use crate::grad_cell::GradCell;
use crate::grad_mode::is_grad_enabled;
use crate::node::{Node, lock};
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::Float;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A weight: a cell that holds a value and collects a gradient.
///
/// Clones are handles to the same cell: a model and its optimizer each hold
/// one. The value is replaced or updated as a whole; a tensor taken from it
/// before keeps the numbers that it had.
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
    cell: Arc<Cell<T>>,
}

struct Cell<T: Float> {
    /// `None` while a [`ValueMut`] has it.
    value: Mutex<Option<Array<T>>>,
    requires_grad: AtomicBool,
    shape: Shape,
    leaf: Arc<Node<T>>,
}

impl<T: Float> Parameter<T> {
    /// A parameter that starts as `value` and requires a gradient.
    #[must_use]
    pub fn new(value: Tensor<T>) -> Self {
        let shape = value.array.shape().clone();
        Parameter {
            cell: Arc::new(Cell {
                leaf: Node::leaf(shape.clone()),
                value: Mutex::new(Some(value.array)),
                requires_grad: AtomicBool::new(true),
                shape,
            }),
        }
    }

    /// The present value, tracked if the parameter requires a gradient and
    /// recording is on. Copies nothing.
    ///
    /// # Panics
    /// While another thread updates the value.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        let Some(array) = lock(&self.cell.value).clone() else { in_use() };
        let tracked = self.requires_grad() && is_grad_enabled();
        Tensor { array, node: tracked.then(|| self.cell.leaf.clone()) }
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.cell.shape
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.cell.shape.numel()
    }

    /// Whether gradients are collected here.
    #[must_use]
    pub fn requires_grad(&self) -> bool {
        self.cell.requires_grad.load(Ordering::Relaxed)
    }

    /// Freezes (`false`) or thaws (`true`) the parameter. A gradient that is
    /// there already stays.
    ///
    /// PyTorch: `parameter.requires_grad_(on)`.
    pub fn set_requires_grad(&self, on: bool) {
        self.cell.requires_grad.store(on, Ordering::Relaxed);
    }

    fn grad_cell(&self) -> &GradCell<T> {
        self.cell.leaf.grad_cell().expect("made as a leaf")
    }

    /// The gradient that has arrived; `None` if none has.
    ///
    /// PyTorch: `parameter.grad`.
    #[must_use]
    pub fn grad(&self) -> Option<Tensor<T>> {
        self.grad_cell().get()
    }

    /// Replaces the gradient.
    ///
    /// # Panics
    /// If its shape is not the parameter's.
    #[track_caller]
    pub fn set_grad(&self, grad: Option<Tensor<T>>) {
        if let Some(grad) = &grad {
            let (found, expected) = (grad.array.shape(), &self.cell.shape);
            assert_eq!(found, expected, "set_grad: the gradient has the parameter's shape");
        }
        self.grad_cell().set(grad);
    }

    /// Changes the gradient's numbers, row-major, if there is one: in place if
    /// no one else holds it.
    pub fn change_grad(&self, change: impl FnOnce(&mut [T])) {
        if let Some(mut grad) = self.grad_cell().take() {
            change(grad.array.make_mut());
            self.grad_cell().set(Some(grad));
        }
    }

    /// Forgets the gradient (`true`), or sets what is there to zero (`false`).
    pub fn zero_grad(&self, set_to_none: bool) {
        self.grad_cell().zero(set_to_none);
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// If its shape is not the parameter's, or the value is being updated.
    #[track_caller]
    pub fn set_value(&self, value: &Tensor<T>) {
        let (found, expected) = (value.array.shape(), &self.cell.shape);
        assert_eq!(found, expected, "set_value: the value has the parameter's shape");
        match &mut *lock(&self.cell.value) {
            Some(present) => *present = value.array.clone(),
            None => in_use(),
        }
    }

    /// The numbers to write to, row-major. In place if no tensor still holds
    /// the value, else on a copy, so that no one's numbers change.
    ///
    /// # Panics
    /// If they are being written to already. No thread waits for another here:
    /// to read or write a parameter during its update is a mistake, and is said.
    #[must_use]
    #[track_caller]
    pub fn value_mut(&self) -> ValueMut<T> {
        let Some(mut array) = lock(&self.cell.value).take() else { in_use() };
        let _ = array.make_mut();
        ValueMut { parameter: self.clone(), array: Some(array) }
    }

    /// Whether both are handles to the same parameter.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }

    /// A number that is this parameter's own while it lives.
    #[must_use]
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.cell).addr()
    }
}

#[track_caller]
fn in_use() -> ! {
    panic!("the parameter is being updated: it can be neither read nor written until that is done")
}

impl<T: Float> Clone for Parameter<T> {
    fn clone(&self) -> Self {
        Parameter { cell: self.cell.clone() }
    }
}

impl<T: Float> fmt::Debug for Parameter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frozen = if self.requires_grad() { "" } else { ", frozen" };
        write!(f, "Parameter<{}>({}{frozen})", T::DTYPE, self.cell.shape)
    }
}

/// A parameter's numbers, to write to; they go back when this is dropped.
pub struct ValueMut<T: Float> {
    parameter: Parameter<T>,
    array: Option<Array<T>>,
}

impl<T: Float> Deref for ValueMut<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.array.as_ref().expect("taken in drop only").dense()
    }
}

impl<T: Float> DerefMut for ValueMut<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.array.as_mut().expect("taken in drop only").make_mut()
    }
}

impl<T: Float> Drop for ValueMut<T> {
    fn drop(&mut self) {
        *lock(&self.parameter.cell.value) = self.array.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter() -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap())
    }

    #[test]
    fn an_older_graph_keeps_its_numbers() {
        let w = parameter();
        let y = (w.tensor() * w.tensor()).sum(); // holds the value
        w.value_mut().fill(100.0);
        y.backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0, 4.0]);
        assert_eq!(w.tensor().to_vec(), [100.0, 100.0]);
    }

    #[test]
    fn an_unshared_value_is_updated_in_place() {
        let w = parameter();
        let address = w.tensor().array.dense().as_ptr();
        w.value_mut()[0] = 5.0;
        assert_eq!(w.tensor().array.dense().as_ptr(), address);
    }

    #[test]
    #[should_panic(expected = "being updated")]
    fn reading_during_an_update_is_said() {
        let w = parameter();
        let _guard = w.value_mut();
        let _ = w.tensor();
    }

    #[test]
    #[should_panic(expected = "being updated")]
    fn writing_during_an_update_is_said() {
        let w = parameter();
        let _guard = w.value_mut();
        w.set_value(&Tensor::zeros([2]));
    }

    #[test]
    fn a_frozen_parameter_collects_nothing() {
        let w = parameter();
        w.set_requires_grad(false);
        assert!(!(w.tensor() * 2.0).is_tracked());
        w.set_requires_grad(true);
        (w.tensor() * 2.0).sum().backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0, 2.0]);
    }
}

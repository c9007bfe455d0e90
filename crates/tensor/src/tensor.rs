//! The handle that users hold: numbers, and where they came from.

use crate::array::Array;
use crate::dims::Dim;
use crate::grad_cell::GradCell;
use crate::node::Node;
use crate::shape::Shape;
use adamant_kernels::Float;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// An immutable n-dimensional array of `f32` (or `f64`) that may be tracked.
///
/// Cloning is cheap and shares the numbers. A tensor is tracked if it is a leaf
/// that [requires a gradient](Tensor::requires_grad), or was computed from one.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x = Tensor::from([1.0f32, 2.0, 3.0]).requires_grad();
/// let y = (&x * &x + 1.0).sum();
/// y.backward();
/// assert_eq!(x.grad().unwrap().to_vec(), [2.0, 4.0, 6.0]);
/// ```
#[derive(Clone)]
pub struct Tensor<T: Float = f32> {
    pub(crate) array: Array<T>,
    pub(crate) node: Option<Arc<Node<T>>>,
}

/// A list of numbers that does not fill its shape.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("a tensor of shape {shape} has {} elements, but {found} were given",
    shape.checked_numel().map_or("too many".to_string(), |n| n.to_string()))]
pub struct ShapeError {
    /// The shape asked for.
    pub shape: Shape,
    /// The number of elements given.
    pub found: usize,
}

impl ShapeError {
    /// The shape, if `found` values fill it.
    pub(crate) fn check(found: usize, shape: Shape) -> Result<Shape, ShapeError> {
        if shape.checked_numel() == Some(found) {
            Ok(shape)
        } else {
            Err(ShapeError { shape, found })
        }
    }
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T: Float> Tensor<T> {
    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// The number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.array.numel()
    }

    /// The elements in row-major order, copied.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<T> {
        self.array.to_vec()
    }

    /// The number that a tensor of one element holds.
    ///
    /// # Panics
    /// If it holds more, or none.
    #[must_use]
    #[track_caller]
    pub fn item(&self) -> T {
        let shape = self.array.shape();
        assert!(shape.numel() == 1, "item: a tensor of shape {shape} is not a single number");
        self.array.view().data[0]
    }

    /// The numbers alone.
    #[must_use]
    pub fn array(&self) -> &Array<T> {
        &self.array
    }

    /// Makes this a leaf that collects a gradient. What is tracked already stays as it is.
    ///
    /// PyTorch: `tensor.requires_grad_()`.
    #[must_use]
    pub fn requires_grad(self) -> Self {
        let node = self.node.unwrap_or_else(|| Node::leaf(self.array.shape().clone()));
        Tensor { array: self.array, node: Some(node) }
    }

    /// Whether operations on this are recorded: it is a leaf that requires a
    /// gradient, or computed from one.
    ///
    /// PyTorch: `tensor.requires_grad`.
    #[must_use]
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// As in PyTorch, a scalar may be asked for its dimension 0 or −1: then this is it as a
    /// vector of one element.
    #[track_caller]
    pub(crate) fn scalar_as_vector(&self, dim: impl Dim) -> Option<Tensor<T>> {
        if self.shape().is_empty() && [0, -1].contains(&dim.signed()) {
            Some(self.reshape([1]))
        } else {
            None
        }
    }

    /// The shape that this and another operand broadcast to.
    #[track_caller]
    pub(crate) fn broadcast_with(&self, op: &str, other: &Tensor<T>) -> Shape {
        self.array.shape().broadcast_with(op, other.array.shape())
    }

    /// Whether an operation on this will be asked for a gradient: if not, it saves nothing for it.
    #[inline]
    pub(crate) fn wants_grad(&self) -> bool {
        self.is_tracked() && crate::is_grad_enabled()
    }

    /// The same numbers, untracked.
    ///
    /// PyTorch: `tensor.detach()`.
    #[must_use]
    pub fn detach(&self) -> Self {
        Tensor { array: self.array.clone(), node: None }
    }

    fn grad_cell(&self) -> Option<&GradCell<T>> {
        self.node.as_deref()?.grad_cell()
    }

    /// The gradient that has arrived at this leaf; `None` if none has, or if
    /// this is no leaf.
    ///
    /// PyTorch: `tensor.grad`.
    #[must_use]
    pub fn grad(&self) -> Option<Tensor<T>> {
        self.grad_cell().and_then(GradCell::get).map(Tensor::from)
    }

    /// Sets this leaf's gradient to `None`.
    ///
    /// PyTorch: `tensor.grad = None`.
    pub fn zero_grad(&self) {
        if let Some(cell) = self.grad_cell() {
            cell.set(None);
        }
    }

    /// Sets the elements of this leaf's gradient to zero; `None` stays `None`.
    ///
    /// PyTorch: `tensor.grad.zero_()`.
    pub fn zero_grad_in_place(&self) {
        if let Some(cell) = self.grad_cell() {
            cell.zero();
        }
    }
}

impl<T: Float> From<Array<T>> for Tensor<T> {
    fn from(array: Array<T>) -> Self {
        Tensor { array, node: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroing_keeps_the_buffer_or_forgets_it() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap().requires_grad();
        x.zero_grad_in_place();
        assert!(x.grad().is_none());
        (&x * 3.0).sum().backward();
        let address = x.grad().unwrap().array.dense().as_ptr();
        x.zero_grad_in_place();
        assert_eq!(x.grad().unwrap().array.dense().as_ptr(), address);
        let held = x.grad().unwrap();
        (&x * 3.0).sum().backward();
        assert_eq!(held.to_vec(), [0.0, 0.0]); // what someone holds does not change
        assert_eq!(x.grad().unwrap().to_vec(), [3.0, 3.0]);
        x.zero_grad();
        assert!(x.grad().is_none());
    }
}

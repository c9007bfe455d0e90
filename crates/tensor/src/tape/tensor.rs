//! Tensors: an array and, if gradients are required, its node of the tape.

use crate::arrays::array::Array;
use crate::arrays::dims::Dim;
use crate::arrays::shape::Shape;
use crate::tape::grad_cell::GradCell;
use crate::tape::node::Node;
use adamant_kernels::Float;
use std::sync::Arc;

/// An immutable n-dimensional array of `f32` or `f64` that may be tracked.
///
/// Cloning is cheap and shares the elements. A tensor is tracked if it is a leaf that [requires a
/// gradient](Tensor::requires_grad), or was computed from one.
///
/// PyTorch: `torch.Tensor`.
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

    /// A copy of the elements in row-major order.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<T> {
        self.array.to_vec()
    }

    /// The only element.
    ///
    /// PyTorch: `tensor.item()`.
    ///
    /// # Panics
    /// If the tensor does not have exactly one element.
    #[must_use]
    #[track_caller]
    pub fn item(&self) -> T {
        let shape = self.array.shape();
        assert!(
            shape.numel() == 1,
            "item: the tensor has shape {shape}; expected a single element"
        );
        self.array.strided_slice().data[0]
    }

    /// The array of the elements.
    #[must_use]
    pub fn array(&self) -> &Array<T> {
        &self.array
    }

    /// Makes this a leaf that accumulates a gradient. A tensor that is already tracked is returned
    /// unchanged.
    ///
    /// PyTorch: `tensor.requires_grad_()`.
    #[must_use]
    pub fn requires_grad(self) -> Self {
        let node = self.node.unwrap_or_else(|| Node::leaf(self.array.shape().clone()));
        Tensor { array: self.array, node: Some(node) }
    }

    /// Whether operations on this are recorded: it is a leaf that requires a gradient, or was
    /// computed from one.
    ///
    /// PyTorch: `tensor.requires_grad`.
    #[must_use]
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.node.is_some()
    }

    /// As in PyTorch, 0 and −1 are valid dimensions of a scalar. If this is a scalar and `dim` one
    /// of them, returns it as a vector of one element.
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

    /// Whether an operation on this may have to compute its gradient. If not, the operation saves
    /// nothing for it.
    #[inline]
    pub(crate) fn wants_grad(&self) -> bool {
        self.is_tracked() && crate::is_grad_enabled()
    }

    /// The same elements, untracked.
    ///
    /// PyTorch: `tensor.detach()`.
    #[must_use]
    pub fn detach(&self) -> Self {
        Tensor { array: self.array.clone(), node: None }
    }

    fn grad_cell(&self) -> Option<&GradCell<T>> {
        self.node.as_deref()?.grad_cell()
    }

    /// The gradient accumulated in this leaf; `None` if there is none, or if this is not a leaf.
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
    fn values_for_unneeded_gradients_are_not_saved() {
        let a = Tensor::<f32>::full([100], 2.0);
        let mut b = Tensor::ones([100]).requires_grad();
        assert!(b.wants_grad() && !a.wants_grad() && !crate::no_grad(|| b.wants_grad()));
        let y = &a * &b; // saves `a` only
        assert!(b.array.get_mut().is_some());
        y.sum().backward();
        assert_eq!(b.grad().unwrap().to_vec(), [2.0; 100]);
    }

    #[test]
    fn zero_grad_in_place_keeps_the_buffer() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap().requires_grad();
        x.zero_grad_in_place();
        assert!(x.grad().is_none());
        (&x * 3.0).sum().backward();
        let address = x.grad().unwrap().array.contiguous_slice().as_ptr();
        x.zero_grad_in_place();
        assert_eq!(x.grad().unwrap().array.contiguous_slice().as_ptr(), address);
        let held = x.grad().unwrap();
        (&x * 3.0).sum().backward();
        assert_eq!(held.to_vec(), [0.0, 0.0]); // a tensor that is held does not change
        assert_eq!(x.grad().unwrap().to_vec(), [3.0, 3.0]);
        x.zero_grad();
        assert!(x.grad().is_none());
    }
}

//! The nodes that a backward pass has reached but not yet visited.

use crate::arrays::layout::Layout;
use crate::tape::mode::is_grad_enabled;
use crate::tape::node::Node;
use crate::tape::tensor::Tensor;
use crate::tape::view::view_gradient;
use adamant_kernels::Float;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

/// Nodes by falling sequence number, each with the sum of the gradients that have reached it.
///
/// The first node is next. Its sum is complete: gradients come only from nodes with higher numbers,
/// and all of these have been visited.
///
/// Operations are inserted near the front and leaves near the back, where a deque moves few
/// entries. The worst case, 20,000 operands in random order, takes 0.1 s; an ordered map takes a
/// fifth longer in the ordinary case.
pub(crate) struct Pending<T: Float>(VecDeque<(Arc<Node<T>>, Tensor<T>)>);

impl<T: Float> Pending<T> {
    pub(crate) fn new() -> Self {
        Pending(VecDeque::new())
    }

    /// The position of the node; `Err` with the position to insert it at.
    fn find(&self, node: &Node<T>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&Reverse(node.sequence), |(node, _)| Reverse(node.sequence))
    }

    /// Adds `grad` to the gradient of `node`.
    pub(crate) fn add(&mut self, node: Arc<Node<T>>, grad: Tensor<T>) {
        match self.find(&node) {
            Ok(at) => add(&mut self.0[at].1, grad),
            Err(at) => self.0.insert(at, (node, grad)),
        }
    }

    /// Adds `grad`, the gradient of a view of the node's tensor, at the positions of `layout`: in
    /// place if the node already has a gradient that nothing else shares.
    pub(crate) fn add_view(&mut self, node: Arc<Node<T>>, grad: &Tensor<T>, layout: &Layout) {
        match self.find(&node) {
            Ok(at) => {
                let sum = &mut self.0[at].1;
                let records = is_recorded(sum, grad);
                match sum.array.get_mut() {
                    Some(elements) if !records => grad.array.add_to(elements, layout),
                    _ => add(sum, view_gradient(grad, &node.shape, layout)),
                }
            }
            Err(at) => {
                let grad = view_gradient(grad, &node.shape, layout);
                self.0.insert(at, (node, grad));
            }
        }
    }

    /// Removes and returns the next node and its gradient.
    pub(crate) fn pop(&mut self) -> Option<(Arc<Node<T>>, Tensor<T>)> {
        self.0.pop_front()
    }
}

/// Whether the pass records the sum of two gradients as an operation.
fn is_recorded<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> bool {
    is_grad_enabled() && (a.is_tracked() || b.is_tracked())
}

/// Adds `grad` to `sum`: as an operation if it is recorded, otherwise in place where possible.
fn add<T: Float>(sum: &mut Tensor<T>, grad: Tensor<T>) {
    if is_recorded(sum, &grad) {
        *sum = &*sum + grad;
    } else {
        sum.node = None; // a hook may have returned a tracked gradient
        sum.array.add_assign(grad.array);
    }
}

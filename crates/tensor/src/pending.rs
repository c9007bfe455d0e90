//! The nodes that a backward pass has reached but not yet visited.

use crate::grad_mode::is_grad_enabled;
use crate::layout::Layout;
use crate::node::{Node, view_gradient};
use crate::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Nodes by sequence number, each with the sum of the gradients that have reached it.
///
/// The node with the highest number is next. Its sum is complete: gradients come only from nodes
/// with higher numbers, and all of these have been visited.
pub(crate) struct Pending<T: Float>(BTreeMap<u64, (Arc<Node<T>>, Tensor<T>)>);

impl<T: Float> Pending<T> {
    pub(crate) fn new() -> Self {
        Pending(BTreeMap::new())
    }

    /// Adds `grad` to the gradient of `node`.
    pub(crate) fn add(&mut self, node: Arc<Node<T>>, grad: Tensor<T>) {
        match self.0.entry(node.sequence) {
            Entry::Vacant(entry) => _ = entry.insert((node, grad)),
            Entry::Occupied(mut entry) => add(&mut entry.get_mut().1, grad),
        }
    }

    /// Adds `grad`, the gradient of a view of the node's tensor, at the positions of `layout`: in
    /// place if the node already has a gradient that nothing else shares.
    pub(crate) fn add_view(&mut self, node: Arc<Node<T>>, grad: &Tensor<T>, layout: &Layout) {
        match self.0.entry(node.sequence) {
            Entry::Vacant(entry) => {
                let grad = view_gradient(grad, &node.shape, layout);
                entry.insert((node, grad));
            }
            Entry::Occupied(mut entry) => {
                let sum = &mut entry.get_mut().1;
                let records = is_recorded(sum, grad);
                match sum.array.get_mut() {
                    Some(elements) if !records => grad.array.add_to(elements, layout),
                    _ => add(sum, view_gradient(grad, &node.shape, layout)),
                }
            }
        }
    }

    /// Removes and returns the next node and its gradient.
    pub(crate) fn pop(&mut self) -> Option<(Arc<Node<T>>, Tensor<T>)> {
        self.0.pop_last().map(|(_, next)| next)
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

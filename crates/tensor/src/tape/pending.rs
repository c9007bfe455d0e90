//! The nodes that a backward pass has reached but not yet visited.

use crate::tape::node::{Graph, Node};
use crate::tape::positions::Positions;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

/// Nodes by descending sequence number, each with the sum of the gradients that have reached it.
///
/// The first node is next. Its sum is complete: gradients come only from nodes with higher numbers,
/// and all of these have been visited. A leaf may be [taken](Pending::take) before its turn, when the
/// operations that use it have been visited.
///
/// Operations are inserted near the front and leaves near the back, where a deque moves few
/// entries. The worst case, 20,000 operands in random order, takes 0.1 s; an ordered map takes a
/// fifth longer in the ordinary case.
pub(crate) struct Pending<T: Float> {
    sums: VecDeque<(Arc<Node<T>>, Tensor<T>)>,
    /// Whether the pass is recorded. If not, no gradient has a node: see [`Pending::admit`].
    is_recorded: bool,
}

impl<T: Float> Pending<T> {
    pub(crate) fn new(graph: Graph) -> Self {
        Pending { sums: VecDeque::new(), is_recorded: graph == Graph::Record }
    }

    /// Makes `grad` a gradient of this pass: without a node if the pass is not recorded. Callers of
    /// the pass, hooks and custom operations may provide tracked tensors.
    #[inline]
    fn admit(&self, grad: &mut Tensor<T>) {
        if !self.is_recorded {
            grad.node = None;
        }
    }

    /// The position of the node; `Err` with the position to insert it at.
    fn find(&self, node: &Node<T>) -> Result<usize, usize> {
        self.sums.binary_search_by_key(&Reverse(node.sequence), |(node, _)| Reverse(node.sequence))
    }

    /// Adds `grad` to the gradient of `node`.
    pub(crate) fn add(&mut self, node: Arc<Node<T>>, mut grad: Tensor<T>) {
        self.admit(&mut grad);
        match self.find(&node) {
            Ok(at) => add_to_sum(&mut self.sums[at].1, grad),
            Err(at) => self.sums.insert(at, (node, grad)),
        }
    }

    /// Adds `grad`, the gradient of some elements of the node's tensor, at their positions. In place if
    /// the node already has a gradient and the pass does not record the sum, whether or not something
    /// shares the gradient: that may depend on when leaves are visited, and the bits must not.
    pub(crate) fn add_at(&mut self, node: Arc<Node<T>>, grad: &Tensor<T>, positions: &Positions) {
        match self.find(&node) {
            Ok(at) => {
                let sum = &mut self.sums[at].1;
                let is_tracked = sum.is_tracked() || grad.is_tracked();
                if !is_tracked && positions.are_few(&node.shape) {
                    positions.add(&grad.array, sum.array.make_mut_for("backward"), &node.shape);
                } else {
                    add_to_sum(sum, positions.gradient(grad, &node.shape));
                }
            }
            Err(at) => {
                let grad = positions.gradient(grad, &node.shape);
                self.sums.insert(at, (node, grad));
            }
        }
    }

    /// Removes and returns the next node and its gradient.
    pub(crate) fn pop(&mut self) -> Option<(Arc<Node<T>>, Tensor<T>)> {
        self.sums.pop_front()
    }

    /// The sequence number of the next node.
    pub(crate) fn next(&self) -> Option<u64> {
        self.sums.front().map(|(node, _)| node.sequence)
    }

    /// Removes and returns a node before its turn, and its gradient, if one has reached it.
    pub(crate) fn take(&mut self, node: &Node<T>) -> Option<(Arc<Node<T>>, Tensor<T>)> {
        let at = self.find(node).ok()?;
        self.sums.remove(at)
    }

    /// Runs the hooks of `node` on its complete gradient, which they may replace.
    #[track_caller]
    #[inline]
    pub(crate) fn run_hooks(&self, node: &Node<T>, grad: &mut Tensor<T>) {
        if node.hooks.run(grad) {
            self.admit(grad);
        }
    }
}

/// Adds `grad` to `sum`: as an operation if one of them is tracked, which only happens in a recorded
/// pass, otherwise in place where possible.
fn add_to_sum<T: Float>(sum: &mut Tensor<T>, grad: Tensor<T>) {
    if sum.is_tracked() || grad.is_tracked() {
        *sum = &*sum + grad;
    } else {
        sum.array.add_assign(grad.array);
    }
}

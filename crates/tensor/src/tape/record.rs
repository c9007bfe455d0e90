//! Recording: the result of an operation gets a node.

use crate::arrays::array::Array;
use crate::tape::anomaly;
use crate::tape::mode::{Mode, is_grad_enabled};
use crate::tape::node::{Backward, Gradients, Node, Parents, Recorded};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::panic::Location;
use std::sync::Arc;

/// The argument of a backward function.
pub(crate) struct Context<'a, T: Float> {
    pub(crate) node: &'a Arc<Node<T>>,
    pub(crate) op: &'static str,
    pub(crate) parents: &'a Parents<T>,
    pub(crate) grad: Tensor<T>,
}

impl<T: Float> Context<'_, T> {
    /// The gradient of the operation's output.
    pub(crate) fn grad(&self) -> &Tensor<T> {
        &self.grad
    }

    /// The name of the operation.
    pub(crate) fn op(&self) -> &'static str {
        self.op
    }

    /// Whether the gradient of input `i` is needed.
    pub(crate) fn needs(&self, i: usize) -> bool {
        self.parents[i].is_some()
    }

    /// The gradient of input `i`, which the operation may have broadcast: `gradient()`, which has
    /// the broadcast shape, summed to the input's shape. `None` if it is not needed.
    #[track_caller]
    pub(crate) fn broadcast_back(
        &self,
        i: usize,
        gradient: impl FnOnce() -> Tensor<T>,
    ) -> Option<Tensor<T>> {
        self.parents[i].as_ref().map(|input| gradient().sum_to(&input.shape))
    }

    /// The operation's output, from its saved array. (Saving the tensor would be a reference
    /// cycle: it holds the node.)
    pub(crate) fn output(&self, saved: &Array<T>) -> Tensor<T> {
        Tensor { array: saved.clone(), node: Some(self.node.clone()) }
    }

    /// The gradient of an elementwise operation's input, from the output's gradient and `x`, which
    /// is the input or the output. A recorded pass uses `in_operations`, which can be
    /// differentiated again; any other pass uses `in_one_loop`, the same formula.
    #[track_caller]
    pub(crate) fn chain(
        &self,
        x: &Tensor<T>,
        in_one_loop: impl Fn(T, T) -> T + Sync,
        in_operations: impl FnOnce(&Tensor<T>, &Tensor<T>) -> Tensor<T>,
    ) -> Tensor<T> {
        if is_grad_enabled() {
            in_operations(&self.grad, x)
        } else {
            self.grad.array.zip(self.op(), &x.array, x.array.shape().clone(), in_one_loop).into()
        }
    }
}

/// The result of an operation, recorded if recording is on and an input is tracked.
///
/// `backward` returns a gradient for each input, `None` where [`Context::needs`] is false. It is
/// written in tensor operations, so that it can be differentiated again. What it captures are the
/// operation's saved values.
#[track_caller]
pub(crate) fn record<T: Float, const N: usize>(
    name: &'static str,
    inputs: [&Tensor<T>; N],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> [Option<Tensor<T>>; N] + Send + Sync + 'static,
) -> Tensor<T> {
    record_many(name, &inputs, value, move |context| {
        let mut gradients = Gradients::new();
        // Faster than `collect`.
        backward(context).into_iter().for_each(|gradient| gradients.push(gradient));
        gradients
    })
}

/// [`record`] for any number of inputs.
#[track_caller]
pub(crate) fn record_many<T: Float>(
    name: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync + 'static,
) -> Tensor<T> {
    record_if_tracked(name, inputs, value, || Backward::Formula(Arc::new(backward)))
}

/// The result of an operation: `value`, with a node if recording is on and an input is tracked.
#[track_caller]
pub(crate) fn record_if_tracked<T: Float>(
    name: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl FnOnce() -> Backward<T>,
) -> Tensor<T> {
    let mode = Mode::now();
    if mode.detect_anomaly && !mode.in_backward {
        anomaly::check_value(name, inputs, &value);
    }
    if !mode.record || inputs.iter().all(|input| input.node.is_none()) {
        return Tensor { array: value, node: None };
    }
    let mut parents = Parents::new();
    inputs.iter().for_each(|input| parents.push(input.node.clone())); // faster than collect
    record_node(name, parents, value, backward())
}

/// The result of an operation with these parents: `value` with a new node.
#[track_caller]
pub(crate) fn record_node<T: Float>(
    name: &'static str,
    parents: Parents<T>,
    value: Array<T>,
    backward: Backward<T>,
) -> Tensor<T> {
    let recorded = Recorded { parents, backward };
    let node = Node::operation(value.shape().clone(), name, Location::caller(), recorded);
    Tensor { array: value, node: Some(node) }
}

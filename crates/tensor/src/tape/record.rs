//! Recording: the result of an operation gets a node.

use crate::arrays::array::Array;
use crate::tape::anomaly;
use crate::tape::context::Context;
use crate::tape::mode::Mode;
use crate::tape::node::{Gradients, Node, Parents, Recorded};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::panic::Location;
use std::sync::Arc;

/// The result of an operation, recorded if recording is on and an input is tracked.
///
/// `backward` returns a gradient for each input, `None` where [`Context::needs`] is false. It is
/// written in tensor operations, so that it can be differentiated again. What it captures are the
/// operation's saved values.
#[track_caller]
pub(crate) fn record<T: Float, const N: usize>(
    op: &'static str,
    inputs: [&Tensor<T>; N],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> [Option<Tensor<T>>; N] + Send + Sync + 'static,
) -> Tensor<T> {
    record_many(op, &inputs, value, move |context| {
        let mut gradients = Gradients::new();
        // Faster than `collect`.
        backward(context).into_iter().for_each(|gradient| gradients.push(gradient));
        gradients
    })
}

/// [`record`] for any number of inputs.
#[track_caller]
pub(crate) fn record_many<T: Float>(
    op: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    backward: impl Fn(&Context<'_, T>) -> Gradients<T> + Send + Sync + 'static,
) -> Tensor<T> {
    record_if_tracked(op, inputs, value, || {
        let mut parents = Parents::new();
        inputs.iter().for_each(|input| parents.push(input.node.clone())); // faster than `collect`
        Recorded::Formula { parents, backward: Arc::new(backward) }
    })
}

/// The result of an operation: `value`, with a node if recording is on and an input is tracked.
#[track_caller]
pub(crate) fn record_if_tracked<T: Float>(
    op: &'static str,
    inputs: &[&Tensor<T>],
    value: Array<T>,
    recorded: impl FnOnce() -> Recorded<T>,
) -> Tensor<T> {
    let mode = Mode::now();
    if mode.detect_anomaly && !mode.in_backward {
        anomaly::check_value(op, inputs, &value);
    }
    if !mode.record || inputs.iter().all(|input| input.node.is_none()) {
        return Tensor { array: value, node: None };
    }
    record_node(op, value, recorded())
}

/// The result of an operation: `value` with a new node.
#[track_caller]
pub(crate) fn record_node<T: Float>(
    op: &'static str,
    value: Array<T>,
    recorded: Recorded<T>,
) -> Tensor<T> {
    let node = Node::operation(value.shape().clone(), op, Location::caller(), recorded);
    Tensor { array: value, node: Some(node) }
}

//! The argument of a backward function.

use crate::arrays::array::Array;
use crate::tape::mode::is_pass_recorded;
use crate::tape::node::{Kind, Node, Parents};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::sync::Arc;

/// What the backward function of an operation gets: the gradient of the output, and which gradients
/// it has to compute.
pub(crate) struct Context<'a, T: Float> {
    node: &'a Arc<Node<T>>,
    parents: &'a Parents<T>,
    grad: Tensor<T>,
}

impl<'a, T: Float> Context<'a, T> {
    /// For the operation `node`, whose output has the gradient `grad`. `parents` are the nodes of
    /// the inputs, `None` for an input whose gradient is not needed.
    pub(crate) fn new(node: &'a Arc<Node<T>>, parents: &'a Parents<T>, grad: Tensor<T>) -> Self {
        Context { node, parents, grad }
    }

    /// The gradient of the operation's output.
    pub(crate) fn grad(&self) -> &Tensor<T> {
        &self.grad
    }

    /// The name of the operation.
    pub(crate) fn op(&self) -> &'static str {
        match &self.node.kind {
            Kind::Operation(operation) => operation.name,
            Kind::Leaf(_) => unreachable!("a leaf has no backward function"),
        }
    }

    /// The nodes of the inputs; `None` where the gradient is not needed.
    pub(crate) fn parents(&self) -> &Parents<T> {
        self.parents
    }

    /// Whether the gradient of input `i` is needed.
    pub(crate) fn needs(&self, i: usize) -> bool {
        self.parents[i].is_some()
    }

    /// The gradient of input `i`: `gradient()`, which has the output's shape, summed to the input's
    /// shape if the operation broadcast it. `None` if it is not needed.
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
        in_one_loop: impl Fn(T, T) -> T + Copy + Sync,
        in_operations: impl FnOnce(&Tensor<T>, &Tensor<T>) -> Tensor<T>,
    ) -> Tensor<T> {
        if is_pass_recorded() {
            in_operations(&self.grad, x)
        } else {
            self.grad.array.zip(self.op(), &x.array, x.array.shape().clone(), in_one_loop).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tape::record::record;
    use crate::{GradOptions, Tensor, grad};

    #[test]
    fn a_backward_function_sees_its_operation() {
        let [a, b] = [1.0f64, 2.0].map(|x| Tensor::from([x]).requires_grad());
        let y = record("test", [&a, &b], a.array.clone(), |ctx| {
            assert_eq!(ctx.op(), "test");
            assert_eq!((ctx.needs(0), ctx.needs(1), ctx.parents().len()), (false, true, 2));
            [None, Some(ctx.grad() * 3.0)]
        });
        assert_eq!(grad(&y, &[&b], GradOptions::default())[0].item(), 3.0);
    }
}

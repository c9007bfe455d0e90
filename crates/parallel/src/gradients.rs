//! The gradients of a shard, or of a node of the tree.

use adamant_kernels::{map_assign, zip_assign};
use adamant_tensor::{Array, Float, Parameter, Tensor};
use adamant_transport::Partition;

/// A gradient for each parameter; `None` for zeros.
pub(crate) struct Gradients<T: Float>(pub(crate) Vec<Option<Array<T>>>);

impl<T: Float> Gradients<T> {
    /// Takes the gradients out of the parameters.
    pub(crate) fn take(parameters: &[(Parameter<T>, Partition)]) -> Self {
        let take = |(parameter, _): &(Parameter<T>, Partition)| {
            let grad = parameter.grad().map(|grad| grad.array().clone());
            parameter.zero_grad();
            grad
        };
        Gradients(parameters.iter().map(take).collect())
    }

    /// Of a shard that is not in the batch.
    pub(crate) fn none(parameters: &[(Parameter<T>, Partition)]) -> Self {
        Gradients(parameters.iter().map(|_| None).collect())
    }

    /// Sets the parameters' gradients.
    pub(crate) fn put(self, parameters: &[(Parameter<T>, Partition)]) {
        for ((parameter, _), grad) in parameters.iter().zip(self.0) {
            parameter.set_grad(grad.map(Tensor::from));
        }
    }

    /// Adds the gradient of a further batch.
    pub(crate) fn accumulate(mut self, batch: Self) -> Self {
        for (sum, gradient) in self.0.iter_mut().zip(batch.0) {
            match (&mut *sum, gradient) {
                (Some(sum), Some(gradient)) => add_assign(sum.make_mut(), elements(&gradient)),
                (None, gradient) => *sum = gradient,
                (Some(_), None) => {}
            }
        }
        self
    }

    /// Puts the gradient of a shard after those of the nodes before it, the last `completed` of which
    /// are left halves of nodes that the shard completes.
    pub(crate) fn push_to(self, rows: &mut Vec<Self>, completed: usize) {
        let left = rows.split_off(rows.len() - completed);
        rows.push(left.into_iter().rev().fold(self, |right, left| left.add(right)));
    }

    /// The sums of two nodes.
    pub(crate) fn add(self, right: Self) -> Self {
        Gradients(self.0.into_iter().zip(right.0).map(|(left, right)| add(left, right)).collect())
    }
}

/// The sum of two nodes, element by element. If only one has a gradient, the other's is zeros.
pub(crate) fn add<T: Float>(left: Option<Array<T>>, right: Option<Array<T>>) -> Option<Array<T>> {
    match (left, right) {
        (Some(mut left), Some(right)) => {
            add_assign(left.make_mut(), elements(&right));
            Some(left)
        }
        // Not as it is: 0 + −0 is 0, and ranks send zeros.
        (Some(mut one), None) | (None, Some(mut one)) => {
            map_assign(one.make_mut(), |x| x + T::ZERO);
            Some(one)
        }
        (None, None) => None,
    }
}

/// The gradient in row-major order: what arrives at a hook may be a view.
pub(crate) fn compact<T: Float>(gradient: &Array<T>) -> Array<T> {
    match gradient.as_slice() {
        Some(_) => gradient.clone(),
        None => Array::from_slice(gradient.shape().clone(), &gradient.to_vec()),
    }
}

/// The elements of a gradient that was collected, or added to one.
pub(crate) fn elements<T: Float>(gradient: &Array<T>) -> &[T] {
    gradient.as_slice().expect("a collected gradient is contiguous")
}

pub(crate) fn add_assign<T: Float>(left: &mut [T], right: &[T]) {
    zip_assign(left, right, |left, right| left + right);
}

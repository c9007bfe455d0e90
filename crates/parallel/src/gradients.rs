//! The gradients of a shard, or of a node of the tree.

use adamant_kernels::{map_assign, zip_assign};
use adamant_nn::Module;
use adamant_tensor::{Array, Float, Parameter, Tensor};
use adamant_transport::Partition;
use std::collections::HashSet;

/// A gradient for each parameter; `None` for zeros.
pub(crate) struct Gradients<T: Float>(pub(crate) Vec<Option<Array<T>>>);

impl<T: Float> Gradients<T> {
    /// Takes the gradients out of the parameters.
    pub(crate) fn take(parameters: &[(Parameter<T>, Partition)]) -> Self {
        Gradients(parameters.iter().map(|(parameter, _)| take(parameter)).collect())
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

/// The gradients before a batch.
pub(crate) struct Before<T: Float> {
    of_optimizer: Gradients<T>,
    /// Those of the model's other parameters: what the shards of this rank add to them would depend on
    /// the number of ranks.
    others: Vec<(Parameter<T>, Option<Tensor<T>>)>,
}

impl<T: Float> Before<T> {
    /// Takes the gradients out of the parameters. A batch of one shard leaves those of parameters that
    /// are not the optimizer's.
    pub(crate) fn take(
        model: &(impl Module<T> + ?Sized),
        parameters: &[(Parameter<T>, Partition)],
        shards: usize,
    ) -> Self {
        let of_optimizer = Gradients::take(parameters);
        let known: HashSet<usize> =
            parameters.iter().map(|(parameter, _)| parameter.id()).collect();
        let mut others = if shards == 1 { Vec::new() } else { model.parameters() };
        others.retain(|parameter| parameter.is_tracked() && !known.contains(&parameter.id()));
        let take = |parameter: Parameter<T>| {
            let grad = parameter.grad();
            parameter.zero_grad();
            (parameter, grad)
        };
        Before { of_optimizer, others: others.into_iter().map(take).collect() }
    }

    /// Puts them back, with those of the batch added for the optimizer's parameters.
    pub(crate) fn restore(self, parameters: &[(Parameter<T>, Partition)], batch: Gradients<T>) {
        self.of_optimizer.accumulate(batch).put(parameters);
        self.others.into_iter().for_each(|(parameter, grad)| parameter.set_grad(grad));
    }
}

/// Takes the gradient out of a parameter.
pub(crate) fn take<T: Float>(parameter: &Parameter<T>) -> Option<Array<T>> {
    let gradient = parameter.grad().map(|gradient| gradient.array().clone());
    parameter.zero_grad();
    gradient
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

/// The elements of a gradient that was collected, or added to one.
pub(crate) fn elements<T: Float>(gradient: &Array<T>) -> &[T] {
    gradient.as_slice().expect("a collected gradient is contiguous")
}

pub(crate) fn add_assign<T: Float>(left: &mut [T], right: &[T]) {
    zip_assign(left, right, |left, right| left + right);
}

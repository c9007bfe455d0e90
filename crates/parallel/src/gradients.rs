//! The gradients of shards, and their sum over all ranks.

use crate::tree;
use adamant_kernels::zip_assign;
use adamant_tensor::{Array, Float, Parameter, Tensor};
use adamant_transport::{Chunk, Frame, Partition, Pending, Transport, TransportError, chunks};
use std::collections::VecDeque;
use std::ops::Range;

/// The elements that ranks exchange at once.
const CHUNK: usize = 1 << 20;

/// The chunks in progress at once.
const IN_FLIGHT: usize = 2;

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

    /// The sums of two nodes, element by element. A parameter without a gradient on one side has zeros there.
    pub(crate) fn add(mut self, other: Self) -> Self {
        for (left, right) in self.0.iter_mut().zip(other.0) {
            match (&mut *left, right) {
                (Some(left), Some(right)) => add_assign(left.make_mut(), elements(&right)),
                // Not as it is: 0 + −0 is 0, and ranks send zeros.
                (None, Some(mut right)) => {
                    adamant_kernels::map_assign(right.make_mut(), |x| T::ZERO + x);
                    *left = Some(right);
                }
                (Some(left), None) => adamant_kernels::map_assign(left.make_mut(), |x| x + T::ZERO),
                (None, None) => {}
            }
        }
        self
    }
}

/// The elements of a gradient that was collected, or added to one.
fn elements<T: Float>(gradient: &Array<T>) -> &[T] {
    gradient.as_slice().expect("a collected gradient is contiguous")
}

fn add_assign<T: Float>(left: &mut [T], right: &[T]) {
    zip_assign(left, right, |left, right| left + right);
}

/// The nodes of the tree over `shards` shards that a rank computes.
pub(crate) fn nodes(shards: usize, rank: usize, ranks: usize) -> Vec<Range<usize>> {
    tree::cover(&(0..shards), &local(shards, rank, ranks))
}

/// The shards of a rank.
pub(crate) fn local(shards: usize, rank: usize, ranks: usize) -> Range<usize> {
    shards * rank / ranks..shards * (rank + 1) / ranks
}

/// The sums over all shards. `rows` are the gradients of this rank's [`nodes`]. The result has the sums
/// of the elements that belong to this rank; its other elements have no meaning.
///
/// Every rank sends each other the elements that belong to it, and adds what it receives along the
/// tree, chunk by chunk.
pub(crate) fn exchange<T: Float>(
    transport: &dyn Transport,
    shards: usize,
    parameters: &[(Parameter<T>, Partition)],
    mut rows: Vec<Gradients<T>>,
) -> Result<Gradients<T>, TransportError> {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    let nodes: Vec<_> = (0..ranks).map(|rank| nodes(shards, rank, ranks)).collect();
    let mut in_flight: VecDeque<(Chunk, Pending)> = VecDeque::new();
    // Backward passes reach the last parameters first.
    let partitions: Vec<Partition> = parameters.iter().map(|(_, partition)| *partition).collect();
    let chunks = chunks(&partitions, CHUNK);
    for chunk in chunks.into_iter().rev() {
        if in_flight.len() == IN_FLIGHT
            && let Some((chunk, pending)) = in_flight.pop_front()
        {
            receive(rank, &nodes, &chunk, pending.wait()?, &mut rows[0], parameters);
        }
        let frame = pack(ranks, &chunk, &rows);
        let bytes = |rows: usize, rank| rows * chunk.elements(rank) * size_of::<T>();
        let counts: Vec<usize> = (0..ranks).map(|to| bytes(rows.len(), to)).collect();
        let lengths: Vec<usize> = nodes.iter().map(|nodes| bytes(nodes.len(), rank)).collect();
        let pending = transport.all_to_all(frame, &counts, &lengths);
        in_flight.push_back((chunk, pending));
    }
    for (chunk, pending) in in_flight {
        receive(rank, &nodes, &chunk, pending.wait()?, &mut rows[0], parameters);
    }
    Ok(rows.swap_remove(0))
}

/// What each rank gets of a chunk: for each row, the elements that belong to it.
fn pack<T: Float>(ranks: usize, chunk: &Chunk, rows: &[Gradients<T>]) -> Frame {
    let elements_of = |rank| chunk.elements(rank);
    let total = (0..ranks).map(elements_of).sum::<usize>() * rows.len();
    let mut frame = Frame::zeros(total * size_of::<T>());
    let mut rest = frame.as_mut_slice::<T>();
    for to in 0..ranks {
        for row in rows {
            for segment in &chunk.segments {
                let range = segment.ranges[to].clone();
                let (part, others) = rest.split_at_mut(range.len());
                if let Some(gradient) = &row.0[segment.position] {
                    part.copy_from_slice(&elements(gradient)[range]);
                }
                rest = others;
            }
        }
    }
    frame
}

/// Adds the rows of a chunk that were received, along the tree, and puts the sums into `sums`.
fn receive<T: Float>(
    rank: usize,
    nodes: &[Vec<Range<usize>>],
    chunk: &Chunk,
    mut received: Frame,
    sums: &mut Gradients<T>,
    parameters: &[(Parameter<T>, Partition)],
) {
    let width = chunk.elements(rank);
    let shards = nodes.iter().flatten().last().map_or(0, |node| node.end);
    let rows: Vec<&Range<usize>> = nodes.iter().flatten().collect();
    let received = received.as_mut_slice::<T>();
    // The sum of a node is in the row of its first one.
    let first = tree::sum(
        &(0..shards),
        &mut |node| rows.iter().position(|row| *row == node),
        &mut |left, right| {
            let (before, after) = received.split_at_mut(right * width);
            add_assign(&mut before[left * width..][..width], &after[..width]);
            left
        },
    );
    let mut sum = &received[first * width..][..width];
    for segment in &chunk.segments {
        let range = segment.ranges[rank].clone();
        let (part, others) = sum.split_at(range.len());
        let gradient = sums.0[segment.position].get_or_insert_with(|| {
            Array::full(parameters[segment.position].0.shape().into(), T::ZERO)
        });
        gradient.make_mut()[range].copy_from_slice(part);
        sum = others;
    }
}

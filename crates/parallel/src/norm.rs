//! The norm of gradients whose elements are shared between ranks.

use adamant_kernels::{drain, map_assign};
use adamant_tensor::{Float, Parameter};
use adamant_transport::{BLOCK, Frame, Partition, Transport, TransportError};

/// Scales the gradients so that their norm is at most `max_norm`; returns the norm before.
pub(crate) fn clip<T: Float>(
    transport: &dyn Transport,
    parameters: &[(Parameter<T>, Partition)],
    max_norm: f64,
) -> Result<f64, TransportError> {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    let grads = parameters.iter().map(|(parameter, partition)| (parameter.grad(), partition));
    let grads: Vec<_> = grads.filter_map(|(grad, partition)| Some((grad?, partition))).collect();
    let mut own = Vec::new();
    for (grad, partition) in &grads {
        let grad = grad.array().as_slice().expect("a collected gradient is contiguous");
        own.extend(squares(&grad[partition.range(rank)]));
    }
    let blocks = |partition: &Partition, rank| partition.range(rank).len().div_ceil(BLOCK);
    let count = |rank| grads.iter().map(|(_, partition)| blocks(partition, rank)).sum::<usize>();
    let counts: Vec<usize> = (0..ranks).map(count).collect();
    let lengths: Vec<usize> = counts.iter().map(|count| count * size_of::<f64>()).collect();
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    let mut rest = all.as_slice::<f64>();
    let mut of_ranks: Vec<_> = Vec::with_capacity(ranks);
    for &count in &counts {
        let (part, others) = rest.split_at(count);
        of_ranks.push(part.iter());
        rest = others;
    }
    // In the order of the elements, whoever has them.
    let mut sum = 0.0;
    for (_, partition) in &grads {
        for rank in partition.ranks_in_order() {
            let blocks = of_ranks[rank].by_ref().take(blocks(partition, rank));
            blocks.for_each(|square| sum += square);
        }
    }
    drop(grads);
    let norm = sum.sqrt();
    let factor = T::from_f64(max_norm) / (T::from_f64(norm) + T::from_f64(1e-6));
    let is_small = factor >= T::ONE; // false for NaN
    if !is_small {
        for (parameter, partition) in parameters {
            let own = partition.range(rank);
            parameter.change_grad(|grad| map_assign(&mut grad[own], |g| g * factor));
        }
    }
    Ok(norm)
}

/// The sum of squares of each block.
fn squares<T: Float>(elements: &[T]) -> Vec<f64> {
    const LANES: usize = 8;
    let mut sums = vec![0.0; elements.len().div_ceil(BLOCK)];
    let work = sums.iter_mut().zip(elements.chunks(BLOCK));
    drain(work, elements.len(), |(sum, block)| {
        let mut lanes = [0.0; LANES];
        for elements in block.chunks(LANES) {
            for (lane, &x) in lanes.iter_mut().zip(elements) {
                *lane += x.to_f64() * x.to_f64();
            }
        }
        *sum = lanes.iter().sum();
    });
    sums
}

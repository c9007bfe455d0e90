//! The sums of gradients over all ranks.

use crate::gradients::{Gradients, add_assign, elements};
use crate::tree;
use adamant_tensor::{Array, Float, Parameter};
use adamant_transport::{
    CHUNK, Chunk, Frame, Partition, Pending, Transport, TransportError, chunks,
};
use std::collections::VecDeque;
use std::ops::Range;

/// The chunks in progress at once: while one is added, others travel.
const IN_FLIGHT: usize = 4;

/// The shards of a rank.
pub(crate) fn local(shards: usize, rank: usize, ranks: usize) -> Range<usize> {
    shards * rank / ranks..shards * (rank + 1) / ranks
}

/// The sums of gradients. `rows` are those of this rank's nodes of the tree over the shards.
///
/// Each rank sends every other the elements that belong to it, and adds what it receives along the
/// tree, chunk by chunk. The result has the sums of this rank's elements; its other elements are NaN.
/// It is `None` for a parameter that no rank has a gradient for.
pub(crate) fn sum<T: Float>(
    transport: &dyn Transport,
    shards: usize,
    parameters: &[(Parameter<T>, Partition)],
    mut rows: Vec<Gradients<T>>,
) -> Result<Gradients<T>, TransportError> {
    let (rank, ranks) = (transport.rank(), transport.ranks());
    let reached = reached(transport, &rows)?;
    let cover = |rank| tree::cover(&(0..shards), &local(shards, rank, ranks));
    let nodes: Vec<Vec<Range<usize>>> = (0..ranks).map(cover).collect();
    // Parameters that no rank has a gradient for have no elements to exchange.
    let partition = |(i, (_, partition)): (usize, &(Parameter<T>, Partition))| Partition {
        elements: if reached[i] { partition.elements } else { 0 },
        ..*partition
    };
    let partitions: Vec<Partition> = parameters.iter().enumerate().map(partition).collect();
    let chunks = chunks(&partitions, CHUNK);
    // The number of chunks that a parameter is part of: after the last one, its rows are freed.
    let mut parts = vec![0; parameters.len()];
    chunks.iter().flat_map(|chunk| &chunk.segments).for_each(|part| parts[part.position] += 1);

    let mut sums = Gradients::none(parameters);
    for (i, (parameter, _)) in parameters.iter().enumerate().filter(|&(i, _)| reached[i]) {
        let unknown = Array::full(parameter.shape().into(), T::from_f64(f64::NAN));
        sums.0[i] = Some(unknown);
    }
    let mut in_flight: VecDeque<(&Chunk, Pending)> = VecDeque::new();
    for chunk in &chunks {
        if in_flight.len() == IN_FLIGHT
            && let Some((first, pending)) = in_flight.pop_front()
        {
            receive(rank, &nodes, first, pending.wait()?, &mut sums);
        }
        let bytes = |rows: usize, rank| rows * chunk.elements(rank) * size_of::<T>();
        let counts: Vec<usize> = (0..ranks).map(|to| bytes(rows.len(), to)).collect();
        let lengths: Vec<usize> = nodes.iter().map(|nodes| bytes(nodes.len(), rank)).collect();
        let pending = transport.all_to_all(pack(ranks, chunk, &rows), &counts, &lengths);
        in_flight.push_back((chunk, pending));
        for segment in &chunk.segments {
            parts[segment.position] -= 1;
            if parts[segment.position] == 0 {
                rows.iter_mut().for_each(|row| row.0[segment.position] = None);
            }
        }
    }
    for (chunk, pending) in in_flight {
        receive(rank, &nodes, chunk, pending.wait()?, &mut sums);
    }
    Ok(sums)
}

/// Whether any rank has a gradient, for each parameter.
fn reached<T: Float>(
    transport: &dyn Transport,
    rows: &[Gradients<T>],
) -> Result<Vec<bool>, TransportError> {
    let parameters = rows.first().map_or(0, |row| row.0.len());
    let own = |i: usize| u8::from(rows.iter().any(|row| row.0[i].is_some()));
    let own: Vec<u8> = (0..parameters).map(own).collect();
    let lengths = vec![own.len(); transport.ranks()];
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    let any = |i: usize| all.as_slice::<u8>().iter().skip(i).step_by(parameters).any(|&is| is != 0);
    Ok((0..parameters).map(any).collect())
}

/// What is sent to each rank: for each row, the elements of the chunk that belong to it.
fn pack<T: Float>(ranks: usize, chunk: &Chunk, rows: &[Gradients<T>]) -> Frame {
    let elements_of_row = (0..ranks).map(|rank| chunk.elements(rank)).sum::<usize>();
    let mut frame = Frame::zeros(rows.len() * elements_of_row * size_of::<T>());
    let mut rest = frame.as_mut_slice::<T>();
    for to in 0..ranks {
        for row in rows {
            let (part, others) = rest.split_at_mut(chunk.elements(to));
            chunk.pack(to, |position| row.0[position].as_ref().map(elements), part);
            rest = others;
        }
    }
    frame
}

/// Adds the rows of a chunk that were received, along the tree.
fn receive<T: Float>(
    rank: usize,
    nodes: &[Vec<Range<usize>>],
    chunk: &Chunk,
    mut received: Frame,
    sums: &mut Gradients<T>,
) {
    let width = chunk.elements(rank);
    let nodes: Vec<&Range<usize>> = nodes.iter().flatten().collect();
    let shards = nodes.last().map_or(0, |node| node.end);
    let received = received.as_mut_slice::<T>();
    // The sum of a node is in the row of its first one.
    let first = tree::sum(
        &(0..shards),
        &mut |node| nodes.iter().position(|other| *other == node),
        &mut |left, right| {
            let (before, after) = received.split_at_mut(right * width);
            add_assign(&mut before[left * width..][..width], &after[..width]);
            left
        },
    );
    chunk.unpack(rank, &received[first * width..][..width], |position, range, part| {
        let sum = sums.0[position].as_mut().expect("of a parameter that is exchanged");
        sum.make_mut()[range].copy_from_slice(part);
    });
}

//! The sums of gradients over all ranks.

use crate::gradients::{Gradients, add, add_assign, elements};
use crate::tree;
use adamant_tensor::{Array, Float, Parameter};
use adamant_transport::{
    CHUNK, Chunk, Frame, Partition, Pending, Segment, Transport, TransportError, chunks,
};
use std::collections::VecDeque;
use std::ops::Range;

/// The chunks in progress at once: while one is added, others travel.
const IN_FLIGHT: usize = 4;

/// The shards of a rank.
pub(crate) fn local(shards: usize, rank: usize, ranks: usize) -> Range<usize> {
    shards * rank / ranks..shards * (rank + 1) / ranks
}

/// The exchange of a batch's gradients, which begins during the backward pass of the last shard.
///
/// Each rank sends every other the elements that belong to it, and adds what it receives along the
/// tree, chunk by chunk. A chunk is sent when the gradients of its parameters are complete, and after
/// the chunks before it: in the same order on all ranks.
pub(crate) struct Exchange<'p, T: Float> {
    transport: &'p dyn Transport,
    parameters: &'p [(Parameter<T>, Partition)],
    /// The nodes of the tree that each rank sends.
    nodes: Vec<Vec<Range<usize>>>,
    /// The nodes of this rank, but for the last one.
    rows: Vec<Gradients<T>>,
    /// The left halves of nodes that this rank's last shard completes, in the order of shards.
    left: Vec<Gradients<T>>,
    /// The last node of this rank. When its elements have been sent, those of others become NaN, and those
    /// that belong to this rank the sums over all ranks.
    last: Gradients<T>,
    /// Whether the gradient of a parameter in `last` is complete.
    is_complete: Vec<bool>,
    /// Whether this rank has a gradient for a parameter.
    is_reached: Vec<bool>,
    chunks: Vec<Chunk>,
    /// The number of chunks that have been sent.
    sent: usize,
    /// The number of chunks with parts of a parameter that have not been received.
    parts: Vec<usize>,
    in_flight: VecDeque<(usize, Pending)>,
    error: Option<TransportError>,
}

impl<'p, T: Float> Exchange<'p, T> {
    /// `rows` are the nodes of the tree over this rank's shards but the last one.
    pub(crate) fn new(
        transport: &'p dyn Transport,
        shards: usize,
        parameters: &'p [(Parameter<T>, Partition)],
        mut rows: Vec<Gradients<T>>,
    ) -> Self {
        let (rank, ranks) = (transport.rank(), transport.ranks());
        let cover = |rank| tree::cover(&(0..shards), &local(shards, rank, ranks));
        let nodes: Vec<Vec<Range<usize>>> = (0..ranks).map(cover).collect();
        let left = rows.split_off(nodes[rank].len() - 1);
        // A parameter that requires no gradient has none on any rank; one rank sends nothing.
        let is_sent = |parameter: &Parameter<T>| ranks > 1 && parameter.is_tracked();
        let partition = |(parameter, partition): &(Parameter<T>, Partition)| Partition {
            elements: if is_sent(parameter) { partition.elements } else { 0 },
            ..*partition
        };
        let chunks = chunks(&parameters.iter().map(partition).collect::<Vec<_>>(), CHUNK);
        let mut parts = vec![0; parameters.len()];
        let segments = chunks.iter().flat_map(|chunk| &chunk.segments);
        segments.for_each(|segment| parts[segment.position] += 1);
        Exchange {
            transport,
            parameters,
            nodes,
            rows,
            left,
            last: Gradients::none(parameters),
            is_complete: vec![false; parameters.len()],
            is_reached: vec![false; parameters.len()],
            chunks,
            sent: 0,
            parts,
            in_flight: VecDeque::new(),
            error: None,
        }
    }

    /// Completes the gradient of a parameter with that of the last shard, and sends the chunks that
    /// are complete now. [`finish`](Exchange::finish) returns the error of a transport.
    pub(crate) fn complete(&mut self, position: usize, gradient: Option<Array<T>>) {
        let left = self.left.iter_mut().rev();
        let sum = left.fold(gradient, |right, left| add(left.0[position].take(), right));
        let mut rows = self.rows.iter();
        self.is_reached[position] = sum.is_some() || rows.any(|row| row.0[position].is_some());
        self.last.0[position] = sum;
        self.is_complete[position] = true;
        while self.error.is_none() && self.is_next_complete() {
            self.error = self.send_next().err();
        }
    }

    /// Whether there is a next chunk to send, with the gradients of all its parameters.
    fn is_next_complete(&self) -> bool {
        let is_complete =
            |chunk: &Chunk| chunk.segments.iter().all(|segment| self.is_complete[segment.position]);
        self.chunks.get(self.sent).is_some_and(is_complete)
    }

    fn send_next(&mut self) -> Result<(), TransportError> {
        if self.in_flight.len() == IN_FLIGHT {
            self.receive_next()?;
        }
        let (rank, ranks) = (self.transport.rank(), self.transport.ranks());
        let chunk = &self.chunks[self.sent];
        let rows: Vec<_> = self.rows.iter().chain([&self.last]).collect();
        let bytes = |rows: usize, of| rows * chunk.elements(of) * size_of::<T>();
        let count = |to| if to == rank { 0 } else { bytes(rows.len(), to) };
        let length =
            |from: usize| if from == rank { 0 } else { bytes(self.nodes[from].len(), rank) };
        let counts: Vec<usize> = (0..ranks).map(count).collect();
        let lengths: Vec<usize> = (0..ranks).map(length).collect();
        let frame = pack(rank, ranks, chunk, &rows);
        let pending = self.transport.all_to_all(frame, &counts, &lengths);
        for Segment { position, ranges } in &chunk.segments {
            let last = or_zeros(&mut self.last.0[*position], &self.parameters[*position].0);
            for (_, range) in ranges.iter().enumerate().filter(|(of, _)| *of != rank) {
                last[range.clone()].fill(T::from_f64(f64::NAN));
            }
        }
        self.in_flight.push_back((self.sent, pending));
        self.sent += 1;
        Ok(())
    }

    /// Adds the first chunk in flight along the tree: the rows that were received, and those of this
    /// rank.
    fn receive_next(&mut self) -> Result<(), TransportError> {
        let Some((chunk, pending)) = self.in_flight.pop_front() else { return Ok(()) };
        let (chunk, rank) = (&self.chunks[chunk], self.transport.rank());
        let mut received = pending.wait()?;
        let width = chunk.elements(rank);
        let nodes: Vec<&Range<usize>> = self.nodes.iter().flatten().collect();
        let shards = nodes.last().map_or(0, |node| node.end);
        let index_of_last = self.nodes[..=rank].iter().map(Vec::len).sum::<usize>() - 1;
        let mut offset = 0;
        for Segment { position, ranges } in &chunk.segments {
            let range = ranges[rank].clone();
            if !range.is_empty() {
                let parameter = &self.parameters[*position].0;
                let own = self.rows.iter_mut().chain([&mut self.last]);
                let own =
                    own.map(|row| &mut or_zeros(&mut row.0[*position], parameter)[range.clone()]);
                let part = offset..offset + range.len();
                let mut others = received
                    .as_mut_slice::<T>()
                    .chunks_exact_mut(width)
                    .map(|row| &mut row[part.clone()]);
                // The parts of all nodes, in order.
                let before: usize = self.nodes[..rank].iter().map(Vec::len).sum();
                let mut parts: Vec<&mut [T]> = others.by_ref().take(before).collect();
                parts.extend(own);
                parts.extend(others);
                tree::sum(
                    &(0..shards),
                    &mut |node| nodes.iter().position(|other| *other == node),
                    &mut |left, right| {
                        let (before, after) = parts.split_at_mut(right);
                        add_assign(before[left], after[0]);
                        left
                    },
                );
                // The sum of a node is in the part of its first one.
                if let (sums, [last, ..]) = parts.split_at_mut(index_of_last)
                    && let [sum, ..] = sums
                {
                    last.copy_from_slice(sum);
                }
                offset = part.end;
            }
            self.parts[*position] -= 1;
            if self.parts[*position] == 0 {
                self.rows.iter_mut().for_each(|row| row.0[*position] = None);
            }
        }
        Ok(())
    }

    /// Completes the parameters that have not been, with the gradients of the last shard that `rest`
    /// returns, and waits for the other ranks. Returns the sums over all ranks for the elements of this
    /// one, and NaN for others; `None` for a parameter that no rank has a gradient for.
    pub(crate) fn finish(
        mut self,
        mut rest: impl FnMut(usize) -> Option<Array<T>>,
    ) -> Result<Gradients<T>, TransportError> {
        for position in (0..self.parameters.len()).rev() {
            if !self.is_complete[position] {
                self.complete(position, rest(position));
            }
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        while !self.in_flight.is_empty() {
            self.receive_next()?;
        }
        let reached = any(self.transport, &self.is_reached)?;
        let of_reached = |(sum, reached): (_, &bool)| if *reached { sum } else { None };
        Ok(Gradients(self.last.0.into_iter().zip(&reached).map(of_reached).collect()))
    }
}

/// For each position, whether any rank has `true`.
fn any(transport: &dyn Transport, own: &[bool]) -> Result<Vec<bool>, TransportError> {
    let own: Vec<u8> = own.iter().map(|&own| u8::from(own)).collect();
    let lengths = vec![own.len(); transport.ranks()];
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    let of_position = |i| all.as_slice::<u8>().iter().skip(i).step_by(own.len());
    Ok((0..own.len()).map(|i| of_position(i).any(|&is| is != 0)).collect())
}

/// What is sent to each other rank: for each row, the elements of the chunk that belong to it.
fn pack<T: Float>(rank: usize, ranks: usize, chunk: &Chunk, rows: &[&Gradients<T>]) -> Frame {
    let others = || (0..ranks).filter(|&to| to != rank);
    let elements_of_row = others().map(|to| chunk.elements(to)).sum::<usize>();
    let mut frame = Frame::stale(rows.len() * elements_of_row * size_of::<T>());
    let mut rest = frame.as_mut_slice::<T>();
    for to in others() {
        for row in rows {
            let (part, others) = rest.split_at_mut(chunk.elements(to));
            chunk.pack(to, |position| row.0[position].as_ref().map(elements), part);
            rest = others;
        }
    }
    frame
}

/// The elements of a gradient, to be changed; zeros if there is none.
fn or_zeros<'a, T: Float>(
    gradient: &'a mut Option<Array<T>>,
    parameter: &Parameter<T>,
) -> &'a mut [T] {
    gradient.get_or_insert_with(|| Array::full(parameter.shape().into(), T::ZERO)).make_mut()
}

//! The sums of gradients over all ranks.

use crate::gradients::{Gradients, add, add_assign, elements};
use crate::order::{Order, Orders};
use crate::tree;
use adamant_tensor::{Array, Float, Parameter};
use adamant_transport::{
    Chunk, Frame, Partition, Pending, Segment, Transport, TransportError, chunks,
};
use std::collections::VecDeque;
use std::ops::Range;

/// The most chunks in flight. It bounds their memory; a pass waits only if the network is this far
/// behind.
const IN_FLIGHT: usize = 16;

/// The shards of a rank.
pub(crate) fn local(shards: usize, rank: usize, ranks: usize) -> Range<usize> {
    shards * rank / ranks..shards * (rank + 1) / ranks
}

/// The exchange of a batch's gradients, which begins during the backward pass of the last shard.
///
/// Each rank sends every other the elements that belong to it, and adds what it receives along the
/// tree, chunk by chunk. All ranks send the same chunks in the same order: first those of the
/// parameters in `order`, each when the gradients of its parameters are complete, whether there are
/// any or not; after the pass, when all ranks know which parameters any of them has a gradient for,
/// those of the others.
pub(crate) struct Exchange<'p, T: Float> {
    transport: &'p dyn Transport,
    parameters: &'p [(Parameter<T>, Partition)],
    /// The number of elements in a chunk.
    elements: usize,
    /// The nodes of the tree that each rank sends.
    nodes: Vec<Vec<Range<usize>>>,
    /// The nodes of this rank, but for the last one.
    rows: Vec<Gradients<T>>,
    /// The left halves of nodes that this rank's last shard completes, in the order of shards.
    left: Vec<Gradients<T>>,
    /// One for each parameter.
    progress: Vec<Progress<T>>,
    order: Order,
    /// The positions that the pass of the last shard has reported.
    reported: Vec<usize>,
    chunks: Vec<Chunk>,
    /// The number of chunks that have been sent.
    sent: usize,
    in_flight: VecDeque<(usize, Pending)>,
    error: Option<TransportError>,
}

/// How far the exchange of a parameter is.
struct Progress<T: Float> {
    /// The gradient of this rank's last node. Once sent, the elements of other ranks are NaN; once the
    /// others' have been received, those of this rank are the sums over all ranks.
    last: Option<Array<T>>,
    /// Whether `last` includes the last shard.
    is_complete: bool,
    /// Whether this rank has a gradient.
    is_reached: bool,
    /// The number of chunks with elements of the parameter that have not been received.
    to_receive: usize,
}

impl<'p, T: Float> Exchange<'p, T> {
    /// `rows` are the nodes of the tree over this rank's shards but the last one.
    pub(crate) fn new(
        transport: &'p dyn Transport,
        shards: usize,
        parameters: &'p [(Parameter<T>, Partition)],
        mut rows: Vec<Gradients<T>>,
        order: Order,
        elements: usize,
    ) -> Self {
        let (rank, ranks) = (transport.rank(), transport.ranks());
        let cover = |rank| tree::cover(&(0..shards), &local(shards, rank, ranks));
        let nodes: Vec<Vec<Range<usize>>> = (0..ranks).map(cover).collect();
        let left = rows.split_off(nodes[rank].len() - 1);
        let progress =
            |_: &_| Progress { last: None, is_complete: false, is_reached: false, to_receive: 0 };
        let mut exchange = Exchange {
            transport,
            parameters,
            elements,
            nodes,
            rows,
            left,
            progress: parameters.iter().map(progress).collect(),
            order: order.clone(),
            reported: Vec::new(),
            chunks: Vec::new(),
            sent: 0,
            in_flight: VecDeque::new(),
            error: None,
        };
        exchange.cut(&order);
        exchange
    }

    /// Appends the chunks of these parameters.
    fn cut(&mut self, positions: &[usize]) {
        let partitions: Vec<_> = positions.iter().map(|&i| self.parameters[i].1).collect();
        for mut chunk in chunks(&partitions, self.elements) {
            for segment in &mut chunk.segments {
                segment.position = positions[segment.position];
                self.progress[segment.position].to_receive += 1;
            }
            self.chunks.push(chunk);
        }
    }

    /// Completes the gradient of a parameter during the pass of the last shard, with that of the
    /// shard, and sends the chunks that are complete now. [`finish`](Exchange::finish) returns the
    /// error of a transport.
    pub(crate) fn report(&mut self, position: usize, gradient: Option<Array<T>>) {
        self.reported.push(position);
        self.complete(position, gradient);
    }

    fn complete(&mut self, position: usize, gradient: Option<Array<T>>) {
        let left = self.left.iter_mut().rev();
        let sum = left.fold(gradient, |right, left| add(left.0[position].take(), right));
        let mut rows = self.rows.iter();
        let progress = &mut self.progress[position];
        progress.is_reached = sum.is_some() || rows.any(|row| row.0[position].is_some());
        progress.last = sum;
        progress.is_complete = true;
        self.send_complete();
    }

    /// Sends the next chunks whose parameters are complete.
    fn send_complete(&mut self) {
        let is_complete = |exchange: &Self, chunk: &Chunk| {
            chunk.segments.iter().all(|segment| exchange.progress[segment.position].is_complete)
        };
        while self.error.is_none()
            && self.chunks.get(self.sent).is_some_and(|chunk| is_complete(self, chunk))
        {
            self.error = self.send_next().err();
        }
    }

    fn send_next(&mut self) -> Result<(), TransportError> {
        if self.in_flight.len() == IN_FLIGHT {
            self.receive_next()?;
        }
        let (rank, ranks) = (self.transport.rank(), self.transport.ranks());
        let chunk = &self.chunks[self.sent];
        let bytes = |nodes: usize, of| nodes * chunk.elements(of) * size_of::<T>();
        let own = self.nodes[rank].len();
        let count = |to| if to == rank { 0 } else { bytes(own, to) };
        let length =
            |from: usize| if from == rank { 0 } else { bytes(self.nodes[from].len(), rank) };
        let counts: Vec<usize> = (0..ranks).map(count).collect();
        let lengths: Vec<usize> = (0..ranks).map(length).collect();
        let pending = self.transport.all_to_all(self.pack(chunk), &counts, &lengths);
        for Segment { position, ranges } in &chunk.segments {
            let last = &mut self.progress[*position].last;
            let last = or_zeros(last, &self.parameters[*position].0);
            for (_, range) in ranges.iter().enumerate().filter(|(of, _)| *of != rank) {
                last[range.clone()].fill(T::from_f64(f64::NAN));
            }
        }
        self.in_flight.push_back((self.sent, pending));
        self.sent += 1;
        Ok(())
    }

    /// What is sent to each other rank: for each node, the elements of the chunk that belong to it.
    fn pack(&self, chunk: &Chunk) -> Frame {
        let ranks = (0..self.transport.ranks()).filter(|&to| to != self.transport.rank());
        let elements_of_node: usize = ranks.clone().map(|to| chunk.elements(to)).sum();
        let nodes = self.rows.len() + 1;
        let mut frame = Frame::stale(nodes * elements_of_node * size_of::<T>());
        let mut rest = frame.as_mut_slice::<T>();
        for to in ranks {
            for node in 0..nodes {
                let (part, others) = rest.split_at_mut(chunk.elements(to));
                let gradient = |position: usize| match self.rows.get(node) {
                    Some(row) => row.0[position].as_ref().map(elements),
                    None => self.progress[position].last.as_ref().map(elements),
                };
                chunk.pack(to, gradient, part);
                rest = others;
            }
        }
        frame
    }

    /// Adds the first chunk in flight along the tree: what the other ranks have sent, and the nodes of
    /// this rank.
    fn receive_next(&mut self) -> Result<(), TransportError> {
        let Some((chunk, pending)) = self.in_flight.pop_front() else { return Ok(()) };
        let (chunk, rank) = (&self.chunks[chunk], self.transport.rank());
        let mut received = pending.wait()?;
        let width = chunk.elements(rank);
        let before: usize = self.nodes[..rank].iter().map(Vec::len).sum();
        let last = before + self.nodes[rank].len() - 1;
        let nodes: Vec<&Range<usize>> = self.nodes.iter().flatten().collect();
        let mut offset = 0;
        for Segment { position, ranges } in &chunk.segments {
            let (parameter, range) = (&self.parameters[*position].0, ranges[rank].clone());
            let progress = &mut self.progress[*position];
            if !range.is_empty() {
                let row = offset..offset + range.len();
                offset = row.end;
                let rows = received.as_mut_slice::<T>().chunks_exact_mut(width);
                let mut others = rows.map(|elements| &mut elements[row.clone()]);
                let mut terms: Vec<&mut [T]> = others.by_ref().take(before).collect();
                let own = self.rows.iter_mut().map(|row| &mut row.0[*position]);
                let own = own.chain([&mut progress.last]);
                terms.extend(own.map(|node| &mut or_zeros(node, parameter)[range.clone()]));
                terms.extend(others);
                add_nodes(&nodes, &mut terms, last);
            }
            progress.to_receive -= 1;
            if progress.to_receive == 0 {
                self.rows.iter_mut().for_each(|row| row.0[*position] = None);
            }
        }
        Ok(())
    }

    /// Completes the parameters that were not reported, with the gradients of the last shard that `rest`
    /// returns, and exchanges what is left. Returns the sums over all ranks for the elements of this
    /// rank, and NaN for others; `None` for a parameter that no rank has a gradient for.
    ///
    /// # Panics
    /// If `rest` returns a gradient of a parameter that was reported.
    #[track_caller]
    pub(crate) fn finish(
        mut self,
        mut rest: impl FnMut(usize) -> Option<Array<T>>,
        orders: &Orders,
    ) -> Result<Gradients<T>, TransportError> {
        let parameters = self.parameters.len();
        for position in 0..parameters {
            let gradient = rest(position);
            if !self.progress[position].is_complete {
                self.complete(position, gradient);
            } else if gradient.is_some() {
                panic!(
                    "backward: parameter {position} has got a further gradient after that of the \
                     pass; expected no other backward pass during it"
                );
            }
        }
        let (transport, ranks) = (self.transport, self.transport.ranks());
        if ranks > 1 && self.error.is_none() {
            let own: Vec<u8> = self.progress.iter().map(|p| u8::from(p.is_reached)).collect();
            let all = transport.all_gather(Frame::from_slice(&own), &vec![parameters; ranks]);
            let all = all.wait()?;
            let by_rank = |rank: usize, i: usize| all.as_slice::<u8>()[rank * parameters + i] != 0;
            let by_any = |i: usize| (0..ranks).any(|rank| by_rank(rank, i));
            let mut is_early = vec![false; parameters];
            self.order.iter().for_each(|&position| is_early[position] = true);
            let late = (0..parameters).rev().filter(|&i| !is_early[i] && by_any(i));
            let late: Vec<usize> = late.collect();
            self.cut(&late);
            self.send_complete();
            while self.error.is_none() && !self.in_flight.is_empty() {
                self.error = self.receive_next().err();
            }
            if self.error.is_none() && late.iter().any(|&i| by_rank(0, i)) {
                orders.renew(transport, parameters, &self.new_order())?;
            }
            let unreached = self.progress.iter_mut().enumerate().filter(|(i, _)| !by_any(*i));
            unreached.for_each(|(_, progress)| progress.last = None);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(Gradients(self.progress.into_iter().map(|p| p.last).collect())),
        }
    }

    /// The parameters that this rank has a gradient for, those first that the pass has reported.
    fn new_order(&self) -> Vec<usize> {
        let mut order = self.reported.clone();
        let is_reported = |i: &usize| self.reported.contains(i);
        order.extend((0..self.parameters.len()).rev().filter(|i| !is_reported(i)));
        order.retain(|&i| self.progress[i].is_reached);
        order
    }
}

/// Adds the nodes of the tree, whose elements are `terms`, and writes the sum to the term `last`.
fn add_nodes<T: Float>(nodes: &[&Range<usize>], terms: &mut [&mut [T]], last: usize) {
    let shards = nodes.last().map_or(0, |node| node.end);
    tree::sum(
        &(0..shards),
        &mut |node| nodes.iter().position(|other| *other == node),
        &mut |left, right| {
            let (before, after) = terms.split_at_mut(right);
            add_assign(before[left], after[0]);
            left
        },
    );
    // The sum of a node is in its first term.
    if let ([sum, ..], [last, ..]) = terms.split_at_mut(last) {
        last.copy_from_slice(sum);
    }
}

/// The elements of a gradient, to be changed; zeros if there is none.
fn or_zeros<'a, T: Float>(
    gradient: &'a mut Option<Array<T>>,
    parameter: &Parameter<T>,
) -> &'a mut [T] {
    gradient.get_or_insert_with(|| Array::full(parameter.shape().into(), T::ZERO)).make_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Tensor;
    use adamant_transport::run_threads;

    const SIZES: [usize; 7] = [100, 1, 300, 64, 7, 33, 5];
    /// No shard has a gradient for this one.
    const UNUSED: usize = 4;
    /// One shard has.
    const RARE: usize = 6;
    /// Chunks of less than the largest parameter, and of several small ones.
    const CHUNK: usize = 64;

    fn gradient(batch: usize, shard: usize, position: usize) -> Option<Array<f64>> {
        let is_used = match position {
            UNUSED => false,
            RARE => shard == batch,
            _ => true,
        };
        let element = |i| ((batch + 1) * (7 * shard + 3 * position + 1) * (i + 1)) as f64;
        let elements: Vec<f64> = (0..SIZES[position]).map(|i| element(i).sin()).collect();
        is_used.then(|| Array::from_slice([SIZES[position]].into(), &elements))
    }

    fn of_shard(batch: usize, shard: usize) -> Gradients<f64> {
        Gradients((0..SIZES.len()).map(|i| gradient(batch, shard, i)).collect())
    }

    /// The elements of this rank after each of three batches, and how many chunks were sent before the
    /// exchange was finished.
    fn batches(transport: &dyn Transport, shards: usize) -> Vec<(Vec<Option<Vec<f64>>>, usize)> {
        let (rank, ranks) = (transport.rank(), transport.ranks());
        let parameter = |(index, &elements): (usize, &usize)| {
            let partition = Partition { index, elements, grain: 16, ranks };
            (Parameter::new(Tensor::zeros([elements])), partition)
        };
        let parameters: Vec<_> = SIZES.iter().enumerate().map(parameter).collect();
        let (orders, local) = (Orders::default(), local(shards, rank, ranks));
        let batch = |batch| {
            let mut rows = Vec::new();
            let last = local.end - 1;
            for shard in local.start..last {
                let completed = tree::completed(&(0..shards), &local, shard);
                of_shard(batch, shard).push_to(&mut rows, completed);
            }
            let order = orders.of(parameters.len());
            let mut exchange = Exchange::new(transport, shards, &parameters, rows, order, CHUNK);
            let mut shard = of_shard(batch, last);
            for i in (0..SIZES.len()).map(|i| (i * 3 + rank + batch) % SIZES.len()) {
                if let Some(gradient) = shard.0[i].take() {
                    exchange.report(i, Some(gradient));
                }
            }
            let sent = exchange.sent;
            let sums = exchange.finish(|i| shard.0[i].take(), &orders).unwrap();
            let own = |(sum, (_, partition)): (Option<Array<f64>>, &(_, Partition))| {
                let (elements, own) = (sum?.to_vec(), partition.range(rank));
                let foreign = |(i, x): (usize, &f64)| own.contains(&i) || x.is_nan();
                assert!(elements.iter().enumerate().all(foreign));
                Some(elements[own].to_vec())
            };
            (sums.0.into_iter().zip(&parameters).map(own).collect(), sent)
        };
        (0..3).map(batch).collect()
    }

    #[test]
    fn any_ranks_add_along_the_tree() {
        for shards in 1..=7 {
            let expected = |batch: usize, position: usize| {
                let of_shard = |node: &Range<usize>| {
                    (node.len() == 1).then(|| gradient(batch, node.start, position))
                };
                tree::sum(&(0..shards), &mut { of_shard }, &mut add)
            };
            for ranks in 1..=shards {
                let found = run_threads(ranks, |transport| batches(&*transport, shards));
                for (batch, position) in (0..3).flat_map(|b| (0..SIZES.len()).map(move |i| (b, i)))
                {
                    let (index, elements) = (position, SIZES[position]);
                    let partition = Partition { index, elements, grain: 16, ranks };
                    let parts = partition.ranks_in_order().map(|r| &found[r][batch].0[position]);
                    let sum: Option<Vec<f64>> =
                        parts.cloned().collect::<Option<Vec<_>>>().map(|p| p.concat());
                    let expected = expected(batch, position).map(|sum| sum.to_vec());
                    assert_eq!(
                        sum, expected,
                        "{shards} shards, {ranks} ranks, parameter {position}"
                    );
                }
                let is_sent = |rank: &Vec<(_, usize)>, batch: usize| rank[batch].1 > 0;
                // All ranks know the order after the first batch.
                assert!(ranks == 1 || found.iter().all(|r| !is_sent(r, 0) && is_sent(r, 2)));
            }
        }
    }

    #[test]
    #[should_panic(expected = "parameter 0 has got a further gradient after that of the pass")]
    fn a_second_gradient_is_refused() {
        run_threads(1, |transport| {
            let partition = Partition { index: 0, elements: 100, grain: 16, ranks: 1 };
            let parameters = [(Parameter::new(Tensor::zeros([100])), partition)];
            let order = Order::default();
            let mut exchange = Exchange::new(&*transport, 1, &parameters, vec![], order, CHUNK);
            exchange.report(0, gradient(0, 0, 0));
            let _ = exchange.finish(|_| gradient(0, 0, 0), &Orders::default());
        });
    }
}

//! The sums of gradients over all ranks, exchanged while the backward pass goes through the model.

use crate::gradients::{Gradients, add, add_assign, compact, elements};
use crate::tree;
use adamant_tensor::{Array, Float, HookHandle, Parameter};
use adamant_transport::{Chunk, Frame, Partition, Pending, Transport, TransportError, chunks};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The elements that ranks exchange at once.
const CHUNK: usize = 1 << 20;

/// The chunks in progress at once.
const IN_FLIGHT: usize = 4;

/// The shards of a rank.
pub(crate) fn local(shards: usize, rank: usize, ranks: usize) -> Range<usize> {
    shards * rank / ranks..shards * (rank + 1) / ranks
}

/// An exchange of gradients, during the backward pass of a rank's last shard.
///
/// Each rank sends every other the elements that belong to it, and adds what it receives along the
/// tree. A chunk is sent as soon as the pass has reached its parameters and the chunks before it have
/// been sent: all ranks send them in the same order.
pub(crate) struct Exchange<T: Float> {
    state: Arc<Mutex<State<T>>>,
    hooks: Vec<HookHandle<T>>,
}

struct State<T: Float> {
    transport: Arc<dyn Transport>,
    /// The nodes of the tree that each rank computes.
    nodes: Vec<Vec<Range<usize>>>,
    parameters: Vec<(Parameter<T>, Partition)>,
    /// The gradients of this rank's nodes but the last.
    rows: Vec<Gradients<T>>,
    /// Those that the last shard's are added to, the last one first.
    left: Vec<Gradients<T>>,
    /// The last node's, and whether the pass has reached the parameter.
    last: Gradients<T>,
    is_final: Vec<bool>,
    chunks: Vec<Chunk>,
    in_flight: VecDeque<(usize, Pending)>,
    /// The number of chunks that have been sent.
    sent: usize,
    sums: Gradients<T>,
    error: Option<TransportError>,
}

impl<T: Float> Exchange<T> {
    /// Before the pass. `rows` are the gradients of the nodes that this rank has computed; the last
    /// `completed` of them are left halves of nodes that the last shard completes.
    pub(crate) fn start(
        transport: Arc<dyn Transport>,
        shards: usize,
        parameters: &[(Parameter<T>, Partition)],
        mut rows: Vec<Gradients<T>>,
        completed: usize,
    ) -> Self {
        let mut left = rows.split_off(rows.len() - completed);
        left.reverse();
        let state = State::new(transport, shards, parameters, [rows, left]);
        let state = Arc::new(Mutex::new(state));
        let hook = |(position, (parameter, _)): (usize, &(Parameter<T>, Partition))| {
            let tensor = parameter.tensor();
            let state = state.clone();
            tensor.is_tracked().then(|| {
                tensor.register_hook(move |gradient| {
                    lock(&state).reach(position, Some(compact(gradient.array())));
                    None
                })
            })
        };
        let hooks = parameters.iter().enumerate().filter_map(hook).collect();
        Exchange { state, hooks }
    }

    /// After the pass: the sums of the elements that belong to this rank, whose other elements have no
    /// meaning. `None` for a parameter that no rank has a gradient for.
    pub(crate) fn finish(self) -> Result<Gradients<T>, TransportError> {
        self.hooks.into_iter().for_each(HookHandle::remove);
        lock(&self.state).finish()
    }
}

/// The sums of gradients that this rank has computed, [as those of an exchange](Exchange::finish).
/// `rows` are those of its nodes.
pub(crate) fn sum<T: Float>(
    transport: Arc<dyn Transport>,
    shards: usize,
    parameters: &[(Parameter<T>, Partition)],
    mut rows: Vec<Gradients<T>>,
) -> Result<Gradients<T>, TransportError> {
    let last = rows.pop().expect("a rank has a shard");
    let mut state = State::new(transport, shards, parameters, [rows, Vec::new()]);
    for (position, gradient) in last.0.into_iter().enumerate().rev() {
        state.reach(position, gradient);
    }
    state.finish()
}

fn lock<T: Float>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    // A panic ends the pass, and the exchange with it.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Float> State<T> {
    fn new(
        transport: Arc<dyn Transport>,
        shards: usize,
        parameters: &[(Parameter<T>, Partition)],
        [rows, left]: [Vec<Gradients<T>>; 2],
    ) -> Self {
        let ranks = transport.ranks();
        let cover = |rank| tree::cover(&(0..shards), &local(shards, rank, ranks));
        let partitions: Vec<Partition> = parameters.iter().map(|(_, of)| *of).collect();
        // A pass reaches the last parameters first.
        let chunks = chunks(&partitions, CHUNK).into_iter().rev().collect();
        State {
            transport,
            nodes: (0..ranks).map(cover).collect(),
            parameters: parameters.to_vec(),
            rows,
            left,
            last: Gradients::none(parameters),
            is_final: vec![false; parameters.len()],
            chunks,
            in_flight: VecDeque::new(),
            sent: 0,
            sums: Gradients::none(parameters),
            error: None,
        }
    }

    /// The pass has reached a parameter, with the gradient of the last shard.
    fn reach(&mut self, position: usize, gradient: Option<Array<T>>) {
        let left = self.left.iter_mut().map(|left| left.0[position].take());
        self.last.0[position] = left.fold(gradient, |right, left| add(left, right));
        self.is_final[position] = true;
        while self.error.is_none() && self.sent < self.chunks.len() {
            let segments = &self.chunks[self.sent].segments;
            if !segments.iter().all(|segment| self.is_final[segment.position]) {
                return;
            }
            self.send();
        }
    }

    /// Sends the next chunk.
    fn send(&mut self) {
        if self.in_flight.len() == IN_FLIGHT
            && let Some((chunk, pending)) = self.in_flight.pop_front()
        {
            self.receive(chunk, pending);
        }
        let (rank, chunk) = (self.transport.rank(), &self.chunks[self.sent]);
        let bytes = |rows: usize, rank| rows * chunk.elements(rank) * size_of::<T>();
        let rows = self.nodes[rank].len();
        let counts: Vec<usize> = (0..self.nodes.len()).map(|to| bytes(rows, to)).collect();
        let lengths = self.nodes.iter().map(|nodes| bytes(nodes.len(), rank)).collect::<Vec<_>>();
        let pending = self.transport.all_to_all(self.pack(chunk), &counts, &lengths);
        self.in_flight.push_back((self.sent, pending));
        self.sent += 1;
    }

    /// What each rank gets of a chunk: for each row, the elements that belong to it.
    fn pack(&self, chunk: &Chunk) -> Frame {
        let ranks = 0..self.nodes.len();
        let rows = self.rows.iter().chain([&self.last]);
        let elements_of_row = ranks.clone().map(|rank| chunk.elements(rank)).sum::<usize>();
        let mut frame = Frame::zeros((self.rows.len() + 1) * elements_of_row * size_of::<T>());
        let mut rest = frame.as_mut_slice::<T>();
        for to in ranks {
            for row in rows.clone() {
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

    /// Adds the rows of a chunk that are received, along the tree.
    fn receive(&mut self, chunk: usize, pending: Pending) {
        let mut received = match pending.wait() {
            Ok(received) => received,
            Err(error) => {
                self.error.get_or_insert(error);
                return;
            }
        };
        let (rank, chunk) = (self.transport.rank(), &self.chunks[chunk]);
        let width = chunk.elements(rank);
        let nodes: Vec<&Range<usize>> = self.nodes.iter().flatten().collect();
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
        let mut sum = &received[first * width..][..width];
        for segment in &chunk.segments {
            let range = segment.ranges[rank].clone();
            let (part, others) = sum.split_at(range.len());
            let shape = self.parameters[segment.position].0.shape();
            let zeros = || Array::full(shape.into(), T::ZERO);
            let gradient = self.sums.0[segment.position].get_or_insert_with(zeros);
            gradient.make_mut()[range].copy_from_slice(part);
            sum = others;
        }
    }

    /// Waits for what is in flight; [`Exchange::finish`].
    fn finish(&mut self) -> Result<Gradients<T>, TransportError> {
        for position in 0..self.parameters.len() {
            if !self.is_final[position] {
                self.reach(position, None);
            }
        }
        while let Some((chunk, pending)) = self.in_flight.pop_front() {
            self.receive(chunk, pending);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let has_gradient = |position: usize| {
            let rows = self.rows.iter().chain([&self.last]);
            u8::from(rows.into_iter().any(|row| row.0[position].is_some()))
        };
        let own: Vec<u8> = (0..self.parameters.len()).map(has_gradient).collect();
        let lengths = vec![own.len(); self.transport.ranks()];
        let all = self.transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
        let mut sums = std::mem::replace(&mut self.sums, Gradients(Vec::new()));
        for (position, sum) in sums.0.iter_mut().enumerate() {
            let mut of_ranks = all.as_slice::<u8>().iter().skip(position).step_by(own.len());
            if of_ranks.all(|&has_gradient| has_gradient == 0) {
                *sum = None;
            }
        }
        Ok(sums)
    }
}

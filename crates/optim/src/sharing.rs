//! An optimizer that several processes share: each updates a part of every parameter, and keeps the
//! state of this part only.

use crate::algorithm::Sums;
use adamant_kernels::{PIECE, pieces};
use adamant_tensor::{Array, Float, Shape};
use adamant_transport::{Alone, BLOCK, CHUNK, Chunk, Frame, Partition, Pending, Transport, chunks};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The chunks in progress at once: while one is copied, others travel.
const IN_FLIGHT: usize = 4;

const _: () = assert!(PIECE.is_multiple_of(BLOCK));

/// The processes that share an optimizer, and the part of this one.
#[derive(Clone)]
pub(crate) struct Sharing {
    transport: Arc<dyn Transport>,
    /// The elements in a block.
    grain: usize,
}

impl Sharing {
    /// With these processes. If the algorithm has sums over a parameter, a piece belongs to one
    /// process, since they are the sums of its pieces.
    pub(crate) fn new(transport: Arc<dyn Transport>, has_sums: bool) -> Self {
        Sharing { transport, grain: if has_sums { PIECE } else { BLOCK } }
    }

    /// Without others.
    pub(crate) fn alone() -> Self {
        Sharing::new(Arc::new(Alone), false)
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.transport.ranks() == 1
    }

    /// How the elements of the parameter of this index are shared.
    pub(crate) fn partition(&self, index: usize, elements: usize) -> Partition {
        Partition { index, elements, grain: self.grain, ranks: self.transport.ranks() }
    }

    /// The elements that this process updates.
    pub(crate) fn own(&self, partition: &Partition) -> Range<usize> {
        partition.range(self.transport.rank())
    }

    /// For each parameter, the sums of all its pieces in their order; `own` are those of the pieces
    /// of this process.
    #[track_caller]
    pub(crate) fn all_sums<S: Sums>(&self, partitions: &[Partition], own: &[S]) -> Vec<S> {
        let owned = |partition: &Partition, rank| pieces(partition.range(rank).len());
        let total = |rank| partitions.iter().map(|partition| owned(partition, rank)).sum::<usize>();
        let totals: Vec<usize> = (0..self.transport.ranks()).map(total).collect();
        let lengths: Vec<usize> = totals.iter().map(|n| n * S::LEN * size_of::<f64>()).collect();
        let own: Vec<f64> = own.iter().flat_map(S::as_slice).copied().collect();
        let all = wait(self.transport.all_gather(Frame::from_slice(&own), &lengths));
        let mut all = all.as_slice::<f64>().chunks_exact(S::LEN).map(S::from_slice);
        let mut of_ranks: Vec<_> =
            totals.iter().map(|&n| all.by_ref().take(n).collect()).map(Vec::into_iter).collect();
        let mut sums = Vec::with_capacity(totals.iter().sum());
        for partition in partitions {
            for rank in partition.ranks_in_order() {
                sums.extend(of_ranks[rank].by_ref().take(owned(partition, rank)));
            }
        }
        sums
    }

    /// Completes the values of parameters, of which each process has updated its part.
    #[track_caller]
    pub(crate) fn complete<T: Float>(&self, partitions: &[Partition], values: &mut [&mut [T]]) {
        let (rank, ranks) = (self.transport.rank(), self.transport.ranks());
        let mut in_flight: VecDeque<(Chunk, Pending)> = VecDeque::new();
        let finish = |(chunk, pending): (Chunk, Pending), values: &mut [&mut [T]]| {
            let all = wait(pending);
            let mut rest = all.as_slice::<T>();
            for from in 0..ranks {
                let (part, others) = rest.split_at(chunk.elements(from));
                if from != rank {
                    chunk.unpack(from, part, |position, range, part| {
                        values[position][range].copy_from_slice(part);
                    });
                }
                rest = others;
            }
        };
        for chunk in chunks(partitions, CHUNK) {
            if in_flight.len() == IN_FLIGHT
                && let Some(first) = in_flight.pop_front()
            {
                finish(first, values);
            }
            let bytes = |rank| chunk.elements(rank) * size_of::<T>();
            let mut own = Frame::stale(bytes(rank));
            chunk.pack(rank, |position| Some(&*values[position]), own.as_mut_slice());
            let lengths: Vec<usize> = (0..ranks).map(bytes).collect();
            let pending = self.transport.all_gather(own, &lengths);
            in_flight.push_back((chunk, pending));
        }
        in_flight.into_iter().for_each(|last| finish(last, values));
    }

    /// The whole of a state's array of this shape, on rank 0; `own` is the part of this process, which
    /// the other ranks keep. Sent in pieces.
    #[track_caller]
    pub(crate) fn gather<T: Float>(
        &self,
        partition: &Partition,
        shape: &Shape,
        own: &Array<T>,
    ) -> Array<T> {
        let (rank, ranks) = (self.transport.rank(), self.transport.ranks());
        let start = partition.range(rank).start;
        let own_elements = own.to_vec();
        let mut whole = (rank == 0).then(|| Array::full(shape.clone(), T::ZERO));
        for chunk in chunks(&[*partition], CHUNK) {
            let bytes = |rank: usize| chunk.elements(rank) * size_of::<T>();
            let (mut counts, mut lengths) = (vec![0; ranks], vec![0; ranks]);
            counts[0] = bytes(rank);
            if rank == 0 {
                lengths = (0..ranks).map(bytes).collect();
            }
            let range = chunk.segments[0].ranges[rank].clone();
            let part = &own_elements[range.start - start..range.end - start];
            let pending = self.transport.all_to_all(Frame::from_slice(part), &counts, &lengths);
            let all = wait(pending);
            let Some(whole) = &mut whole else { continue };
            let mut rest = all.as_slice::<T>();
            for from in 0..ranks {
                let (part, others) = rest.split_at(chunk.elements(from));
                let put = |_, range: Range<usize>, part: &[T]| {
                    whole.make_mut()[range].copy_from_slice(part);
                };
                chunk.unpack(from, part, put);
                rest = others;
            }
        }
        whole.unwrap_or_else(|| own.clone())
    }
}

/// The result of an exchange. A training cannot continue without it.
#[track_caller]
fn wait(pending: Pending) -> Frame {
    match pending.wait() {
        Ok(frame) => frame,
        Err(error) => panic!("{error}"),
    }
}

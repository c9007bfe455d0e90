//! Operations as immediate collectives of MPI.

use crate::engine::Turn;
use adamant_transport::Frame;
use mpi::datatype::{Partition, PartitionMut};
use mpi::request::scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

/// What a rank does in an exchange. Lengths are in bytes.
pub(crate) enum Operation {
    /// `counts[r]` bytes to each rank `r`, and `lengths[r]` from it. `rank` is this one.
    AllToAll {
        rank: usize,
        counts: Parts,
        lengths: Parts,
    },
    /// `lengths[r]` bytes from each rank `r`.
    AllGather {
        lengths: Parts,
    },
    /// From this rank.
    Broadcast {
        root: i32,
    },
    Barrier,
}

/// The parts of a buffer, one for each rank.
pub(crate) struct Parts {
    lengths: Vec<i32>,
    starts: Vec<i32>,
    bytes: usize,
}

impl Parts {
    /// Parts of these lengths, one after another; `None` if MPI cannot count their bytes.
    pub(crate) fn new(lengths: &[usize]) -> Option<Parts> {
        let mut parts = Parts { lengths: Vec::new(), starts: Vec::new(), bytes: 0 };
        for &length in lengths {
            parts.lengths.push(i32::try_from(length).ok()?);
            parts.starts.push(i32::try_from(parts.bytes).ok()?);
            parts.bytes += length;
        }
        i32::try_from(parts.bytes).ok()?;
        Some(parts)
    }

    /// One byte for one rank.
    fn byte(rank: usize, ranks: usize) -> Parts {
        let lengths = (0..ranks).map(|to| i32::from(to == rank)).collect();
        Parts { lengths, starts: vec![0; ranks], bytes: 1 }
    }
}

impl Operation {
    /// Takes part in the exchange, and returns what this rank receives.
    pub(crate) fn run(self, mut frame: Frame, turn: Turn) -> Frame {
        let world = SimpleCommunicator::world();
        match self {
            Operation::AllToAll { rank, counts, lengths } if counts.bytes + lengths.bytes == 0 => {
                // Open MPI does not count a call of `MPI_Ialltoallv` without bytes on one rank, and
                // mistakes the next operation for it. With a byte from this rank to itself, it does.
                let byte = || Parts::byte(rank, counts.lengths.len());
                let operation = Operation::AllToAll { rank, counts: byte(), lengths: byte() };
                operation.run(Frame::zeros(1), turn);
                Frame::default()
            }
            Operation::AllToAll { counts, lengths, .. } => {
                let mut received = Frame::stale(lengths.bytes);
                let from = Partition::new(frame.as_slice::<u8>(), counts.lengths, counts.starts);
                let into = received.as_mut_slice::<u8>();
                let mut into = PartitionMut::new(into, lengths.lengths, lengths.starts);
                scope(|scope| {
                    turn.complete(|| {
                        world.immediate_all_to_all_varcount_into(scope, &from, &mut into)
                    });
                });
                received
            }
            Operation::AllGather { lengths } => {
                let mut received = Frame::stale(lengths.bytes);
                let from = frame.as_slice::<u8>();
                let into = received.as_mut_slice::<u8>();
                let mut into = PartitionMut::new(into, lengths.lengths, lengths.starts);
                scope(|scope| {
                    turn.complete(|| {
                        world.immediate_all_gather_varcount_into(scope, from, &mut into)
                    });
                });
                received
            }
            Operation::Broadcast { root } => {
                let buffer = frame.as_mut_slice::<u8>();
                scope(|scope| {
                    turn.complete(|| {
                        world.process_at_rank(root).immediate_broadcast_into(scope, buffer)
                    });
                });
                frame
            }
            Operation::Barrier => {
                turn.complete(|| world.immediate_barrier());
                frame
            }
        }
    }
}

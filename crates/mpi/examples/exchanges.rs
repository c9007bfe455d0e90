//! Checks the transport: `mpirun -n 4 exchanges`, for any number of ranks.
//!
//! `tests/ranks.sh` and `tests/hosts.sh` run it, also with one of these arguments:
//! - `endless`: exchanges until the process is killed;
//! - `late`: the last rank does not answer;
//! - `panic`: the last rank panics;
//! - `error`: the last rank reports an error of its own;
//! - `large`: frames are larger than MPI can count.

use adamant_mpi::Mpi;
use adamant_transport::{Frame, Pending, Transport, TransportError};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::thread::sleep;
use std::time::Duration;

fn main() -> Result<(), TransportError> {
    let mpi = Mpi::start()?;
    let last = mpi.rank() == mpi.ranks() - 1;
    match std::env::args().nth(1).as_deref() {
        None => {
            each_operation(&mpi)?;
            many_in_flight(&mpi, 2000, 5000)?;
            many_in_flight(&mpi, 20, 1 << 20)?;
            large_frames(&mpi)?;
            abandoned(&mpi);
            println!("rank {} of {}: as expected", mpi.rank(), mpi.ranks());
        }
        Some("endless") => loop {
            println!("rank {}: process {}", mpi.rank(), std::process::id());
            many_in_flight(&mpi, 100, 100_000)?;
        },
        Some("large") => {
            let mut lengths = vec![1 << 31; mpi.ranks()];
            lengths[mpi.rank()] = 0; // a frame of this rank that costs no memory
            let _ = mpi.all_gather(Frame::default(), &lengths).wait()?;
        }
        Some("late") if last => sleep(Duration::from_secs(1000)),
        Some("panic") if last => panic!("out of luck"),
        Some("error") if last => mpi.abort("no space left on device"),
        Some("late" | "panic" | "error") => {
            let _ = mpi.barrier().wait()?;
        }
        Some(other) => panic!("found {other}, expected an argument in the list above"),
    }
    Ok(())
}

/// What rank `from` sends in exchange `number` to rank `to`; or to all, for `to` = the number of ranks.
fn bytes(number: usize, from: usize, to: usize, length: usize) -> Vec<u8> {
    let seed = ((number * 64 + from) * 64 + to) as u64;
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// An exchange that this rank has started, and what it should receive.
struct Started {
    pending: Pending,
    expected: Vec<u8>,
    number: usize,
}

impl Started {
    fn check(self, rank: usize) -> Result<(), TransportError> {
        let received = self.pending.wait()?;
        let equal = received.as_slice::<u8>() == self.expected;
        assert!(equal, "rank {rank}: exchange {} has other bytes than expected", self.number);
        Ok(())
    }
}

/// Starts an exchange: `kind` is 0 for all-to-all, 1 for all-gather, 2 for broadcast, 3 for a barrier;
/// `length(from, to)` the number of bytes between two ranks.
fn start(mpi: &Mpi, number: usize, kind: usize, length: impl Fn(usize, usize) -> usize) -> Started {
    let (rank, ranks) = (mpi.rank(), mpi.ranks());
    let to_all = |from: usize| bytes(number, from, ranks, length(from, ranks));
    let (pending, expected) = match kind {
        0 => {
            let part = |from: usize, to: usize| bytes(number, from, to, length(from, to));
            let sent: Vec<u8> = (0..ranks).flat_map(|to| part(rank, to)).collect();
            let counts: Vec<_> = (0..ranks).map(|to| length(rank, to)).collect();
            let lengths: Vec<_> = (0..ranks).map(|from| length(from, rank)).collect();
            let pending = mpi.all_to_all(Frame::from_slice(&sent), &counts, &lengths);
            (pending, (0..ranks).flat_map(|from| part(from, rank)).collect())
        }
        1 => {
            let lengths: Vec<_> = (0..ranks).map(|from| length(from, ranks)).collect();
            let pending = mpi.all_gather(Frame::from_slice(&to_all(rank)), &lengths);
            (pending, (0..ranks).flat_map(to_all).collect())
        }
        2 => {
            let root = number % ranks;
            let expected = to_all(root);
            let frame = match rank == root {
                true => Frame::from_slice(&expected),
                false => Frame::zeros(expected.len()),
            };
            (mpi.broadcast(root, frame), expected)
        }
        _ => (mpi.barrier(), Vec::new()),
    };
    Started { pending, expected, number }
}

fn each_operation(mpi: &Mpi) -> Result<(), TransportError> {
    let lengths: [fn(usize, usize) -> usize; 4] = [
        |_, _| 0,
        |_, _| 1,
        |from, to| 13 * from + 7 * to,                  // some are 0
        |from, to| if from > to { 300_001 } else { 0 }, // only upwards
    ];
    for (number, length) in lengths.into_iter().enumerate() {
        for kind in 0..4 {
            start(mpi, number, kind, length).check(mpi.rank())?;
        }
    }
    Ok(())
}

/// Random exchanges of at most `longest` bytes between two ranks, up to 20 at a time, waited for in a
/// random order that differs between ranks.
fn many_in_flight(mpi: &Mpi, exchanges: usize, longest: usize) -> Result<(), TransportError> {
    let mut common = ChaCha8Rng::seed_from_u64(exchanges as u64);
    let mut own = ChaCha8Rng::seed_from_u64(mpi.rank() as u64);
    let mut started = Vec::new();
    for number in 0..exchanges {
        let kind = common.random_range(0..4);
        let table: Vec<usize> = (0..(mpi.ranks() + 1).pow(2))
            .map(|_| if common.random_bool(0.2) { 0 } else { common.random_range(0..=longest) })
            .collect();
        let length = |from: usize, to: usize| table[from * (mpi.ranks() + 1) + to];
        started.push(start(mpi, number, kind, length));
        if started.len() > own.random_range(0..20) {
            started.shuffle(&mut own);
            let keep = own.random_range(0..started.len());
            for exchange in started.drain(keep..) {
                exchange.check(mpi.rank())?;
            }
        }
    }
    started.into_iter().try_for_each(|exchange| exchange.check(mpi.rank()))
}

/// Frames of 64 MB.
fn large_frames(mpi: &Mpi) -> Result<(), TransportError> {
    let ranks = mpi.ranks();
    let length = move |_, to| (64 << 20) / if to == ranks { 1 } else { ranks };
    let started: Vec<_> = (0..3).map(|kind| start(mpi, kind, kind, length)).collect();
    started.into_iter().try_for_each(|exchange| exchange.check(mpi.rank()))
}

/// Exchanges that nobody waits for are complete before the process ends.
fn abandoned(mpi: &Mpi) {
    for number in 0..10 {
        drop(start(mpi, number, number % 4, |from, to| 1000 * from + to));
    }
}

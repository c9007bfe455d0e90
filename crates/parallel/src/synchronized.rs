//! The passes of a rank's shards, which exchange statistics with those of other ranks midway.
//!
//! Each shard has a thread of its own, and only one of them runs at a time: the shards take turns,
//! from one meeting to the next. So they share the model as shards that run one after another do, and
//! the operations within a turn use all threads.

use crate::coroutine::{Coroutine, Step, Yield};
use crate::exchange;
use crate::generators::Generators;
use crate::gradients::Gradients;
use adamant_data::ShardBatch;
use adamant_nn::{BatchStatistics, Meeting, record_statistics, with_shards};
use adamant_tensor::{Float, Generator, Parameter};
use adamant_transport::{Frame, Partition, Transport, TransportError};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, Scope};

/// What the passes of a shard yield.
pub(crate) struct Pass<T: Float> {
    pub(crate) shard: usize,
    pub(crate) loss: f64,
    pub(crate) statistics: Vec<(usize, BatchStatistics<T>)>,
    pub(crate) gradients: Gradients<T>,
}

/// Runs `pass`, which returns the loss, for each shard of a batch in this rank. `shards` is the
/// number of those in all ranks.
///
/// # Errors
/// Those of the transport. The passes then end where they are.
///
/// # Panics
/// If a pass panics, with the same payload, or if not all shards meet.
#[track_caller]
pub(crate) fn run<T: Float, B: Send>(
    transport: &dyn Transport,
    shards: usize,
    parameters: &[(Parameter<T>, Partition)],
    generators: &Generators,
    batch: Vec<ShardBatch<B>>,
    pass: &(impl Fn(ShardBatch<B>) -> f64 + Sync),
) -> Result<Vec<Pass<T>>, TransportError> {
    thread::scope(|scope| {
        let start = |part: ShardBatch<B>| Shard {
            shard: part.shard,
            generators: generators.of_shard(part.shard),
            gradients: Gradients::none(parameters),
            coroutine: spawn(scope, part, pass),
        };
        let mut local: Vec<Shard<T>> = batch.into_iter().map(start).collect();
        let mut round = Round::default();
        loop {
            let (mut contributions, mut ends) = (Vec::new(), Vec::new());
            for shard in &mut local {
                shard.swap(generators, parameters);
                let step = shard.coroutine.resume(round.clone());
                shard.swap(generators, parameters);
                match step {
                    Step::Yielded(contribution) => contributions.push((shard.shard, contribution)),
                    Step::Returned(end) => ends.push(end),
                    Step::Panicked(panic) => resume_unwind(panic),
                }
            }
            let present: Vec<usize> = local.iter().map(|shard| shard.shard).collect();
            match meet(transport, shards, &present, &contributions)? {
                Some(next) => round = next,
                None => {
                    let end = |(Shard { shard, gradients, .. }, (loss, statistics))| Pass {
                        shard,
                        loss,
                        statistics,
                        gradients,
                    };
                    return Ok(local.into_iter().zip(ends).map(end).collect());
                }
            }
        }
    })
}

/// A loss, and the statistics of batch normalizations.
type End<T> = (f64, Vec<(usize, BatchStatistics<T>)>);

/// A shard, and what it has of the model's state while another one runs; during its own turn, what
/// the model had before.
struct Shard<T: Float> {
    shard: usize,
    generators: Vec<Generator>,
    gradients: Gradients<T>,
    coroutine: Coroutine<Round, Vec<f64>, End<T>>,
}

impl<T: Float> Shard<T> {
    fn swap(&mut self, generators: &Generators, parameters: &[(Parameter<T>, Partition)]) {
        generators.swap(&mut self.generators);
        let others = Gradients::take(parameters);
        std::mem::replace(&mut self.gradients, others).put(parameters);
    }
}

fn spawn<'scope, T: Float, B: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    part: ShardBatch<B>,
    pass: &'scope (impl Fn(ShardBatch<B>) -> f64 + Sync),
) -> Coroutine<Round, Vec<f64>, End<T>> {
    let shard = part.shard;
    let run = move |turns: Yield<Round, Vec<f64>, End<T>>| {
        let meet = move |contribution| {
            let Round { contributions, first } = turns.call(contribution);
            Meeting { contributions, is_first: shard == first }
        };
        record_statistics(|| with_shards(meet, || pass(part)))
    };
    Coroutine::new(scope, format!("shard {shard}"), run)
}

/// What the shards of all ranks have contributed to a meeting.
#[derive(Clone, Default)]
struct Round {
    contributions: Arc<[f64]>,
    /// The first shard that is in the batch.
    first: usize,
}

/// In place of the length of a contribution: of a shard that is not in the batch, and of one that has
/// ended.
const ABSENT: u64 = u64::MAX;
const ENDED: u64 = u64::MAX - 1;

/// The contributions of the shards of all ranks, or `None` if all have ended. `present` are those of
/// this rank that are in the batch.
#[track_caller]
fn meet(
    transport: &dyn Transport,
    shards: usize,
    present: &[usize],
    contributions: &[(usize, Vec<f64>)],
) -> Result<Option<Round>, TransportError> {
    let ranks = transport.ranks();
    let local = |rank| exchange::local(shards, rank, ranks);
    let length = |shard| match contributions.iter().find(|(other, _)| *other == shard) {
        Some((_, contribution)) => contribution.len() as u64,
        None if present.contains(&shard) => ENDED,
        None => ABSENT,
    };
    let own: Vec<u64> = local(transport.rank()).map(length).collect();
    let lengths: Vec<usize> = (0..ranks).map(|rank| local(rank).len() * size_of::<u64>()).collect();
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    let all = all.as_slice::<u64>();
    let mut in_batch = all.iter().enumerate().filter(|(_, length)| **length != ABSENT);
    let Some((first, &length)) = in_batch.next() else { return Ok(None) };
    if let Some((other, &found)) = in_batch.find(|(_, found)| **found != length) {
        let describe = |shard, length| match length {
            ENDED => format!("shard {shard} has ended"),
            _ => format!("shard {shard} contributes {length} numbers"),
        };
        panic!(
            "backward_synchronized: {}, and {}; expected each shard to call the same layers \
             `SyncBatchNorm` in the same order",
            describe(first, length),
            describe(other, found)
        );
    }
    if length == ENDED {
        return Ok(None);
    }
    let bytes = |rank| {
        let shards = all[local(rank)].iter().filter(|length| **length != ABSENT);
        shards.count() * length as usize * size_of::<f64>()
    };
    let lengths: Vec<usize> = (0..ranks).map(bytes).collect();
    let own: Vec<f64> = contributions.iter().flat_map(|(_, own)| own).copied().collect();
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    Ok(Some(Round { contributions: all.as_slice().into(), first }))
}

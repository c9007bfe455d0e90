//! The exchange of a gradient against MPI's own allreduce, which returns other bits for each of its
//! algorithms: `mpirun -n 2 target/release/deps/gradient-*`. Times are medians over alternating
//! rounds, of the slowest rank.
//!
//! Arguments: elements in millions (default 10), rounds (default 15).

use adamant_mpi::Mpi;
use adamant_transport::{Frame, Transport, TransportError};
use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::CommunicatorCollectives;
use std::time::Instant;

const MEGABYTES: [f64; 7] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 40.0];

fn main() -> Result<(), TransportError> {
    let mpi = Mpi::start()?;
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<f64>().ok());
    let elements = (numbers.next().unwrap_or(10.0) * 1e6) as usize;
    let rounds = numbers.next().unwrap_or(15.0) as usize;

    let gradient = vec![1.0f32; elements];
    let mut sum = vec![0.0; elements];
    let mut frames: Vec<_> =
        MEGABYTES.iter().map(|size| chunks(elements, (size * 1e6) as usize / 4)).collect();
    let mut all_reduce = Vec::new();
    let mut exchange = vec![Vec::new(); MEGABYTES.len()];
    let mut broadcast = Vec::new();
    for _ in 0..=rounds {
        all_reduce.push(time(&mpi, || {
            // The transport's own threads are idle: one thread calls MPI.
            let world = SimpleCommunicator::world();
            world.all_reduce_into(&gradient[..], &mut sum[..], SystemOperation::sum());
            Ok(())
        })?);
        for (frames, times) in frames.iter_mut().zip(&mut exchange) {
            times.push(time(&mpi, || {
                *frames = reduce(&mpi, std::mem::take(frames))?;
                Ok(())
            })?);
        }
        const BROADCASTS: usize = 100;
        let small = time(&mpi, || {
            let mut frame = Frame::zeros(8);
            for number in 0..BROADCASTS {
                frame = mpi.broadcast(number % mpi.ranks(), frame).wait()?;
            }
            Ok(())
        })?;
        broadcast.push(small / BROADCASTS as f64);
    }
    let expected = (mpi.ranks() as f32).powi(rounds as i32 + 1);
    let expected = |frame: &Frame| frame.as_slice::<f32>().iter().all(|&sum| sum == expected);
    assert!(frames.iter().flatten().all(expected), "a sum of ones is not the power of the ranks");
    if mpi.rank() == 0 {
        let reference = median(&mut all_reduce);
        println!("{} ranks, {elements} f32", mpi.ranks());
        println!("allreduce             {:8.2} ms", reference * 1e3);
        for (size, times) in MEGABYTES.iter().zip(&mut exchange) {
            let time = median(times);
            let ratio = time / reference;
            println!("chunks of {size:5.2} MB    {:8.2} ms  {ratio:.2} of allreduce", time * 1e3);
        }
        println!("broadcast of 8 bytes  {:8.1} µs", median(&mut broadcast) * 1e6);
    }
    Ok(())
}

/// A gradient in frames of this number of elements.
fn chunks(elements: usize, chunk: usize) -> Vec<Frame> {
    let lengths = (0..elements).step_by(chunk).map(|start| chunk.min(elements - start));
    lengths.map(|length| Frame::from_slice(&vec![1.0f32; length])).collect()
}

/// The sum of all ranks' gradients, added in an order that does not depend on MPI.
fn reduce(mpi: &Mpi, gradient: Vec<Frame>) -> Result<Vec<Frame>, TransportError> {
    let (rank, ranks) = (mpi.rank(), mpi.ranks());
    // The bytes of each rank's part of a frame.
    let parts = |frame: &Frame| -> Vec<usize> {
        let bound = |rank: usize| frame.len() / 4 * rank / ranks;
        (0..ranks).map(|rank| 4 * (bound(rank + 1) - bound(rank))).collect()
    };
    let mut started = Vec::new();
    for frame in gradient {
        let parts = parts(&frame);
        let own = parts[rank];
        started.push((mpi.all_to_all(frame, &parts, &vec![own; ranks]), parts));
    }
    let mut gathered = Vec::new();
    for (pending, parts) in started {
        let rows = pending.wait()?;
        let mut sum = Frame::stale(parts[rank]);
        add_rows(rows.as_slice(), sum.as_mut_slice());
        gathered.push(mpi.all_gather(sum, &parts));
    }
    gathered.into_iter().map(|pending| pending.wait()).collect()
}

/// The sum of the rows, added in their order.
fn add_rows(rows: &[f32], sum: &mut [f32]) {
    let mut rows = rows.chunks(sum.len().max(1));
    sum.copy_from_slice(rows.next().unwrap_or_default());
    for row in rows {
        for (sum, &element) in sum.iter_mut().zip(row) {
            *sum += element;
        }
    }
}

/// The seconds that the slowest rank needs.
fn time(
    mpi: &Mpi,
    run: impl FnOnce() -> Result<(), TransportError>,
) -> Result<f64, TransportError> {
    let _ = mpi.barrier().wait()?;
    let start = Instant::now();
    run()?;
    let own = Frame::from_slice(&[start.elapsed().as_secs_f64()]);
    let all = mpi.all_gather(own, &vec![8; mpi.ranks()]).wait()?;
    Ok(all.as_slice::<f64>().iter().fold(0.0, |slowest, &time| time.max(slowest)))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

//! Shards that meet compute what one batch does, and end together.

#![allow(unused_qualifications)] // the glob imports what derived code names in full

use adamant_data::ShardBatch;
use adamant_nn::*;
use adamant_optim::{Optimizer, Sgd, SgdOptions};
use adamant_parallel::{DataParallel, Transport, TransportError, run_threads};
use adamant_tensor::{Generator, Tensor, checkpoint};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SHARDS: usize = 8;

/// A batch normalization, over the batch or over shards.
trait Norm: Forward<f64> + Module<f64> + Send + Sync + 'static {
    fn new(channels: usize) -> Self;
}

impl Norm for BatchNorm2d<f64> {
    fn new(channels: usize) -> Self {
        BatchNorm2d::with_options(channels, BatchNormOptions::default())
    }
}

impl Norm for SyncBatchNorm<f64> {
    fn new(channels: usize) -> Self {
        SyncBatchNorm::with_options(channels, BatchNormOptions::default())
    }
}

#[derive(Module)]
#[module(crate = adamant_nn, float = f64)]
struct Net<N: Norm> {
    conv: Conv2d<f64>,
    first: N,
    second: Conv2d<f64>,
    /// Of one value for each sample.
    last: N,
    head: Linear<f64>,
}

impl<N: Norm> Net<N> {
    fn new() -> Arc<Self> {
        let rng = &mut Generator::seed(1);
        Arc::new(Net {
            conv: Conv2d::with_options(1, 3, 3, Default::default(), rng),
            first: N::new(3),
            second: Conv2d::with_options(3, 5, 3, Default::default(), rng),
            last: N::new(5),
            head: Linear::with_options(5, 2, Default::default(), rng),
        })
    }

    fn loss(self: &Arc<Self>, images: &Tensor<f64>) -> Tensor<f64> {
        let h = self.second.forward(&self.first.forward(&self.conv.forward(images)).relu());
        let net = self.clone();
        let h = checkpoint(move || net.last.forward(&h).tanh());
        self.head.forward(&h.flatten(1, 3)).square().mean()
    }
}

fn sgd<N: Norm>(model: &Net<N>) -> Sgd<f64> {
    Sgd::new(model.parameters(), SgdOptions::default().lr(0.5).momentum(0.9)).unwrap()
}

/// This process's shards of a batch.
fn cut(parallel: &DataParallel, batch: &Tensor<f64>) -> Vec<ShardBatch<Tensor<f64>>> {
    let (shards, of) = (parallel.shards(), batch.shape()[0]);
    let range = |shard| of * shard / shards.total..of * (shard + 1) / shards.total;
    let local = shards.local.map(|shard| (shard, range(shard)));
    let part = |(shard, range): (usize, std::ops::Range<usize>)| ShardBatch {
        shard,
        samples: range.len(),
        of,
        batch: batch.narrow(0, range.start, range.len()),
    };
    local.filter(|(_, range)| !range.is_empty()).map(part).collect()
}

/// Batches of all shards, and of some: there are processes without one.
fn batches() -> Vec<Tensor<f64>> {
    let rng = &mut Generator::seed(2);
    [16, 10, 5, 2].map(|samples| Tensor::randn([samples, 1, 5, 5], rng) * 2.0 + 3.0).to_vec()
}

/// After each batch: the loss, the norm of the gradients, and the model's state.
fn train<N: Norm>(
    transport: Arc<dyn Transport>,
    shards: usize,
    backward: impl Fn(
        &DataParallel,
        &Arc<Net<N>>,
        &Sgd<f64>,
        &Tensor<f64>,
    ) -> Result<f64, TransportError>,
) -> Vec<Vec<f64>> {
    let parallel = DataParallel::new(transport, shards);
    let net = Net::<N>::new();
    let mut sgd = sgd(&net);
    parallel.share(&mut sgd);
    let step = |batch: &Tensor<f64>| {
        sgd.zero_grad();
        let mut found = vec![backward(&parallel, &net, &sgd, batch).unwrap()];
        found.push(parallel.clip_grad_norm(&sgd, 100.0).unwrap());
        sgd.step();
        let state = module_state::<f64>(&*net);
        for (name, value) in state.iter() {
            match value.tensor::<f64>() {
                Some(tensor) => found.extend(tensor.to_vec()),
                None => found.push(state.count(name).unwrap() as f64),
            }
        }
        found
    };
    batches().iter().map(step).collect()
}

#[test]
fn shards_compute_what_one_batch_does() {
    let whole = train::<BatchNorm2d<f64>>(
        DataParallel::alone(1).transport().clone(),
        1,
        |parallel, net, sgd, batch| {
            parallel.backward(&**net, sgd, cut(parallel, batch), |batch| net.loss(&batch))
        },
    );
    for ranks in [1, 2, 3, 8] {
        let found = run_threads(ranks, |transport| {
            train::<SyncBatchNorm<f64>>(transport, SHARDS, |parallel, net, sgd, batch| {
                let batch = cut(parallel, batch);
                parallel.backward_synchronized(&**net, sgd, batch, |batch| net.loss(&batch))
            })
        });
        for found in found.iter().flatten().zip(whole.iter().cycle()) {
            assert_eq!(found.0.len(), found.1.len());
            for (found, expected) in found.0.iter().zip(found.1) {
                let tolerance = 1e-10 * (1.0 + expected.abs());
                assert!((found - expected).abs() < tolerance, "{found} {expected}");
            }
        }
    }
}

/// One call on each of this number of ranks, with eight samples. `loss` is given the shard.
fn run(
    ranks: usize,
    loss: impl Fn(usize, &Arc<Net<SyncBatchNorm<f64>>>, &Tensor<f64>) -> Tensor<f64> + Sync,
) -> Vec<Result<Result<f64, TransportError>, String>> {
    run_threads(ranks, |transport| {
        let parallel = DataParallel::new(transport, SHARDS);
        let net = Net::new();
        let mut sgd = sgd(&net);
        parallel.share(&mut sgd);
        let mut batch = Vec::new();
        for ShardBatch { shard, samples, of, batch: images } in cut(&parallel, &batches()[0]) {
            batch.push(ShardBatch { shard, samples, of, batch: (shard, images) });
        }
        let call = || {
            parallel.backward_synchronized(&*net, &sgd, batch, |(shard, images)| {
                loss(shard, &net, &images)
            })
        };
        let result = catch_unwind(AssertUnwindSafe(call));
        let text = |panic: Box<dyn std::any::Any + Send>| match panic.downcast_ref::<&str>() {
            Some(text) => text.to_string(),
            None => *panic.downcast::<String>().unwrap(),
        };
        result.map_err(text)
    })
}

#[test]
fn a_layer_without_channels_meets_too() {
    // Of no model, so without running statistics.
    let options = BatchNormOptions::default().track_running_stats(false);
    let of = |x: &Tensor<f64>| SyncBatchNorm::<f64>::with_options(0, options).forward(x).sum();
    for found in run(3, |_, net, images| {
        let loss = net.loss(images);
        let none = net.head.weight.tensor().narrow(1, 0, 0);
        loss + of(&none)
    }) {
        assert!(found.unwrap().unwrap() > 0.0);
    }
}

#[test]
fn a_panic_in_one_shard_ends_the_others() {
    let panics = |shard, net: &Arc<Net<SyncBatchNorm<f64>>>, images: &Tensor<f64>| {
        assert!(shard != 5, "shard 5 panics");
        net.loss(images)
    };
    for ranks in [1, 2, 8] {
        let found = run(ranks, panics);
        let of_shard_5 = found.iter().position(|found| found.as_ref().err().is_some()).unwrap();
        assert_eq!(found[of_shard_5].as_ref().unwrap_err(), "shard 5 panics");
        for (rank, found) in found.iter().enumerate().filter(|(rank, _)| *rank != of_shard_5) {
            let error = found.as_ref().unwrap().as_ref().unwrap_err().to_string();
            assert!(error.contains(&format!("rank {of_shard_5} has ended")), "{rank}: {error}");
        }
    }
}

#[test]
fn a_panic_in_a_backward_pass_ends_the_others() {
    let found = run(2, |shard, net, images| {
        let loss = net.loss(images);
        let _hook = loss.register_hook(move |_| {
            assert!(shard != 2, "no gradient");
            None
        });
        loss
    });
    assert_eq!(found[0].as_ref().unwrap_err(), "no gradient");
    assert!(found[1].as_ref().unwrap().is_err());
}

#[test]
fn shards_that_do_not_meet_are_reported_on_all_ranks() {
    for ranks in [1, 3] {
        for found in run(ranks, |shard, net, images| match shard {
            6 => net.head.weight.tensor().square().sum(),
            _ => net.loss(images),
        }) {
            let message = found.unwrap_err();
            let expected = "shard 0 contributes 7 numbers, and shard 6 has ended; expected each";
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
#[should_panic(expected = "expected `DataParallel::backward_synchronized`")]
fn shards_one_after_another_are_refused() {
    let parallel = DataParallel::alone(2);
    let net = Net::<SyncBatchNorm<f64>>::new();
    let batch = cut(&parallel, &batches()[0]);
    let _ = parallel.backward(&*net, &sgd(&net), batch, |batch| net.loss(&batch));
}

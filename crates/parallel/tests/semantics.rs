//! What a batch in shards computes, and how mistakes and failures are reported.

use adamant_data::ShardBatch;
use adamant_nn::{Forward, Linear, LinearOptions, Module, Sequential, Tanh, mse_loss};
use adamant_optim::{Optimizer, Sgd, SgdOptions, clip_grad_norm};
use adamant_parallel::{DataParallel, Frame, Pending, Transport, run_threads};
use adamant_tensor::{Generator, Parameter, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

struct Training {
    parallel: DataParallel,
    net: Sequential<f64>,
    sgd: Sgd<f64>,
    inputs: Tensor<f64>,
}

const SAMPLES: usize = 12;

impl Training {
    fn new(transport: Arc<dyn Transport>, shards: usize) -> Self {
        let rng = &mut Generator::seed(5);
        let mut linear = |inputs, outputs| {
            Linear::<f64>::with_options(inputs, outputs, LinearOptions::default(), rng)
        };
        let net = Sequential::default().add(linear(3, 4)).add(Tanh).add(linear(4, 2));
        let mut sgd = Sgd::new(net.parameters(), SgdOptions::default()).unwrap();
        let parallel = DataParallel::new(transport, shards);
        parallel.share(&mut sgd);
        Training { parallel, net, sgd, inputs: Tensor::randn([SAMPLES, 3], rng) }
    }

    fn loss(&self, x: &Tensor<f64>) -> Tensor<f64> {
        mse_loss(&self.net.forward(x), &x.narrow(1, 0, 2))
    }

    /// The shards of this process.
    fn batch(&self) -> Vec<ShardBatch<Tensor<f64>>> {
        let shards = self.parallel.shards();
        let samples = |shard| SAMPLES * shard / shards.total..SAMPLES * (shard + 1) / shards.total;
        let shard = |shard| {
            let samples = samples(shard);
            let batch = self.inputs.narrow(0, samples.start, samples.len());
            ShardBatch { shard, samples: samples.len(), of: SAMPLES, batch }
        };
        shards.local.clone().filter(|&s| !samples(s).is_empty()).map(shard).collect()
    }

    fn backward(&self) -> f64 {
        self.parallel.backward(&self.net, &self.sgd, self.batch(), |x| self.loss(&x)).unwrap()
    }
}

fn gradients(parameters: &[Parameter<f64>]) -> Vec<f64> {
    parameters.iter().flat_map(|p| p.grad().unwrap().to_vec()).collect()
}

fn alone(shards: usize) -> Training {
    run_threads(1, |transport| Training::new(transport, shards)).remove(0)
}

#[test]
fn shards_add_up_to_the_mean_over_the_batch() {
    let whole = alone(1);
    let loss = whole.loss(&whole.inputs);
    loss.backward();
    let expected = gradients(&whole.net.parameters());
    for shards in [1, 2, 5, 12, 20] {
        let training = alone(shards);
        let found = training.backward();
        let gradients = gradients(&training.net.parameters());
        if shards == 1 {
            assert!(found == loss.item() && gradients == expected);
        }
        assert!((found - loss.item()).abs() < 1e-12);
        for (found, expected) in gradients.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12, "{shards} shards: {found}, {expected}");
        }
    }
}

#[test]
fn a_second_pass_accumulates() {
    let train = |ranks| {
        let mut trained = run_threads(ranks, |transport| {
            let mut training = Training::new(transport, 6);
            training.backward();
            training.backward();
            let norm = training.parallel.clip_grad_norm(&training.sgd, 0.1).unwrap();
            training.sgd.step();
            let weights = training.net.parameters();
            (norm, weights.iter().flat_map(|p| p.tensor().to_vec()).collect::<Vec<f64>>())
        });
        trained.swap_remove(0)
    };
    let once = alone(6);
    once.backward();
    let norm = clip_grad_norm(&once.net.parameters(), f64::INFINITY);
    let expected = train(1);
    assert!((expected.0 - 2.0 * norm).abs() < 1e-12);
    for ranks in 2..=6 {
        assert_eq!(train(ranks), expected);
    }
}

#[test]
fn counts_are_added() {
    let sums = run_threads(3, |transport| {
        let one = transport.rank() as f64;
        DataParallel::new(transport, 3).sum([one, 1.0]).unwrap()
    });
    assert_eq!(sums, [[3.0, 3.0]; 3]);
}

#[test]
fn a_panic_in_a_loss_ends_the_others() {
    let run = || {
        run_threads(2, |transport| {
            let training = Training::new(transport, 2);
            let Training { parallel, net, sgd, .. } = &training;
            let rank = parallel.transport().rank();
            let result = parallel.backward(net, sgd, training.batch(), |x| {
                assert!(rank != 1, "out of luck");
                training.loss(&x)
            });
            assert!(result.is_err());
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "out of luck");
}

#[test]
fn gradients_of_other_parameters_stay_as_they_were() {
    for ranks in [1, 2, 4] {
        run_threads(ranks, |transport| {
            let mut training = Training::new(transport.clone(), 4);
            let parameters = training.net.parameters();
            // The first layer's weight is not the optimizer's.
            training.sgd = Sgd::new(parameters[1..].to_vec(), SgdOptions::default()).unwrap();
            training.parallel.share(&mut training.sgd);
            let before = Tensor::full(parameters[0].shape(), 7.0);
            parameters[0].set_grad(Some(before.clone()));
            training.backward();
            assert_eq!(parameters[0].grad().unwrap().to_vec(), before.to_vec());
        });
    }
}

#[test]
fn a_closure_may_compute_the_gradients_of_a_step() {
    let train = |ranks| {
        let of_ranks = run_threads(ranks, |transport| {
            let Training { parallel, net, mut sgd, inputs } = Training::new(transport, 4);
            let mut losses = Vec::new();
            for _ in 0..3 {
                losses.push(sgd.step_with(|sgd| {
                    sgd.zero_grad();
                    let shard = |shard| {
                        let batch = inputs.narrow(0, 3 * shard, 3);
                        ShardBatch { shard, samples: 3, of: SAMPLES, batch }
                    };
                    let batch = parallel.shards().local.map(shard).collect();
                    let loss = |x| mse_loss(&net.forward(&x), &x.narrow(1, 0, 2));
                    parallel.backward(&net, sgd, batch, loss).unwrap()
                }));
            }
            let weights: Vec<f64> =
                net.parameters().iter().flat_map(|p| p.tensor().to_vec()).collect();
            (losses, weights)
        });
        of_ranks[0].clone()
    };
    let (losses, weights) = train(1);
    assert!(losses[2] < losses[0]);
    assert_eq!(train(3), (losses, weights));
}

#[test]
fn an_ended_process_is_an_error_of_the_others() {
    let errors = run_threads(3, |transport| {
        let training = Training::new(transport, 3);
        training.backward();
        if training.parallel.transport().rank() == 1 {
            return String::new();
        }
        let Training { parallel, net, sgd, .. } = &training;
        let result = parallel.backward(net, sgd, training.batch(), |x| training.loss(&x));
        result.unwrap_err().to_string()
    });
    let expected = "all_gather: found rank 1 has ended, expected an answer from every rank";
    assert_eq!(errors[0], format!("rank 0: {expected}"));
    assert_eq!(errors[2], format!("rank 2: {expected}"));
}

/// A transport that counts the calls of `all_to_all`.
struct Counted {
    transport: Arc<dyn Transport>,
    count: AtomicUsize,
}

impl Transport for Counted {
    fn rank(&self) -> usize {
        self.transport.rank()
    }
    fn ranks(&self) -> usize {
        self.transport.ranks()
    }
    fn all_to_all(&self, frame: Frame, counts: &[usize], lengths: &[usize]) -> Pending {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.transport.all_to_all(frame, counts, lengths)
    }
    fn all_gather(&self, frame: Frame, lengths: &[usize]) -> Pending {
        self.transport.all_gather(frame, lengths)
    }
    fn broadcast(&self, root: usize, frame: Frame) -> Pending {
        self.transport.broadcast(root, frame)
    }
}

#[test]
fn gradients_are_sent_during_the_backward_pass() {
    let sent = run_threads(2, |transport| {
        let counted = Arc::new(Counted { transport, count: AtomicUsize::new(0) });
        let first = Parameter::new(Tensor::from([1.0f32]));
        let last = Parameter::new(Tensor::ones([3 << 20]));
        let model = vec![first.clone(), last.clone()];
        let mut sgd = Sgd::new(model.clone(), SgdOptions::default()).unwrap();
        let parallel = DataParallel::new(counted.clone(), 4);
        parallel.share(&mut sgd);
        let sent = Arc::new(Mutex::new(Vec::new()));
        let record = sent.clone();
        first.tensor().register_hook(move |_| {
            record.lock().unwrap().push(counted.count.load(Ordering::Relaxed));
            None
        });
        let local = parallel.shards().local;
        let shard = |shard| ShardBatch { shard, samples: 1, of: 4, batch: () };
        let batch = || local.clone().map(shard).collect();
        let loss = |()| (first.tensor() * 2.0 * last.tensor()).mean();
        parallel.backward(&Sequential::new(), &sgd, batch(), loss).unwrap();
        sgd.zero_grad();
        parallel.backward(&Sequential::new(), &sgd, batch(), loss).unwrap();
        let sums = last.grad().unwrap().to_vec();
        assert!(sums.iter().all(|x| x.is_nan() || *x == 2.0 / (3 << 20) as f32));
        sent.lock().unwrap().clone()
    });
    // The first batch learns the order: its four chunks are sent after the passes. In the second, those
    // of the last parameter are sent during the pass of the last of two shards.
    assert_eq!(sent, [[0, 0, 4, 7], [0, 0, 4, 7]]);
}

/// The message of a panic of each rank.
fn panics(ranks: usize, f: impl Fn(Arc<dyn Transport>) + Sync) -> Vec<String> {
    run_threads(ranks, |transport| {
        let panic = catch_unwind(AssertUnwindSafe(|| f(transport))).unwrap_err();
        *panic.downcast::<String>().unwrap()
    })
}

#[test]
fn mistakes_are_reported() {
    let found = panics(3, |transport| _ = DataParallel::new(transport, 2));
    let expected = "DataParallel: shards is 2; expected at least 3, the number of processes";
    assert_eq!(found, [expected; 3]);

    let found = panics(2, |transport| {
        let mut training = Training::new(transport, 2);
        training.sgd = Sgd::new(training.net.parameters(), SgdOptions::default()).unwrap();
        training.backward();
    });
    let expected = "backward: the optimizer is shared by 1 processes; expected 2: call \
                    `DataParallel::share` before";
    assert_eq!(found, [expected; 2]);

    let found = panics(2, |transport| {
        let rng = &mut Generator::seed(transport.rank() as u64);
        let net = Linear::<f64>::with_options(2, 2, LinearOptions::default(), rng);
        let mut sgd = Sgd::new(net.parameters(), SgdOptions::default()).unwrap();
        DataParallel::new(transport, 2).share(&mut sgd);
    });
    let expected = "share: the parameters of rank 1 differ from those of rank 0; expected the same \
                    in all processes, from one seed or file";
    assert_eq!(found, [expected; 2]);

    let found = panics(1, |transport| {
        let training = Training::new(transport, 2);
        let mut batch = training.batch();
        batch.reverse();
        let Training { parallel, net, sgd, .. } = &training;
        _ = parallel.backward(net, sgd, batch, |x| training.loss(&x));
    });
    let expected = "backward: the batch has the shards [1, 0]; expected those of this process, \
                    0..2, in order";
    assert_eq!(found, [expected]);
}

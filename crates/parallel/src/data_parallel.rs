//! Training one model by several processes.

use crate::exchange::{self, Exchange};
use crate::generators::Generators;
use crate::gradients::{Before, Gradients, take};
use crate::norm;
use crate::order::Orders;
use crate::statistics;
use crate::synchronized;
use crate::tree;
use adamant_data::{ShardBatch, Shards};
use adamant_nn::{BatchStatistics, Meeting, Module, record_statistics, with_shards};
use adamant_optim::Optimizer;
use adamant_tensor::{Float, Parameter, Tensor};
use adamant_transport::{Alone, CHUNK, Frame, Partition, Transport, TransportError};
use std::ops::Range;
use std::sync::Arc;

/// Data-parallel training: every process has the whole model, and computes the gradients of its part
/// of each batch.
///
/// Each batch is cut into a fixed number of *shards*, which belong to the training, not to the
/// machine: any number of processes up to that of the shards computes the same bits. Consecutive
/// shards belong to one process. The gradient of a batch is the sum of those of its shards, added
/// along one binary tree, whoever computes its nodes. The random numbers of layers, dropout for
/// example, derive from the shard.
///
/// Each process updates a part of every parameter, and has the optimizer's state of that part only
/// ([`share`](DataParallel::share)).
///
/// PyTorch: `torch.nn.parallel.DistributedDataParallel` with `ZeroRedundancyOptimizer`.
///
/// ```
/// use adamant_data::{DataLoader, TensorDataset};
/// use adamant_nn::{Forward, Linear, Module, cross_entropy};
/// use adamant_optim::{Adam, AdamOptions, Optimizer};
/// use adamant_parallel::{DataParallel, run_threads};
/// use adamant_tensor::{Generator, Tensor};
///
/// // The weight after ten steps, on this number of processes: here, threads.
/// let train = |ranks| {
///     let trained = run_threads(ranks, |transport| {
///         let parallel = DataParallel::new(transport, 8);
///         let mut rng = Generator::seed(0);
///         let model = Linear::new(2, 3, &mut rng);
///         let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
///         parallel.share(&mut adam);
///         let inputs = Tensor::<f32>::randn([100, 2], &mut rng);
///         let set = TensorDataset::new(inputs, vec![1usize; 100]).unwrap();
///         let mut loader = DataLoader::new(set, 20).shuffle(&mut rng).shards(parallel.shards());
///         for _ in 0..10 {
///             adam.zero_grad();
///             let loss = parallel.backward(&model, &adam, loader.next_batch(), |batch| {
///                 cross_entropy(&model.forward(&batch.inputs), &batch.targets)
///             });
///             assert!(loss.unwrap() < 2.0);
///             adam.step();
///         }
///         model.weight.tensor().to_vec()
///     });
///     trained[0].clone()
/// };
/// assert_eq!(train(1), train(3));
/// ```
#[derive(Clone)]
pub struct DataParallel {
    transport: Arc<dyn Transport>,
    shards: usize,
    orders: Arc<Orders>,
}

impl DataParallel {
    /// Cuts each batch into this number of shards, for the processes of `transport`.
    ///
    /// # Panics
    /// If there are fewer shards than processes.
    #[must_use]
    #[track_caller]
    pub fn new(transport: Arc<dyn Transport>, shards: usize) -> Self {
        let ranks = transport.ranks();
        assert!(
            shards >= ranks,
            "DataParallel: shards is {shards}; expected at least {ranks}, the number of processes"
        );
        DataParallel { transport, shards, orders: Arc::default() }
    }

    /// One process and this number of shards: the bits of a training by several.
    ///
    /// # Panics
    /// If `shards` is 0.
    #[must_use]
    #[track_caller]
    pub fn alone(shards: usize) -> Self {
        DataParallel::new(Arc::new(Alone), shards)
    }

    /// The connection to the other processes.
    #[must_use]
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// The shards of this process: for [`DataLoader::shards`](adamant_data::DataLoader::shards).
    #[must_use]
    pub fn shards(&self) -> Shards {
        let (rank, ranks) = (self.transport.rank(), self.transport.ranks());
        Shards { local: exchange::local(self.shards, rank, ranks), total: self.shards }
    }

    /// Shares an optimizer between the processes: call it once, before or after a state is loaded.
    ///
    /// From now on, its steps and its `state_dict` are calls that all processes make together. The
    /// state is whole in the process of rank 0, and loads into any number of processes.
    /// `Adam::state`, hooks and `.grad` show the elements of this process; other elements of `.grad` are
    /// NaN. So limit gradients by [`clip_grad_norm`](DataParallel::clip_grad_norm) of this type. The state
    /// of the other processes does not load into their optimizers.
    ///
    /// # Panics
    /// If the optimizer is shared already, or its parameters are not the same in all processes, which
    /// must build them from the same seed or file; if another process has ended.
    #[track_caller]
    pub fn share<T: Float>(&self, optimizer: &mut impl Optimizer<T>) {
        let ranks = self.transport.ranks();
        if ranks == 1 {
            return;
        }
        optimizer.share(self.transport.clone());
        let own = Frame::from_slice(&[hash(&optimizer.partitions())]);
        let all = match self.transport.all_gather(own, &vec![size_of::<u64>(); ranks]).wait() {
            Ok(all) => all,
            Err(error) => panic!("share: {error}"),
        };
        let hashes = all.as_slice::<u64>();
        if let Some(other) = hashes.iter().position(|hash| *hash != hashes[0]) {
            panic!(
                "share: the parameters of rank {other} differ from those of rank 0; expected the \
                 same in all processes, from one seed or file"
            );
        }
    }

    /// Computes the loss of each shard of a batch, and adds the gradient of the batch's mean loss to
    /// the optimizer's parameters. Returns the mean loss.
    ///
    /// `loss` returns the mean loss of the samples of a shard, whose weight is its share of the samples.
    /// It is called once for each shard of this process. A parameter that no shard of any process has
    /// a gradient for gets none; if only some have, the others count as zeros. Gradients are sent to the
    /// other processes during the backward pass of the last shard.
    ///
    /// Batch normalizations use the statistics of each shard; their running statistics take in those
    /// of all shards, in order. `model` contains all layers that `loss` uses; gradients of its parameters
    /// that are not the optimizer's stay as they were. For layers that use those of the whole batch, see
    /// [`backward_synchronized`](DataParallel::backward_synchronized). Other buffers that a layer
    /// changes are those of this process alone.
    ///
    /// # Errors
    /// If another process has ended, or does not answer.
    ///
    /// # Panics
    /// If a loss has more than one element or is not tracked, `batch` contains other shards than those
    /// of this process, or the optimizer is not [shared](DataParallel::share) with the same processes; if
    /// a hook runs another backward pass that adds to a gradient of the optimizer's.
    #[track_caller]
    pub fn backward<T: Float, B>(
        &self,
        model: &(impl Module<T> + ?Sized),
        optimizer: &impl Optimizer<T>,
        batch: Vec<ShardBatch<B>>,
        mut loss: impl FnMut(B) -> Tensor<T>,
    ) -> Result<f64, TransportError> {
        let parameters = optimizer.partitions();
        self.check(&parameters, &batch);
        let before = Before::take(model, &parameters, self.shards);
        let generators = Generators::of(model, self.shards);
        let mut batch = batch.into_iter().peekable();
        let (mut losses, mut statistics, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let (all, local) = (0..self.shards, self.shards().local);
        let mut pass_of = |shard: usize, backward: &mut dyn FnMut(&Tensor<T>, &Tensor<T>)| {
            generators.swap(&mut generators.of_shard(shard));
            let part = batch.next_if(|part| part.shard == shard);
            losses.push(match part {
                None => 0.0,
                Some(part) if self.shards == 1 => pass(part, &mut loss, backward),
                Some(part) => {
                    let pass = || with_shards(refuse_to_meet, || pass(part, &mut loss, backward));
                    let (loss, recorded) = record_statistics(pass);
                    statistics.extend(recorded);
                    loss
                }
            });
        };
        let last = local.end - 1;
        for shard in local.start..last {
            pass_of(shard, &mut Tensor::backward_with);
            let row = Gradients::take(&parameters);
            row.push_to(&mut rows, tree::completed(&all, &local, shard));
        }
        let mut exchange = self.exchange(&parameters, rows);
        // One rank has nothing to send.
        let sent = if self.transport.ranks() == 1 { &[][..] } else { &parameters[..] };
        let sent: Vec<Parameter<T>> = sent.iter().map(|(parameter, _)| parameter.clone()).collect();
        pass_of(last, &mut |loss, gradient| {
            loss.backward_each(gradient, &sent, |i| exchange.report(i, take(&sent[i])));
        });
        generators.finish();
        let sum = exchange.finish(|i| take(&parameters[i].0), &self.orders)?;
        self.finish(model, &parameters, before, sum, &statistics, &losses)
    }

    /// [`backward`](DataParallel::backward) for models with layers that use the statistics of the
    /// whole batch: [`SyncBatchNorm`](adamant_nn::SyncBatchNorm).
    ///
    /// The shards of this process take turns, each on a thread of its own, from one such layer to the
    /// next, in the forward and in the backward pass. `loss` is called on these threads: a call may begin
    /// before another one has ended, but only one of them runs at a time. So it must not hold a lock
    /// during a forward pass. Each shard must call the same such layers in the same order.
    ///
    /// This needs the memory of all shards of a process at the same time, and exchanges gradients
    /// after the backward passes, not during them. Operations use the threads of rayon's global pool,
    /// also within another pool. Settings of the calling thread, such as
    /// [`detect_anomaly`](adamant_tensor::detect_anomaly), do not apply to `loss`.
    ///
    /// PyTorch: `DistributedDataParallel` of a model with `torch.nn.SyncBatchNorm`.
    ///
    /// # Errors
    /// As `backward`.
    ///
    /// # Panics
    /// As `backward`; if `loss` panics, with the same payload; if the shards do not call the same
    /// layers; if a thread cannot be started.
    ///
    /// ```
    /// use adamant_data::{DataLoader, TensorDataset};
    /// use adamant_nn::{Forward, Linear, Module, Sequential, SyncBatchNorm, cross_entropy};
    /// use adamant_optim::{Adam, AdamOptions, Optimizer};
    /// use adamant_parallel::DataParallel;
    /// use adamant_tensor::{Generator, Tensor};
    ///
    /// let rng = &mut Generator::seed(0);
    /// let parallel = DataParallel::alone(4);
    /// let model = Sequential::new().add(Linear::new(2, 3, rng)).add(SyncBatchNorm::new(3));
    /// let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    /// parallel.share(&mut adam);
    /// // Each shard is one sample, which has no variance of its own.
    /// let set = TensorDataset::new(Tensor::<f32>::randn([4, 2], rng), vec![0usize, 1, 2, 1]).unwrap();
    /// let mut loader = DataLoader::new(set, 4).shards(parallel.shards());
    /// let loss = parallel.backward_synchronized(&model, &adam, loader.next_batch(), |batch| {
    ///     cross_entropy(&model.forward(&batch.inputs), &batch.targets)
    /// });
    /// assert!(loss.unwrap() < 2.0);
    /// adam.step();
    /// ```
    #[track_caller]
    pub fn backward_synchronized<T: Float, B: Send>(
        &self,
        model: &(impl Module<T> + ?Sized),
        optimizer: &impl Optimizer<T>,
        batch: Vec<ShardBatch<B>>,
        loss: impl Fn(B) -> Tensor<T> + Sync,
    ) -> Result<f64, TransportError> {
        let parameters = optimizer.partitions();
        self.check(&parameters, &batch);
        let before = Before::take(model, &parameters, self.shards);
        let generators = Generators::of(model, self.shards);
        let (transport, pass) =
            (&*self.transport, |part| pass(part, &loss, &mut Tensor::backward_with));
        let passes =
            synchronized::run(transport, self.shards, &parameters, &generators, batch, &pass);
        generators.finish();
        let mut passes = passes?.into_iter().peekable();
        let (all, local) = (0..self.shards, self.shards().local);
        let (mut losses, mut statistics, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut gradients_of = |shard: usize| match passes.next_if(|pass| pass.shard == shard) {
            Some(pass) => {
                losses.push(pass.loss);
                statistics.extend(pass.statistics);
                pass.gradients
            }
            None => {
                losses.push(0.0);
                Gradients::none(&parameters)
            }
        };
        let last = local.end - 1;
        for shard in local.start..last {
            gradients_of(shard).push_to(&mut rows, tree::completed(&all, &local, shard));
        }
        let mut last = gradients_of(last);
        let exchange = self.exchange(&parameters, rows);
        let sum = exchange.finish(|i| last.0[i].take(), &self.orders)?;
        self.finish(model, &parameters, before, sum, &statistics, &losses)
    }

    /// The exchange of a batch, after the passes of all local shards but the last one.
    fn exchange<'p, T: Float>(
        &'p self,
        parameters: &'p [(Parameter<T>, Partition)],
        rows: Vec<Gradients<T>>,
    ) -> Exchange<'p, T> {
        let order = self.orders.of(parameters.len());
        Exchange::new(&*self.transport, self.shards, parameters, rows, order, CHUNK)
    }

    /// Exchanges statistics and losses of this process's shards, and adds `sum`, the gradients over all
    /// shards, to the optimizer's parameters. Returns the sum of the losses.
    fn finish<T: Float>(
        &self,
        model: &(impl Module<T> + ?Sized),
        parameters: &[(Parameter<T>, Partition)],
        before: Before<T>,
        sum: Gradients<T>,
        recorded: &[(usize, BatchStatistics<T>)],
        losses: &[f64],
    ) -> Result<f64, TransportError> {
        let ranks = self.transport.ranks();
        statistics::exchange(&*self.transport, model, recorded)?;
        let shards = |rank| exchange::local(self.shards, rank, ranks).len();
        let lengths: Vec<usize> = (0..ranks).map(|r| shards(r) * size_of::<f64>()).collect();
        let all = self.transport.all_gather(Frame::from_slice(losses), &lengths).wait()?;
        before.restore(parameters, sum);
        let all = all.as_slice::<f64>();
        let loss = |node: &Range<usize>| (node.len() == 1).then(|| all[node.start]);
        Ok(tree::sum(&(0..self.shards), &mut { loss }, &mut |left, right| left + right))
    }

    /// Scales the gradients of the optimizer's parameters by one factor so that their norm, as one
    /// vector, is at most `max_norm`; returns the norm before. Squares are added in `f64`, in a fixed
    /// order, whichever process has them.
    ///
    /// PyTorch: `torch.nn.utils.clip_grad_norm_`.
    ///
    /// # Errors
    /// If another process has ended, or does not answer.
    ///
    /// # Panics
    /// If `max_norm` is negative or NaN.
    #[track_caller]
    pub fn clip_grad_norm<T: Float>(
        &self,
        optimizer: &impl Optimizer<T>,
        max_norm: f64,
    ) -> Result<f64, TransportError> {
        assert!(
            max_norm >= 0.0,
            "clip_grad_norm: max_norm is {max_norm}; expected a number of at least 0"
        );
        norm::clip(&*self.transport, &optimizer.partitions(), max_norm)
    }

    /// The sums of each process's `values`, in the order of the processes: for counts, such as those of
    /// correct answers, which are exact.
    ///
    /// PyTorch: `torch.distributed.all_reduce`.
    ///
    /// # Errors
    /// If another process has ended, or does not answer.
    pub fn sum<const N: usize>(&self, values: [f64; N]) -> Result<[f64; N], TransportError> {
        let lengths = vec![size_of::<[f64; N]>(); self.transport.ranks()];
        let all = self.transport.all_gather(Frame::from_slice(&values), &lengths).wait()?;
        let of_ranks = all.as_slice::<f64>();
        Ok(std::array::from_fn(|i| of_ranks.iter().skip(i).step_by(N.max(1)).sum()))
    }

    #[track_caller]
    fn check<T: Float, B>(
        &self,
        parameters: &[(Parameter<T>, Partition)],
        batch: &[ShardBatch<B>],
    ) {
        let ranks = self.transport.ranks();
        for (_, partition) in parameters {
            assert!(
                partition.ranks == ranks,
                "backward: the optimizer is shared by {} processes; expected {ranks}: call \
                 `DataParallel::share` before",
                partition.ranks
            );
        }
        let Shards { local, .. } = self.shards();
        let found: Vec<usize> = batch.iter().map(|part| part.shard).collect();
        assert!(
            found.is_sorted_by(|a, b| a < b) && found.iter().all(|shard| local.contains(shard)),
            "backward: the batch has the shards {found:?}; expected those of this process, {local:?}, \
             in order"
        );
    }
}

/// The passes of a shard; returns its loss, weighted by its share of the samples. `backward` is called
/// with the loss and its gradient.
fn pass<T: Float, B>(
    part: ShardBatch<B>,
    loss: impl FnOnce(B) -> Tensor<T>,
    backward: &mut dyn FnMut(&Tensor<T>, &Tensor<T>),
) -> f64 {
    let weight = part.samples as f64 / part.of as f64;
    let loss = loss(part.batch);
    assert!(
        loss.is_tracked() && loss.numel() == 1,
        "backward: the loss has {} elements and is {}tracked; expected one, computed from the \
         parameters",
        loss.numel(),
        if loss.is_tracked() { "" } else { "not " }
    );
    backward(&loss, &Tensor::full(loss.shape(), T::from_f64(weight)));
    loss.item().to_f64() * weight
}

/// FNV-1a of the bits of all values, by words.
fn hash<T: Float>(parameters: &[(Parameter<T>, Partition)]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (parameter, _) in parameters {
        for x in parameter.tensor().to_vec() {
            hash = (hash ^ x.to_f64().to_bits()).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ parameter.numel() as u64).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

fn refuse_to_meet(_: Vec<f64>) -> Meeting {
    panic!(
        "SyncBatchNorm: found `DataParallel::backward`, which runs one shard after another; expected \
         `DataParallel::backward_synchronized`"
    )
}

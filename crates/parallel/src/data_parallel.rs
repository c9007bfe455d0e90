//! Training one model by several processes.

use crate::exchange::{self, Exchange};
use crate::gradients::Gradients;
use crate::norm;
use crate::statistics;
use crate::tree;
use adamant_data::{ShardBatch, Shards};
use adamant_nn::{Leaf, Module, Path, SharedGenerator, record_statistics};
use adamant_optim::Optimizer;
use adamant_tensor::{Float, Generator, Parameter, Tensor};
use adamant_transport::{Alone, Frame, Partition, Transport, TransportError};
use std::collections::HashSet;
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
        DataParallel { transport, shards }
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
    /// `Adam::state`, hooks and `.grad` show the elements of this process; the others have no meaning.
    ///
    /// # Panics
    /// If the optimizer is shared already.
    #[track_caller]
    pub fn share<T: Float>(&self, optimizer: &mut impl Optimizer<T>) {
        if self.transport.ranks() > 1 {
            optimizer.share(self.transport.clone());
        }
    }

    /// Computes the loss of each shard of a batch, and adds the gradient of the batch's mean loss to
    /// the optimizer's parameters. Returns the mean loss.
    ///
    /// `loss` returns the mean loss of the samples of a shard, whose weight is its share of the samples.
    /// It is called once for each shard of this process. A parameter that no shard of any process has
    /// a gradient for gets none; if only some have, the others count as zeros.
    ///
    /// Batch normalizations use the statistics of each shard; their running statistics take in those
    /// of all shards, in order. Other buffers that a layer changes are those of this process alone.
    ///
    /// # Errors
    /// If another process has ended, or does not answer.
    ///
    /// # Panics
    /// If a loss has more than one element or is not tracked, `batch` contains other shards than those
    /// of this process, or the optimizer is not [shared](DataParallel::share) with the same processes.
    #[track_caller]
    pub fn backward<T: Float, B>(
        &self,
        model: &(impl Module<T> + ?Sized),
        optimizer: &impl Optimizer<T>,
        batch: Vec<ShardBatch<B>>,
        mut loss: impl FnMut(B) -> Tensor<T>,
    ) -> Result<f64, TransportError> {
        let ranks = self.transport.ranks();
        let parameters = optimizer.partitions();
        self.check(&parameters, &batch);
        let before = Gradients::take(&parameters);
        let generators = Generators::of(model, self.shards);
        let mut batch = batch.into_iter().peekable();
        let mut run = |shard: usize| {
            generators.start_shard(shard);
            let Some(part) = batch.next_if(|part| part.shard == shard) else { return 0.0 };
            let weight = part.samples as f64 / part.of as f64;
            let loss = loss(part.batch);
            loss.backward_with(&Tensor::full(loss.shape(), T::from_f64(weight)));
            loss.item().to_f64() * weight
        };
        let (all, local) = (0..self.shards, self.shards().local);
        let (mut losses, mut statistics) = (Vec::new(), Vec::new());
        // The gradients of nodes of the tree that are not yet part of another.
        let mut rows: Vec<Gradients<T>> = Vec::new();
        let mut exchange = None;
        for shard in local.clone() {
            let completed = tree::completed(&all, &local, shard);
            if ranks == 1 {
                losses.push(run(shard));
            } else {
                if shard + 1 == local.end {
                    let (transport, rows) = (self.transport.clone(), std::mem::take(&mut rows));
                    exchange =
                        Some(Exchange::start(transport, self.shards, &parameters, rows, completed));
                }
                let (loss, recorded) = record_statistics(|| run(shard));
                losses.push(loss);
                statistics.push(recorded);
            }
            let row = Gradients::take(&parameters);
            if exchange.is_none() {
                let left = rows.split_off(rows.len() - completed);
                rows.push(left.into_iter().rev().fold(row, |right, left| left.add(right)));
            }
        }
        generators.finish();
        let sum = match exchange {
            Some(exchange) => {
                let sum = exchange.finish()?;
                statistics::exchange(&*self.transport, model, &statistics)?;
                losses = self.exchange_losses(&losses)?;
                sum
            }
            None => rows.swap_remove(0),
        };
        before.accumulate(sum).put(&parameters);
        let loss = |node: &Range<usize>| (node.len() == 1).then(|| losses[node.start]);
        Ok(tree::sum(&all, &mut { loss }, &mut |left, right| left + right))
    }

    /// The losses of all shards.
    fn exchange_losses(&self, own: &[f64]) -> Result<Vec<f64>, TransportError> {
        let ranks = self.transport.ranks();
        let shards = |rank| exchange::local(self.shards, rank, ranks).len();
        let lengths: Vec<usize> = (0..ranks).map(|r| shards(r) * size_of::<f64>()).collect();
        let all = self.transport.all_gather(Frame::from_slice(own), &lengths).wait()?;
        Ok(all.as_slice().to_vec())
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

/// The generators of a model's layers during a batch.
struct Generators {
    /// Each with the state that it will have after the batch.
    after: Vec<(SharedGenerator, Generator)>,
    /// The origin of the numbers of this batch; none if the batch is not cut.
    keys: Vec<[u64; 2]>,
}

/// Separates the numbers of shards from others with the same key.
const SHARD: u64 = u64::from_le_bytes(*b"shard\0\0\0");

impl Generators {
    /// Draws the keys of a batch. A batch of one shard uses the generators as they are.
    fn of<T: Float>(model: &(impl Module<T> + ?Sized), shards: usize) -> Self {
        let (mut after, mut keys) = (Vec::new(), Vec::new());
        if shards == 1 {
            return Generators { after, keys };
        }
        let mut seen = HashSet::new();
        model.visit(&mut Path::default(), &mut |_, leaf| {
            let id = leaf.id();
            let Leaf::Generator(shared) = leaf else { return };
            if seen.insert(id) {
                let mut generator = shared.lock();
                keys.push([generator.next_u64(), generator.next_u64()]);
                after.push((shared.clone(), generator.clone()));
            }
        });
        Generators { after, keys }
    }

    fn start_shard(&self, shard: usize) {
        for ((generator, _), key) in self.after.iter().zip(&self.keys) {
            *generator.lock() = Generator::from_key([key[0], key[1], shard as u64, SHARD]);
        }
    }

    fn finish(self) {
        for (generator, after) in self.after {
            *generator.lock() = after;
        }
    }
}

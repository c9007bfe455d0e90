//! The leaves of a model that are not parameters: what a layer keeps beside its weights.

use crate::tree::observe::is_observing;
use adamant_tensor::{Float, Generator, Parameter, Tensor};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tensor that a layer keeps and changes itself, such as a running mean: part of its state, but
/// not a weight. It never has a gradient, and no optimizer sees it.
///
/// Clones are handles to the same values.
///
/// PyTorch: `register_buffer`.
///
/// ```
/// use adamant_nn::Buffer;
/// use adamant_tensor::Tensor;
/// let mean = Buffer::new(Tensor::<f32>::zeros([2]));
/// mean.set(&(mean.tensor() + 1.0));
/// assert_eq!(mean.tensor().to_vec(), [1.0, 1.0]);
/// assert!(!mean.tensor().is_tracked());
/// ```
#[derive(Clone, Debug)]
pub struct Buffer<T: Float = f32> {
    /// Never requires a gradient.
    cell: Parameter<T>,
    update: Arc<Mutex<()>>,
}

impl<T: Float> Buffer<T> {
    /// A buffer that starts as `value`.
    #[must_use]
    pub fn new(value: Tensor<T>) -> Self {
        let cell = Parameter::new(value);
        cell.set_requires_grad(false);
        Buffer { cell, update: Arc::default() }
    }

    /// The current value, untracked. Copies nothing.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        self.cell.tensor()
    }

    /// Replaces the value by the elements of `value`.
    ///
    /// # Panics
    /// If its shape is not the buffer's.
    #[track_caller]
    pub fn set(&self, value: &Tensor<T>) {
        assert!(
            value.shape() == self.shape(),
            "Buffer: a value of shape {:?}; expected the buffer's shape, {:?}",
            value.shape(),
            self.shape()
        );
        self.cell.set_value(value);
    }

    /// Held by a layer while it updates this and the buffers that belong to it, or reads them
    /// together.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.update.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.cell.shape()
    }

    /// An identifier that is unique while the buffer lives.
    #[must_use]
    pub fn id(&self) -> usize {
        self.cell.id()
    }
}

/// A count that a layer keeps: an `i64` without dimensions in its state, as in PyTorch.
///
/// Clones are handles to the same count.
///
/// ```
/// use adamant_nn::Counter;
/// let seen = Counter::default();
/// seen.set(seen.get() + 1);
/// assert_eq!(seen.get(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicI64>);

impl Counter {
    /// A counter that starts at `count`.
    #[must_use]
    pub fn new(count: i64) -> Self {
        Counter(Arc::new(count.into()))
    }

    /// The current count.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the count.
    pub fn set(&self, count: i64) {
        self.0.store(count, Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// The generator of a random layer: part of its state, so that a resumed run draws the same.
///
/// Clones are handles to the same generator.
///
/// ```
/// use adamant_nn::{Module, SharedGenerator};
/// use adamant_tensor::{Generator, Tensor};
/// #[derive(Module)]
/// #[module(crate = adamant_nn)]
/// struct Noise {
///     rng: SharedGenerator,
/// }
/// let noise = Noise { rng: SharedGenerator::new(Generator::seed(0)) };
/// let x: Tensor = Tensor::randn([3], &mut noise.rng.lock());
/// ```
#[derive(Clone, Debug)]
pub struct SharedGenerator(Arc<Mutex<Generator>>);

impl SharedGenerator {
    /// A layer's own generator, usually a [`fork`](Generator::fork) of the one it is made with.
    #[must_use]
    pub fn new(generator: Generator) -> Self {
        SharedGenerator(Arc::new(Mutex::new(generator)))
    }

    /// The generator, to draw from it; other threads wait meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Generator> {
        // A panic while it is locked leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A generator of its own, in the same state.
    pub(crate) fn copy(&self) -> Self {
        SharedGenerator::new(self.lock().clone())
    }

    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Whether a layer is in training mode: a field of this type follows
/// [`Module::train`](crate::Module::train) and [`Module::eval`](crate::Module::eval), and is not
/// part of the state.
///
/// PyTorch: `self.training`.
///
/// ```
/// use adamant_nn::{Module, Training};
/// #[derive(Module)]
/// #[module(crate = adamant_nn)]
/// struct Noise {
///     training: Training,
/// }
/// let mut noise = Noise { training: Training::default() };
/// assert!(noise.training.on());
/// noise.eval();
/// assert!(!noise.training.on());
/// ```
#[derive(Clone, Debug)]
pub struct Training {
    on: bool,
    statistics: Statistics,
}

/// Whether a layer keeps running statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistics {
    None,
    Running,
    Frozen,
}

impl Training {
    /// The mode of a layer that keeps running statistics, such as a batch normalization:
    /// [`freeze_batch_norms`](crate::Module::freeze_batch_norms) keeps it in evaluation mode.
    #[must_use]
    pub fn with_statistics() -> Self {
        Training { statistics: Statistics::Running, ..Training::default() }
    }

    /// Whether to behave as in training; false while a [`summary`](crate::summary()) is made.
    #[must_use]
    pub fn on(&self) -> bool {
        self.on && self.statistics != Statistics::Frozen && !is_observing()
    }

    pub(crate) fn set(&mut self, training: bool) {
        self.on = training;
    }

    /// Freezes or thaws the statistics, if there are any. The mode that was set applies again when
    /// they are thawed.
    pub(crate) fn set_frozen(&mut self, frozen: bool) {
        if self.statistics != Statistics::None {
            self.statistics = if frozen { Statistics::Frozen } else { Statistics::Running };
        }
    }
}

/// Training mode, in which all modules start.
impl Default for Training {
    fn default() -> Self {
        Training { on: true, statistics: Statistics::None }
    }
}

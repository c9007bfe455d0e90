//! What a layer remembers beside its weights, and how it knows that it is being trained.

use crate::module::{Leaf, Module, Path};
use crate::summary;
use adamant_tensor::{Float, Parameter, Tensor};
use std::sync::atomic::{AtomicI64, Ordering};

/// A tensor that a layer keeps and changes itself, such as a running mean: part
/// of its state, but no weight. It never has a gradient and no optimizer sees it.
///
/// It is a [`Parameter`] that never requires a gradient, the one thing that
/// changes in place: clones are handles to the same values.
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
pub struct Buffer<T: Float = f32>(Parameter<T>);

impl<T: Float> Buffer<T> {
    /// A buffer that starts as `value`.
    #[must_use]
    pub fn new(value: Tensor<T>) -> Self {
        let cell = Parameter::new(value.detach());
        cell.set_requires_grad(false);
        Buffer(cell)
    }

    /// The present value, untracked. Copies nothing.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        self.0.tensor()
    }

    /// Replaces the value; what it was computed from is forgotten.
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
        self.0.set_value(value);
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// A number that is this buffer's own while it lives.
    #[must_use]
    pub fn id(&self) -> usize {
        self.0.id()
    }
}

impl<T: Float> Module<T> for Buffer<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        visit(path.as_str(), Leaf::Buffer(self));
    }
    fn set_training(&mut self, _training: bool) {}
}

/// A count that a layer keeps: an `i64` of no dimensions in its state, as in PyTorch.
///
/// ```
/// use adamant_nn::Counter;
/// let seen = Counter::default();
/// seen.set(seen.get() + 1);
/// assert_eq!(seen.get(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Counter(AtomicI64);

impl Counter {
    /// The present count.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the count.
    pub fn set(&self, count: i64) {
        self.0.store(count, Ordering::Relaxed);
    }
}

impl<T: Float> Module<T> for Counter {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        visit(path.as_str(), Leaf::Counter(self));
    }
    fn set_training(&mut self, _training: bool) {}
}

/// Whether a layer is being trained: a field of this type follows
/// [`Module::train`] and [`Module::eval`], and is no part of the state.
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
pub struct Training(bool);

impl Training {
    /// Whether to behave as in training. A [`summary`](crate::summary()) is no training.
    #[must_use]
    pub fn on(&self) -> bool {
        self.0 && !summary::is_observing()
    }
}

/// As all modules start: in training.
impl Default for Training {
    fn default() -> Self {
        Training(true)
    }
}

impl<T: Float> Module<T> for Training {
    fn visit(&self, _path: &mut Path, _visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {}
    fn set_training(&mut self, training: bool) {
        self.0 = training;
    }
}

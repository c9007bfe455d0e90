//! A low-rank adapter, and the slot of a layer that holds it.

use crate::tree::buffer::{SharedGenerator, Training};
use crate::tree::mask::masked;
use crate::tree::module::{Leaf, LeafMut, Module, Path};
use adamant_tensor::{Float, Parameter, Tensor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What [`Lora`](crate::Lora) adds to the output of a layer: `scale · (dropout(x) Aᵀ) Bᵀ`.
///
/// Clones are handles to the same parameters and generator.
#[derive(Clone, Debug)]
pub(crate) struct Adapter<T: Float> {
    /// `[rank, in_features]`
    pub(crate) a: Parameter<T>,
    /// `[out_features, rank]`
    pub(crate) b: Parameter<T>,
    pub(crate) scale: f64,
    /// The probability and the generator.
    pub(crate) dropout: Option<(f64, SharedGenerator)>,
}

impl<T: Float> Adapter<T> {
    /// `y` with the adapter's part for the input `x`.
    #[track_caller]
    fn apply(&self, x: &Tensor<T>, y: &Tensor<T>, training: bool) -> Tensor<T> {
        let low = match &self.dropout {
            Some((p, rng)) if training => {
                masked(x, x.shape(), *p, &mut rng.lock()).linear(&self.a.tensor(), None)
            }
            _ => x.linear(&self.a.tensor(), None),
        };
        // The scale multiplies the smaller of the two products.
        y + (low * T::from_f64(self.scale)).linear(&self.b.tensor(), None)
    }

    /// What the adapter adds to the weight: `scale · B A`.
    pub(crate) fn delta(&self) -> Tensor<T> {
        self.b.tensor().matmul(&self.a.tensor()) * T::from_f64(self.scale)
    }

    /// An adapter with parameters and a generator of its own, in the same state.
    fn copy(&self) -> Self {
        Adapter {
            a: self.a.copy(),
            b: self.b.copy(),
            scale: self.scale,
            dropout: self.dropout.as_ref().map(|(p, rng)| (*p, rng.copy())),
        }
    }
}

/// The leaves, under the names of Python's `peft`.
impl<T: Float> Module<T> for Adapter<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.child("lora_A.weight", |path| self.a.visit(path, visit));
        path.child("lora_B.weight", |path| self.b.visit(path, visit));
        if let Some((_, rng)) = &self.dropout {
            path.child("lora_dropout.rng", |path| Module::<T>::visit(rng, path, visit));
        }
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.a.visit_mut(visit);
        self.b.visit_mut(visit);
        if let Some((_, rng)) = &mut self.dropout {
            visit(LeafMut::Generator(rng));
        }
    }
}

/// The slot of a [`Linear`](crate::Linear) for an adapter. It is empty until
/// [`Lora`](crate::Lora) fills it, and then costs a forward pass one atomic load.
///
/// Clones are handles to the same slot; the clone of a model has slots of its own, with copies of
/// the adapters.
///
/// A layer of your own accepts adapters if it has a slot and, in the same struct, a parameter
/// `weight` of shape `[out_features, in_features]`.
///
/// ```
/// use adamant_nn::{AdapterSlot, Forward, Lora, LoraOptions, Module};
/// use adamant_tensor::{Generator, Parameter, Tensor};
///
/// #[derive(Module)]
/// #[module(crate = adamant_nn)]
/// struct Squared {
///     weight: Parameter,
///     adapter: AdapterSlot,
/// }
///
/// impl Forward for Squared {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         let x = &(x * x);
///         self.adapter.apply(x, x.linear(&self.weight.tensor(), None))
///     }
/// }
///
/// let weight = Parameter::new(Tensor::ones([2, 3]));
/// let layers = [Squared { weight, adapter: AdapterSlot::default() }];
/// let options = LoraOptions::default().target_modules(["0"]);
/// let lora = Lora::new(&layers, options, &mut Generator::seed(0))?;
/// assert_eq!(lora.named_parameters()[0].0, "0.lora_A.weight");
/// # Ok::<(), adamant_nn::LoraError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdapterSlot<T: Float = f32> {
    shared: Arc<Shared<T>>,
    /// Whether the adapter drops; of the layer, like that of a dropout.
    training: Training,
}

/// What all handles to a slot share.
#[derive(Debug)]
struct Shared<T: Float> {
    /// Whether a forward pass needs to look at `content`.
    is_active: AtomicBool,
    content: Mutex<Option<Installed<T>>>,
}

/// The content of a slot.
#[derive(Debug)]
pub(crate) struct Installed<T: Float> {
    pub(crate) adapter: Adapter<T>,
    /// The layer's weight from before the adapter was merged into it. While it is merged, forward
    /// passes do not add it.
    pub(crate) unmerged: Option<Tensor<T>>,
}

impl<T: Float> AdapterSlot<T> {
    fn with(content: Option<Installed<T>>, training: Training) -> Self {
        let slot = AdapterSlot {
            shared: Arc::new(Shared { is_active: false.into(), content: Mutex::new(None) }),
            training,
        };
        slot.change(|old| *old = content);
        slot
    }

    /// `y`, the layer's output for `x`, plus that of the adapter, if there is one that is not
    /// merged.
    ///
    /// # Panics
    /// If the last dimension of `x` or of `y` is not that of the layer's weight.
    #[must_use]
    #[track_caller]
    pub fn apply(&self, x: &Tensor<T>, y: Tensor<T>) -> Tensor<T> {
        // `content` is what counts, so no other memory depends on this.
        if !self.shared.is_active.load(Ordering::Relaxed) {
            return y;
        }
        let adapter = match &*self.lock() {
            Some(Installed { adapter, unmerged: None }) => adapter.clone(),
            _ => return y,
        };
        adapter.apply(x, &y, self.training.on())
    }

    /// Changes the content.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Option<Installed<T>>) -> R) -> R {
        let mut content = self.lock();
        let result = change(&mut content);
        let is_active = content.as_ref().is_some_and(|installed| installed.unmerged.is_none());
        self.shared.is_active.store(is_active, Ordering::Relaxed);
        result
    }

    /// The adapter, if there is one.
    pub(crate) fn adapter(&self) -> Option<Adapter<T>> {
        self.lock().as_ref().map(|installed| installed.adapter.clone())
    }

    pub(crate) fn is_merged(&self) -> bool {
        self.lock().as_ref().is_some_and(|installed| installed.unmerged.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Installed<T>>> {
        // A panic while it is locked leaves it whole.
        self.shared.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot of its own, with a copy of the adapter.
    pub(crate) fn copy(&self) -> Self {
        let content = self.lock().as_ref().map(|Installed { adapter, unmerged }| Installed {
            adapter: adapter.copy(),
            unmerged: unmerged.clone(),
        });
        AdapterSlot::with(content, self.training.clone())
    }

    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

/// An empty slot.
impl<T: Float> Default for AdapterSlot<T> {
    fn default() -> Self {
        AdapterSlot::with(None, Training::default())
    }
}

impl<T: Float> Module<T> for AdapterSlot<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        visit(path.as_str(), Leaf::Adapter(self));
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        visit(LeafMut::Adapter(self));
        visit(LeafMut::Training(&mut self.training));
    }
}

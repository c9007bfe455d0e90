//! Layers one after the other.

use crate::module::{Forward, Leaf, Module, Path};
use crate::panic_context::with_context;
use crate::{state, summary};
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// A module with a way through it: what [`Sequential`] holds.
pub trait Layer<T: Float = f32>: Module<T> + Forward<T> + Send + Sync {
    /// What its type is called: `adamant_nn::linear::Linear<f32>`.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}
impl<T: Float, L: Module<T> + Forward<T> + Send + Sync> Layer<T> for L {}

/// Layers one after the other; their names are their positions.
///
/// PyTorch: `torch.nn.Sequential`.
///
/// ```
/// use adamant_nn::{Forward, Linear, Module, Relu, Sequential};
/// use adamant_tensor::{Generator, Tensor};
/// let mut rng = Generator::seed(0);
/// let net = Sequential::new()
///     .add(Linear::new(4, 8, &mut rng))
///     .add(Relu)
///     .add(Linear::new(8, 2, &mut rng));
/// assert_eq!(net.forward(&Tensor::ones([3, 4])).shape(), [3, 2]);
/// assert_eq!(net.named_parameters()[2].0, "2.weight");
/// ```
pub struct Sequential<T: Float = f32> {
    layers: Vec<Box<dyn Layer<T>>>,
}

impl Sequential {
    /// Without layers, in `f32`. For another type: `Sequential::<f64>::default()`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Sequential<T> {
    /// This with another layer at the end.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it adds a layer, not a number")]
    pub fn add(mut self, layer: impl Layer<T> + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// The layers, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &dyn Layer<T>> + ExactSizeIterator {
        self.layers.iter().map(|layer| &**layer)
    }

    /// The layer at this position, if there is one.
    ///
    /// PyTorch: `net[i]`.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&dyn Layer<T>> {
        self.layers.get(i).map(|layer| &**layer)
    }

    /// The same, to be changed: put into evaluation mode alone, say.
    ///
    /// ```
    /// use adamant_nn::{BatchNorm1d, Module, Sequential};
    /// let mut net = Sequential::new().add(BatchNorm1d::new(4));
    /// net.get_mut(0).unwrap().eval();
    /// ```
    #[must_use]
    pub fn get_mut(&mut self, i: usize) -> Option<&mut (dyn Layer<T> + 'static)> {
        self.layers.get_mut(i).map(|layer| &mut **layer)
    }

    /// Puts another layer at this position, and gives the one that was there.
    ///
    /// PyTorch: `net[i] = layer`.
    ///
    /// # Panics
    /// If there is no such position.
    ///
    /// ```
    /// use adamant_nn::{Linear, Module, Relu, Sequential};
    /// use adamant_tensor::Generator;
    /// let mut rng = Generator::seed(0);
    /// let mut net = Sequential::new().add(Relu).add(Linear::new(8, 5, &mut rng));
    /// net.replace(1, Linear::new(8, 2, &mut rng)); // a new head
    /// assert_eq!(net.named_parameters()[0].1.shape(), [2, 8]);
    /// ```
    #[track_caller]
    pub fn replace(&mut self, i: usize, layer: impl Layer<T> + 'static) -> Box<dyn Layer<T>> {
        let len = self.len();
        let Some(place) = self.layers.get_mut(i) else {
            panic!("Sequential: no layer {i} among {len}")
        };
        std::mem::replace(place, Box::new(layer))
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer: what goes in comes out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl<T: Float> Default for Sequential<T> {
    fn default() -> Self {
        Sequential { layers: Vec::new() }
    }
}

impl<T: Float> std::fmt::Debug for Sequential<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.named_parameters()).finish()
    }
}

impl<T: Float> Forward<T> for Sequential<T> {
    /// # Panics
    /// If a layer does; the message says which one.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let (layer, type_name) = (&**layer, layer.type_name());
            let before = summary::observed();
            x = with_context(
                || layer.forward(&x),
                || format!("Sequential: layer {i}, {}", summary::short(type_name)),
            );
            if !summary::has_reported(before, layer, type_name) {
                x = summary::observe_as(layer, type_name, x);
            }
        }
        summary::observe(self, x)
    }
}

// By hand: a derived one would put the field's name before the positions.
impl<T: Float> Module<T> for Sequential<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.enter(self);
        self.layers.visit(path, visit);
    }
    fn set_training(&mut self, training: bool) {
        self.layers.set_training(training);
    }
}

impl<T: Float> Stateful for Sequential<T> {
    fn state_dict(&self) -> StateDict {
        state::module_state(self)
    }
    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        state::check_module_state(self, state)
    }
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        state::load_module_state(self, state)
    }
}

//! Layers in sequence.

use crate::tree::deep_copy::deep_copy;
use crate::tree::module::{Forward, Leaf, LeafMut, Module, Path};
use crate::tree::observe::{address, observe, observed};
use crate::tree::panic_context::with_context;
use crate::tree::state;
use crate::tree::type_name::short;
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// A layer of a [`Sequential`]: a module that maps one tensor to another, and can be cloned and
/// shared between threads.
///
/// Implemented for every such type; a layer of your own needs `#[derive(Module)]` with
/// `#[module(clone)]`, and [`Forward`].
pub trait Layer<T: Float = f32>: Module<T> + Forward<T> + Send + Sync {
    /// The name of its type: `adamant_nn::layers::linear::Linear<f32>`.
    fn type_name(&self) -> &'static str;

    /// A clone in a box.
    fn clone_box(&self) -> Box<dyn Layer<T>>;
}

impl<T: Float, L: Module<T> + Forward<T> + Send + Sync + Clone + 'static> Layer<T> for L {
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
    fn clone_box(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }
}

impl<T: Float> Clone for Box<dyn Layer<T>> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// Layers in sequence: each has the output of the one before as its input. Their names are their
/// positions.
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
    /// An empty sequence, in `f32`. For another type: `Sequential::<f64>::default()`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Sequential<T> {
    /// Adds a layer at the end.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "not an addition")]
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

    /// The layer at this position, mutably: to put it alone into evaluation mode, for example.
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

    /// Puts another layer at this position, and returns the one that was there.
    ///
    /// PyTorch: `net[i] = layer`.
    ///
    /// # Panics
    /// If there is no layer at this position.
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
        let Some(found) = self.layers.get_mut(i) else {
            panic!("Sequential: position is {i}; expected less than {len}, the number of layers")
        };
        std::mem::replace(found, Box::new(layer))
    }

    /// The number of layers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are no layers: the output is then the input.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl<T: Float> Clone for Sequential<T> {
    fn clone(&self) -> Self {
        deep_copy(self, Sequential { layers: self.layers.clone() })
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
    /// If a layer panics: at the caller's line, with the layer's position and type before its
    /// message.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let (layer, type_name) = (&**layer, layer.type_name());
            x = with_context(
                || observed((address(layer), type_name), || layer.forward(&x)),
                || format!("Sequential: layer {i}, {}", short(type_name)),
            );
        }
        observe(self, x)
    }
}

// By hand: a derived implementation would put the field's name before the positions.
impl<T: Float> Module<T> for Sequential<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.enter(self);
        self.layers.visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.layers.visit_mut(visit);
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

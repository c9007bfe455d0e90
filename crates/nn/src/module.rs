//! What all models have in common.

use crate::buffer::{Buffer, Counter};
use crate::state::{self, PartialLoad};
use adamant_tensor::{Float, Generator, Parameter, StateDict, Tensor};
use std::collections::HashSet;
use std::sync::Mutex;

/// The way through a model: from a batch of inputs to a batch of outputs.
///
/// A mistake in the input panics at the line that called the layer: the layers' own `forward`s
/// are `#[track_caller]`. The trait's is not, as that would make those of all models so, and hide
/// the line within a model that a person is to look at.
///
/// PyTorch: `torch.nn.Module.forward`.
pub trait Forward<T: Float = f32> {
    /// The output for `x`.
    fn forward(&self, x: &Tensor<T>) -> Tensor<T>;
}

/// What a module is made of in the end.
#[derive(Debug)]
pub enum Leaf<'a, T: Float> {
    /// A weight.
    Parameter(&'a Parameter<T>),
    /// What a layer remembers: part of the state, but no weight.
    Buffer(&'a Buffer<T>),
    /// A count, such as of the batches seen.
    Counter(&'a Counter),
    /// A random layer's source of numbers.
    Generator(&'a Mutex<Generator>),
}

/// Where in a model a visit is: names, joined by dots.
#[derive(Clone, Debug, Default)]
pub struct Path {
    name: String,
    /// The modules that were entered, where they are asked for.
    entered: Option<Vec<Entered>>,
}

/// A module that a visit has come to.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    pub(crate) path: String,
    pub(crate) type_name: &'static str,
    pub(crate) address: usize,
}

impl Path {
    /// Calls `visit` with this path extended by `name`.
    pub fn child(&mut self, name: &str, visit: impl FnOnce(&mut Path)) {
        let len = self.name.len();
        if len > 0 {
            self.name.push('.');
        }
        self.name.push_str(name);
        visit(self);
        self.name.truncate(len);
    }

    /// Says that the visit is in `module` now: first in a [`Module::visit`] that is written
    /// by hand, so that [`summary`](crate::summary()) has a line for the module.
    pub fn enter<M: ?Sized>(&mut self, module: &M) {
        if let Some(entered) = &mut self.entered {
            entered.push(Entered {
                path: self.name.clone(),
                type_name: std::any::type_name::<M>(),
                address: (&raw const *module).cast::<()>().addr(),
            });
        }
    }

    /// A path that notes which modules are entered.
    pub(crate) fn noting() -> Path {
        Path { name: String::new(), entered: Some(Vec::new()) }
    }

    /// The modules that were entered, in order.
    pub(crate) fn into_entered(self) -> Vec<Entered> {
        self.entered.unwrap_or_default()
    }

    /// The path so far: `body.0.weight`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A model or a part of one: a tree whose leaves are parameters and [`Buffer`]s.
///
/// Usually derived: `#[derive(Module)]` on a struct whose fields are modules, or on an
/// enum of modules. A `Vec` of modules is what `ModuleList` is in PyTorch; `Option`s,
/// arrays and tuples of modules are modules as well.
///
/// `#[derive(Module)]` implements [`Stateful`](adamant_tensor::Stateful) too. For the state of a
/// list or tuple itself there are [`module_state`](crate::module_state) and
/// [`load_module_state`](crate::load_module_state).
///
/// PyTorch: `torch.nn.Module`.
///
/// ```
/// use adamant_nn::{Linear, Module};
/// use adamant_tensor::Generator;
///
/// #[derive(Module)]
/// #[module(crate = adamant_nn)] // not needed where `adamant` itself is used
/// struct Net {
///     fc1: Linear,
///     fc2: Linear,
/// }
///
/// let mut rng = Generator::seed(0);
/// let net = Net { fc1: Linear::new(4, 3, &mut rng), fc2: Linear::new(3, 2, &mut rng) };
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
/// assert_eq!(net.num_parameters(), 4 * 3 + 3 + 3 * 2 + 2);
/// ```
pub trait Module<T: Float = f32> {
    /// Shows every leaf with its path, in order of declaration.
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>));

    /// Tells every part whether it is being trained.
    fn set_training(&mut self, training: bool);

    /// Sets training mode: dropout drops, batch normalisation looks at the batch.
    ///
    /// PyTorch: `model.train()`.
    fn train(&mut self) {
        self.set_training(true);
    }

    /// Sets evaluation mode: dropout lets everything through, batch normalisation uses what it
    /// remembers.
    ///
    /// PyTorch: `model.eval()`.
    fn eval(&mut self) {
        self.set_training(false);
    }

    /// The parameters with their paths; a shared one once, under its first path.
    ///
    /// PyTorch: `model.named_parameters()`.
    fn named_parameters(&self) -> Vec<(String, Parameter<T>)> {
        let mut seen = HashSet::new();
        let mut parameters = Vec::new();
        self.visit(&mut Path::default(), &mut |path, leaf| {
            if let Leaf::Parameter(parameter) = leaf
                && seen.insert(parameter.id())
            {
                parameters.push((path.to_string(), parameter.clone()));
            }
        });
        parameters
    }

    /// The parameters, a shared one once.
    ///
    /// PyTorch: `model.parameters()`.
    fn parameters(&self) -> Vec<Parameter<T>> {
        self.named_parameters().into_iter().map(|(_, parameter)| parameter).collect()
    }

    /// The buffers with their paths; a shared one once, under its first path. (Counts, as of
    /// the batches seen, are state too, but no tensors here.)
    ///
    /// PyTorch: `model.named_buffers()`.
    fn named_buffers(&self) -> Vec<(String, Buffer<T>)> {
        let mut seen = HashSet::new();
        let mut buffers = Vec::new();
        self.visit(&mut Path::default(), &mut |path, leaf| {
            if let Leaf::Buffer(buffer) = leaf
                && seen.insert(buffer.id())
            {
                buffers.push((path.to_string(), buffer.clone()));
            }
        });
        buffers
    }

    /// Takes over what fits of `state`, and tells what does not: for a body that was trained
    /// with another head. Where all must fit, use
    /// [`load_state_dict`](adamant_tensor::Stateful::load_state_dict).
    ///
    /// PyTorch: `model.load_state_dict(state, strict=False)`, which however raises an error
    /// where a shape differs.
    ///
    /// ```
    /// use adamant_nn::{Linear, Module, Sequential, Stateful};
    /// use adamant_tensor::Generator;
    /// let rng = &mut Generator::seed(0);
    /// let ten = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 10, rng));
    /// let mut two = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 2, rng));
    /// let report = two.load_partial(&ten.state_dict());
    /// assert_eq!(report.loaded, ["0.weight", "0.bias"]);
    /// assert_eq!(report.misshapen, ["1.weight", "1.bias"]);
    /// ```
    fn load_partial(&mut self, state: &StateDict) -> PartialLoad {
        state::load_partial(self, state)
    }

    /// The number of trainable and frozen weights.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().map(Parameter::numel).sum()
    }

    /// Freezes (`false`) or thaws (`true`) every parameter.
    ///
    /// PyTorch: `model.requires_grad_(on)`.
    fn set_requires_grad(&self, on: bool) {
        self.parameters().iter().for_each(|parameter| parameter.set_requires_grad(on));
    }

    /// Sets every gradient to `None`.
    ///
    /// PyTorch: `model.zero_grad()`.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Parameter::zero_grad);
    }

    /// Sets the elements of every gradient to zero; `None` stays `None`.
    ///
    /// PyTorch: `model.zero_grad(set_to_none=False)`.
    fn zero_grad_in_place(&self) {
        self.parameters().iter().for_each(Parameter::zero_grad_in_place);
    }
}

/// What a derived module's fields must be: a [`Module`]. Its only use is a short error for
/// a field that is none, without a list of all modules there are.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module of `{T}`",
    label = "not a module of `{T}`",
    note = "a field that is no part of the model is left out by `#[module(skip)]`",
    note = "a model of `f64`, or of a type parameter, says so on the type: `#[module(float = f64)]`"
)]
pub trait Part<T: Float> {
    fn visit_part(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>));
    fn set_part_training(&mut self, training: bool);
}

#[diagnostic::do_not_recommend]
impl<T: Float, M: Module<T> + ?Sized> Part<T> for M {
    fn visit_part(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.visit(path, visit);
    }
    fn set_part_training(&mut self, training: bool) {
        self.set_training(training);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dropout, Linear, Module, Relu, Sequential, Stateful, Training};
    use adamant_tensor::{Float, Generator, Parameter, Tensor};

    #[derive(Module)]
    #[module(crate = crate)]
    struct Net {
        layers: Vec<Linear>,
        extra: Option<Parameter>,
        body: Sequential,
        #[module(skip)]
        _name: String,
        tied: Parameter,
    }

    #[derive(Module)]
    #[module(crate = crate, float = f64)]
    struct Pair<A, B>(A, B);

    fn net(rng: &mut Generator) -> Net {
        let extra = Parameter::new(Tensor::ones([2]));
        Net {
            layers: vec![Linear::new(2, 2, rng), Linear::with_bias(2, 1, false, rng)],
            tied: extra.clone(),
            extra: Some(extra),
            body: Sequential::new()
                .add(Relu)
                .add(Dropout::new(0.5, rng))
                .add(Linear::new(1, 1, rng)),
            _name: "net".into(),
        }
    }

    #[test]
    fn names_are_paths_and_shared_parameters_count_once() {
        let net = net(&mut Generator::seed(0));
        let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "layers.0.weight",
            "layers.0.bias",
            "layers.1.weight",
            "extra",
            "body.2.weight",
            "body.2.bias",
        ];
        assert_eq!(names, expected);
        assert_eq!(net.num_parameters(), 4 + 2 + 2 + 2 + 1 + 1);
    }

    #[test]
    fn generic_and_tuple_structs_can_be_derived() {
        let rng = &mut Generator::seed(0);
        let pair = Pair(
            Linear::<f64>::with_bias(2, 3, true, rng),
            vec![Parameter::new(Tensor::ones([1]))],
        );
        let names: Vec<String> =
            pair.named_parameters().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0.weight", "0.bias", "1.0"]);
    }

    #[derive(Module)]
    #[module(crate = crate)]
    enum Block {
        Plain(Linear),
        Pair(Linear, Relu, Linear),
        Named { down: Linear, r#up: Option<Linear> },
        Nothing,
        Other(#[module(skip)] std::marker::PhantomData<fn()>),
    }

    /// Refers to itself, and has parameters that are no modules.
    #[derive(Module)]
    #[module(crate = crate, float = T)]
    struct Tree<T: Float, M, K, const N: usize>
    where
        K: Copy,
    {
        here: M,
        grid: [M; N],
        below: Vec<Tree<T, M, K, N>>,
        pair: (M, Parameter<T>),
        training: Training,
        #[module(skip)]
        _kind: K,
    }

    fn names<T: Float>(module: &impl Module<T>) -> Vec<String> {
        module.named_parameters().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn an_enum_is_its_active_variant() {
        let rng = &mut Generator::seed(0);
        let mut layer = || Linear::with_bias(2, 2, false, rng);
        let blocks = vec![
            Block::Plain(layer()),
            Block::Pair(layer(), Relu, layer()),
            Block::Named { down: layer(), r#up: Some(layer()) },
            Block::Nothing,
            Block::Other(std::marker::PhantomData),
        ];
        let expected = ["0.weight", "1.0.weight", "1.2.weight", "2.down.weight", "2.up.weight"];
        assert_eq!(names(&blocks), expected);
        let mut block = Block::Pair(layer(), Relu, layer());
        block.load_state_dict(&blocks[1].state_dict()).unwrap();
        assert_eq!(block.state_dict(), blocks[1].state_dict());
    }

    trait Backbone {
        type Layer;
    }

    #[derive(Module)]
    #[module(crate = crate)]
    struct Tower<B: Backbone> {
        layers: Vec<B::Layer>,
    }

    #[test]
    fn a_module_may_have_layers_that_its_parameter_names() {
        struct Narrow;
        impl Backbone for Narrow {
            type Layer = Linear;
        }
        let layers = vec![Linear::new(2, 2, &mut Generator::seed(0))];
        assert_eq!(Tower::<Narrow> { layers }.num_parameters(), 6);
    }

    #[test]
    fn a_recursive_generic_module_can_be_derived() {
        let cell = || Parameter::new(Tensor::<f64>::ones([1]));
        let tree = |below| Tree {
            here: cell(),
            grid: [cell(), cell()],
            below,
            pair: (cell(), cell()),
            training: Training::default(),
            _kind: 'k',
        };
        let mut tree = tree(vec![tree(vec![])]);
        let own = ["here", "grid.0", "grid.1", "pair.0", "pair.1"];
        let mut expected: Vec<String> = own[..3].iter().map(ToString::to_string).collect();
        expected.extend(own.map(|name| format!("below.0.{name}")));
        expected.extend(own[3..].iter().map(ToString::to_string));
        assert_eq!(names(&tree), expected);
        tree.eval();
        assert!(!tree.below[0].training.on());
    }

    #[test]
    fn freezing_reaches_every_parameter() {
        let net = net(&mut Generator::seed(0));
        net.set_requires_grad(false);
        assert!(net.parameters().iter().all(|p| !p.is_tracked()));
    }
}

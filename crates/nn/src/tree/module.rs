//! The common interface of all models.

use crate::tree::adapter::AdapterSlot;
use crate::tree::buffer::{Buffer, Counter, SharedGenerator, Training};
use adamant_tensor::{Float, Parameter, Storage, Tensor, empty_cache};
use std::collections::HashSet;

/// A map from one tensor to another: most layers and models.
///
/// A mistake in the input panics at the line that called the layer: the `forward`s of this
/// library's layers are `#[track_caller]`. The trait's is not: that would extend to all models, and
/// hide the line within a model where the mistake is.
///
/// PyTorch: `torch.nn.Module.forward`.
pub trait Forward<T: Float = f32> {
    /// The output for `x`.
    fn forward(&self, x: &Tensor<T>) -> Tensor<T>;
}

/// A leaf of a model's tree.
#[derive(Debug)]
pub enum Leaf<'a, T: Float> {
    /// A weight.
    Parameter(&'a Parameter<T>),
    /// A tensor that is part of the state, but not a weight.
    Buffer(&'a Buffer<T>),
    /// A count, such as the number of batches seen.
    Counter(&'a Counter),
    /// The generator of a random layer.
    Generator(&'a SharedGenerator),
    /// The slot for an adapter; neither the slot nor the adapter is part of the state.
    Adapter(&'a AdapterSlot<T>),
}

impl<T: Float> Leaf<'_, T> {
    /// An identifier that handles to the same leaf share, unique while the leaf lives.
    #[must_use]
    pub fn id(&self) -> usize {
        match self {
            Leaf::Parameter(parameter) => parameter.id(),
            Leaf::Buffer(buffer) => buffer.id(),
            Leaf::Counter(counter) => counter.id(),
            Leaf::Generator(generator) => generator.id(),
            Leaf::Adapter(slot) => slot.id(),
        }
    }
}

/// A leaf of a model's tree, to be changed or replaced.
#[derive(Debug)]
pub enum LeafMut<'a, T: Float> {
    /// A weight.
    Parameter(&'a mut Parameter<T>),
    /// A tensor that is part of the state, but not a weight.
    Buffer(&'a mut Buffer<T>),
    /// A count, such as the number of batches seen.
    Counter(&'a mut Counter),
    /// The generator of a random layer.
    Generator(&'a mut SharedGenerator),
    /// The slot for an adapter; not part of the state.
    Adapter(&'a mut AdapterSlot<T>),
    /// The mode of a layer; not part of the state.
    Training(&'a mut Training),
}

impl<T: Float> LeafMut<'_, T> {
    /// The identifier of [`Leaf::id`]; `None` for a mode, which has none.
    pub(crate) fn id(&self) -> Option<usize> {
        match self {
            LeafMut::Parameter(parameter) => Some(parameter.id()),
            LeafMut::Buffer(buffer) => Some(buffer.id()),
            LeafMut::Counter(counter) => Some(counter.id()),
            LeafMut::Generator(generator) => Some(generator.id()),
            LeafMut::Adapter(slot) => Some(slot.id()),
            LeafMut::Training(_) => None,
        }
    }
}

/// The position of a visit in a model: names joined by dots.
#[derive(Clone, Debug, Default)]
pub struct Path {
    name: String,
    /// The modules entered so far, if they are to be listed.
    entered: Option<Vec<Entered>>,
}

/// A module that a visit has entered.
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

    /// Records that the visit is in `module`: the first call of a [`Module::visit`] that is
    /// written by hand, so that [`summary`](crate::summary()) has a line for the module.
    pub fn enter<M: ?Sized>(&mut self, module: &M) {
        if let Some(entered) = &mut self.entered {
            entered.push(Entered {
                path: self.name.clone(),
                type_name: std::any::type_name::<M>(),
                address: (&raw const *module).cast::<()>().addr(),
            });
        }
    }

    /// A path that lists the modules entered.
    pub(crate) fn listing() -> Path {
        Path { name: String::new(), entered: Some(Vec::new()) }
    }

    /// The modules entered, in order.
    pub(crate) fn into_entered(self) -> Vec<Entered> {
        self.entered.unwrap_or_default()
    }

    /// The path so far: `body.0.weight`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A model or a part of one: a tree whose leaves are parameters, [`Buffer`]s, [`Counter`]s and
/// [`SharedGenerator`]s.
///
/// Usually derived: `#[derive(Module)]` on a struct whose fields are modules, or on an enum of
/// modules. A `Vec` of modules corresponds to PyTorch's `ModuleList`, and there is a
/// [`ModuleDict`](crate::ModuleDict). `Option`s, arrays and tuples of modules are modules too.
///
/// `#[derive(Module)]` also implements [`Stateful`](adamant_tensor::Stateful). For the state of a
/// list or tuple there are [`module_state`](crate::module_state) and
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
///
/// # Clones
///
/// A clone of a layer is a deep copy: `vec![layer; 6]` is six independent layers. To share a weight
/// instead, clone its [`Parameter`], which is a handle (weight tying).
///
/// The copy has its own parameters, buffers, counts, generators and adapters, and the original's
/// training mode. Tied parameters are tied in the copy, and frozen ones are frozen; gradients are
/// not copied, as in PyTorch (`Parameter.__deepcopy__`). The copy starts with the same weights and
/// draws the same random numbers: for layers that differ, build each with `new`. Elements are
/// shared until one of the two changes them.
///
/// `#[module(clone)]` implements `Clone` in this way for a model of your own. `#[derive(Clone)]`
/// clones field by field instead: layers are copied, but ties between fields are lost, and a field
/// that is itself a [`Parameter`], [`Buffer`], [`Counter`] or [`SharedGenerator`] is shared. The
/// same goes for lists, tuples and [`ModuleDict`](crate::ModuleDict)s that are cloned by themselves.
///
/// PyTorch: `copy.deepcopy(model)`.
///
/// ```
/// use adamant_nn::{Embedding, Linear, Module};
/// use adamant_tensor::Generator;
///
/// #[derive(Module)]
/// #[module(crate = adamant_nn, clone)]
/// struct Net {
///     embedding: Embedding,
///     head: Linear,
/// }
///
/// let mut rng = Generator::seed(0);
/// let (embedding, mut head) = (Embedding::new(10, 4, &mut rng), Linear::new(4, 10, &mut rng));
/// head.weight = embedding.weight.clone(); // tied
/// let net = Net { embedding, head };
/// let copy = net.clone();
/// assert!(copy.head.weight.is_same(&copy.embedding.weight));
/// assert!(!copy.head.weight.is_same(&net.head.weight));
/// ```
pub trait Module<T: Float = f32> {
    /// Calls `visit` with each leaf and its path, in order of declaration.
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>));

    /// Calls `visit` with each leaf, in the order of [`visit`](Module::visit), and each layer's
    /// training mode, to change or replace them.
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>));

    /// Sets training mode (`true`) or evaluation mode (`false`).
    ///
    /// PyTorch: `model.train(mode)`.
    fn set_training(&mut self, training: bool) {
        self.visit_mut(&mut |leaf| {
            if let LeafMut::Training(mode) = leaf {
                mode.set(training);
            }
        });
    }

    /// Sets training mode: dropout drops, batch normalization uses the batch's statistics.
    ///
    /// PyTorch: `model.train()`.
    fn train(&mut self) {
        self.set_training(true);
    }

    /// Sets evaluation mode: dropout does nothing, batch normalization uses its running
    /// statistics.
    ///
    /// PyTorch: `model.eval()`.
    fn eval(&mut self) {
        self.set_training(false);
    }

    /// Keeps the batch normalizations in evaluation mode, whatever mode is set, until
    /// [`unfreeze_batch_norms`](Module::unfreeze_batch_norms): they normalize with their running
    /// statistics, and do not update them. Their weights and biases still train, unless
    /// [`set_requires_grad`](Module::set_requires_grad) freezes them too.
    ///
    /// For small batches, whose own statistics are noisy. Not part of the state.
    ///
    /// PyTorch: `module.eval()` of each `BatchNorm2d`, after each `model.train()`, which would undo
    /// it. (timm's `freeze_batch_norm_2d` also freezes weights and biases.)
    ///
    /// ```
    /// use adamant_nn::{BatchNorm1d, Forward, Module};
    /// use adamant_tensor::Tensor;
    /// let mut layer = BatchNorm1d::new(1);
    /// layer.freeze_batch_norms();
    /// layer.train();
    /// let x = Tensor::from([[1.0], [3.0]]);
    /// assert!((layer.forward(&x).sum().item() - 4.0).abs() < 1e-4); // mean 0, variance 1
    /// ```
    fn freeze_batch_norms(&mut self) {
        set_frozen(self, true);
    }

    /// Undoes [`freeze_batch_norms`](Module::freeze_batch_norms): batch normalizations follow the
    /// mode that was set last.
    fn unfreeze_batch_norms(&mut self) {
        set_frozen(self, false);
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

    /// The buffers with their paths; a shared one once, under its first path. [`Counter`]s are part
    /// of the state, but not tensors, and not listed here.
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

    /// The number of weights, frozen ones included.
    fn num_parameters(&self) -> usize {
        self.parameters().iter().map(Parameter::numel).sum()
    }

    /// Freezes (`false`) or thaws (`true`) every parameter.
    ///
    /// PyTorch: `model.requires_grad_(on)`.
    fn set_requires_grad(&self, on: bool) {
        self.parameters().iter().for_each(|parameter| parameter.set_requires_grad(on));
    }

    /// Changes how frozen parameters of two and more dimensions are stored, as
    /// [`Parameter::store_as`] does, and returns the freed memory to the system. Vectors, such as
    /// biases and the weights of norms, are small and stay as they are.
    ///
    /// PyTorch: `p.data = p.data.to(torch.bfloat16)` for these parameters.
    ///
    /// # Panics
    /// If a [`ValueMut`](adamant_tensor::ValueMut) of one of them exists.
    ///
    /// ```
    /// use adamant_nn::{Linear, Module};
    /// use adamant_tensor::{Generator, Storage};
    /// let base = Linear::new(8, 8, &mut Generator::seed(0));
    /// base.set_requires_grad(false);
    /// base.store_frozen_as(Storage::Bf16);
    /// assert_eq!(base.weight.storage(), Storage::Bf16);
    /// assert_eq!(base.bias.unwrap().storage(), Storage::Full);
    /// ```
    #[track_caller]
    fn store_frozen_as(&self, storage: Storage) {
        for parameter in self.parameters() {
            if !parameter.is_tracked() && parameter.shape().len() >= 2 {
                parameter.store_as(storage);
            }
        }
        empty_cache();
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

fn set_frozen<T: Float>(module: &mut (impl Module<T> + ?Sized), frozen: bool) {
    module.visit_mut(&mut |leaf| {
        if let LeafMut::Training(mode) = leaf {
            mode.set_frozen(frozen);
        }
    });
}

/// The bound on the fields of a derived module: the same as [`Module`]. A field that is not a
/// module gets a short error with this trait, instead of a list of all modules.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module of `{T}`",
    label = "not a module of `{T}`",
    note = "`#[module(skip)]` leaves out a field that is not part of the model",
    note = "for a model of `f64` or of a type parameter, put `#[module(float = f64)]` on the type"
)]
pub trait Part<T: Float> {
    fn visit_part(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>));
    fn visit_part_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>));
}

#[diagnostic::do_not_recommend]
impl<T: Float, M: Module<T> + ?Sized> Part<T> for M {
    fn visit_part(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.visit(path, visit);
    }
    fn visit_part_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.visit_mut(visit);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dropout, Linear, LinearOptions, Module, Relu, Sequential, Stateful, Training};
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

    fn no_bias(inputs: usize, outputs: usize, rng: &mut Generator) -> Linear {
        Linear::with_options(inputs, outputs, LinearOptions::default().bias(false), rng)
    }

    fn net(rng: &mut Generator) -> Net {
        let extra = Parameter::new(Tensor::ones([2]));
        Net {
            layers: vec![Linear::new(2, 2, rng), no_bias(2, 1, rng)],
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
    fn shared_parameters_count_once() {
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
    fn generic_and_tuple_structs_derive() {
        let rng = &mut Generator::seed(0);
        let pair = Pair(
            Linear::<f64>::with_options(2, 3, LinearOptions::default(), rng),
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

    /// Refers to itself, and has type parameters that are not modules.
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
        let mut layer = || no_bias(2, 2, rng);
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

    #[derive(Module)]
    #[module(crate = crate, clone)]
    struct Renamed {
        #[module(rename = "attention.self")]
        attention: Linear,
        #[module(rename = "lora_A")]
        lora_a: Parameter,
        #[module(rename = "lora_a")]
        other: Parameter,
        kind: RenamedKind,
    }

    #[derive(Module)]
    #[module(crate = crate, clone)]
    enum RenamedKind {
        Transparent(#[module(rename = "type")] Parameter),
        Pair(#[module(rename = "1")] Parameter, #[module(rename = "0")] Parameter),
        Named {
            #[module(rename = "Self")]
            this: Parameter,
        },
    }

    #[test]
    fn a_renamed_field_has_its_name_in_paths() {
        let cell = |value: f32| Parameter::new(Tensor::full([1], value));
        let net = |kind| Renamed {
            attention: no_bias(1, 1, &mut Generator::seed(0)),
            lora_a: cell(1.0),
            other: cell(2.0),
            kind,
        };
        let single = net(RenamedKind::Transparent(cell(3.0)));
        assert_eq!(names(&single), ["attention.self.weight", "lora_A", "lora_a", "kind.type"]);
        let mut pair = net(RenamedKind::Pair(cell(3.0), cell(4.0)));
        assert_eq!(names(&pair)[3..], ["kind.1", "kind.0"]);
        let named = RenamedKind::Named { this: cell(3.0) };
        assert_eq!(names(&named), ["Self"]);
        let mut state = pair.clone().state_dict();
        state.insert("lora_A", Tensor::full([1], 5.0f32));
        pair.load_state_dict(&state).unwrap();
        assert_eq!(pair.lora_a.tensor().to_vec(), [5.0]);
        assert_eq!(pair.other.tensor().to_vec(), [2.0]);
        assert_eq!(pair.state_dict(), state);
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
    fn a_field_may_have_an_associated_type() {
        struct Narrow;
        impl Backbone for Narrow {
            type Layer = Linear;
        }
        let layers = vec![Linear::new(2, 2, &mut Generator::seed(0))];
        assert_eq!(Tower::<Narrow> { layers }.num_parameters(), 6);
    }

    #[test]
    fn recursive_generic_structs_derive() {
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

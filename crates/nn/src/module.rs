//! What all models have in common.

use adamant_tensor::{Float, Generator, Parameter, Tensor};
use std::collections::HashSet;
use std::sync::Mutex;

/// The way through a model: from a batch of inputs to a batch of outputs.
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
    /// A random layer's source of numbers.
    Generator(&'a Mutex<Generator>),
}

/// Where in a model a visit is: names, joined by dots.
#[derive(Clone, Debug, Default)]
pub struct Path(String);

impl Path {
    /// Calls `visit` with this path extended by `name`.
    pub fn child(&mut self, name: &str, visit: impl FnOnce(&mut Path)) {
        let len = self.0.len();
        if len > 0 {
            self.0.push('.');
        }
        self.0.push_str(name);
        visit(self);
        self.0.truncate(len);
    }

    /// The path so far: `body.0.weight`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A model or a part of one: a tree whose leaves are parameters.
///
/// Usually derived: `#[derive(Module)]` on a struct whose fields are modules.
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

    /// Sets training mode: dropout drops.
    ///
    /// PyTorch: `model.train()`.
    fn train(&mut self) {
        self.set_training(true);
    }

    /// Sets evaluation mode: dropout lets everything through.
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

    /// Forgets every gradient (`true`), or sets to zero what is there (`false`).
    ///
    /// PyTorch: `model.zero_grad(set_to_none)`.
    fn zero_grad(&self, set_to_none: bool) {
        self.parameters().iter().for_each(|parameter| parameter.zero_grad(set_to_none));
    }
}

impl<T: Float> Module<T> for Parameter<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        visit(path.as_str(), Leaf::Parameter(self));
    }
    fn set_training(&mut self, _training: bool) {}
}

impl<T: Float> Module<T> for Mutex<Generator> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        visit(path.as_str(), Leaf::Generator(self));
    }
    fn set_training(&mut self, _training: bool) {}
}

impl<T: Float, M: Module<T> + ?Sized> Module<T> for Box<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        (**self).visit(path, visit);
    }
    fn set_training(&mut self, training: bool) {
        (**self).set_training(training);
    }
}

impl<T: Float, M: Module<T>> Module<T> for Option<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.iter().for_each(|module| module.visit(path, visit));
    }
    fn set_training(&mut self, training: bool) {
        self.iter_mut().for_each(|module| module.set_training(training));
    }
}

impl<T: Float, M: Module<T>> Module<T> for Vec<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for (i, module) in self.iter().enumerate() {
            path.child(&i.to_string(), |path| module.visit(path, visit));
        }
    }
    fn set_training(&mut self, training: bool) {
        self.iter_mut().for_each(|module| module.set_training(training));
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dropout, Linear, Module, Relu, Sequential};
    use adamant_tensor::{Generator, Parameter, Tensor};

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

    #[test]
    fn freezing_reaches_every_parameter() {
        let net = net(&mut Generator::seed(0));
        net.set_requires_grad(false);
        assert!(net.parameters().iter().all(|p| !p.requires_grad()));
    }
}

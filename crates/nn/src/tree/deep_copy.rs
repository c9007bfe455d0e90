//! Deep copies of models.

use crate::tree::adapter::AdapterSlot;
use crate::tree::buffer::{Buffer, Counter, SharedGenerator};
use crate::tree::module::{LeafMut, Module, Path};
use crate::tree::type_name::short;
use adamant_tensor::{Float, Parameter};
use std::collections::HashMap;

/// Replaces the leaves of `copy`, a clone of `original` field by field, by leaves of its own, which
/// are tied where the original's are: the last step of `clone`.
///
/// A leaf of `copy` is a handle to the original's, or already the copy that a layer's `clone` made,
/// which may have lost its ties. So all are replaced, by the identity of the original's leaf. This
/// costs little: the elements are shared.
///
/// # Panics
/// If `visit_mut` does not show the leaves that `visit` shows, in the same order.
#[doc(hidden)]
#[must_use]
#[track_caller]
pub fn deep_copy<T: Float, M: Module<T>>(original: &M, mut copy: M) -> M {
    // The identities of the original's leaf and of the copy's.
    let mut leaves = ids(original).into_iter().zip(ids(&copy));
    let mut copies = Copies::none();
    let mut in_step = true;
    copy.visit_mut(&mut |leaf| {
        let Some(found) = leaf.id() else { return };
        match leaves.next() {
            Some((original, expected)) if found == expected => copies.replace(original, leaf),
            _ => in_step = false,
        }
    });
    assert!(
        in_step && leaves.next().is_none(),
        "{}: visit_mut shows other leaves than visit; expected the same in the same order",
        short(std::any::type_name::<M>())
    );
    copy
}

fn ids<T: Float>(module: &impl Module<T>) -> Vec<usize> {
    let mut ids = Vec::new();
    module.visit(&mut Path::default(), &mut |_, leaf| ids.push(leaf.id()));
    ids
}

/// The copies made so far, by the identity of the original's leaf.
struct Copies<T: Float> {
    parameters: HashMap<usize, Parameter<T>>,
    buffers: HashMap<usize, Buffer<T>>,
    counters: HashMap<usize, Counter>,
    generators: HashMap<usize, SharedGenerator>,
    adapters: HashMap<usize, AdapterSlot<T>>,
}

impl<T: Float> Copies<T> {
    fn none() -> Self {
        Copies {
            parameters: HashMap::new(),
            buffers: HashMap::new(),
            counters: HashMap::new(),
            generators: HashMap::new(),
            adapters: HashMap::new(),
        }
    }

    /// Replaces `leaf` by the copy of the original's leaf with this identity.
    fn replace(&mut self, original: usize, leaf: LeafMut<'_, T>) {
        match leaf {
            LeafMut::Parameter(parameter) => {
                let copy = self.parameters.entry(original).or_insert_with(|| parameter.copy());
                *parameter = copy.clone();
            }
            LeafMut::Buffer(buffer) => {
                let copy = || Buffer::new(buffer.tensor());
                *buffer = self.buffers.entry(original).or_insert_with(copy).clone();
            }
            LeafMut::Counter(counter) => {
                let copy = || Counter::new(counter.get());
                *counter = self.counters.entry(original).or_insert_with(copy).clone();
            }
            LeafMut::Generator(generator) => {
                let copy = || generator.copy();
                *generator = self.generators.entry(original).or_insert_with(copy).clone();
            }
            LeafMut::Adapter(slot) => {
                let copy = || slot.copy();
                *slot = self.adapters.entry(original).or_insert_with(copy).clone();
            }
            LeafMut::Training(_) => {} // a value, not a handle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::deep_copy;
    use crate::{
        BatchNorm1d, Buffer, Dropout, Embedding, Forward, Lambda, Leaf, LeafMut, Linear, Lstm,
        LstmOptions, Module, ModuleDict, MultiheadAttention, MultiheadAttentionOptions, Path, Relu,
        Sequential, SharedGenerator, Stateful, Training,
    };
    use adamant_tensor::{Float, Generator, Parameter, Tensor};

    /// Leaves of its own, and layers with a tie.
    #[derive(Module)]
    #[module(crate = crate, clone)]
    struct Net {
        scale: Parameter,
        mean: Buffer,
        noise: SharedGenerator,
        embedding: Embedding,
        body: Sequential,
        head: Linear,
        training: Training,
        #[module(skip)]
        name: String,
    }

    fn net() -> Net {
        let rng = &mut Generator::seed(0);
        let embedding = Embedding::new(5, 2, rng);
        let mut head = Linear::new(2, 5, rng);
        head.weight = embedding.weight.clone();
        let body = Sequential::new()
            .add(Linear::new(2, 3, rng))
            .add(BatchNorm1d::new(3))
            .add(Lambda(|x: &Tensor| x * 2.0))
            .add(Relu)
            .add(Dropout::new(0.5, rng));
        Net {
            scale: Parameter::new(Tensor::ones([2])),
            mean: Buffer::new(Tensor::ones([2])),
            noise: SharedGenerator::new(rng.fork()),
            embedding,
            body,
            head,
            training: Training::default(),
            name: "net".into(),
        }
    }

    fn batch() -> Tensor {
        Tensor::from([[1.0, 2.0], [3.0, 5.0], [0.0, 9.0]])
    }

    /// Whether the two have no leaf in common.
    fn are_independent<T: Float>(a: &impl Module<T>, b: &impl Module<T>) -> bool {
        let (a, b) = (super::ids(a), super::ids(b));
        a.len() == b.len() && !a.is_empty() && a.iter().all(|id| !b.contains(id))
    }

    #[test]
    fn a_clone_has_its_own_state() {
        let net = net();
        let (before, mut copy) = (net.state_dict(), net.clone());
        assert_eq!((copy.state_dict(), &copy.name), (before.clone(), &net.name));
        assert!(are_independent(&net, &copy));
        copy.body.forward(&batch()).sum().backward(); // moves statistics, count and generator
        copy.noise.lock().uniform();
        copy.mean.set(&Tensor::zeros([2]));
        copy.parameters().iter().for_each(|parameter| parameter.value_mut().fill(7.0));
        assert_eq!(net.state_dict(), before);
        assert!(net.parameters().iter().all(|parameter| parameter.grad().is_none()));
        let after = copy.state_dict();
        let alike = before.iter().filter(|(name, value)| after[name] == **value);
        let alike: Vec<&str> = alike.map(|(name, _)| name).collect();
        let seeds = ["noise.algorithm", "noise.seed", "body.4.rng.algorithm", "body.4.rng.seed"];
        assert_eq!(alike, seeds);
        copy.eval();
        assert!(net.training.on() && !copy.training.on());
        assert!(!copy.clone().training.on());
    }

    #[test]
    fn a_vec_of_clones_is_independent() {
        let rng = &mut Generator::seed(0);
        let layers = vec![Linear::new(2, 3, rng); 3];
        assert_eq!(layers.parameters().len(), 6);
        layers[0].weight.value_mut().fill(0.0);
        assert_ne!(layers[1].weight.tensor().to_vec(), [0.0; 6]);
        assert_eq!(layers[1].state_dict(), layers[2].state_dict());
    }

    #[test]
    fn ties_are_kept_within_the_clone() {
        let net = net();
        let copy = net.clone();
        assert!(copy.embedding.weight.is_same(&copy.head.weight));
        assert!(!copy.embedding.weight.is_same(&net.embedding.weight));
        let again = copy.clone();
        assert!(again.embedding.weight.is_same(&again.head.weight));
        assert!(are_independent(&copy, &again));
    }

    #[test]
    fn a_sequential_keeps_the_ties_of_its_layers() {
        let layer = Linear::new(2, 2, &mut Generator::seed(0));
        let mut other = layer.clone();
        other.weight = layer.weight.clone();
        let net = Sequential::new().add(layer).add(Sequential::new().add(other));
        let copy = net.clone();
        assert_eq!((net.parameters().len(), copy.parameters().len()), (3, 3));
        assert!(are_independent(&net, &copy));
    }

    #[test]
    fn freezing_is_copied_and_gradients_are_not() {
        let layer = Linear::new(2, 3, &mut Generator::seed(0));
        layer.bias.as_ref().unwrap().set_requires_grad(false);
        layer.forward(&batch()).sum().backward();
        let copy = layer.clone();
        assert!(layer.weight.grad().is_some() && copy.weight.grad().is_none());
        assert!(copy.weight.is_tracked() && !copy.bias.unwrap().is_tracked());
    }

    #[test]
    fn a_clone_draws_the_same_by_itself() {
        let dropout = Dropout::new(0.5, &mut Generator::seed(0));
        let ones = Tensor::<f32>::ones([100]);
        let _ = dropout.forward(&ones);
        let copy = dropout.clone();
        let drawn = [dropout.forward(&ones).to_vec(), dropout.forward(&ones).to_vec()];
        assert_ne!(drawn[0], drawn[1]);
        assert_eq!([copy.forward(&ones).to_vec(), copy.forward(&ones).to_vec()], drawn);
    }

    #[test]
    fn containers_and_layers_with_parts_are_cloned_deeply() {
        let rng = &mut Generator::seed(0);
        let options = LstmOptions::default().num_layers(2).dropout(0.5);
        let lstm = Lstm::<f32>::with_options(2, 3, options, rng);
        let options = MultiheadAttentionOptions::default().dropout(0.5);
        let attention = MultiheadAttention::<f32>::with_options(4, 2, options, rng);
        let mut dict = ModuleDict::new();
        dict.insert("a", BatchNorm1d::new(3));
        let parts = (lstm, [attention], Some(dict), Box::new(Linear::new(2, 2, rng)));
        let copy = parts.clone();
        assert!(are_independent(&parts, &copy));
        assert_eq!(crate::module_state(&copy), crate::module_state(&parts));
    }

    #[test]
    fn a_derived_clone_copies_layers() {
        #[derive(Clone, Module)]
        #[module(crate = crate)]
        struct Plain {
            layers: Vec<Linear>,
            norm: Option<BatchNorm1d>,
        }
        let layers = vec![Linear::new(2, 2, &mut Generator::seed(0)); 2];
        let net = Plain { layers, norm: Some(BatchNorm1d::new(2)) };
        assert!(are_independent(&net, &net.clone()));
    }

    /// Refers to itself, and `B` is not `Clone`.
    #[derive(Module)]
    #[module(crate = crate, float = T, clone)]
    enum Block<T: Float, M, B: Backbone, K> {
        Plain(M),
        Pair { r#in: Parameter<T>, out: Parameter<T>, layer: B::Layer },
        List(Vec<Block<T, M, B, K>>, #[module(skip)] std::marker::PhantomData<fn(K)>),
        Nothing,
    }

    trait Backbone {
        type Layer;
    }

    struct Narrow;
    impl Backbone for Narrow {
        type Layer = Linear<f64>;
    }

    #[test]
    fn a_generic_enum_is_cloned_deeply() {
        #[derive(Clone)]
        struct Kind;
        let cell = || Parameter::new(Tensor::<f64>::ones([1]));
        let layer = Linear::with_options(2, 2, Default::default(), &mut Generator::seed(0));
        let tied = cell();
        let pair = Block::Pair { r#in: tied.clone(), out: tied.clone(), layer };
        let blocks = vec![pair, Block::Plain(tied), Block::Nothing];
        let block = Block::<f64, Parameter<f64>, Narrow, Kind>::List(blocks, Default::default());
        let copy = block.clone();
        assert!(are_independent(&block, &copy));
        assert_eq!((copy.parameters().len(), copy.state_dict()), (3, block.state_dict()));
    }

    #[test]
    #[should_panic(expected = "Forgetful: visit_mut shows other leaves than visit; expected the")]
    fn a_forgotten_leaf_is_reported() {
        struct Forgetful(Parameter);
        impl Module for Forgetful {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, f32>)) {
                path.child("weight", |path| self.0.visit(path, visit));
            }
            fn visit_mut(&mut self, _visit: &mut dyn FnMut(LeafMut<'_, f32>)) {}
        }
        let module = Forgetful(Parameter::new(Tensor::ones([2])));
        let _ = deep_copy(&module, Forgetful(module.0.clone()));
    }

    #[test]
    #[should_panic(expected = "Swapped: visit_mut shows other leaves than visit; expected the")]
    fn another_order_is_reported() {
        struct Swapped(Parameter, Parameter);
        impl Module for Swapped {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, f32>)) {
                path.child("0", |path| self.0.visit(path, visit));
                path.child("1", |path| self.1.visit(path, visit));
            }
            fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, f32>)) {
                self.1.visit_mut(visit);
                self.0.visit_mut(visit);
            }
        }
        let cell = || Parameter::new(Tensor::ones([2]));
        let module = Swapped(cell(), cell());
        let _ = deep_copy(&module, Swapped(module.0.clone(), module.1.clone()));
    }
}

//! The leaves of a deep copy.

use crate::buffer::{Buffer, Counter, SharedGenerator};
use crate::module::LeafMut;
use adamant_tensor::{Float, Parameter};
use std::collections::HashMap;

/// The copies made so far, by the identity of the original: what was tied stays tied.
pub(crate) struct Copies<T: Float> {
    parameters: HashMap<usize, Parameter<T>>,
    buffers: HashMap<usize, Buffer<T>>,
    counters: HashMap<usize, Counter>,
    generators: HashMap<usize, SharedGenerator>,
}

impl<T: Float> Copies<T> {
    pub(crate) fn none() -> Self {
        Copies {
            parameters: HashMap::new(),
            buffers: HashMap::new(),
            counters: HashMap::new(),
            generators: HashMap::new(),
        }
    }

    /// Replaces a handle to an original by a handle to its copy.
    pub(crate) fn replace(&mut self, leaf: LeafMut<'_, T>) {
        match leaf {
            LeafMut::Parameter(parameter) => {
                let copy = || {
                    let copy = Parameter::new(parameter.tensor());
                    copy.set_requires_grad(parameter.is_tracked());
                    copy
                };
                *parameter = self.parameters.entry(parameter.id()).or_insert_with(copy).clone();
            }
            LeafMut::Buffer(buffer) => {
                let copy = || Buffer::new(buffer.tensor());
                *buffer = self.buffers.entry(buffer.id()).or_insert_with(copy).clone();
            }
            LeafMut::Counter(counter) => {
                let copy = || Counter::new(counter.get());
                *counter = self.counters.entry(counter.id()).or_insert_with(copy).clone();
            }
            LeafMut::Generator(generator) => {
                let copy = || SharedGenerator::new(generator.lock().clone());
                *generator = self.generators.entry(generator.id()).or_insert_with(copy).clone();
            }
            LeafMut::Training(_) => {} // already the copy's own
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        BatchNorm1d, Dropout, Forward, Leaf, LeafMut, Linear, Module, Path, Relu, Sequential,
        Stateful, Training,
    };
    use adamant_tensor::{Generator, Parameter, Tensor};

    #[derive(Clone, Module)]
    #[module(crate = crate)]
    struct Tied {
        embedding: Parameter,
        body: Sequential,
        head: Parameter,
        training: Training,
    }

    fn tied() -> Tied {
        let rng = &mut Generator::seed(0);
        let embedding = Parameter::new(Tensor::ones([2]));
        let body = Sequential::new()
            .add(Linear::new(2, 3, rng))
            .add(BatchNorm1d::new(3))
            .add(Relu)
            .add(Dropout::new(0.5, rng));
        Tied { head: embedding.clone(), embedding, body, training: Training::default() }
    }

    #[test]
    fn a_deep_clone_has_its_own_state() {
        let net = tied();
        let (before, mut copy) = (net.state_dict(), net.deep_clone());
        assert_eq!(copy.state_dict(), before);
        let x = Tensor::from([[1.0, 2.0], [3.0, 5.0]]);
        copy.body.forward(&x).sum().backward(); // moves statistics, count and generator
        copy.parameters().iter().for_each(|parameter| parameter.value_mut().fill(7.0));
        assert_eq!(net.state_dict(), before);
        assert!(net.parameters().iter().all(|parameter| parameter.grad().is_none()));
        let (old, new) = (before.part("body"), copy.state_dict().part("body"));
        for name in ["0.weight", "1.running_mean", "1.num_batches_tracked", "3.rng.position"] {
            assert_ne!(old[name], new[name], "{name}");
        }
        copy.eval();
        assert!(net.training.on() && !copy.training.on());
    }

    #[test]
    fn tied_parameters_stay_tied_among_themselves() {
        let net = tied();
        net.embedding.set_requires_grad(false);
        let copy = net.deep_clone();
        assert!(copy.embedding.is_same(&copy.head) && !copy.embedding.is_same(&net.embedding));
        assert!(!copy.embedding.is_tracked() && copy.parameters()[1].is_tracked());
    }

    #[test]
    fn a_clone_is_a_handle_with_its_own_mode() {
        let net = tied();
        let mut handle = net.clone();
        handle.eval();
        let _ = net.body.forward(&Tensor::from([[1.0, 2.0], [3.0, 5.0]]));
        net.head.value_mut().fill(7.0);
        assert_eq!(net.state_dict(), handle.state_dict());
        assert!(net.training.on() && !handle.training.on());
    }

    #[test]
    fn a_deep_clone_drops_the_same_elements() {
        let net = tied();
        let (copy, x) = (net.deep_clone(), Tensor::from([[1.0, 2.0], [3.0, 5.0], [0.0, 9.0]]));
        assert_eq!(net.body.forward(&x).to_vec(), copy.body.forward(&x).to_vec());
    }

    #[test]
    #[should_panic(expected = "deep_clone: visit_mut does not show Some(\"weight\")")]
    fn a_forgotten_leaf_is_reported() {
        #[derive(Clone)]
        struct Forgetful(Parameter);
        impl Module for Forgetful {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, f32>)) {
                path.child("weight", |path| self.0.visit(path, visit));
            }
            fn visit_mut(&mut self, _visit: &mut dyn FnMut(LeafMut<'_, f32>)) {}
        }
        let _ = Forgetful(Parameter::new(Tensor::ones([2]))).deep_clone();
    }
}

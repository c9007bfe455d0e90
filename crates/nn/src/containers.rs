//! Modules made of modules: boxes, options, lists, arrays and tuples.
//!
//! A `Vec<M>` is what `torch.nn.ModuleList` is there: its modules are named by
//! their positions. A name in an array or a tuple is a position too; an `Option`
//! and a `Box` are not seen in a name.

use crate::module::{Leaf, Module, Path};
use adamant_tensor::{Float, Generator, Parameter};
use std::sync::Mutex;

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

impl<T: Float, M: Module<T>> Module<T> for [M] {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for (i, module) in self.iter().enumerate() {
            path.child(&i.to_string(), |path| module.visit(path, visit));
        }
    }
    fn set_training(&mut self, training: bool) {
        self.iter_mut().for_each(|module| module.set_training(training));
    }
}

/// The modules' names are their positions. PyTorch: `torch.nn.ModuleList`.
impl<T: Float, M: Module<T>> Module<T> for Vec<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.as_slice().visit(path, visit);
    }
    fn set_training(&mut self, training: bool) {
        self.as_mut_slice().set_training(training);
    }
}

impl<T: Float, M: Module<T>, const N: usize> Module<T> for [M; N] {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.as_slice().visit(path, visit);
    }
    fn set_training(&mut self, training: bool) {
        self.as_mut_slice().set_training(training);
    }
}

macro_rules! tuple {
    ($($M:ident $i:tt),+) => {
        impl<T: Float, $($M: Module<T>),+> Module<T> for ($($M,)+) {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
                $(path.child(stringify!($i), |path| self.$i.visit(path, visit));)+
            }
            fn set_training(&mut self, training: bool) {
                $(self.$i.set_training(training);)+
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

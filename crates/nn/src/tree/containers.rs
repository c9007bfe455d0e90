//! The modules that are not layers: leaves, and boxes, options, lists, arrays and tuples of
//! modules.
//!
//! In a list, an array or a tuple, a module's name is its position; an `Option` and a `Box` do not
//! show in a name.

use crate::tree::buffer::{Buffer, Counter, SharedGenerator, Training};
use crate::tree::module::{Leaf, LeafMut, Module, Path};
use adamant_tensor::{Float, Parameter};

macro_rules! leaf {
    ($Type:ty, $Leaf:ident) => {
        impl<T: Float> Module<T> for $Type {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
                visit(path.as_str(), Leaf::$Leaf(self));
            }
            fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
                visit(LeafMut::$Leaf(self));
            }
        }
    };
}
leaf!(Parameter<T>, Parameter);
leaf!(Buffer<T>, Buffer);
leaf!(Counter, Counter);
leaf!(SharedGenerator, Generator);

impl<T: Float> Module<T> for Training {
    fn visit(&self, _path: &mut Path, _visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {}
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        visit(LeafMut::Training(self));
    }
}

impl<T: Float, M: Module<T> + ?Sized> Module<T> for Box<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        (**self).visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        (**self).visit_mut(visit);
    }
}

impl<T: Float, M: Module<T>> Module<T> for Option<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.iter().for_each(|module| module.visit(path, visit));
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.iter_mut().for_each(|module| module.visit_mut(visit));
    }
}

impl<T: Float, M: Module<T>> Module<T> for [M] {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for (i, module) in self.iter().enumerate() {
            path.child(&i.to_string(), |path| module.visit(path, visit));
        }
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.iter_mut().for_each(|module| module.visit_mut(visit));
    }
}

/// PyTorch: `torch.nn.ModuleList`.
impl<T: Float, M: Module<T>> Module<T> for Vec<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.as_slice().visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.as_mut_slice().visit_mut(visit);
    }
}

impl<T: Float, M: Module<T>, const N: usize> Module<T> for [M; N] {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        self.as_slice().visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.as_mut_slice().visit_mut(visit);
    }
}

macro_rules! tuple {
    ($($M:ident $i:tt),+) => {
        impl<T: Float, $($M: Module<T>),+> Module<T> for ($($M,)+) {
            fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
                $(path.child(stringify!($i), |path| self.$i.visit(path, visit));)+
            }
            fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
                $(self.$i.visit_mut(visit);)+
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

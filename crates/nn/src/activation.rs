//! Activations as layers without state, for [`Sequential`](crate::Sequential).

use crate::module::{Forward, Leaf, Module, Path};
use crate::summary::observe;
use adamant_tensor::{Float, Tensor};

macro_rules! activation {
    ($(#[$doc:meta])* $Name:ident, $f:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $Name;

        impl<T: Float> Forward<T> for $Name {
            #[track_caller]
            fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
                observe(self, x.$f())
            }
        }

        impl<T: Float> Module<T> for $Name {
            fn visit(&self, path: &mut Path, _visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
                path.enter(self);
            }
            fn set_training(&mut self, _training: bool) {}
        }
    };
}

activation!(
    /// [`Tensor::relu`] as a layer. PyTorch: `torch.nn.ReLU`.
    Relu, relu
);
activation!(
    /// [`Tensor::tanh`] as a layer. PyTorch: `torch.nn.Tanh`.
    Tanh, tanh
);
activation!(
    /// [`Tensor::sigmoid`] as a layer. PyTorch: `torch.nn.Sigmoid`.
    Sigmoid, sigmoid
);

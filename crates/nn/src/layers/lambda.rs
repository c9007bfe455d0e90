//! Functions as layers.

use crate::tree::module::{Forward, Leaf, LeafMut, Module, Path};
use crate::tree::observe::observe;
use adamant_tensor::{Float, Tensor};
use std::fmt;

/// A function as a layer without parameters.
///
/// A [`summary`](crate::summary()) shows it as `Lambda`. A parameter that the function captures is
/// not part of the model: it is not trained, saved or loaded with it, and clones share it. A layer
/// with parameters is a struct that derives [`Module`](crate::Module).
///
/// ```
/// use adamant_nn::{Forward, Lambda, Sequential};
/// use adamant_tensor::Tensor;
/// let net = Sequential::new().add(Lambda(|x: &Tensor| x.square())).add(Lambda(Tensor::relu));
/// assert_eq!(net.forward(&Tensor::from([-3.0])).to_vec(), [9.0]);
/// ```
#[derive(Clone, Copy)]
pub struct Lambda<F>(
    /// A function from a tensor to a tensor.
    pub F,
);

impl<F> fmt::Debug for Lambda<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lambda")
    }
}

impl<T: Float, F: Fn(&Tensor<T>) -> Tensor<T>> Forward<T> for Lambda<F> {
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        observe(self, (self.0)(x))
    }
}

impl<T: Float, F> Module<T> for Lambda<F> {
    fn visit(&self, path: &mut Path, _visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.enter(self);
    }
    fn visit_mut(&mut self, _visit: &mut dyn FnMut(LeafMut<'_, T>)) {}
}

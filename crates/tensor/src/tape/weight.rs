//! The matrix of a product: a tensor, or a parameter that may be stored in fewer bits.

use crate::arrays::array::Array;
use crate::tape::node::Node;
use crate::tape::parameter::Parameter;
use crate::tape::stored::{Storage, Stored};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::sync::Arc;

/// What [`Tensor::linear`] and [`linear_cross_entropy`](fn@crate::linear_cross_entropy) take as their
/// weight: a tensor or a [`Parameter`], by reference.
///
/// The value of a parameter that is [stored as BF16](Parameter::store_as) is widened block by block
/// in the product, which has the bits of the product with [`Parameter::tensor`] and never holds all of
/// the widened value.
///
/// ```
/// use adamant_tensor::{Parameter, Storage, Tensor};
/// let x = Tensor::from([[1.0f32, 2.0]]);
/// let weight = Parameter::new(Tensor::from([[0.5f32, 0.25], [1.0, 3.0]]));
/// weight.set_requires_grad(false);
/// weight.store_as(Storage::Bf16);
/// assert_eq!(x.linear(&weight, None).to_vec(), [1.0, 7.0]);
/// ```
#[derive(Clone)]
pub struct Weight<T: Float = f32> {
    pub(crate) value: Stored<T>,
    /// `None` for a value that is not stored in full: it is constant.
    pub(crate) node: Option<Arc<Node<T>>>,
}

impl<T: Float> Weight<T> {
    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.value.shape()
    }

    /// The value as a tensor: a copy if it is stored as BF16.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        Tensor { array: self.value.clone().widen("tensor"), node: self.node.clone() }
    }

    /// What an operation records as its input: the tensor, or an empty one in place of a constant.
    pub(crate) fn input(&self) -> Tensor<T> {
        match &self.value {
            Stored::Full(array) => Tensor { array: array.clone(), node: self.node.clone() },
            Stored::Bf16(_) => Array::full([0].into(), T::ZERO).into(),
        }
    }
}

impl<T: Float> From<&Tensor<T>> for Weight<T> {
    fn from(tensor: &Tensor<T>) -> Self {
        Weight { value: Stored::Full(tensor.array.clone()), node: tensor.node.clone() }
    }
}

impl<T: Float> From<&Parameter<T>> for Weight<T> {
    fn from(parameter: &Parameter<T>) -> Self {
        let value = parameter.stored();
        let node = parameter.node().filter(|_| value.storage() == Storage::Full);
        Weight { value, node }
    }
}

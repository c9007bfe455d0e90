//! The matrix of a product: a tensor, or a parameter that may be stored in fewer bits.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::tape::parameter::Parameter;
use crate::tape::stored::{Stored, widen};
use crate::tape::tensor::Tensor;
use adamant_kernels::{Bf16, Float};

/// What [`Tensor::linear`] takes as its weight: a tensor or a [`Parameter`], by reference.
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
    pub(crate) kind: Kind<T>,
}

#[derive(Clone)]
pub(crate) enum Kind<T: Float> {
    Tensor(Tensor<T>),
    /// A constant: no gradient leads to it.
    Bf16(Array<Bf16>),
}

impl<T: Float> Weight<T> {
    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.full_shape()
    }

    pub(crate) fn full_shape(&self) -> &Shape {
        match &self.kind {
            Kind::Tensor(tensor) => tensor.array.shape(),
            Kind::Bf16(array) => array.shape(),
        }
    }

    /// The value as a tensor: a copy if it is stored as BF16.
    #[must_use]
    #[track_caller]
    pub fn tensor(&self) -> Tensor<T> {
        match &self.kind {
            Kind::Tensor(tensor) => tensor.clone(),
            Kind::Bf16(array) => widen(array, "tensor").into(),
        }
    }

    /// The same elements under another shape.
    #[track_caller]
    pub(crate) fn reshape<const N: usize>(self, op: &str, shape: [usize; N]) -> Self {
        let kind = match self.kind {
            Kind::Tensor(tensor) => Kind::Tensor(tensor.reshape(shape)),
            Kind::Bf16(array) => Kind::Bf16(array.reshape(op, shape.into())),
        };
        Weight { kind }
    }
}

impl<T: Float> From<&Tensor<T>> for Weight<T> {
    fn from(tensor: &Tensor<T>) -> Self {
        Weight { kind: Kind::Tensor(tensor.clone()) }
    }
}

impl<T: Float> From<&Parameter<T>> for Weight<T> {
    fn from(parameter: &Parameter<T>) -> Self {
        let kind = match parameter.stored() {
            Stored::Full(array) => Kind::Tensor(parameter.tracked(array)),
            Stored::Bf16(array) => Kind::Bf16(array),
        };
        Weight { kind }
    }
}

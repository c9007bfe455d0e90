//! The values of a state dictionary.

use super::source::ValueKind;
use crate::arrays::array::Array;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::fmt;

/// An entry of a [`StateDict`](crate::StateDict).
#[derive(Clone)]
pub enum Value {
    /// Single-precision elements.
    F32(Array<f32>),
    /// Double-precision elements.
    F64(Array<f64>),
    /// Integers that are a tensor in PyTorch too: the number of batches a layer has seen.
    I64(Array<i64>),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point value.
    Float(f64),
    /// A string.
    Text(String),
}

impl Value {
    /// The array, if this is one with elements of type `T`.
    #[must_use]
    pub fn array<T: Float>(&self) -> Option<&Array<T>> {
        let array: &dyn std::any::Any = match self {
            Value::F32(array) => array,
            Value::F64(array) => array,
            _ => return None,
        };
        array.downcast_ref()
    }

    /// The array as an untracked tensor, if this is one with elements of type `T`. Copies nothing.
    ///
    /// ```
    /// use adamant_tensor::{Tensor, Value};
    /// let value = Value::from(Tensor::from([1.0f32, 2.0]));
    /// assert_eq!(value.tensor::<f32>().unwrap().to_vec(), [1.0, 2.0]);
    /// assert!(value.tensor::<f64>().is_none());
    /// assert_eq!(value.cast::<f64>().tensor::<f64>().unwrap().to_vec(), [1.0, 2.0]);
    /// ```
    #[must_use]
    pub fn tensor<T: Float>(&self) -> Option<Tensor<T>> {
        self.array().map(|array: &Array<T>| array.clone().into())
    }

    /// This with the elements of an `f32` or `f64` array as `T`, rounded to nearest. Other values
    /// stay as they are.
    #[must_use]
    pub fn cast<T: Float>(&self) -> Value {
        match self {
            value if value.array::<T>().is_some() => value.clone(),
            Value::F32(array) => array.cast::<T>().into(),
            Value::F64(array) => array.cast::<T>().into(),
            value => value.clone(),
        }
    }

    /// The first element of an array that is infinite or NaN: its row-major index and value.
    pub(super) fn first_non_finite(&self) -> Option<(usize, f64)> {
        fn first<T: Float>(array: &Array<T>) -> Option<(usize, f64)> {
            let array = array.contiguous("first_non_finite");
            let mut elements = array.contiguous_slice().iter().map(|x| x.to_f64()).enumerate();
            elements.find(|(_, x)| !x.is_finite())
        }
        match self {
            Value::F32(array) => first(array),
            Value::F64(array) => first(array),
            _ => None,
        }
    }

    /// A description for messages: `f32 [2, 3]`, `the integer 7`.
    #[must_use]
    pub fn kind(&self) -> String {
        ValueKind::from(self).to_string()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())
    }
}

impl PartialEq for Value {
    /// Equal in every bit: NaN equals itself, and 0 does not equal −0.
    fn eq(&self, other: &Self) -> bool {
        fn same<T: Float>(a: &Array<T>, b: &Array<T>, bits: impl Fn(T) -> u64) -> bool {
            a.shape() == b.shape()
                && a.to_vec().into_iter().map(&bits).eq(b.to_vec().into_iter().map(&bits))
        }
        match (self, other) {
            (Value::F32(a), Value::F32(b)) => same(a, b, |x| u64::from(x.to_bits())),
            (Value::F64(a), Value::F64(b)) => same(a, b, f64::to_bits),
            (Value::I64(a), Value::I64(b)) => a.shape() == b.shape() && a.to_vec() == b.to_vec(),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl<T: Float> From<Array<T>> for Value {
    fn from(array: Array<T>) -> Self {
        let any: &dyn std::any::Any = &array;
        match (any.downcast_ref::<Array<f32>>(), any.downcast_ref::<Array<f64>>()) {
            (Some(array), _) => Value::F32(array.clone()),
            (_, Some(array)) => Value::F64(array.clone()),
            _ => unreachable!("Float is sealed"),
        }
    }
}

impl<T: Float> From<Tensor<T>> for Value {
    fn from(tensor: Tensor<T>) -> Self {
        tensor.array.into()
    }
}

impl<T: Float> From<&Tensor<T>> for Value {
    fn from(tensor: &Tensor<T>) -> Self {
        tensor.array.clone().into()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_kernels::Element;

    #[test]
    fn equality_is_by_bits() {
        let value = |x: f64| Value::from(Array::full([2].into(), x));
        assert_eq!(value(f64::NAN), value(f64::NAN));
        assert_ne!(value(0.0), value(-0.0));
        assert_ne!(Value::from(1.0), Value::from(1));
    }

    #[test]
    fn equal_arrays_have_equal_shapes_and_elements() {
        fn values<E: Element>(one: E) -> [Array<E>; 3] {
            let array = |shape: [usize; 2], last| Array::from_slice(shape.into(), &[one, last]);
            [array([1, 2], one), array([2, 1], one), array([1, 2], E::default())]
        }
        let all = [
            values(1.0f32).map(Value::F32),
            values(1.0f64).map(Value::F64),
            values(1i64).map(Value::I64),
        ];
        for (i, a) in all.iter().flatten().enumerate() {
            for (j, b) in all.iter().flatten().enumerate() {
                assert_eq!(a == b, i == j, "{a:?} and {b:?}");
            }
        }
    }
}

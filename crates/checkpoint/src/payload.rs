//! Arrays as little-endian bytes, without a copy on little-endian machines.

use adamant_tensor::{Array, Element, Shape, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Dtype {
    F32,
    F64,
    I64,
}

impl Dtype {
    /// The size of an element in bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        }
    }
}

/// The type, shape and bytes of an array; `None` for other values.
pub(crate) fn payload(value: &Value) -> Option<(Dtype, &Shape, Cow<'_, [u8]>)> {
    match value {
        Value::F32(array) => Some((Dtype::F32, array.shape(), bytes(array))),
        Value::F64(array) => Some((Dtype::F64, array.shape(), bytes(array))),
        Value::I64(array) => Some((Dtype::I64, array.shape(), bytes(array))),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
    }
}

fn bytes<E: Element>(array: &Array<E>) -> Cow<'_, [u8]> {
    match array.as_slice() {
        Some(elements) if cfg!(target_endian = "little") => bytemuck::cast_slice(elements).into(),
        _ => {
            let mut elements = array.to_vec();
            swap_on_big_endian(&mut elements);
            bytemuck::cast_slice(&elements).to_vec().into()
        }
    }
}

/// An array whose little-endian bytes `fill` writes, and the result of `fill`. An error if there is
/// not enough memory.
pub(crate) fn build<R>(
    dtype: Dtype,
    shape: Shape,
    fill: impl FnOnce(&mut [u8]) -> R,
) -> io::Result<(Value, R)> {
    fn array<E: Element, R>(
        shape: Shape,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> io::Result<(Array<E>, R)> {
        let mut result = None;
        let array = Array::try_build(shape, |out| {
            result = Some(fill(bytemuck::cast_slice_mut(out)));
            swap_on_big_endian(out);
        })?;
        Ok((array, result.expect("the array has been written")))
    }
    Ok(match dtype {
        Dtype::F32 => {
            let (array, result) = array::<f32, R>(shape, fill)?;
            (Value::F32(array), result)
        }
        Dtype::F64 => {
            let (array, result) = array::<f64, R>(shape, fill)?;
            (Value::F64(array), result)
        }
        Dtype::I64 => {
            let (array, result) = array::<i64, R>(shape, fill)?;
            (Value::I64(array), result)
        }
    })
}

fn swap_on_big_endian<E: Element>(elements: &mut [E]) {
    if cfg!(target_endian = "big") {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(elements);
        bytes.chunks_exact_mut(size_of::<E>()).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Tensor;

    #[test]
    fn little_endian_bytes_round_trip() {
        let value = Value::I64(Array::from_slice([2].into(), &[1, -2]));
        let (dtype, shape, bytes) = payload(&value).unwrap();
        assert_eq!(
            *bytes,
            [[1, 0, 0, 0, 0, 0, 0, 0], [254, 255, 255, 255, 255, 255, 255, 255]].concat()
        );
        let (back, ()) = build(dtype, shape.clone(), |out| out.copy_from_slice(&bytes)).unwrap();
        assert_eq!(back, value);
    }

    #[test]
    fn a_view_is_written_in_its_own_order() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap().transpose(0, 1);
        let value = Value::from(x.array().clone());
        let expected: Vec<u8> =
            [1.0f32, 3.0, 2.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(*payload(&value).unwrap().2, expected);
    }
}

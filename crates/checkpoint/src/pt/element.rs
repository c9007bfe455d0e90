//! The types of elements in a file, and the arrays they become.

use super::view::View;
use crate::half::{bf16_to_f32, f16_to_f32};
use adamant_tensor::{Array, Element, Value};
use std::io;

/// The type of a tensor's elements in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U32,
    U16,
    U8,
    Bool,
}

impl Dtype {
    /// All types: with their names in `torch`, and the classes of their storages.
    const ALL: [(Dtype, &'static str, &'static str); 12] = [
        (Dtype::F64, "float64", "DoubleStorage"),
        (Dtype::F32, "float32", "FloatStorage"),
        (Dtype::F16, "float16", "HalfStorage"),
        (Dtype::Bf16, "bfloat16", "BFloat16Storage"),
        (Dtype::I64, "int64", "LongStorage"),
        (Dtype::I32, "int32", "IntStorage"),
        (Dtype::I16, "int16", "ShortStorage"),
        (Dtype::I8, "int8", "CharStorage"),
        (Dtype::U32, "uint32", ""), // in untyped storages only
        (Dtype::U16, "uint16", ""),
        (Dtype::U8, "uint8", "ByteStorage"),
        (Dtype::Bool, "bool", "BoolStorage"),
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Dtype::ALL.iter().find(|(_, known, _)| *known == name).map(|&(dtype, ..)| dtype)
    }

    pub(super) fn from_storage(class: &str) -> Option<Self> {
        let found = Dtype::ALL.iter().find(|(.., known)| !known.is_empty() && *known == class);
        found.map(|&(dtype, ..)| dtype)
    }

    pub(super) fn name(self) -> &'static str {
        let found = Dtype::ALL.iter().find(|(dtype, ..)| *dtype == self);
        found.expect("the list has each type").1
    }

    /// The size of an element in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }
}

/// The order of an element's bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// A view of these bytes as an array. Each conversion is exact. An error if there is not enough
/// memory.
pub(super) fn value(view: &View, bytes: &[u8], order: ByteOrder) -> io::Result<Value> {
    let source = (view, bytes, order);
    Ok(match view.dtype {
        Dtype::F64 => Value::F64(array(source, f64::from_le_bytes)?),
        Dtype::F32 => Value::F32(array(source, f32::from_le_bytes)?),
        Dtype::F16 => Value::F32(array(source, |x| f16_to_f32(u16::from_le_bytes(x)))?),
        Dtype::Bf16 => Value::F32(array(source, |x| bf16_to_f32(u16::from_le_bytes(x)))?),
        Dtype::I64 => Value::I64(array(source, i64::from_le_bytes)?),
        Dtype::I32 => Value::I64(array(source, |x| i32::from_le_bytes(x).into())?),
        Dtype::I16 => Value::I64(array(source, |x| i16::from_le_bytes(x).into())?),
        Dtype::I8 => Value::I64(array(source, |x| i8::from_le_bytes(x).into())?),
        Dtype::U32 => Value::I64(array(source, |x| u32::from_le_bytes(x).into())?),
        Dtype::U16 => Value::I64(array(source, |x| u16::from_le_bytes(x).into())?),
        Dtype::U8 => Value::I64(array(source, |[x]: [u8; 1]| x.into())?),
        Dtype::Bool => Value::I64(array(source, |[x]: [u8; 1]| (x != 0).into())?),
    })
}

fn array<E: Element, const N: usize>(
    (view, bytes, order): (&View, &[u8], ByteOrder),
    convert: impl Fn([u8; N]) -> E,
) -> io::Result<Array<E>> {
    let shape = view.shape.clone();
    Ok(match order {
        ByteOrder::Little => Array::try_build(shape, |out| view.gather(bytes, out, convert))?,
        ByteOrder::Big => Array::try_build(shape, |out| {
            view.gather(bytes, out, |mut element: [u8; N]| {
                element.reverse();
                convert(element)
            });
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dtype: Dtype, bytes: &[u8], order: ByteOrder) -> Value {
        let numel = bytes.len() / dtype.size();
        let view = View { dtype, offset: 0, shape: [numel].into(), strides: vec![1] };
        value(&view, bytes, order).unwrap()
    }

    #[test]
    fn each_type_is_converted_exactly() {
        let int = |values: &[i64]| Value::I64(Array::from_slice([values.len()].into(), values));
        let single = |values: &[f32]| Value::F32(Array::from_slice([values.len()].into(), values));
        for (dtype, bytes, expected) in [
            (
                Dtype::F64,
                (-0.1f64).to_le_bytes().to_vec(),
                Value::F64(Array::full([1].into(), -0.1)),
            ),
            (Dtype::F32, f32::MIN_POSITIVE.to_le_bytes().to_vec(), single(&[f32::MIN_POSITIVE])),
            // 1, −2, the largest, the smallest subnormal, −∞.
            (
                Dtype::F16,
                vec![0, 0x3c, 0, 0xc0, 0xff, 0x7b, 1, 0, 0, 0xfc],
                single(&[1.0, -2.0, 65504.0, 2f32.powi(-24), f32::NEG_INFINITY]),
            ),
            // 1, −2, 2⁻¹³³ (subnormal), ∞.
            (
                Dtype::Bf16,
                vec![0x80, 0x3f, 0, 0xc0, 1, 0, 0x80, 0x7f],
                single(&[1.0, -2.0, f32::from_bits(1 << 16), f32::INFINITY]),
            ),
            (Dtype::I64, i64::MIN.to_le_bytes().to_vec(), int(&[i64::MIN])),
            (Dtype::I32, vec![0xfe, 0xff, 0xff, 0xff], int(&[-2])),
            (Dtype::I16, vec![0xfe, 0xff], int(&[-2])),
            (Dtype::I8, vec![0xfe, 1], int(&[-2, 1])),
            (Dtype::U32, vec![0xfe, 0xff, 0xff, 0xff], int(&[4_294_967_294])),
            (Dtype::U16, vec![0xfe, 0xff], int(&[65534])),
            (Dtype::U8, vec![0xfe], int(&[254])),
            (Dtype::Bool, vec![0, 1, 2], int(&[0, 1, 1])),
        ] {
            assert_eq!(read(dtype, &bytes, ByteOrder::Little), expected, "{dtype:?}");
            let swapped: Vec<u8> =
                bytes.chunks_exact(dtype.size()).flat_map(|x| x.iter().rev().copied()).collect();
            assert_eq!(read(dtype, &swapped, ByteOrder::Big), expected, "{dtype:?}");
        }
    }

    #[test]
    fn names_and_sizes_belong_to_each_type() {
        for (dtype, name, storage) in Dtype::ALL {
            assert_eq!((Dtype::from_name(name), dtype.name()), (Some(dtype), name));
            if !storage.is_empty() {
                assert_eq!(Dtype::from_storage(storage), Some(dtype));
            }
        }
        assert_eq!((Dtype::from_name("complex64"), Dtype::from_storage("")), (None, None));
    }
}

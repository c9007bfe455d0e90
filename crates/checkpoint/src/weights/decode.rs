//! Reads the elements of a tensor and converts them, a piece at a time.

use super::blocks;
use super::half::{bf16_to_f32, f16_to_f32};
use super::stored::StoredType;
use crate::payload::{Dtype, build};
use crate::read_error::ReadError;
use adamant_files::FormatError;
use adamant_tensor::{Array, Element, Shape, Value};
use std::io::Read;

/// The number of bytes that are read and converted at a time.
const PIECE: usize = 1 << 18;

/// Reads an array of a type that can be read. The number of its bytes in the file has been checked. In addition to it, this takes
/// the memory of one piece.
pub(super) fn decode(
    input: &mut impl Read,
    stored: &StoredType,
    shape: Shape,
) -> Result<Value, ReadError> {
    let shape = || shape.clone();
    Ok(match stored {
        StoredType::F64 => whole(input, Dtype::F64, shape())?,
        StoredType::F32 => whole(input, Dtype::F32, shape())?,
        StoredType::I64 => whole(input, Dtype::I64, shape())?,
        StoredType::F16 => floats(input, shape(), |x| [f16_to_f32(u16::from_le_bytes(*x))])?,
        StoredType::Bf16 => floats(input, shape(), |x| [bf16_to_f32(u16::from_le_bytes(*x))])?,
        StoredType::Q8_0 => floats(input, shape(), blocks::q8_0)?,
        StoredType::Q6K => floats(input, shape(), blocks::q6_k)?,
        StoredType::Q5K => floats(input, shape(), blocks::q5_k)?,
        StoredType::Q5_1 => floats(input, shape(), blocks::q5_1)?,
        StoredType::Q5_0 => floats(input, shape(), blocks::q5_0)?,
        StoredType::Q4K => floats(input, shape(), blocks::q4_k)?,
        StoredType::Q4_1 => floats(input, shape(), blocks::q4_1)?,
        StoredType::Q4_0 => floats(input, shape(), blocks::q4_0)?,
        StoredType::I32 => integers(input, shape(), |x| Ok(i32::from_le_bytes(*x).into()))?,
        StoredType::I16 => integers(input, shape(), |x| Ok(i16::from_le_bytes(*x).into()))?,
        StoredType::I8 => integers(input, shape(), |x| Ok(i8::from_le_bytes(*x).into()))?,
        StoredType::U32 => integers(input, shape(), |x| Ok(u32::from_le_bytes(*x).into()))?,
        StoredType::U16 => integers(input, shape(), |x| Ok(u16::from_le_bytes(*x).into()))?,
        StoredType::U8 => integers(input, shape(), |x| Ok(u8::from_le_bytes(*x).into()))?,
        StoredType::U64 => integers(input, shape(), |x| {
            let value = u64::from_le_bytes(*x);
            let expected = "elements below 2^63";
            value.try_into().map_err(|_| FormatError::new(format!("the element {value}"), expected))
        })?,
        StoredType::Bool => integers(input, shape(), |&[x]| match x {
            0 | 1 => Ok(x.into()),
            _ => Err(FormatError::new(format!("the boolean {x}"), "booleans that are 0 or 1")),
        })?,
        StoredType::Other(name) => unreachable!("{name} is not a type that can be read"),
    })
}

/// Reads elements that are the same in memory.
fn whole(input: &mut impl Read, dtype: Dtype, shape: Shape) -> Result<Value, ReadError> {
    let (value, read) = build(dtype, shape, |out| input.read_exact(out))?;
    read?;
    Ok(value)
}

fn floats<const B: usize, const N: usize>(
    input: &mut impl Read,
    shape: Shape,
    decode: impl Fn(&[u8; B]) -> [f32; N],
) -> Result<Value, ReadError> {
    converted(input, shape, |block| Ok(decode(block))).map(Value::F32)
}

fn integers<const B: usize>(
    input: &mut impl Read,
    shape: Shape,
    decode: impl Fn(&[u8; B]) -> Result<i64, FormatError>,
) -> Result<Value, ReadError> {
    converted(input, shape, |element| decode(element).map(|x| [x])).map(Value::I64)
}

/// Reads blocks of `B` bytes, which are decoded to `N` elements each.
fn converted<E: Element, const B: usize, const N: usize>(
    input: &mut impl Read,
    shape: Shape,
    decode: impl Fn(&[u8; B]) -> Result<[E; N], FormatError>,
) -> Result<Array<E>, ReadError> {
    let mut result = Ok(());
    let mut fill = |out: &mut [E]| {
        let (blocks, _) = out.as_chunks_mut::<N>();
        let mut piece = vec![0; blocks.len().min(PIECE / B) * B];
        for out in blocks.chunks_mut(PIECE / B) {
            let (bytes, _) = piece[..out.len() * B].as_chunks_mut::<B>();
            input.read_exact(bytes.as_flattened_mut())?;
            for (out, block) in out.iter_mut().zip(bytes) {
                *out = decode(block)?;
            }
        }
        Ok(())
    };
    let array = Array::try_build(shape, |out| result = fill(out));
    let array = array.map_err(std::io::Error::from)?;
    result.map(|()| array)
}

//! The types of elements in files of weights.

use adamant_tensor::{Shape, Value};
use std::fmt;

/// The type of a tensor's elements in a file of weights, which may be another one than in memory.
///
/// | in the file | in memory |
/// |---|---|
/// | `F64` | `f64` |
/// | `F32`, `F16`, `BF16`, and the quantized `Q8_0`, `Q6_K`, `Q5_K`, `Q5_1`, `Q5_0`, `Q4_K`, `Q4_1`, `Q4_0` | `f32`, exactly the stored value |
/// | integers of all sizes, `BOOL` (0 or 1) | `i64`; an element of 2⁶³ or more, or another boolean, is an error |
/// | other types | cannot be read; the other tensors of the file can |
///
/// `Display` writes the names of safetensors and GGUF: `BF16`, `Q4_K`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say all
pub enum StoredType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    Q8_0,
    Q6K,
    Q5K,
    Q5_1,
    Q5_0,
    Q4K,
    Q4_1,
    Q4_0,
    /// A type that cannot be read, by its name in the format: `IQ4_XS`, `float8_e4m3fn`, `sparse`.
    Other(Box<str>),
}

/// The names, and the numbers of elements and of bytes of a block.
const TYPES: [(StoredType, &str, usize, usize); 21] = [
    (StoredType::F64, "F64", 1, 8),
    (StoredType::F32, "F32", 1, 4),
    (StoredType::F16, "F16", 1, 2),
    (StoredType::Bf16, "BF16", 1, 2),
    (StoredType::I64, "I64", 1, 8),
    (StoredType::I32, "I32", 1, 4),
    (StoredType::I16, "I16", 1, 2),
    (StoredType::I8, "I8", 1, 1),
    (StoredType::U64, "U64", 1, 8),
    (StoredType::U32, "U32", 1, 4),
    (StoredType::U16, "U16", 1, 2),
    (StoredType::U8, "U8", 1, 1),
    (StoredType::Bool, "BOOL", 1, 1),
    (StoredType::Q8_0, "Q8_0", 32, 34),
    (StoredType::Q6K, "Q6_K", 256, 210),
    (StoredType::Q5K, "Q5_K", 256, 176),
    (StoredType::Q5_1, "Q5_1", 32, 24),
    (StoredType::Q5_0, "Q5_0", 32, 22),
    (StoredType::Q4K, "Q4_K", 256, 144),
    (StoredType::Q4_1, "Q4_1", 32, 20),
    (StoredType::Q4_0, "Q4_0", 32, 18),
];

impl StoredType {
    /// The type that this is the name of.
    pub(super) fn named(name: &str) -> Self {
        let found = TYPES.into_iter().find(|(_, known, ..)| *known == name);
        found.map_or_else(|| StoredType::Other(name.into()), |(stored, ..)| stored)
    }

    /// The name, and the numbers of elements and of bytes of a block; `None` for other types.
    fn known(&self) -> Option<(&'static str, usize, usize)> {
        let found = TYPES.iter().find(|(known, ..)| known == self);
        found.map(|(_, name, elements, bytes)| (*name, *elements, *bytes))
    }

    /// The type of an array that is stored as it is in memory, and its shape; `None` for other values.
    pub(super) fn of(value: &Value) -> Option<(Self, &Shape)> {
        match value {
            Value::F32(array) => Some((StoredType::F32, array.shape())),
            Value::F64(array) => Some((StoredType::F64, array.shape())),
            Value::I64(array) => Some((StoredType::I64, array.shape())),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
        }
    }

    /// The name that `Display` writes.
    pub(super) fn name(&self) -> &str {
        match self {
            StoredType::Other(name) => name,
            known => known.known().map_or("", |(name, ..)| name),
        }
    }

    /// Whether elements of this type are read as `i64`.
    pub(super) fn is_integer(&self) -> bool {
        use StoredType::{Bool, I8, I16, I32, I64, U8, U16, U32, U64};
        matches!(self, I64 | I32 | I16 | I8 | U64 | U32 | U16 | U8 | Bool)
    }

    /// Whether tensors of this type can be read.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        !matches!(self, StoredType::Other(_))
    }

    /// The numbers of elements and of bytes of a block; `None` for other types. A type that is not
    /// quantized has blocks of one element.
    pub(super) fn block(&self) -> Option<(usize, usize)> {
        self.known().map(|(_, elements, bytes)| (elements, bytes))
    }

    /// The number of bytes of a tensor of this type; `None` as in
    /// [`bytes_of_blocks`](Self::bytes_of_blocks), and for other types.
    pub(super) fn bytes(&self, shape: &Shape) -> Option<u64> {
        StoredType::bytes_of_blocks(shape, self.block()?)
    }

    /// The number of bytes of a tensor whose blocks have these numbers of elements and bytes; `None`
    /// if there are too many, or its rows do not consist of whole blocks.
    pub(super) fn bytes_of_blocks(shape: &Shape, (elements, bytes): (usize, usize)) -> Option<u64> {
        let row = shape.last().copied().unwrap_or(1);
        let blocks = shape.checked_numel()? / elements;
        if row.is_multiple_of(elements) { (blocks as u64).checked_mul(bytes as u64) } else { None }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_name() {
        for (stored, name, ..) in TYPES {
            assert_eq!(
                (StoredType::named(name), stored.to_string()),
                (stored.clone(), name.into())
            );
        }
        let other = StoredType::named("F8_E4M3");
        assert_eq!((other.is_supported(), other.to_string()), (false, "F8_E4M3".into()));
    }

    #[test]
    fn rows_consist_of_whole_blocks() {
        assert_eq!(StoredType::Q4_0.bytes(&[3, 64].into()), Some(3 * 2 * 18));
        assert_eq!(StoredType::Q4_0.bytes(&[64, 3].into()), None);
        assert_eq!(StoredType::Q4_0.bytes(&[].into()), None);
        assert_eq!(StoredType::F16.bytes(&[].into()), Some(2));
        assert_eq!(StoredType::F64.bytes(&[usize::MAX, 2].into()), None);
    }
}

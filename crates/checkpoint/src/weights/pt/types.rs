//! PyTorch's types of elements, and which of them can be read.

use crate::weights::stored::StoredType;

/// A type of elements.
#[derive(Debug, PartialEq)]
pub(super) struct Type {
    /// The name in `torch`, or of a kind of tensor that does not have its elements in one storage.
    pub(super) name: &'static str,
    /// The class of its storages; empty if there are untyped ones only.
    storage: &'static str,
    content: Content,
}

#[derive(Debug, PartialEq)]
enum Content {
    Readable(StoredType),
    /// Not readable, with this number of bytes of an element.
    Other(usize),
}

pub(super) type Dtype = &'static Type;

const fn readable(name: &'static str, storage: &'static str, stored: StoredType) -> Type {
    Type { name, storage, content: Content::Readable(stored) }
}

const fn other(name: &'static str, storage: &'static str, size: usize) -> Type {
    Type { name, storage, content: Content::Other(size) }
}

static TYPES: [Type; 28] = [
    readable("float64", "DoubleStorage", StoredType::F64),
    readable("float32", "FloatStorage", StoredType::F32),
    readable("float16", "HalfStorage", StoredType::F16),
    readable("bfloat16", "BFloat16Storage", StoredType::Bf16),
    readable("int64", "LongStorage", StoredType::I64),
    readable("int32", "IntStorage", StoredType::I32),
    readable("int16", "ShortStorage", StoredType::I16),
    readable("int8", "CharStorage", StoredType::I8),
    readable("uint64", "", StoredType::U64),
    readable("uint32", "", StoredType::U32),
    readable("uint16", "", StoredType::U16),
    readable("uint8", "ByteStorage", StoredType::U8),
    readable("bool", "BoolStorage", StoredType::Bool),
    other("complex128", "ComplexDoubleStorage", 16),
    other("complex64", "ComplexFloatStorage", 8),
    other("complex32", "", 4),
    other("float8_e4m3fn", "", 1),
    other("float8_e4m3fnuz", "", 1),
    other("float8_e5m2", "", 1),
    other("float8_e5m2fnuz", "", 1),
    other("float8_e8m0fnu", "", 1),
    other("float4_e2m1fn_x2", "", 1),
    other("qint8", "QInt8Storage", 1),
    other("quint8", "QUInt8Storage", 1),
    other("qint32", "QInt32Storage", 4),
    other("quint4x2", "QUInt4x2Storage", 1),
    other("quint2x4", "QUInt2x4Storage", 1),
    other("bits8", "", 1),
];

/// A sparse tensor, whose elements are those of several tensors.
pub(super) static SPARSE: Type = other("sparse", "", 0);
/// A tensor that is marked as one whose elements are to be negated or conjugated when they are used.
pub(super) static LAZY: Type = other("lazy", "", 0);

impl Type {
    pub(super) fn from_name(name: &str) -> Option<Dtype> {
        TYPES.iter().find(|known| known.name == name)
    }

    pub(super) fn from_storage(class: &str) -> Option<Dtype> {
        TYPES.iter().find(|known| !class.is_empty() && known.storage == class)
    }

    /// The type of the storages of arrays of this type.
    pub(super) fn from_stored(stored: &StoredType) -> Option<Dtype> {
        TYPES.iter().find(|known| known.readable() == Some(stored))
    }

    /// The class of the storages.
    pub(super) fn storage(&self) -> &'static str {
        self.storage
    }

    /// `None` for a type that cannot be read.
    pub(super) fn readable(&self) -> Option<&StoredType> {
        match &self.content {
            Content::Readable(stored) => Some(stored),
            Content::Other(_) => None,
        }
    }

    /// The size of an element in bytes, 0 if it is unknown.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Readable(stored) => stored.block().map_or(0, |(_, bytes)| bytes),
            Content::Other(size) => *size,
        }
    }
}

/// How to save a tensor in Python so that it can be read, by the name of its type.
pub(in crate::weights) fn advice(name: &str) -> &'static str {
    match name {
        _ if name == SPARSE.name => "save the tensor's .to_dense()",
        _ if name == LAZY.name => "save the tensor's .resolve_neg() or .resolve_conj()",
        _ if name.starts_with('q') => "save the tensor's .dequantize()",
        _ if name.starts_with("complex") => "save torch.view_as_real(tensor)",
        _ => "save the tensor's .float()",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_storages_belong_to_each_type() {
        for dtype in &TYPES {
            assert_eq!(Type::from_name(dtype.name), Some(dtype));
            assert!(dtype.size() > 0);
            if !dtype.storage.is_empty() {
                assert_eq!(Type::from_storage(dtype.storage), Some(dtype));
            }
        }
        assert_eq!((Type::from_name("float"), Type::from_storage("")), (None, None));
        let sizes =
            ["float32", "bool", "complex64"].map(|name| Type::from_name(name).unwrap().size());
        assert_eq!(sizes, [4, 1, 8]);
    }
}

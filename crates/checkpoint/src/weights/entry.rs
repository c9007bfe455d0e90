//! What a file says about its values.

use super::stored::StoredType;
use super::view::View;
use adamant_tensor::{Shape, Value, ValueKind};
use std::cmp::Ordering;
use std::fmt;

/// What a file of weights says about one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    pub(super) name: String,
    pub(super) stored: StoredType,
    pub(super) shape: Shape,
    /// The number of bytes of the elements, if it is known.
    pub(super) bytes: Option<u64>,
    /// The index of its file.
    pub(super) file: u32,
    /// The position of its first element in the file.
    pub(super) start: u64,
    /// How the elements lie in the file; `None` if they are adjacent, in order, little-endian, and
    /// without a checksum.
    pub(super) view: Option<Box<View>>,
}

impl TensorEntry {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the elements in the file. [`StoredType`] documents the one in memory.
    #[must_use]
    pub fn dtype(&self) -> &StoredType {
        &self.stored
    }

    /// The sizes of the dimensions, row-major as in PyTorch: `[out, in]` for a linear layer.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of bytes of the elements in the file's type; `None` for a type of unknown size,
    /// and for sparse tensors.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// What the tensor is read as.
    pub(super) fn kind(&self) -> ValueKind {
        let (stored, shape) = (self.stored.to_string().into(), self.shape.clone());
        match &self.stored {
            StoredType::Other(_) => ValueKind::Other(self.to_string()),
            integer if integer.is_integer() => ValueKind::Integers { stored, shape },
            _ => ValueKind::Floats { stored, shape },
        }
    }

    /// Orders entries by their positions. Entries with the same elements, which have one value, are
    /// equal.
    pub(super) fn by_position(&self, other: &Self) -> Ordering {
        fn key(entry: &TensorEntry) -> impl Ord + use<'_> {
            let storage = entry.view.as_ref().map(|view| view.storage());
            let strides = entry.view.as_ref().map(|view| view.strides());
            (entry.file, storage, entry.start, &*entry.shape, strides)
        }
        let names = || self.stored.name().cmp(other.stored.name());
        key(self).cmp(&key(other)).then_with(names)
    }
}

/// `BF16 [2, 3]`.
impl fmt::Display for TensorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stored, self.shape)
    }
}

/// A value of a file that is not a tensor.
pub(super) struct ScalarEntry {
    pub(super) name: String,
    pub(super) value: Scalar,
    /// The number of tensors that come before it.
    pub(super) after: usize,
}

/// A scalar or a string. A fifth of the size of a [`Value`].
#[derive(Clone)]
pub(super) enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool(value) => value.into(),
            Scalar::Int(value) => value.into(),
            Scalar::Float(value) => value.into(),
            Scalar::Text(value) => value.into(),
        }
    }
}

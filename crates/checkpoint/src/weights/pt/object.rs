//! The objects of a pickle, which may contain each other and themselves: values that are small, and
//! positions in shared vectors for everything else. So nothing is recursive, dropping included.

use super::damaged;
use super::global::Global;
use super::room::Room;
use super::types::Dtype;
use crate::limits;
use adamant_files::FormatError;
use std::ops::Range;

/// A range of a shared vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(super) const EMPTY: Span = Span { start: 0, len: 0 };

    /// # Panics
    /// If a position exceeds 32 bits: [`Room`] prevents it.
    pub(super) fn new(range: Range<usize>) -> Self {
        let position = |at| u32::try_from(at).expect("vectors are smaller than the room");
        Span { start: position(range.start), len: position(range.len()) }
    }

    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// An object of a pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i64),
    /// The integer of 77 bits that a file without an archive starts with.
    Magic,
    Float(f64),
    Text(Span),
    Global(Global),
    Tuple(Span),
    /// The index of a container; so for dictionaries, which alternate keys and values.
    List(u32),
    Dict(u32),
    Storage(u32),
    Tensor(u32),
}

impl Object {
    /// The kind of object, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Object::None => "None",
            Object::Bool(_) => "a boolean",
            Object::Int(_) | Object::Magic => "an integer",
            Object::Float(_) => "a float",
            Object::Text(_) => "a string",
            Object::Global(_) => "a class or function",
            Object::Tuple(_) => "a tuple",
            Object::List(_) => "a list",
            Object::Dict(_) => "a dictionary",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        }
    }
}

/// A storage, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    /// The name of its bytes in the file.
    pub(super) key: Span,
    /// `None` for bytes of no type.
    pub(super) dtype: Option<Dtype>,
    /// The number of elements of the whole.
    pub(super) numel: u64,
    /// The first element and the number of elements of the part.
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Storage {
    /// The size of an element in bytes.
    pub(super) fn size(&self) -> u64 {
        self.dtype.map_or(1, |dtype| dtype.size()) as u64
    }
}

/// A tensor, not checked yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) sizes: Span,
    /// `None` for a tensor that cannot be read.
    pub(super) source: Option<Strided>,
}

/// Where a tensor's elements are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strided {
    pub(super) storage: u32,
    /// In elements, as the strides are.
    pub(super) offset: u64,
    pub(super) strides: Span,
}

/// What the objects refer to.
#[derive(Default)]
pub(super) struct Objects {
    text: String,
    elements: Vec<Object>,
    containers: Vec<Vec<Object>>,
    pub(super) storages: Vec<Storage>,
    tensors: Vec<Tensor>,
}

impl Objects {
    pub(super) fn text(&self, span: Span) -> &str {
        &self.text[span.range()]
    }

    pub(super) fn tuple(&self, span: Span) -> &[Object] {
        &self.elements[span.range()]
    }

    pub(super) fn container(&self, index: u32) -> &[Object] {
        &self.containers[index as usize]
    }

    pub(super) fn storage(&self, index: u32) -> &Storage {
        &self.storages[index as usize]
    }

    pub(super) fn tensor(&self, index: u32) -> &Tensor {
        &self.tensors[index as usize]
    }

    pub(super) fn add_text(&mut self, text: &str, room: &mut Room) -> Result<Object, FormatError> {
        let start = self.text.len();
        room.push_str(&mut self.text, text)?;
        Ok(Object::Text(Span::new(start..self.text.len())))
    }

    pub(super) fn add_tuple(
        &mut self,
        elements: &[Object],
        room: &mut Room,
    ) -> Result<Object, FormatError> {
        let start = self.elements.len();
        room.extend(&mut self.elements, elements)?;
        Ok(Object::Tuple(Span::new(start..self.elements.len())))
    }

    pub(super) fn add_list(&mut self, room: &mut Room) -> Result<Object, FormatError> {
        add(&mut self.containers, Vec::new(), room).map(Object::List)
    }

    pub(super) fn add_dict(&mut self, room: &mut Room) -> Result<Object, FormatError> {
        add(&mut self.containers, Vec::new(), room).map(Object::Dict)
    }

    pub(super) fn add_storage(
        &mut self,
        storage: Storage,
        room: &mut Room,
    ) -> Result<Object, FormatError> {
        add(&mut self.storages, storage, room).map(Object::Storage)
    }

    pub(super) fn add_tensor(
        &mut self,
        tensor: Tensor,
        room: &mut Room,
    ) -> Result<Object, FormatError> {
        add(&mut self.tensors, tensor, room).map(Object::Tensor)
    }

    /// Appends to the list `index`, or keys and values to the dictionary.
    pub(super) fn append(
        &mut self,
        index: u32,
        items: &[Object],
        room: &mut Room,
    ) -> Result<(), FormatError> {
        room.extend(&mut self.containers[index as usize], items)
    }

    /// The sizes or strides of dimensions.
    pub(super) fn sizes(&self, span: Span) -> Result<Vec<u64>, FormatError> {
        let sizes = self.tuple(span);
        limits::check_rank(sizes.len() as u64)?;
        sizes.iter().map(|&size| count(size)).collect()
    }
}

fn add<T>(items: &mut Vec<T>, item: T, room: &mut Room) -> Result<u32, FormatError> {
    let index = u32::try_from(items.len()).expect("vectors are smaller than the room");
    room.push(items, item)?;
    Ok(index)
}

/// An integer of at least 0.
pub(super) fn count(object: Object) -> Result<u64, FormatError> {
    match object {
        Object::Int(value) if value >= 0 => Ok(value as u64),
        Object::Int(value) => Err(damaged(format_args!("the size {value}"))),
        other => Err(damaged(format_args!("{} as a size", other.kind()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_small() {
        // Room for a state of forty thousand tensors, about fifty objects each.
        assert_eq!(size_of::<Object>(), 16);
    }
}

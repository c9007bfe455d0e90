//! The header of a safetensors file: untrusted JSON.
//!
//! It is parsed directly into the header's types, within the limits. General JSON values would take
//! ten times the bytes of their text.

use super::{EXPECTED, KEY, METADATA, damaged};
use crate::limits;
use crate::stored::StoredType;
use crate::tensor_files::TensorEntry;
use adamant_files::FormatError;
use adamant_tensor::{Shape, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The arrays, the scalars and strings from the metadata, and the rest of the metadata, each in the
/// order of their names.
pub(super) struct Header {
    pub(super) arrays: Vec<TensorEntry>,
    pub(super) others: Members<Other>,
    pub(super) metadata: Members<String>,
}

impl Header {
    /// Parses the header of file `file`, which has `data` bytes after the header, from byte `start`.
    pub(super) fn parse(
        text: &[u8],
        file: u32,
        start: u64,
        data: u64,
    ) -> Result<Self, FormatError> {
        let Items(items) = serde_json::from_slice(text).map_err(|error| {
            let found = format!("a header that is damaged or too large ({error})");
            FormatError::new(found, EXPECTED)
        })?;
        let mut header =
            Header { arrays: Vec::with_capacity(items.len()), others: vec![], metadata: vec![] };
        for (name, item) in items {
            match item {
                Item::Array(info) => header.arrays.push(info.check(name, file)?),
                Item::Metadata(Unique(metadata)) => header.metadata = metadata,
            }
        }
        if let Ok(index) = header.metadata.binary_search_by(|(key, _)| key.as_str().cmp(KEY)) {
            header.others = parse_others(&header.metadata.remove(index).1)?;
        }
        let Header { arrays, others, .. } = &mut header;
        check_layout(arrays, data)?;
        limits::check_entries((arrays.len() + others.len()) as u64)?;
        if let Some(array) = arrays.iter().find(|array| find(others, &array.name).is_some()) {
            let found = format!("`{}` among the arrays and in the metadata", array.name);
            return Err(FormatError::new(found, "each name once"));
        }
        arrays.iter_mut().for_each(|array| array.start += start); // within the file
        Ok(header)
    }
}

fn parse_others(text: &str) -> Result<Members<Other>, FormatError> {
    let parsed: Result<Unique<Other>, _> = serde_json::from_str(text);
    parsed.map(|Unique(others)| others).map_err(|error| {
        let expected = "a JSON object of scalars and strings";
        FormatError::new(format!("`{KEY}` in the metadata ({error})"), expected)
    })
}

/// Checks that the arrays fill the data, without gaps or overlaps.
fn check_layout(arrays: &[TensorEntry], data: u64) -> Result<(), FormatError> {
    let mut ranges: Vec<_> = arrays.iter().map(|a| (a.start, a.bytes, &a.name)).collect();
    ranges.sort_unstable();
    let mut at = 0;
    for (start, bytes, name) in ranges {
        let end = start.saturating_add(bytes);
        if start != at || end > data {
            let text = format!("`{name}` at bytes {start} to {end} of {data}, after byte {at}");
            return Err(damaged(text));
        }
        at = end;
    }
    match data - at {
        0 => Ok(()),
        rest => Err(damaged(format!("{rest} bytes after the last array"))),
    }
}

/// The description of an array in a file.
#[derive(serde::Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Sizes,
    data_offsets: (u64, u64),
}

impl Info<'_> {
    /// The entry, with its position after the header.
    fn check(self, name: String, file: u32) -> Result<TensorEntry, FormatError> {
        // The quantized types are GGUF's.
        let stored = match StoredType::named(&self.dtype) {
            stored if matches!(stored.block(), Some((1, _))) => stored,
            _ => StoredType::Other((*self.dtype).into()),
        };
        let Sizes(shape) = self.shape;
        let (start, end) = self.data_offsets;
        let bytes = end.checked_sub(start);
        // How many bytes another type needs is unknown, and it is not read.
        let needed = match stored.is_supported() {
            true => stored.bytes(&shape),
            false => bytes.filter(|_| shape.checked_numel().is_some()),
        };
        match bytes {
            Some(bytes) if needed == Some(bytes) => {
                Ok(TensorEntry { name, stored, shape, file, start, bytes })
            }
            _ => {
                let found = format!("`{name}` of shape {shape} at bytes {start} to {end}");
                Err(FormatError::new(found, "the number of bytes of that shape"))
            }
        }
    }
}

/// The sizes of an array's dimensions.
struct Sizes(Shape);

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Sizes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sizes, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = seq.next_element::<usize>()? {
                    sizes.push(size);
                    within(limits::check_rank(sizes.len() as u64))?;
                }
                Ok(Sizes(sizes.into()))
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

fn within<E: Error>(result: Result<(), FormatError>) -> Result<(), E> {
    result.map_err(|FormatError { found, expected }| {
        E::custom(format_args!("{found}, expected {expected}"))
    })
}

/// The JSON object of a header.
struct Items<'a>(Members<Item<'a>>);

enum Item<'a> {
    Array(Info<'a>),
    Metadata(Unique<String>),
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of arrays")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Items<'de>, A::Error> {
                let item = |name: &str, map: &mut A| match name {
                    METADATA => map.next_value().map(Item::Metadata),
                    _ => map.next_value().map(Item::Array),
                };
                unique(map, item).map(Items)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The members of an object, in the order of their keys.
pub(super) type Members<T> = Vec<(String, T)>;

pub(super) fn find<'m, T>(members: &'m Members<T>, key: &str) -> Option<&'m T> {
    let found = members.binary_search_by(|(known, _)| known.as_str().cmp(key));
    found.ok().map(|index| &members[index].1)
}

/// Reads an object. A repeated key is an error: other readers would take the last one.
fn unique<'de, A: MapAccess<'de>, T>(
    mut map: A,
    mut value: impl FnMut(&str, &mut A) -> Result<T, A::Error>,
) -> Result<Members<T>, A::Error> {
    let mut members = Vec::new();
    while let Some(key) = map.next_key::<String>()? {
        within(limits::check_entries(members.len() as u64 + 1))?;
        let value = value(&key, &mut map)?;
        members.push((key, value));
    }
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(members),
        Some(pair) => Err(A::Error::custom(format_args!("`{}` twice", pair[0].0))),
    }
}

/// An object without repeated keys.
pub(super) struct Unique<T>(pub(super) Members<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unique<T>, A::Error> {
                let value = |key: &str, map: &mut A| {
                    let named = |error| A::Error::custom(format_args!("`{key}`: {error}"));
                    map.next_value().map_err(named)
                };
                unique(map, value).map(Unique)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// A scalar or a string, from the JSON that `to_json` writes. A fifth of the size of a [`Value`].
#[derive(Clone)]
pub(super) enum Other {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl From<Other> for Value {
    fn from(other: Other) -> Self {
        match other {
            Other::Bool(value) => value.into(),
            Other::Int(value) => value.into(),
            Other::Float(value) => value.into(),
            Other::Text(value) => value.into(),
        }
    }
}

impl<'de> Deserialize<'de> for Other {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Other;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, a number or a string")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Other, E> {
                Ok(Other::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Other, E> {
                Ok(Other::Int(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Other, E> {
                let too_large =
                    |_| E::custom(format_args!("{value} is not a 64-bit signed integer"));
                i64::try_from(value).map_err(too_large).and_then(|value| self.visit_i64(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Other, E> {
                Ok(Other::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Other, E> {
                Ok(Other::Text(value.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Other, A::Error> {
                match (map.next_entry::<String, String>()?, map.next_key::<String>()?) {
                    (Some((key, value)), None) if key == "float" => match &*value {
                        "NaN" => self.visit_f64(f64::NAN),
                        "inf" => self.visit_f64(f64::INFINITY),
                        "-inf" => self.visit_f64(f64::NEG_INFINITY),
                        _ => Err(A::Error::custom("not NaN, inf or -inf")),
                    },
                    _ => Err(A::Error::custom("an object that is not a float")),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

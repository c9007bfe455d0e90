//! The header of a safetensors file: untrusted JSON.
//!
//! ```text
//! file = length of the header in bytes: u64, the header, the arrays
//! ```
//!
//! It is parsed directly into the header's types, within the limits. General JSON values would take
//! ten times the bytes of their text.

use super::{EXPECTED, KEY, METADATA, damaged};
use crate::limits;
use crate::weights::entry::{Scalar, ScalarEntry, TensorEntry};
use crate::weights::listed::Listed;
use crate::weights::members::{Members, find};
use crate::weights::metadata::Metadata;
use crate::weights::stored::StoredType;
use adamant_files::FormatError;
use adamant_tensor::Shape;
use adamant_tensor::shown;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Parses the header of file `file`, which has `data` bytes after the header, from byte `start`: the
/// arrays, the scalars and strings from the metadata, and the rest of the metadata, each in the order
/// of their names.
pub(super) fn parse(text: &[u8], file: u32, start: u64, data: u64) -> Result<Listed, FormatError> {
    let Items(items) = serde_json::from_slice(text).map_err(|error| {
        let found = format!("a header that is damaged or too large ({})", json(&error));
        FormatError::new(found, EXPECTED)
    })?;
    let mut arrays = Vec::with_capacity(items.len());
    let mut metadata = Vec::new();
    for (name, item) in items {
        match item {
            Item::Array(info) => arrays.push(info.check(name, file)?),
            Item::Metadata(Unique(members)) => metadata = members,
        }
    }
    let mut scalars = Vec::new();
    if let Ok(index) = metadata.binary_search_by(|(key, _)| key.as_str().cmp(KEY)) {
        scalars = parse_scalars(&metadata.remove(index).1)?;
    }
    check_layout(&arrays, data)?;
    limits::check_entries((arrays.len() + scalars.len()) as u64)?;
    if let Some(array) = arrays.iter().find(|array| find(&scalars, &array.name).is_some()) {
        let found = format!("`{}` among the arrays and in the metadata", shown(&array.name));
        return Err(FormatError::new(found, "each name once"));
    }
    arrays.iter_mut().for_each(|array| array.start += start); // within the file
    let after = arrays.len();
    let scalar = |(name, value)| ScalarEntry { name, value, after };
    let scalars = scalars.into_iter().map(scalar).collect();
    Ok(Listed { entries: arrays, scalars, metadata: Metadata::Strings(metadata) })
}

fn parse_scalars(text: &str) -> Result<Members<Scalar>, FormatError> {
    let parsed: Result<Unique<Scalar>, _> = serde_json::from_str(text);
    parsed.map(|Unique(scalars)| scalars).map_err(|error| {
        let expected = "a JSON object of scalars and strings";
        FormatError::new(format!("`{KEY}` in the metadata ({})", json(&error)), expected)
    })
}

/// Checks that the arrays fill the data, without gaps or overlaps.
fn check_layout(arrays: &[TensorEntry], data: u64) -> Result<(), FormatError> {
    let ranges = arrays.iter().map(|array| (array.start, array.bytes.unwrap_or(0), &array.name));
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    let mut at = 0;
    for (start, bytes, name) in ranges {
        let end = start.saturating_add(bytes);
        if start != at || end > data {
            let name = shown(name);
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
            _ => StoredType::Other(shown(&self.dtype).into()),
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
            Some(_) if needed == bytes => {
                Ok(TensorEntry { name, stored, shape, bytes, file, start, view: None })
            }
            _ => {
                let name = shown(&name);
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

/// The text of an error, which may quote the file.
pub(in crate::weights) fn json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text,
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

/// Reads an object. A repeated key is an error: other readers would take the last one.
fn unique<'de, A: MapAccess<'de>, T>(
    mut map: A,
    mut value: impl FnMut(&str, &mut A) -> Result<T, A::Error>,
) -> Result<Members<T>, A::Error> {
    let mut members = Vec::new();
    while let Some(key) = map.next_key::<String>()? {
        within(limits::check_entries(members.len() as u64))?; // the metadata are one more
        let value = value(&key, &mut map)?;
        members.push((key, value));
    }
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(members),
        Some(pair) => Err(A::Error::custom(format_args!("`{}` twice", shown(&pair[0].0)))),
    }
}

/// An object without repeated keys.
pub(in crate::weights) struct Unique<T>(pub(in crate::weights) Members<T>);

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
                    let named = |error| A::Error::custom(format_args!("`{}`: {error}", shown(key)));
                    map.next_value().map_err(named)
                };
                unique(map, value).map(Unique)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// From the JSON that `to_json` writes.
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, a number or a string")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                let too_large =
                    |_| E::custom(format_args!("{value} is not a 64-bit signed integer"));
                i64::try_from(value).map_err(too_large).and_then(|value| self.visit_i64(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
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

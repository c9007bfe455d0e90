//! Nested containers as one list of names.

use super::EXPECTED;
use super::global::Global;
use super::object::{Object, Objects};
use super::room::Room;
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::entry::{ScalarEntry, TensorEntry};
use crate::weights::view::View;
use adamant_files::FormatError;
use adamant_tensor::Value;
use adamant_tensor::shown;

/// The bytes of an entry of a state: itself, and its index.
const IN_STATE: usize = size_of::<(String, Value)>() + 2 * size_of::<(String, usize)>();
/// The bytes of a tensor and of a scalar in a list, which doubles when it grows.
const TENSOR: usize = 2 * size_of::<TensorEntry>() + size_of::<View>();
const SCALAR: usize = 2 * size_of::<ScalarEntry>();

/// A container that is being walked.
struct Walk {
    container: Object,
    /// The position of the next element.
    next: usize,
    /// The length of the container's name.
    name: usize,
}

/// Calls `leaf` with the tensors, numbers and strings of a state, in order. Their names are the keys
/// of nested dictionaries and the positions in lists, joined by dots.
pub(super) fn flatten(
    objects: &Objects,
    root: Object,
    room: &mut Room,
    mut leaf: impl FnMut(&str, Object) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut leaf = |name: &str, object, room: &mut Room| {
        let in_list = match object {
            // Shape and strides, each twice.
            Object::Tensor(tensor) => {
                TENSOR + 4 * size_of::<usize>() * objects.tensor(tensor).sizes.range().len()
            }
            Object::Text(text) => SCALAR + 2 * text.range().len(),
            _ => SCALAR,
        };
        room.take(in_list + IN_STATE + 3 * name.len())?; // the name is in both, and in the index
        leaf(name, object)
    };
    let mut path = String::new();
    let mut walks = Vec::new();
    match root {
        Object::Tensor(_) => leaf("", root, room)?,
        Object::Dict(_) | Object::List(_) | Object::Tuple(_) => {
            walks.push(Walk { container: root, next: 0, name: 0 });
        }
        other => return Err(FormatError::new(other.kind(), EXPECTED).into()),
    }
    let mut visited = 0;
    while let Some(walk) = walks.last_mut() {
        path.truncate(walk.name);
        let Some((key, child)) = walk.advance(objects) else {
            walks.pop();
            continue;
        };
        visited += 1; // a container without entries counts too: it may be repeated
        limits::check_entries(visited)?;
        if walks.len() > 1 {
            room.push_str(&mut path, ".")?;
        }
        add_key(&mut path, key, objects, room)?;
        if path.len() > limits::PICKLE_NAME {
            let longest = limits::PICKLE_NAME;
            let found = format!("a name of more than {longest} bytes, `{}`", shown(&path));
            return Err(FormatError::new(found, EXPECTED).into());
        }
        match child {
            Object::None => {}
            Object::Dict(_) | Object::List(_) | Object::Tuple(_) => {
                if walks.len() == limits::PICKLE_DEPTH {
                    let found = format!(
                        "containers nested more than {} deep at `{}`",
                        limits::PICKLE_DEPTH,
                        shown(&path)
                    );
                    return Err(FormatError::new(found, EXPECTED).into());
                }
                walks.push(Walk { container: child, next: 0, name: path.len() });
            }
            Object::Bool(_)
            | Object::Int(_)
            | Object::Float(_)
            | Object::Text(_)
            | Object::Tensor(_)
            | Object::Global(Global::Dtype(_)) => leaf(&path, child, room)?,
            Object::Magic | Object::Storage(_) | Object::Global(_) => {
                let found = format!("`{}`: {}", shown(&path), child.kind());
                return Err(FormatError::new(found, "a tensor, a number or a string").into());
            }
        }
    }
    Ok(())
}

/// The key of an element: an object, or a position.
enum Key {
    Object(Object),
    Position(usize),
}

impl Walk {
    fn advance(&mut self, objects: &Objects) -> Option<(Key, Object)> {
        let at = self.next;
        self.next += 1;
        match self.container {
            Object::Dict(dict) => {
                let &[key, value] = objects.container(dict).get(2 * at..2 * at + 2)? else {
                    return None;
                };
                Some((Key::Object(key), value))
            }
            Object::List(list) => Some((Key::Position(at), *objects.container(list).get(at)?)),
            Object::Tuple(tuple) => Some((Key::Position(at), *objects.tuple(tuple).get(at)?)),
            _ => None,
        }
    }
}

fn add_key(
    path: &mut String,
    key: Key,
    objects: &Objects,
    room: &mut Room,
) -> Result<(), FormatError> {
    let number = match key {
        Key::Object(Object::Text(span)) => return room.push_str(path, objects.text(span)),
        Key::Object(Object::Int(number)) => number,
        Key::Position(at) => at as i64,
        Key::Object(other) => {
            let found = format!("{} as a key after `{}`", other.kind(), shown(path));
            return Err(FormatError::new(found, "strings and integers as keys"));
        }
    };
    room.push_str(path, &number.to_string())
}

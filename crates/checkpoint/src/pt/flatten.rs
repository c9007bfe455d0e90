//! Nested containers as one list of names.

use super::fault::{EXPECTED, shown};
use super::global::Global;
use super::object::{Object, Objects, Span};
use super::room::Room;
use crate::limits;
use adamant_files::FormatError;
use adamant_tensor::Value;

/// The longest name of an entry: each entry copies the names of its containers.
const LONGEST_NAME: usize = 1 << 16;
/// The deepest nesting of containers.
const DEPTH: usize = 100;
/// The bytes that an entry of a result takes in addition to its name: itself, and its index.
const ENTRY: usize = size_of::<(String, Value)>() + 2 * size_of::<(String, usize)>();
/// A name is in its list here, and twice in the result.
const NAME_COPIES: usize = 2;

/// The tensors, numbers and strings of a state, in order.
pub(super) struct Flat {
    names: String,
    leaves: Vec<(Span, Object)>,
}

impl Flat {
    pub(super) fn leaves(&self) -> impl Iterator<Item = (&str, Object)> {
        self.leaves.iter().map(|&(name, leaf)| (&self.names[name.range()], leaf))
    }

    pub(super) fn name(&self, index: u32) -> &str {
        &self.names[self.leaves[index as usize].0.range()]
    }
}

/// A container that is being walked.
struct Walk {
    container: Object,
    /// The position of the next element.
    next: usize,
    /// The length of the container's name.
    name: usize,
}

/// Joins the keys of nested dictionaries and the positions in lists by dots.
pub(super) fn flatten(
    objects: &Objects,
    root: Object,
    room: &mut Room,
) -> Result<Flat, FormatError> {
    let mut flat = Flat { names: String::new(), leaves: Vec::new() };
    let mut path = String::new();
    let mut walks = Vec::new();
    match root {
        Object::Tensor(_) => flat.add("", root, room)?,
        Object::Dict(_) | Object::List(_) | Object::Tuple(_) => {
            walks.push(Walk { container: root, next: 0, name: 0 });
        }
        other => return Err(FormatError::new(other.kind(), EXPECTED)),
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
        if path.len() > LONGEST_NAME {
            let found = format!("a name of more than {LONGEST_NAME} bytes, `{}`", shown(&path));
            return Err(FormatError::new(found, EXPECTED));
        }
        match child {
            Object::None => {}
            Object::Dict(_) | Object::List(_) | Object::Tuple(_) => {
                if walks.len() == DEPTH {
                    let found =
                        format!("containers nested more than {DEPTH} deep at `{}`", shown(&path));
                    return Err(FormatError::new(found, EXPECTED));
                }
                walks.push(Walk { container: child, next: 0, name: path.len() });
            }
            Object::Bool(_)
            | Object::Int(_)
            | Object::Float(_)
            | Object::Text(_)
            | Object::Tensor(_)
            | Object::Global(Global::Dtype(_)) => flat.add(&path, child, room)?,
            Object::Magic | Object::Storage(_) | Object::Global(_) => {
                let found = format!("`{}`: {}", shown(&path), child.kind());
                return Err(FormatError::new(found, "a tensor, a number or a string"));
            }
        }
    }
    flat.check_names()?;
    Ok(flat)
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

impl Flat {
    fn add(&mut self, name: &str, leaf: Object, room: &mut Room) -> Result<(), FormatError> {
        room.take(ENTRY + NAME_COPIES * name.len())?;
        let start = self.names.len();
        room.push_str(&mut self.names, name)?;
        room.push(&mut self.leaves, (Span::new(start..self.names.len()), leaf))
    }

    fn check_names(&self) -> Result<(), FormatError> {
        let mut names: Vec<&str> = self.leaves().map(|(name, _)| name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(FormatError::new(
                format!("`{}` twice", shown(pair[0])),
                "each name once, with the keys of nested dictionaries joined by dots",
            )),
        }
    }
}

//! What the known classes and functions do to their arguments.

use super::damaged;
use super::global::Global;
use super::object::{Object, Objects, Span, Storage, Strided, Tensor, count};
use super::room::Room;
use super::types::{LAZY, SPARSE};
use adamant_files::FormatError;
use adamant_tensor::shown;

/// The object that a call returns.
pub(super) fn call(
    function: Object,
    arguments: Object,
    objects: &mut Objects,
    room: &mut Room,
) -> Result<Object, FormatError> {
    let (Object::Global(global), Object::Tuple(span)) = (function, arguments) else {
        let detail = format!("a call of {} with {}", function.kind(), arguments.kind());
        return Err(damaged(detail));
    };
    match (global, objects.tuple(span)) {
        // `function(*arguments)`, then attributes, which do not matter here.
        (
            Global::RebuildFromType,
            &[Object::Global(inner), Object::Global(Global::TensorClass), Object::Tuple(span), _],
        ) if inner != Global::RebuildFromType => plain(inner, span, objects, room),
        _ => plain(global, span, objects, room),
    }
}

fn plain(
    global: Global,
    span: Span,
    objects: &mut Objects,
    room: &mut Room,
) -> Result<Object, FormatError> {
    match (global, objects.tuple(span)) {
        (Global::Dict, []) => objects.add_dict(room),
        (Global::Dict, &[Object::Dict(dict)]) => Ok(Object::Dict(dict)),
        (Global::Dict, &[Object::List(pairs)]) => from_pairs(pairs, objects, room),
        (Global::Size, &[Object::Tuple(sizes)]) => Ok(Object::Tuple(sizes)),
        (Global::Device, &[Object::Text(name)]) => Ok(Object::Text(name)),
        (Global::Device, &[Object::Text(name), Object::Int(index)]) => {
            let device = format!("{}:{index}", shown(objects.text(name)));
            objects.add_text(&device, room)
        }
        (Global::Layout, [Object::Text(_)]) => Ok(Object::None),
        // The parts of a sparse tensor: its size is the last tuple of them.
        (Global::RebuildSparse, &[_, Object::Tuple(parts)]) => {
            let sizes = objects.tuple(parts).iter().rev().find_map(|part| match part {
                Object::Tuple(sizes) => Some(*sizes),
                _ => None,
            });
            let sizes = sizes.ok_or_else(|| damaged("a sparse tensor without a size"))?;
            objects.add_tensor(Tensor { dtype: &SPARSE, sizes, source: None }, room)
        }
        (Global::RebuildQuantized, &[Object::Storage(storage), _, Object::Tuple(sizes), ..]) => {
            let dtype = objects.storage(storage).dtype;
            let dtype = dtype.ok_or_else(|| damaged("a tensor of no type"))?;
            objects.add_tensor(Tensor { dtype, sizes, source: None }, room)
        }
        (Global::RebuildParameter, &[Object::Tensor(tensor), ..]) => Ok(Object::Tensor(tensor)),
        (
            Global::RebuildTensor { version },
            &[
                Object::Storage(storage),
                offset,
                Object::Tuple(sizes),
                Object::Tuple(strides),
                ref rest @ ..,
            ],
        ) => {
            // Of the rest, `requires_grad` and hooks do not matter here.
            let (dtype, metadata) = match (version, rest) {
                (1, []) | (2, [_, _]) => (objects.storage(storage).dtype, Object::None),
                (2, &[_, _, metadata]) => (objects.storage(storage).dtype, metadata),
                (3, &[_, _, Object::Global(Global::Dtype(dtype))]) => (Some(dtype), Object::None),
                (3, &[_, _, Object::Global(Global::Dtype(dtype)), metadata]) => {
                    (Some(dtype), metadata)
                }
                _ => return Err(wrong_arguments(global, objects.tuple(span))),
            };
            let dtype = dtype.ok_or_else(|| damaged("a tensor of no type"))?;
            let source = Strided { storage, offset: count(offset)?, strides };
            let tensor = match is_empty(metadata, objects) {
                true => Tensor { dtype, sizes, source: Some(source) },
                false => Tensor { dtype: &LAZY, sizes, source: None },
            };
            objects.add_tensor(tensor, room)
        }
        (_, arguments) => Err(wrong_arguments(global, arguments)),
    }
}

fn wrong_arguments(global: Global, arguments: &[Object]) -> FormatError {
    let kinds: Vec<&str> = arguments.iter().take(8).map(|object| object.kind()).collect();
    damaged(format_args!("a call of {global:?} with {}", kinds.join(", ")))
}

/// A dictionary from a list of pairs, as Python 2 wrote an `OrderedDict`.
fn from_pairs(pairs: u32, objects: &mut Objects, room: &mut Room) -> Result<Object, FormatError> {
    let dict = objects.add_dict(room)?;
    let Object::Dict(index) = dict else { unreachable!("a new dictionary") };
    for at in 0..objects.container(pairs).len() {
        let pair = match objects.container(pairs)[at] {
            Object::Tuple(span) => objects.tuple(span),
            Object::List(list) => objects.container(list),
            _ => &[],
        };
        let &[key, value] = pair else { return Err(damaged("a dictionary without pairs")) };
        objects.append(index, &[key, value], room)?;
    }
    Ok(dict)
}

/// Whether a tensor's metadata, which mark those with a lazy sign, are empty.
fn is_empty(metadata: Object, objects: &Objects) -> bool {
    match metadata {
        Object::None => true,
        Object::Dict(dict) => objects.container(dict).is_empty(),
        _ => false,
    }
}

/// The storage that a persistent id describes.
pub(super) fn persistent(
    id: Object,
    objects: &mut Objects,
    room: &mut Room,
) -> Result<Object, FormatError> {
    let Object::Tuple(span) = id else {
        return Err(damaged(format_args!("{} as the id of a storage", id.kind())));
    };
    let (head, view) = match *objects.tuple(span) {
        [kind, class, key, _location, numel] => ([kind, class, key, numel], Object::None),
        [kind, class, key, _location, numel, view] => ([kind, class, key, numel], view),
        _ => return Err(damaged("the id of a storage")),
    };
    let [Object::Text(kind), Object::Global(Global::Storage(dtype)), Object::Text(key), numel] =
        head
    else {
        return Err(damaged("the id of a storage"));
    };
    if objects.text(kind) != "storage" {
        return Err(damaged("the id of a storage"));
    }
    let numel = count(numel)?;
    let (start, len) = match view {
        Object::None => (0, numel),
        Object::Tuple(view) => match *objects.tuple(view) {
            [_key, start, len] => (count(start)?, count(len)?),
            _ => return Err(damaged("the view of a storage")),
        },
        _ => return Err(damaged("the view of a storage")),
    };
    if start.checked_add(len).is_none_or(|end| end > numel) {
        let text = format_args!("{len} elements from {start} on in a storage of {numel}");
        return Err(damaged(text));
    }
    objects.add_storage(Storage { key, dtype, numel, start, len }, room)
}

//! The files of `torch.save` before version 1.6, or with `_use_new_zipfile_serialization=False`:
//! pickles, then the storages, each after its number of elements.
//!
//! The bytes are little-endian whatever machine wrote them, and have no checksums.

use super::input::Input;
use super::object::{Object, Objects, Span};
use super::pickle::parse;
use super::{EXPECTED, damaged};

use super::room::Room;
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::place::Place;
use adamant_files::FormatError;
use adamant_tensor::shown;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// The version of this layout, its second pickle.
const VERSION: i64 = 1001;

/// Where the storages are, in the order of their keys.
pub(super) struct Storages(Vec<(Span, Place)>);

impl Storages {
    pub(super) fn place(&self, key: &str, objects: &Objects) -> Result<Place, ReadError> {
        let found = self.0.binary_search_by(|(known, _)| objects.text(*known).cmp(key));
        let place = found.ok().map(|index| self.0[index].1);
        Ok(place.ok_or_else(|| damaged(format_args!("no storage `{}`", shown(key))))?)
    }
}

/// Reads the pickles of a file of `len` bytes; returns the state, and where its storages are.
pub(super) fn parse_file(
    file: &File,
    len: u64,
    objects: &mut Objects,
    room: &mut Room,
) -> Result<(Object, Storages), ReadError> {
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut at = 0;
    let mut next =
        |input: &mut BufReader<&File>, objects: &mut Objects| -> Result<Object, ReadError> {
            let mut pickle = Input::new(input, len - at);
            let object = parse(&mut pickle, objects, room)?;
            at += pickle.position();
            Ok(object)
        };
    if next(&mut input, objects)? != Object::Magic {
        let found = "a pickle that torch.save did not write";
        return Err(FormatError::new(found, EXPECTED).into());
    }
    match next(&mut input, objects)? {
        Object::Int(VERSION) => {}
        Object::Int(other) => {
            let found = format!("version {other} of the format");
            return Err(FormatError::new(found, format!("version {VERSION}")).into());
        }
        other => return Err(damaged(format_args!("{} as a version", other.kind())).into()),
    }
    next(&mut input, objects)?; // the machine that wrote it
    let root = next(&mut input, objects)?;
    let Object::List(keys) = next(&mut input, objects)? else {
        return Err(damaged("no list of storages").into());
    };
    let places = places(&mut input, at, len, objects, keys, room)?;
    Ok((root, places))
}

/// Finds the storages, which fill the file from `at` to its end.
fn places(
    input: &mut BufReader<&File>,
    mut at: u64,
    len: u64,
    objects: &mut Objects,
    keys: u32,
    room: &mut Room,
) -> Result<Storages, ReadError> {
    // The sizes of their elements are in the pickle.
    let mut known = Vec::new();
    room.extend(&mut known, &objects.storages)?;
    let longest = limits::PICKLE_KEY;
    if known.iter().any(|storage| objects.text(storage.key).len() > longest) {
        return Err(damaged(format_args!("a key of a storage of more than {longest} bytes")).into());
    }
    known.sort_unstable_by(|a, b| objects.text(a.key).cmp(objects.text(b.key)));
    let mut places = Vec::new();
    for &key in objects.container(keys) {
        let Object::Text(key) = key else {
            return Err(damaged(format_args!("{} as the key of a storage", key.kind())).into());
        };
        let name = objects.text(key);
        let storage = known.binary_search_by(|storage| objects.text(storage.key).cmp(name));
        let Ok(storage) = storage.map(|index| known[index]) else {
            return Err(damaged(format_args!("a storage `{}` of no tensor", shown(name))).into());
        };
        let mut count = [0; 8];
        let start = at + count.len() as u64;
        let left = len.checked_sub(start).ok_or_else(|| damaged("a storage without a length"))?;
        input.seek(SeekFrom::Start(at))?;
        input.read_exact(&mut count)?;
        let count = u64::from_le_bytes(count);
        let bytes = count.checked_mul(storage.size()).filter(|&bytes| bytes <= left);
        let bytes = bytes.ok_or_else(|| {
            let name = shown(name);
            damaged(format_args!("a storage `{name}` of {count} elements in {left} bytes"))
        })?;
        room.push(&mut places, (key, Place { start, len: bytes, checksum: None }))?;
        at = start + bytes;
    }
    if at != len {
        return Err(damaged(format_args!("{} bytes after the last storage", len - at)).into());
    }
    places.sort_unstable_by(|(a, _), (b, _)| objects.text(*a).cmp(objects.text(*b)));
    match places.windows(2).find(|pair| objects.text(pair[0].0) == objects.text(pair[1].0)) {
        None => Ok(Storages(places)),
        Some(pair) => {
            Err(damaged(format_args!("the storage `{}` twice", shown(objects.text(pair[0].0))))
                .into())
        }
    }
}

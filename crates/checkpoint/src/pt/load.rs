//! Reads the arrays of a state, storage by storage.

use super::element::{ByteOrder, value};
use super::fault::{EXPECTED, Fault, damaged, shown};
use super::flatten::{Flat, flatten};
use super::global::Global;
use super::object::{Object, Objects};
use super::place::Place;
use super::room::Room;
use super::view::View;
use adamant_files::FormatError;
use adamant_tensor::{StateDict, Value};
use std::fs::File;

/// What the elements of all tensors may take as they are in the file: twice the file's length and
/// this many bytes. Views of a storage may overlap, and a small file may so describe tensors of any
/// size.
const OVERLAP: u64 = 1 << 22;

/// A parsed file, and where its storages are.
pub(super) struct Source<'s> {
    pub(super) file: &'s File,
    pub(super) len: u64,
    pub(super) objects: &'s Objects,
    pub(super) order: ByteOrder,
    /// The place of the storage of a key.
    pub(super) place: &'s dyn Fn(&str) -> Result<Place, Fault>,
}

/// A tensor to be read.
struct Read {
    place: Place,
    /// Its position among the entries, for its name.
    entry: u32,
    tensor: u32,
}

impl Source<'_> {
    /// The state that `root` describes. All of it is checked before there is memory for an array.
    pub(super) fn load(&self, root: Object, room: &mut Room) -> Result<StateDict, Fault> {
        let flat = flatten(self.objects, root, room)?;
        let reads = self.plan(&flat, room)?;
        let mut state = StateDict::new();
        for (name, leaf) in flat.leaves() {
            state.insert(name, self.initial(leaf)); // in order
        }
        let mut buffer = Vec::new();
        let mut last: Option<(&Read, Value)> = None;
        for read in &reads {
            let name = flat.name(read.entry);
            let array = match &last {
                Some((same, array)) if self.order(same, read).is_eq() => array.clone(),
                _ => {
                    if last.as_ref().is_none_or(|(last, _)| last.place != read.place) {
                        read.place.read(self.file, &shown(name), &mut buffer)?;
                    }
                    value(&self.view(read)?, &buffer, self.order)?
                }
            };
            state.insert(name, array.clone());
            last = Some((read, array));
        }
        Ok(state)
    }

    /// The value of an entry; of a tensor, one that is replaced when its storage is read.
    fn initial(&self, leaf: Object) -> Value {
        match leaf {
            Object::Bool(value) => value.into(),
            Object::Int(value) => value.into(),
            Object::Float(value) => value.into(),
            Object::Text(text) => self.objects.text(text).into(),
            Object::Global(Global::Dtype(dtype)) => format!("torch.{}", dtype.name()).into(),
            _ => false.into(),
        }
    }

    /// The tensors in the order of the file, each checked; equal ones are adjacent.
    fn plan(&self, flat: &Flat, room: &mut Room) -> Result<Vec<Read>, Fault> {
        let mut reads = Vec::new();
        for (entry, (name, leaf)) in (0..).zip(flat.leaves()) {
            let Object::Tensor(tensor) = leaf else { continue };
            let storage = self.objects.storage(self.objects.tensor(tensor).storage);
            let place = (self.place)(self.objects.text(storage.key))?;
            let named = |error: FormatError| {
                FormatError::new(format!("`{}`: {}", shown(name), error.found), error.expected)
            };
            if storage.numel.checked_mul(storage.size()) != Some(place.len) {
                let text = format!(
                    "a storage of {} bytes for {} elements of {} bytes",
                    place.len,
                    storage.numel,
                    storage.size()
                );
                return Err(named(damaged(text)).into());
            }
            let read = Read { place, entry, tensor };
            self.view(&read).map_err(named)?;
            room.push(&mut reads, read)?;
        }
        reads.sort_unstable_by(|a, b| self.order(a, b).then(a.entry.cmp(&b.entry)));
        let most = self.len.saturating_mul(2).saturating_add(OVERLAP);
        let (mut total, mut stored) = (0u64, 0u64);
        for (at, read) in reads.iter().enumerate() {
            // Each storage is read once. In a damaged file, many may lie over each other.
            if at == 0 || reads[at - 1].place != read.place {
                stored = stored.saturating_add(read.place.len);
            }
            if stored > most {
                return Err(damaged("storages that overlap").into());
            }
            if at == 0 || self.order(&reads[at - 1], read).is_ne() {
                total = total.saturating_add(self.view(read)?.bytes());
            }
            if total > most {
                let name = shown(flat.name(read.entry));
                let found = format!("`{name}`, which with others repeats elements of its storage");
                let expected = format!(
                    "{EXPECTED} whose tensors take at most twice its length; in Python, save the \
                     tensor's .clone(memory_format=torch.contiguous_format)"
                );
                return Err(FormatError::new(found, expected).into());
            }
        }
        Ok(reads)
    }

    /// Orders reads by position in the file, then by view: equal tensors compare equal.
    fn order(&self, a: &Read, b: &Read) -> std::cmp::Ordering {
        let key = |read: &Read| {
            let tensor = self.objects.tensor(read.tensor);
            let storage = self.objects.storage(tensor.storage);
            (read.place, storage.start * storage.size(), tensor.dtype as u8, tensor.offset)
        };
        let layout = |read: &Read| {
            let tensor = self.objects.tensor(read.tensor);
            let tuples = [tensor.sizes, tensor.strides].map(|span| self.objects.tuple(span));
            tuples.into_iter().flatten().map(|size| match size {
                Object::Int(size) => Some(*size),
                _ => None,
            })
        };
        key(a).cmp(&key(b)).then_with(|| layout(a).cmp(layout(b)))
    }

    /// The view of its storage that a tensor is.
    fn view(&self, read: &Read) -> Result<View, FormatError> {
        let tensor = self.objects.tensor(read.tensor);
        let storage = self.objects.storage(tensor.storage);
        let (sizes, strides) =
            (self.objects.sizes(tensor.sizes)?, self.objects.sizes(tensor.strides)?);
        // A part of a storage starts and ends at whole elements of its own type.
        let start = storage.start.checked_mul(storage.size());
        let offset = start
            .filter(|start| start % tensor.dtype.size() as u64 == 0)
            .and_then(|start| (start / tensor.dtype.size() as u64).checked_add(tensor.offset));
        let end = (storage.start + storage.len).checked_mul(storage.size());
        let (Some(offset), Some(end)) = (offset, end) else {
            return Err(damaged("the view of a storage"));
        };
        View::new(tensor.dtype, offset, &sizes, &strides, end)
    }
}

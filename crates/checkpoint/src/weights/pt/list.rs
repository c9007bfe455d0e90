//! Lists the tensors and scalars of a parsed file.

use super::flatten::flatten;
use super::global::Global;
use super::object::{Object, Objects, Strided, Tensor};
use super::room::Room;
use super::types::Type;
use super::{EXPECTED, damaged};
use crate::limits;
use crate::read_error::ReadError;
use crate::weights::entry::{Scalar, ScalarEntry, TensorEntry};
use crate::weights::listed::Listed;
use crate::weights::metadata::Metadata;
use crate::weights::place::Place;
use crate::weights::stored::StoredType;
use crate::weights::view::{ByteOrder, View};
use adamant_files::FormatError;
use adamant_tensor::Shape;
use adamant_tensor::shown;

/// A parsed file, and where its storages are.
pub(super) struct Source<'s> {
    /// The index of the file among those of the model.
    pub(super) file: u32,
    pub(super) len: u64,
    pub(super) objects: &'s Objects,
    pub(super) order: ByteOrder,
    /// The place of the storage of a key.
    pub(super) place: &'s dyn Fn(&str) -> Result<Place, ReadError>,
}

impl Source<'_> {
    /// What `root` contains, in its order. All of it is checked.
    pub(super) fn list(&self, root: Object, room: &mut Room) -> Result<Listed, ReadError> {
        let (mut entries, mut scalars) = (Vec::new(), Vec::new());
        flatten(self.objects, root, room, |name, leaf| {
            let value = match leaf {
                Object::Tensor(tensor) => {
                    let entry = self.entry(name, self.objects.tensor(tensor))?;
                    entries.push(entry);
                    return Ok(());
                }
                Object::Bool(value) => Scalar::Bool(value),
                Object::Int(value) => Scalar::Int(value),
                Object::Float(value) => Scalar::Float(value),
                Object::Text(text) => Scalar::Text(self.objects.text(text).into()),
                Object::Global(Global::Dtype(dtype)) => {
                    Scalar::Text(format!("torch.{}", dtype.name))
                }
                other => unreachable!("{} is not a leaf", other.kind()),
            };
            let entry = ScalarEntry { name: name.into(), value, after: entries.len() };
            scalars.push(entry);
            Ok(())
        })?;
        self.check_overlap(&entries)?;
        Ok(Listed { entries, scalars, metadata: Metadata::Strings(Vec::new()) })
    }

    fn entry(&self, name: &str, tensor: &Tensor) -> Result<TensorEntry, ReadError> {
        let &Tensor { dtype, sizes, source } = tensor;
        let sizes = self.objects.sizes(sizes)?;
        let (Some(stored), Some(source)) = (dtype.readable(), source) else {
            return Ok(self.unreadable(name, dtype, &sizes)?);
        };
        self.strided(name, dtype, stored, &sizes, source)
    }

    /// The entry of a tensor that cannot be read.
    fn unreadable(
        &self,
        name: &str,
        dtype: &Type,
        sizes: &[u64],
    ) -> Result<TensorEntry, FormatError> {
        let shape: Option<Shape> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        let numel = shape.as_ref().and_then(Shape::checked_numel);
        let bytes = numel.and_then(|numel| numel.checked_mul(dtype.size()));
        let (Some(shape), Some(bytes)) = (shape, bytes) else {
            return Err(damaged(format_args!("`{}` of sizes {sizes:?}", shown(name))));
        };
        Ok(TensorEntry {
            name: name.into(),
            stored: StoredType::Other(dtype.name.into()),
            shape,
            bytes: (dtype.size() > 0).then_some(bytes as u64),
            file: self.file,
            start: 0,
            view: None,
        })
    }

    /// The entry of a tensor that is a view of a storage.
    fn strided(
        &self,
        name: &str,
        dtype: &Type,
        stored: &StoredType,
        sizes: &[u64],
        source: Strided,
    ) -> Result<TensorEntry, ReadError> {
        let storage = self.objects.storage(source.storage);
        let place = (self.place)(self.objects.text(storage.key))?;
        let damaged = |text: String| damaged(format_args!("`{}`: {text}", shown(name)));
        if storage.numel.checked_mul(storage.size()) != Some(place.len) {
            let (len, numel, size) = (place.len, storage.numel, storage.size());
            let text = format!("a storage of {len} bytes for {numel} elements of {size} bytes");
            return Err(damaged(text).into());
        }
        // A part of a storage starts and ends at whole elements of its own type.
        let (part, size) = (storage.start * storage.size(), dtype.size() as u64);
        let len = (storage.start + storage.len) * storage.size(); // at most that of the place
        let strides = self.objects.sizes(source.strides)?;
        let offset = (part / size).checked_add(source.offset).filter(|_| part % size == 0);
        let view = offset.and_then(|offset| {
            View::new(place, self.order, dtype.size(), offset, sizes, &strides, len)
        });
        let Some((view, shape, start)) = view else {
            let (offset, dtype) = (source.offset, dtype.name);
            let text = format!(
                "sizes {sizes:?}, strides {strides:?} and offset {offset} in a storage of {len} \
                 bytes of type torch.{dtype}"
            );
            return Err(damaged(text).into());
        };
        Ok(TensorEntry {
            name: name.into(),
            stored: stored.clone(),
            bytes: stored.bytes(&shape),
            shape,
            file: self.file,
            start,
            view: Some(Box::new(view)),
        })
    }

    /// Checks that tensors do not overlap to much more than the file's length.
    fn check_overlap(&self, entries: &[TensorEntry]) -> Result<(), FormatError> {
        let mut order: Vec<&TensorEntry> = entries.iter().filter(|e| e.view.is_some()).collect();
        order.sort_unstable_by(|a, b| a.by_position(b));
        let most = self.len.saturating_mul(2).saturating_add(limits::PICKLE_OVERLAP);
        let storage = |entry: &TensorEntry| entry.view.as_ref().map(|view| view.storage());
        let (mut total, mut stored) = (0u64, 0u64);
        let mut last: Option<&TensorEntry> = None;
        for entry in order {
            // In a damaged file, many storages may lie over each other.
            if last.and_then(storage) != storage(entry) {
                stored = stored.saturating_add(storage(entry).map_or(0, |place| place.len));
            }
            if stored > most {
                return Err(damaged("storages that overlap"));
            }
            if last.is_none_or(|last| last.by_position(entry).is_ne()) {
                total = total.saturating_add(entry.bytes.unwrap_or(0));
            }
            if total > most {
                let name = shown(&entry.name);
                let found = format!("`{name}`, which with others repeats elements of its storage");
                let expected = format!(
                    "{EXPECTED} whose tensors take at most twice its length; in Python, save the \
                     tensor's .clone(memory_format=torch.contiguous_format)"
                );
                return Err(FormatError::new(found, expected));
            }
            last = Some(entry);
        }
        Ok(())
    }
}

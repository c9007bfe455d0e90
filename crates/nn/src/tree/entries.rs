//! What a source of a state has, under the names that a module has for it.

use crate::tree::load::{LoadError, LoadOptions};
use adamant_tensor::{Mismatch, StateError, StateSource, Value, ValueKind};
use std::collections::HashMap;

pub(super) struct Entry<'s> {
    /// The name in the module.
    pub(super) name: String,
    /// The name in the source.
    pub(super) stored_name: &'s str,
    pub(super) kind: ValueKind,
}

impl Entry<'_> {
    /// What the source has, for messages. It has another name there if it was renamed.
    pub(super) fn found(&self) -> String {
        if self.name == self.stored_name {
            self.kind.to_string()
        } else {
            format!("{} under `{}`", self.kind, self.stored_name)
        }
    }
}

/// The entries of a source that are to be loaded, in order.
pub(super) struct Entries<'s> {
    source: &'s dyn StateSource,
    list: Vec<Entry<'s>>,
    /// The index of each name in `list`.
    indices: HashMap<String, usize>,
}

impl<'s> Entries<'s> {
    /// The entries; the names in the source that are left out; and a mismatch for each entry that was
    /// renamed to the name of another.
    pub(super) fn of(
        source: &'s dyn StateSource,
        options: &LoadOptions,
    ) -> (Self, Vec<String>, StateError) {
        let mut entries = Entries { source, list: Vec::new(), indices: HashMap::new() };
        let (mut skipped, mut clashes) = (Vec::new(), StateError::new());
        for (stored_name, kind) in source.kinds() {
            let Some(name) = options.name_of(stored_name) else {
                skipped.push(stored_name.into());
                continue;
            };
            if let Some(first) = entries.get(&name) {
                let found = format!("`{}` and `{stored_name}`", first.stored_name);
                clashes.push(Mismatch::wrong(name, found, "one entry of this name"));
                continue;
            }
            entries.indices.insert(name.clone(), entries.list.len());
            entries.list.push(Entry { name, stored_name, kind });
        }
        (entries, skipped, clashes)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry<'s>> {
        self.indices.get(name).map(|&index| &self.list[index])
    }

    /// The entry of a name that is known to be there.
    pub(super) fn listed(&self, name: &str) -> &Entry<'s> {
        self.get(name).expect("the name was found before")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<'s>> {
        self.list.iter()
    }

    pub(super) fn read(&self, entry: &Entry<'_>) -> Result<Value, LoadError> {
        let name = entry.stored_name;
        self.source.read(name).map_err(|error| LoadError::Read { name: name.into(), error })
    }
}

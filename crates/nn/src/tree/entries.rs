//! What a source of a state has, under the names that a module has for it.

use crate::tree::load::LoadOptions;
use adamant_tensor::{Mismatch, StateSource, ValueKind};
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

/// The entries of a source, in order.
pub(super) struct Entries<'s> {
    list: Vec<Entry<'s>>,
    /// The index of each name in `list`.
    indices: HashMap<String, usize>,
    /// The names in the source that are not to be loaded.
    pub(super) skipped: Vec<String>,
    /// For each entry that was renamed to the name of another.
    pub(super) clashes: Vec<Mismatch>,
}

impl<'s> Entries<'s> {
    pub(super) fn of(source: &'s dyn StateSource, options: &LoadOptions) -> Self {
        let mut entries = Entries {
            list: Vec::new(),
            indices: HashMap::new(),
            skipped: Vec::new(),
            clashes: Vec::new(),
        };
        for (stored_name, kind) in source.kinds() {
            match options.name_of(stored_name) {
                Some(name) => entries.insert(Entry { name, stored_name, kind }),
                None => entries.skipped.push(stored_name.into()),
            }
        }
        entries
    }

    fn insert(&mut self, entry: Entry<'s>) {
        match self.get(&entry.name) {
            Some(first) => {
                let found = format!("`{}` and `{}`", first.stored_name, entry.stored_name);
                self.clashes.push(Mismatch::wrong(&entry.name, found, "one entry of this name"));
            }
            None => {
                self.indices.insert(entry.name.clone(), self.list.len());
                self.list.push(entry);
            }
        }
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
}

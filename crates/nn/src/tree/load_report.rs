//! What a load has done.

use crate::tree::entries::Entry;
use adamant_tensor::{Mismatch, StateError};
use std::collections::BTreeMap;
use std::fmt;

/// The result of [`load_with`](crate::load_with): the names that were loaded, and those that were not.
///
/// PyTorch: the result of `load_state_dict`.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Names in the module that were loaded.
    pub loaded: Vec<String>,
    /// Names in the module whose elements were converted to the module's type, and the type that
    /// the source has them in.
    pub converted: Vec<(String, String)>,
    /// Names in the source for which [`LoadOptions::rename`](crate::LoadOptions::rename) returned `None`.
    pub skipped: Vec<String>,
    /// Names that the module has and the source does not have.
    pub missing: Vec<String>,
    /// Names that the source has and the module does not have.
    pub unexpected: Vec<String>,
    /// Names that both have, with different shapes or types. (Also a shared parameter's name whose
    /// values differ from those under its first name.)
    pub misshapen: Vec<String>,
    /// A line for each name in the three lists above.
    pub(super) errors: StateError,
}

impl LoadReport {
    /// Whether all of the source that was not skipped was loaded into all of the module.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.errors.mismatches().is_empty()
    }

    pub(super) fn add_missing(&mut self, name: &str, expected: String) {
        self.missing.push(name.into());
        self.errors.push(Mismatch::Missing { name: name.into(), expected });
    }

    pub(super) fn add_unexpected(&mut self, entry: &Entry<'_>) {
        self.unexpected.push(entry.stored_name.into());
        self.errors.push(Mismatch::Unexpected { name: entry.name.clone(), found: entry.found() });
    }

    pub(super) fn add_misshapen(&mut self, entry: &Entry<'_>, expected: String) {
        self.misshapen.push(entry.name.clone());
        self.errors.push(Mismatch::wrong(&entry.name, entry.found(), expected));
    }

    /// An entry whose name belongs to the same leaf as `first`, and whose values are others.
    pub(super) fn add_untied(&mut self, entry: &Entry<'_>, first: &Entry<'_>) {
        self.misshapen.push(entry.name.clone());
        let expected = format!("those of `{}`, to which it is tied", first.name);
        self.errors.push(Mismatch::wrong(&entry.name, "other values", expected));
    }

    /// The generator at `path`, whose entries (or `none`) are not its state.
    pub(super) fn add_generator(&mut self, path: &str, none: bool, error: StateError) {
        let list = if none { &mut self.missing } else { &mut self.misshapen };
        list.push(path.into());
        self.errors.extend(path, Err(error));
    }
}

/// The number of names that were loaded, how many of them from each other type, and a line for each
/// name that was not loaded.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loaded {}", self.loaded.len())?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, stored) in &self.converted {
            *counts.entry(stored).or_default() += 1;
        }
        for (stored, count) in counts {
            write!(f, ", {count} of them from {stored}")?;
        }
        let lines = self.errors.mismatches();
        write!(f, "; left out {}", lines.len())?;
        lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

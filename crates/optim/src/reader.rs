//! Reads a state: collects all mismatches, and finds names that nobody requests.

use crate::fields::{Fields, Set, Visitor};
use adamant_tensor::{StateDict, StateError, Value};
use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;

pub(crate) struct Reader<'s> {
    state: &'s StateDict,
    /// The names that were requested: any other is a mismatch.
    known: HashSet<String>,
    /// Lists, like `groups.`, and indices in them whose names are part of another mismatch.
    reported: Vec<(String, Range<usize>)>,
    mismatches: Vec<String>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(state: &'s StateDict) -> Self {
        Reader { state, known: HashSet::new(), reported: Vec::new(), mismatches: Vec::new() }
    }

    /// `Ok` if everything was as expected, and every name of the state was requested.
    pub(crate) fn finish(mut self) -> Result<(), StateError> {
        let is_reported = |name: &str| {
            self.reported.iter().any(|(list, indices)| {
                let index = name.strip_prefix(list).and_then(|rest| rest.split('.').next());
                index.and_then(|index| index.parse().ok()).is_some_and(|i| indices.contains(&i))
            })
        };
        let names = self.state.iter().filter(|(name, _)| !self.known.contains(*name));
        for (name, value) in names.filter(|(name, _)| !is_reported(name)) {
            let found = value.kind();
            self.mismatches.push(format!("`{name}`: found {found}, expected nothing of this name"));
        }
        let mut errors = StateError::new();
        self.mismatches.into_iter().for_each(|mismatch| errors.push(mismatch));
        errors.into_result()
    }

    pub(crate) fn push(&mut self, mismatch: String) {
        self.mismatches.push(mismatch);
    }

    /// The names of a list with these indices are part of another mismatch.
    pub(crate) fn report(&mut self, list: &str, indices: Range<usize>) {
        self.reported.push((list.into(), indices));
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.state.iter().count()
    }

    fn get(&mut self, name: &str) -> Option<&'s Value> {
        self.known.insert(name.into());
        self.state.get(name)
    }

    fn mismatch(&mut self, name: &str, found: Option<&Value>, expected: &dyn Display) {
        self.push(match found {
            Some(found) => format!("`{name}`: found {}, expected {expected}", found.kind()),
            None => format!("`{name}`: missing, expected {expected}"),
        });
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<&'s str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            found => {
                self.mismatch(name, found, &"a string");
                None
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.state.get(name).is_some()
    }

    pub(crate) fn optional_text(&mut self, name: &str) -> Option<&'s str> {
        if self.has(name) { self.text(name) } else { None }
    }

    /// The length of the list `name`, which should be `expected`. The names of further elements
    /// are part of the mismatch.
    pub(crate) fn length(&mut self, name: &str, expected: usize) -> usize {
        match self.get(name) {
            Some(&Value::Int(found)) => {
                if found != expected as i64 {
                    self.push(format!("`{name}`: found {found} of them, expected {expected}"));
                    self.report(&format!("{name}."), expected..usize::MAX);
                }
                usize::try_from(found.max(0)).unwrap_or(usize::MAX)
            }
            found => {
                self.mismatch(name, found, &"an integer");
                expected
            }
        }
    }

    /// Sets every field to its value in the state; returns how many were found there.
    pub(crate) fn fields(&mut self, prefix: &str, visit: impl FnOnce(&mut Fields<'_>)) -> usize {
        struct Load<'l, 's> {
            prefix: &'l str,
            reader: &'l mut Reader<'s>,
            found: usize,
        }
        impl Visitor for Load<'_, '_> {
            fn field(
                &mut self,
                name: &str,
                _: Option<Value>,
                expected: &dyn Display,
                set: Set<'_>,
            ) {
                let name = format!("{}{name}", self.prefix);
                let found = self.reader.get(&name);
                self.found += usize::from(found.is_some());
                if !set(found) {
                    self.reader.mismatch(&name, found, expected);
                }
            }

            fn broken(&mut self, name: &str, found: &dyn Display, expected: &dyn Display) {
                let name = format!("{}{name}", self.prefix);
                self.reader.push(format!("`{name}`: found {found}, expected {expected}"));
            }

            fn is_load(&self) -> bool {
                true
            }

            fn has(&self, name: &str) -> bool {
                self.reader.has(&format!("{}{name}", self.prefix))
            }
        }
        let mut load = Load { prefix, reader: self, found: 0 };
        visit(&mut Fields::new(&mut load));
        load.found
    }

    /// The fields of something that may be missing as a whole: `false`, without a mismatch, if it
    /// is. Else the mismatches end in `note`.
    pub(crate) fn optional_fields(
        &mut self,
        prefix: &str,
        note: &str,
        visit: impl FnOnce(&mut Fields<'_>),
    ) -> bool {
        let before = self.mismatches.len();
        let found = self.fields(prefix, visit);
        if found == 0 {
            self.mismatches.truncate(before);
        }
        self.mismatches[before..].iter_mut().for_each(|mismatch| mismatch.push_str(note));
        found > 0
    }
}

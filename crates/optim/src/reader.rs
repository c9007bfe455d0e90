//! Reads a state, and collects all mismatches and unknown names.

use crate::fields::{self, Fields, Load};
use adamant_tensor::{Mismatch, StateDict, StateError};
use std::collections::HashSet;
use std::ops::Range;

pub(crate) struct Reader<'s> {
    state: &'s StateDict,
    /// The names that were requested: any other is a mismatch.
    known: HashSet<String>,
    /// Lists, like `groups.`, and indices in them whose names are part of another mismatch.
    reported: Vec<(String, Range<usize>)>,
    mismatches: Vec<Mismatch>,
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
            let (name, found) = (name.into(), value.kind());
            self.mismatches.push(Mismatch::Unexpected { name, found });
        }
        let mut errors = StateError::new();
        self.mismatches.into_iter().for_each(|mismatch| errors.push(mismatch));
        errors.into_result()
    }

    pub(crate) fn push(&mut self, mismatch: impl Into<Mismatch>) {
        self.mismatches.push(mismatch.into());
    }

    /// A mismatch of the value of `name`.
    pub(crate) fn push_wrong(
        &mut self,
        name: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (name, found, expected) = (name.into(), found.into(), expected.into());
        self.push(Mismatch::Wrong { name, found, expected });
    }

    /// The names of a list with these indices are part of another mismatch.
    pub(crate) fn report(&mut self, list: &str, indices: Range<usize>) {
        self.reported.push((list.into(), indices));
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.state.len()
    }

    /// The value, or `None` and a mismatch.
    fn take<V>(&mut self, name: &str, value: Result<V, Mismatch>) -> Option<V> {
        self.known.insert(name.into());
        value.map_err(|mismatch| self.push(mismatch)).ok()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<&'s str> {
        self.take(name, self.state.text(name))
    }

    pub(crate) fn optional_text(&mut self, name: &str) -> Option<&'s str> {
        if self.state.contains(name) { self.text(name) } else { None }
    }

    /// The length of the list `name`, which should be `expected`. The names of further elements
    /// are part of the mismatch.
    pub(crate) fn length(&mut self, name: &str, expected: usize) -> usize {
        let Some(found) = self.take(name, self.state.int(name)) else { return expected };
        if found != expected as i64 {
            self.push_wrong(name, format!("{found} of them"), expected.to_string());
            self.report(&format!("{name}."), expected..usize::MAX);
        }
        usize::try_from(found.max(0)).unwrap_or(usize::MAX)
    }

    /// Sets every field to its value in the state.
    pub(crate) fn fields(&mut self, prefix: &str, visit: impl FnOnce(&mut Fields<'_>)) {
        self.load(prefix, "", visit);
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
        let found = self.load(prefix, note, visit);
        if found == 0 {
            self.mismatches.truncate(before);
        }
        found > 0
    }

    /// The number of fields that are in the state.
    fn load(&mut self, prefix: &str, note: &str, visit: impl FnOnce(&mut Fields<'_>)) -> usize {
        let Reader { state, known, mismatches, .. } = self;
        let mut found = 0;
        fields::load(Load { state, prefix, note, known, mismatches, found: &mut found }, visit);
        found
    }
}

/// A copy of `object` with the fields of a state, which has no others.
pub(crate) fn read<S: Clone>(
    object: &S,
    state: &StateDict,
    fields: impl FnOnce(&mut S, &mut Fields<'_>),
) -> Result<S, StateError> {
    let (mut read, mut reader) = (object.clone(), Reader::new(state));
    reader.fields("", |visitor| fields(&mut read, visitor));
    reader.finish().map(|()| read)
}

/// The state of an `object` that is its fields.
pub(crate) fn saved<S: Clone>(
    object: &S,
    fields: impl FnOnce(&mut S, &mut Fields<'_>),
) -> StateDict {
    let mut state = StateDict::new();
    fields::save("", &mut state, |visitor| fields(&mut object.clone(), visitor));
    state
}

//! The entries of a metric's state.

use adamant_tensor::{Array, Mismatch, Shape, StateDict, StateError, Value};

/// Non-negative integers as a value of a state.
pub(super) fn saved_counts(shape: impl Into<Shape>, counts: impl Iterator<Item = u64>) -> Value {
    let counts: Vec<i64> = counts.map(|count| count as i64).collect();
    Value::I64(Array::from_slice(shape.into(), &counts))
}

/// Floats as a value of a state: an array even of a single one, which keeps every bit of NaN in
/// all formats.
pub(super) fn saved_floats(shape: impl Into<Shape>, floats: &[f64]) -> Value {
    Value::F64(Array::from_slice(shape.into(), floats))
}

/// A reader of a state that collects all mismatches. An entry that does not fit reads as `None`.
pub(super) struct Fields<'s> {
    state: &'s StateDict,
    errors: StateError,
}

impl<'s> Fields<'s> {
    /// The fields of a state that must have these names and no others.
    pub(super) fn new(state: &'s StateDict, names: &[&str]) -> Self {
        let mut errors = StateError::new();
        errors.check_names(state, names.iter().copied());
        Fields { state, errors }
    }

    /// A non-negative integer.
    pub(super) fn count(&mut self, name: &str) -> Option<u64> {
        let found = self.errors.take(self.state.int(name))?;
        self.unsigned(name, found)
    }

    /// Non-negative integers, in an array of this shape.
    pub(super) fn counts(&mut self, name: &str, shape: &[usize]) -> Option<Vec<u64>> {
        let expected = format!("i64 {}", Shape::from(shape));
        self.integers(name, &expected, |found| found == shape)
    }

    /// Non-negative integers, in a vector of any length.
    pub(super) fn vector_of_counts(&mut self, name: &str) -> Option<Vec<u64>> {
        self.integers(name, "i64 [N]", |found| found.len() == 1)
    }

    /// Floats, in an array of this shape.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize]) -> Option<Vec<f64>> {
        self.errors.take(self.state.array::<f64>(name, shape)).map(Array::to_vec)
    }

    /// Adds a mismatch unless `fits`.
    pub(super) fn require(&mut self, fits: bool, name: &str, found: &str, expected: &str) {
        if !fits {
            self.errors.push(Mismatch::wrong(name, found, expected));
        }
    }

    /// What was read, if there is no mismatch.
    pub(super) fn finish<M>(self, read: Option<M>) -> Result<M, StateError> {
        self.errors.into_result()?;
        Ok(read.expect("a field that cannot be read is a mismatch"))
    }

    fn integers(
        &mut self,
        name: &str,
        expected: &str,
        fits: impl Fn(&[usize]) -> bool,
    ) -> Option<Vec<u64>> {
        match self.state.get(name) {
            Some(Value::I64(array)) if fits(array.shape()) => {
                array.to_vec().into_iter().map(|found| self.unsigned(name, found)).collect()
            }
            found => {
                let (name, expected) = (name.to_string(), expected.to_string());
                self.errors.push(match found {
                    None => Mismatch::Missing { name, expected },
                    Some(value) => Mismatch::wrong(name, value.kind(), expected),
                });
                None
            }
        }
    }

    fn unsigned(&mut self, name: &str, found: i64) -> Option<u64> {
        self.require(found >= 0, name, &found.to_string(), "at least 0");
        u64::try_from(found).ok()
    }
}

//! State as one ordered dictionary: what a model, an optimizer, a generator and
//! a data loader all speak.

use crate::array::Array;
use crate::shape::Shape;
use adamant_kernels::Float;
use std::collections::HashMap;
use std::fmt;

/// What a name in a [`StateDict`] stands for.
#[derive(Clone)]
pub enum Value {
    /// Single-precision numbers.
    F32(Array<f32>),
    /// Double-precision numbers.
    F64(Array<f64>),
    /// Whole numbers that are an array in PyTorch too: how many batches a layer has seen.
    I64(Array<i64>),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// The array of `T`s, if that is what this is.
    #[must_use]
    pub fn array<T: Float>(&self) -> Option<&Array<T>> {
        let array: &dyn std::any::Any = match self {
            Value::F32(array) => array,
            Value::F64(array) => array,
            _ => return None,
        };
        array.downcast_ref()
    }

    /// The first element of an array that is infinite or NaN: its row-major index and value.
    fn first_non_finite(&self) -> Option<(usize, f64)> {
        fn first<T: Float>(array: &Array<T>) -> Option<(usize, f64)> {
            let array = array.contiguous("first_non_finite");
            let elements = array.dense().iter();
            let mut numbers = elements.map(|x| x.to_f64()).enumerate();
            numbers.find(|(_, x)| !x.is_finite())
        }
        match self {
            Value::F32(array) => first(array),
            Value::F64(array) => first(array),
            _ => None,
        }
    }

    /// What this is, in words: `f32 [2, 3]`, `the whole number 7`.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Value::F32(array) => format!("f32 {}", array.shape()),
            Value::F64(array) => format!("f64 {}", array.shape()),
            Value::I64(array) => format!("i64 {}", array.shape()),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => format!("the whole number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(value) => format!("the text {value:?}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())
    }
}

impl PartialEq for Value {
    /// Equal in every bit: NaN equals itself, and 0 does not equal −0.
    fn eq(&self, other: &Self) -> bool {
        fn same<T: Float>(a: &Array<T>, b: &Array<T>, bits: impl Fn(T) -> u64) -> bool {
            a.shape() == b.shape()
                && a.to_vec().into_iter().map(&bits).eq(b.to_vec().into_iter().map(&bits))
        }
        match (self, other) {
            (Value::F32(a), Value::F32(b)) => same(a, b, |x| u64::from(x.to_bits())),
            (Value::F64(a), Value::F64(b)) => same(a, b, f64::to_bits),
            (Value::I64(a), Value::I64(b)) => a.shape() == b.shape() && a.to_vec() == b.to_vec(),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl<T: Float> From<Array<T>> for Value {
    fn from(array: Array<T>) -> Self {
        let any: &dyn std::any::Any = &array;
        match (any.downcast_ref::<Array<f32>>(), any.downcast_ref::<Array<f64>>()) {
            (Some(array), _) => Value::F32(array.clone()),
            (_, Some(array)) => Value::F64(array.clone()),
            _ => unreachable!("Float is sealed"),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

/// Names and their values, in order. A snapshot: arrays are shared with their
/// owner, who copies before writing.
///
/// ```
/// use adamant_tensor::StateDict;
/// let mut state = StateDict::new();
/// state.insert("lr", 1e-3);
/// assert_eq!(state.float("lr"), Ok(1e-3));
/// assert!(state.float("momentum").is_err());
/// ```
#[derive(Clone, Default)]
pub struct StateDict {
    entries: Vec<(String, Value)>,
    /// Where each name is.
    places: HashMap<String, usize>,
}

impl fmt::Debug for StateDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for StateDict {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl StateDict {
    /// Without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`: at the end, or in its place if it is there.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.places.get(&name) {
            Some(&place) => self.entries[place].1 = value,
            None => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.places.get(name).map(|&place| &self.entries[place].1)
    }

    /// Adds the entries of a part, their names behind `part.`
    pub fn insert_part(&mut self, part: &str, state: StateDict) {
        for (name, value) in state.entries {
            self.insert(format!("{part}.{name}"), value);
        }
    }

    /// The entries whose names begin with `part.`, without it.
    #[must_use]
    pub fn part(&self, part: &str) -> StateDict {
        let mut found = StateDict::new();
        for (name, value) in self.iter() {
            if let Some(rest) = name.strip_prefix(part).and_then(|rest| rest.strip_prefix('.')) {
                found.insert(rest, value.clone());
            }
        }
        found
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The arrays with an infinite element or NaN: the name, and the row-major index and the value
    /// of the first such element.
    ///
    /// A state with such arrays can be saved and loaded like any other; a run that has one is worth
    /// a look. An optimizer lists its own by parameter.
    ///
    /// ```
    /// use adamant_tensor::{StateDict, Tensor};
    /// let mut state = StateDict::new();
    /// state.insert("weight", Tensor::from([1.0f32, 2.0]).array().clone());
    /// state.insert("bias", Tensor::from([0.0f32, f32::INFINITY]).array().clone());
    /// assert_eq!(state.non_finite().collect::<Vec<_>>(), [("bias", 1, f64::INFINITY)]);
    /// ```
    pub fn non_finite(&self) -> impl Iterator<Item = (&str, usize, f64)> {
        self.iter().filter_map(|(name, value)| {
            value.first_non_finite().map(|(index, found)| (name, index, found))
        })
    }

    fn expect<'s, V>(
        &'s self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'s Value) -> Option<V>,
    ) -> Result<V, String> {
        let Some(value) = self.get(name) else {
            return Err(format!("`{name}`: missing, expected {expected}"));
        };
        read(value).ok_or_else(|| format!("`{name}`: found {}, expected {expected}", value.kind()))
    }

    /// The yes or no `name`; an error text if it is missing or something else.
    #[allow(clippy::missing_errors_doc, reason = "said above, here and below")]
    pub fn bool(&self, name: &str) -> Result<bool, String> {
        self.expect(name, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// The whole number `name`; an error text if it is missing or something else.
    #[allow(clippy::missing_errors_doc, reason = "said above")]
    pub fn int(&self, name: &str) -> Result<i64, String> {
        self.expect(name, "a whole number", |value| match value {
            Value::Int(value) => Some(*value),
            _ => None,
        })
    }

    /// The number `name`; an error text if it is missing or something else.
    #[allow(clippy::missing_errors_doc, reason = "said above")]
    pub fn float(&self, name: &str) -> Result<f64, String> {
        self.expect(name, "a number", |value| match value {
            Value::Float(value) => Some(*value),
            _ => None,
        })
    }

    /// The count `name`, an `i64` array of no dimensions; an error text if it is missing or
    /// something else.
    #[allow(clippy::missing_errors_doc, reason = "said above")]
    pub fn count(&self, name: &str) -> Result<i64, String> {
        self.expect(name, "i64 []", |value| match value {
            Value::I64(array) if array.shape().is_empty() => Some(array.to_vec()[0]),
            _ => None,
        })
    }

    /// The text `name`; an error text if it is missing or something else.
    #[allow(clippy::missing_errors_doc, reason = "said above")]
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.expect(name, "a text", |value| match value {
            Value::Text(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// The array `name` of this type and shape; an error text if it is missing
    /// or something else.
    #[allow(clippy::missing_errors_doc, reason = "said above")]
    pub fn array<T: Float>(&self, name: &str, shape: &[usize]) -> Result<&Array<T>, String> {
        let expected = format!("{} {}", T::DTYPE, Shape::from(shape));
        self.expect(name, &expected, |value| {
            value.array().filter(|array| **array.shape() == *shape)
        })
    }
}

/// All that keeps a state from being loaded: a line for each mismatch.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StateError {
    mismatches: Vec<String>,
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StateError {
    /// Without a mismatch: to be added to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mismatch: the name, what was found and what was expected.
    pub fn push(&mut self, mismatch: impl Into<String>) {
        self.mismatches.push(mismatch.into());
    }

    /// The value, or `None` with its error added.
    pub fn take<V>(&mut self, result: Result<V, String>) -> Option<V> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Adds an error for each name of `state` that is not among the known ones.
    pub fn check_names<'n>(&mut self, state: &StateDict, known: impl IntoIterator<Item = &'n str>) {
        let known: std::collections::HashSet<&str> = known.into_iter().collect();
        for (name, value) in state.iter().filter(|(name, _)| !known.contains(name)) {
            self.push(format!("`{name}`: found {}, expected nothing of this name", value.kind()));
        }
    }

    /// Adds the mismatches of a part, whose names begin with `part.`
    pub fn extend(&mut self, part: &str, result: Result<(), StateError>) {
        let prefixed = |line: String| match line.strip_prefix('`') {
            Some(rest) => format!("`{part}.{rest}"),
            None => format!("{part}: {line}"),
        };
        if let Err(other) = result {
            self.mismatches.extend(other.mismatches.into_iter().map(prefixed));
        }
    }

    /// The mismatches, one by one.
    #[must_use]
    pub fn mismatches(&self) -> &[String] {
        &self.mismatches
    }

    /// `Ok` if there is no mismatch.
    ///
    /// # Errors
    /// This, if there is one.
    pub fn into_result(self) -> Result<(), StateError> {
        if self.mismatches.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state does not fit, nothing was changed:")?;
        self.mismatches.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for StateError {}

/// What can be saved to a [`StateDict`] and put back.
pub trait Stateful {
    /// The present state, as a snapshot: later changes do not show in it.
    fn state_dict(&self) -> StateDict;

    /// Checks that `state` would load, and changes nothing.
    ///
    /// # Errors
    /// All mismatches at once.
    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError>;

    /// Takes over `state`: all of it, or nothing if any of it does not fit.
    ///
    /// # Errors
    /// All mismatches at once.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_by_bits() {
        let value = |x: f64| Value::from(Array::full([2].into(), x));
        assert_eq!(value(f64::NAN), value(f64::NAN));
        assert_ne!(value(0.0), value(-0.0));
        assert_ne!(Value::from(1.0), Value::from(1));
    }

    #[test]
    fn errors_name_what_was_found_and_expected() {
        let mut state = StateDict::new();
        state.insert("weight", Array::full([2, 3].into(), 1.0f32));
        let error = state.array::<f32>("weight", &[3, 2]).err();
        assert_eq!(error.unwrap(), "`weight`: found f32 [2, 3], expected f32 [3, 2]");
        let error = state.array::<f64>("weight", &[2, 3]).err();
        assert_eq!(error.unwrap(), "`weight`: found f32 [2, 3], expected f64 [2, 3]");
    }
}

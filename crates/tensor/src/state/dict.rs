//! State as one ordered dictionary: the common form of a model's, an optimizer's, a generator's
//! and a data loader's.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Index;

/// An entry of a [`StateDict`].
#[derive(Clone)]
pub enum Value {
    /// Single-precision elements.
    F32(Array<f32>),
    /// Double-precision elements.
    F64(Array<f64>),
    /// Integers that are a tensor in PyTorch too: the number of batches a layer has seen.
    I64(Array<i64>),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point value.
    Float(f64),
    /// A string.
    Text(String),
}

impl Value {
    /// The array, if this is one with elements of type `T`.
    #[must_use]
    pub fn array<T: Float>(&self) -> Option<&Array<T>> {
        let array: &dyn std::any::Any = match self {
            Value::F32(array) => array,
            Value::F64(array) => array,
            _ => return None,
        };
        array.downcast_ref()
    }

    /// The array as an untracked tensor, if this is one with elements of type `T`. Copies nothing.
    ///
    /// ```
    /// use adamant_tensor::{Tensor, Value};
    /// let value = Value::from(Tensor::from([1.0f32, 2.0]));
    /// assert_eq!(value.tensor::<f32>().unwrap().to_vec(), [1.0, 2.0]);
    /// assert!(value.tensor::<f64>().is_none());
    /// assert_eq!(value.cast::<f64>().tensor::<f64>().unwrap().to_vec(), [1.0, 2.0]);
    /// ```
    #[must_use]
    pub fn tensor<T: Float>(&self) -> Option<Tensor<T>> {
        self.array().map(|array: &Array<T>| array.clone().into())
    }

    /// This with the elements of an `f32` or `f64` array as `T`, rounded to nearest. Other values
    /// stay as they are.
    #[must_use]
    pub fn cast<T: Float>(&self) -> Value {
        match self {
            value if value.array::<T>().is_some() => value.clone(),
            Value::F32(array) => array.cast::<T>().into(),
            Value::F64(array) => array.cast::<T>().into(),
            value => value.clone(),
        }
    }

    /// The first element of an array that is infinite or NaN: its row-major index and value.
    fn first_non_finite(&self) -> Option<(usize, f64)> {
        fn first<T: Float>(array: &Array<T>) -> Option<(usize, f64)> {
            let array = array.contiguous("first_non_finite");
            let mut elements = array.dense().iter().map(|x| x.to_f64()).enumerate();
            elements.find(|(_, x)| !x.is_finite())
        }
        match self {
            Value::F32(array) => first(array),
            Value::F64(array) => first(array),
            _ => None,
        }
    }

    /// A description for messages: `f32 [2, 3]`, `the integer 7`.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Value::F32(array) => format!("f32 {}", array.shape()),
            Value::F64(array) => format!("f64 {}", array.shape()),
            Value::I64(array) => format!("i64 {}", array.shape()),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => format!("the integer {value}"),
            Value::Float(value) => format!("the float {value}"),
            Value::Text(value) => format!("the string {value:?}"),
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

impl<T: Float> From<Tensor<T>> for Value {
    fn from(tensor: Tensor<T>) -> Self {
        tensor.array.into()
    }
}

impl<T: Float> From<&Tensor<T>> for Value {
    fn from(tensor: &Tensor<T>) -> Self {
        tensor.array.clone().into()
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

/// Names and their values, in order. A snapshot: arrays are shared with their owner, who copies
/// before writing.
///
/// PyTorch: the `OrderedDict` that `state_dict()` returns.
///
/// ```
/// use adamant_tensor::{StateDict, Tensor};
/// let mut state = StateDict::new();
/// state.insert("lr", 1e-3);
/// state.insert("module.weight", Tensor::from([1.0f32, 2.0]));
/// assert_eq!(state.float("lr"), Ok(1e-3));
/// assert!(state.float("momentum").is_err());
///
/// state.remove_prefix("module.").unwrap();
/// assert_eq!(state.keys().collect::<Vec<_>>(), ["lr", "weight"]);
/// assert_eq!(state["weight"].tensor::<f32>().unwrap().to_vec(), [1.0, 2.0]);
/// ```
#[derive(Clone, Default)]
pub struct StateDict {
    entries: Vec<(String, Value)>,
    /// The index of each name in `entries`.
    indices: HashMap<String, usize>,
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

/// The value of a name.
///
/// # Panics
/// If there is no such name.
impl Index<&str> for StateDict {
    type Output = Value;

    #[track_caller]
    fn index(&self, name: &str) -> &Value {
        match self.get(name) {
            Some(value) => value,
            None => panic!(
                "StateDict: no `{name}`; expected one of {:?}",
                self.keys().collect::<Vec<_>>()
            ),
        }
    }
}

/// Inserts the entries in order; of a name that appears twice, the last value stays.
impl<N: Into<String>, V: Into<Value>> FromIterator<(N, V)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut state = StateDict::new();
        entries.into_iter().for_each(|(name, value)| state.insert(name, value));
        state
    }
}

impl StateDict {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is an entry of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.indices.contains_key(name)
    }

    /// The value of `name`. Where it must be there, `state["name"]` is shorter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.indices.get(name).map(|&index| &self.entries[index].1)
    }

    /// Sets `name` to `value`: in its position if it is there, else at the end.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.indices.get(&name) {
            Some(&index) => self.entries[index].1 = value,
            None => {
                self.indices.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
    }

    /// Removes `name` and returns its value. The others stay in order.
    ///
    /// PyTorch: `state.pop(name)`.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let removed = self.indices.remove(name)?;
        let (_, value) = self.entries.remove(removed);
        for (index, (name, _)) in self.entries.iter().enumerate().skip(removed) {
            *self.indices.get_mut(name).expect("each entry has its index") = index;
        }
        Some(value)
    }

    /// Gives the entry `from` the name `to`; it stays in its position.
    ///
    /// # Errors
    /// If there is no `from`, or there is a `to` already. Nothing is changed then.
    ///
    /// ```
    /// use adamant_tensor::StateDict;
    /// let mut state = StateDict::from_iter([("gamma", 1.0), ("beta", 0.0)]);
    /// state.rename("gamma", "weight").unwrap();
    /// assert_eq!(state.keys().collect::<Vec<_>>(), ["weight", "beta"]);
    /// assert!(state.rename("gamma", "scale").is_err());
    /// ```
    pub fn rename(&mut self, from: &str, to: impl Into<String>) -> Result<(), Mismatch> {
        let to = to.into();
        let Some(&index) = self.indices.get(from) else {
            let expected = format!("an entry to rename to `{to}`");
            return Err(Mismatch::Missing { name: from.into(), expected });
        };
        if from == to {
            return Ok(());
        }
        if let Some(value) = self.get(&to) {
            return Err(Mismatch::Unexpected { found: value.kind(), name: to });
        }
        self.indices.remove(from);
        self.indices.insert(to.clone(), index);
        self.entries[index].0 = to;
        Ok(())
    }

    /// Removes `prefix` from each name that begins with it; other names stay as they are.
    ///
    /// For states of a wrapped model: `state.remove_prefix("module.")` after PyTorch's
    /// `DataParallel`, `"_orig_mod."` after `torch.compile`.
    ///
    /// PyTorch: `torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, prefix)`.
    ///
    /// # Errors
    /// If a shortened name is there already. Nothing is changed then.
    pub fn remove_prefix(&mut self, prefix: &str) -> Result<(), Mismatch> {
        let mut renamed = StateDict::new();
        for (name, value) in self.iter() {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            if renamed.contains(name) {
                return Err(Mismatch::Unexpected { name: name.into(), found: value.kind() });
            }
            renamed.insert(name, value.clone());
        }
        *self = renamed;
        Ok(())
    }

    /// Adds the entries of a part; their names begin with `part.` here.
    pub fn insert_part(&mut self, part: &str, state: StateDict) {
        for (name, value) in state.entries {
            self.insert(format!("{part}.{name}"), value);
        }
    }

    /// The entries whose names begin with `part.`, without it.
    #[must_use]
    pub fn part(&self, part: &str) -> StateDict {
        let rest = |name: &str| Some(name.strip_prefix(part)?.strip_prefix('.')?.to_string());
        self.iter().filter_map(|(name, value)| Some((rest(name)?, value.clone()))).collect()
    }

    /// The state with all `f32` and `f64` arrays as arrays of `T`, rounded to nearest.
    ///
    /// A model is cast by loading its cast state into a model of the other type. An optimizer's
    /// state is cast in the same way.
    ///
    /// PyTorch: `model.double()`, `model.float()`.
    ///
    /// ```
    /// use adamant_tensor::{StateDict, Tensor};
    /// let state = StateDict::from_iter([("weight", Tensor::from([0.5f32]))]);
    /// assert_eq!(state.cast::<f64>().array::<f64>("weight", &[1]).unwrap().to_vec(), [0.5]);
    /// ```
    #[must_use]
    pub fn cast<T: Float>(&self) -> StateDict {
        self.iter().map(|(name, value)| (name, value.cast::<T>())).collect()
    }

    /// The arrays with an infinite element or NaN: the name, and the row-major index and the value
    /// of the first such element.
    ///
    /// Such a state is saved and loaded like any other.
    ///
    /// ```
    /// use adamant_tensor::{StateDict, Tensor};
    /// let mut state = StateDict::new();
    /// state.insert("weight", Tensor::from([1.0f32, 2.0]));
    /// state.insert("bias", Tensor::from([0.0f32, f32::INFINITY]));
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
    ) -> Result<V, Mismatch> {
        let (name, expected) = (name.to_string(), expected.to_string());
        match self.get(&name) {
            None => Err(Mismatch::Missing { name, expected }),
            Some(value) => {
                read(value).ok_or_else(|| Mismatch::Wrong { name, found: value.kind(), expected })
            }
        }
    }

    /// The boolean `name`.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn bool(&self, name: &str) -> Result<bool, Mismatch> {
        self.expect(name, "a boolean", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// The integer `name`.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn int(&self, name: &str) -> Result<i64, Mismatch> {
        self.expect(name, "an integer", |value| match value {
            Value::Int(value) => Some(*value),
            _ => None,
        })
    }

    /// The float `name`.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn float(&self, name: &str) -> Result<f64, Mismatch> {
        self.expect(name, "a float", |value| match value {
            Value::Float(value) => Some(*value),
            _ => None,
        })
    }

    /// The count `name`, an `i64` array of no dimensions.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn count(&self, name: &str) -> Result<i64, Mismatch> {
        self.expect(name, "i64 []", |value| match value {
            Value::I64(array) if array.shape().is_empty() => Some(array.to_vec()[0]),
            _ => None,
        })
    }

    /// The string `name`.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn text(&self, name: &str) -> Result<&str, Mismatch> {
        self.expect(name, "a string", |value| match value {
            Value::Text(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// The array `name`, of this type and shape.
    ///
    /// # Errors
    /// If it is missing or something else.
    pub fn array<T: Float>(&self, name: &str, shape: &[usize]) -> Result<&Array<T>, Mismatch> {
        let expected = format!("{} {}", T::DTYPE, Shape::from(shape));
        self.expect(name, &expected, |value| {
            value.array().filter(|array| **array.shape() == *shape)
        })
    }
}

/// One reason why a state does not fit. Its `Display` is a line:
/// `` `weight`: found f32 [2, 3], expected f32 [3, 2] ``.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of an error are named by its message")]
pub enum Mismatch {
    /// The state does not have the name.
    Missing { name: String, expected: String },
    /// The state has another value under the name.
    Wrong { name: String, found: String, expected: String },
    /// The state has a name that the object does not have.
    Unexpected { name: String, found: String },
    /// Anything else, in words that begin with the name in backquotes.
    Other(String),
}

impl Mismatch {
    /// This as a mismatch of the whole that `part` belongs to.
    fn within(self, part: &str) -> Mismatch {
        let longer = |name: String| format!("{part}.{name}");
        match self {
            Mismatch::Missing { name, expected } => {
                Mismatch::Missing { name: longer(name), expected }
            }
            Mismatch::Wrong { name, found, expected } => {
                Mismatch::Wrong { name: longer(name), found, expected }
            }
            Mismatch::Unexpected { name, found } => {
                Mismatch::Unexpected { name: longer(name), found }
            }
            Mismatch::Other(text) => Mismatch::Other(match text.strip_prefix('`') {
                Some(rest) => format!("`{part}.{rest}"),
                None => format!("{part}: {text}"),
            }),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Missing { name, expected } => {
                write!(f, "`{name}`: missing, expected {expected}")
            }
            Mismatch::Wrong { name, found, expected } => {
                write!(f, "`{name}`: found {found}, expected {expected}")
            }
            Mismatch::Unexpected { name, found } => {
                write!(f, "`{name}`: found {found}, expected nothing of this name")
            }
            Mismatch::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Mismatch {}

impl From<String> for Mismatch {
    fn from(text: String) -> Self {
        Mismatch::Other(text)
    }
}

impl From<&str> for Mismatch {
    fn from(text: &str) -> Self {
        Mismatch::Other(text.into())
    }
}

/// Compares the message.
impl PartialEq<&str> for Mismatch {
    fn eq(&self, other: &&str) -> bool {
        self.to_string().as_str() == *other
    }
}

/// Everything that keeps a state from being loaded, a line for each mismatch.
///
/// If the state's names have a prefix that the expected ones do not have, the message ends with
/// the call that removes it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StateError {
    mismatches: Vec<Mismatch>,
}

crate::debug_as_display!(Mismatch, StateError);

impl StateError {
    /// An error without mismatches, to collect them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mismatch.
    pub fn push(&mut self, mismatch: impl Into<Mismatch>) {
        self.mismatches.push(mismatch.into());
    }

    /// The value, or `None` with its error added.
    pub fn take<V>(&mut self, result: Result<V, impl Into<Mismatch>>) -> Option<V> {
        result.map_err(|mismatch| self.push(mismatch)).ok()
    }

    /// Adds a mismatch for each name of `state` that is not a known one.
    pub fn check_names<'n>(&mut self, state: &StateDict, known: impl IntoIterator<Item = &'n str>) {
        let known: HashSet<&str> = known.into_iter().collect();
        for (name, value) in state.iter().filter(|(name, _)| !known.contains(name)) {
            self.push(Mismatch::Unexpected { name: name.into(), found: value.kind() });
        }
    }

    /// Adds the mismatches of a part; their names begin with `part.` here.
    pub fn extend(&mut self, part: &str, result: Result<(), StateError>) {
        if let Err(other) = result {
            let within = other.mismatches.into_iter().map(|mismatch| mismatch.within(part));
            self.mismatches.extend(within);
        }
    }

    /// The mismatches, in order.
    #[must_use]
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.mismatches
    }

    /// `Ok` if there is no mismatch.
    ///
    /// # Errors
    /// This, if there is one.
    pub fn into_result(self) -> Result<(), StateError> {
        if self.mismatches.is_empty() { Ok(()) } else { Err(self) }
    }

    /// A prefix whose removal would turn unexpected names into the missing ones, and the part
    /// (empty, or ending with a dot) that both begin with.
    fn surplus_prefix(&self) -> Option<(&str, &str)> {
        let missing = self.mismatches.iter().find_map(|mismatch| match mismatch {
            Mismatch::Missing { name, .. } => Some(name.as_str()),
            _ => None,
        })?;
        let unexpected = || {
            self.mismatches.iter().filter_map(|mismatch| match mismatch {
                Mismatch::Unexpected { name, .. } => Some(name.as_str()),
                _ => None,
            })
        };
        let dots = missing.match_indices('.').map(|(dot, _)| dot + 1);
        [0].into_iter().chain(dots).find_map(|end| {
            let (part, name) = missing.split_at(end);
            let between =
                |found: &'_ str| found.strip_prefix(part)?.strip_suffix(name).map(str::len);
            let found = unexpected().find(|found| between(found).is_some_and(|len| len > 0))?;
            let prefix = &found[end..found.len() - name.len()];
            let mut of_part = unexpected().filter_map(|found| found.strip_prefix(part));
            (prefix.ends_with('.') && of_part.all(|rest| rest.starts_with(prefix)))
                .then_some((part, prefix))
        })
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state does not fit; nothing was changed:")?;
        self.mismatches.iter().try_for_each(|mismatch| write!(f, "\n  {mismatch}"))?;
        if let Some((part, prefix)) = self.surplus_prefix() {
            let part = part.trim_end_matches('.');
            let whose = if part.is_empty() { String::new() } else { format!(" of `{part}`") };
            write!(f, "\nthe names{whose} begin with `{prefix}`, the expected ones do not: ")?;
            write!(f, "`StateDict::remove_prefix({prefix:?})` removes it")?;
        }
        Ok(())
    }
}

impl std::error::Error for StateError {}

/// An object whose state can be saved to a [`StateDict`] and loaded from it.
pub trait Stateful {
    /// The current state, as a snapshot: later changes do not show in it.
    fn state_dict(&self) -> StateDict;

    /// Checks that `state` would load, and changes nothing.
    ///
    /// # Errors
    /// All mismatches at once.
    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError>;

    /// Loads `state`: all of it, or nothing if any of it does not fit.
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
        let error = state.int("step").unwrap_err();
        assert_eq!(error, "`step`: missing, expected an integer");
    }

    fn abc() -> StateDict {
        StateDict::from_iter([("a", 1), ("b", 2), ("c", 3)])
    }

    fn entries(state: &StateDict) -> Vec<(&str, i64)> {
        state.keys().map(|name| (name, state.int(name).unwrap())).collect()
    }

    #[test]
    fn removing_keeps_the_order_and_the_index() {
        let mut state = abc();
        assert_eq!(state.remove("a"), Some(Value::Int(1)));
        assert_eq!(state.remove("a"), None);
        assert_eq!(entries(&state), [("b", 2), ("c", 3)]);
        state.insert("a", 4);
        state.insert("c", 5);
        assert_eq!(entries(&state), [("b", 2), ("c", 5), ("a", 4)]);
        assert_eq!((state.len(), state.is_empty(), state.contains("a")), (3, false, true));
    }

    #[test]
    fn renaming_keeps_the_position() {
        let mut state = abc();
        state.rename("b", "d").unwrap();
        assert_eq!(entries(&state), [("a", 1), ("d", 2), ("c", 3)]);
        state.rename("d", "d").unwrap();
        let error = state.rename("b", "e").unwrap_err();
        assert_eq!(error, "`b`: missing, expected an entry to rename to `e`");
        let error = state.rename("d", "c").unwrap_err();
        assert_eq!(error, "`c`: found the integer 3, expected nothing of this name");
        assert_eq!(entries(&state), [("a", 1), ("d", 2), ("c", 3)]);
    }

    #[test]
    fn a_prefix_is_removed_where_it_is() {
        let mut state = StateDict::from_iter([("m.a", 1), ("b", 2), ("m.m.c", 3)]);
        state.remove_prefix("m.").unwrap();
        assert_eq!(entries(&state), [("a", 1), ("b", 2), ("m.c", 3)]);
        state.insert("m.b", 4);
        let before = state.clone();
        assert!(state.remove_prefix("m.").is_err());
        assert_eq!(state, before);
    }

    #[test]
    #[should_panic(expected = "StateDict: no `d`; expected one of [\"a\", \"b\", \"c\"]")]
    fn indexing_names_what_is_there() {
        let _ = &abc()["d"];
    }

    #[test]
    fn a_cast_rounds_arrays_and_keeps_the_rest() {
        let mut state = abc();
        state.insert("x", Tensor::from([0.1f64, 1e300]));
        let single = state.cast::<f32>();
        let x = single.array::<f32>("x", &[2]).unwrap().to_vec();
        assert_eq!(x, [0.1f32, f32::INFINITY]);
        assert_eq!(single["a"], Value::Int(1));
        assert_eq!(single.cast::<f32>(), single);
    }

    fn error(missing: &[&str], unexpected: &[&str]) -> StateError {
        let mut error = StateError::new();
        for &name in missing {
            error.push(Mismatch::Missing { name: name.into(), expected: "f32 [1]".into() });
        }
        for &name in unexpected {
            error.push(Mismatch::Unexpected { name: name.into(), found: "f32 [1]".into() });
        }
        error
    }

    #[test]
    fn a_surplus_prefix_is_reported_with_its_remedy() {
        let wrapped = error(&["fc.w", "fc.b"], &["module.fc.w", "module.fc.b", "module.seen"]);
        let remedy = "`StateDict::remove_prefix(\"module.\")` removes it";
        assert!(wrapped.to_string().ends_with(remedy), "{wrapped}");
        let mut whole = StateError::new();
        whole.extend("model", Err(wrapped));
        let text = whole.to_string();
        assert!(text.contains("the names of `model` begin with `module.`"), "{text}");
        assert!(text.ends_with(remedy), "{text}");
    }

    #[test]
    fn no_remedy_where_it_would_not_help() {
        for other in [
            error(&["fc.w"], &["module.fc.w", "fc2.w"]),
            error(&["fc.w"], &["module.fc.b"]),
            error(&["w"], &["xw"]),
            error(&[], &["module.fc.w"]),
            error(&["fc.w"], &[]),
        ] {
            assert!(!other.to_string().contains("remove_prefix"), "{other}");
        }
    }
}

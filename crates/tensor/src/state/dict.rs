//! State as one ordered dictionary: the common form of a model's, an optimizer's, a generator's
//! and a data loader's.

use super::mismatch::Mismatch;
use super::value::Value;
use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use adamant_kernels::Float;
use std::collections::HashMap;
use std::fmt;
use std::ops::Index;

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

    /// Adds the entries of a part; their names begin with `part.` here. The entry with the empty
    /// name, which is the whole state of a plain value such as a count, is named `part`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, StateDict, Stateful};
    /// let mut state = StateDict::new();
    /// state.insert_part("step", 7u64.state_dict());
    /// state.insert_part("rng", Generator::seed(0).state_dict());
    /// let names: Vec<&str> = state.keys().collect();
    /// assert_eq!(names, ["step", "rng.algorithm", "rng.seed", "rng.position"]);
    /// assert_eq!(state.part("step"), 7u64.state_dict());
    /// ```
    pub fn insert_part(&mut self, part: &str, state: StateDict) {
        for (name, value) in state.entries {
            self.insert(joined(part, &name), value);
        }
    }

    /// The entries whose names begin with `part.`, without it, and the entry `part` under the empty
    /// name.
    #[must_use]
    pub fn part(&self, part: &str) -> StateDict {
        let rest = |name: &str| match name.strip_prefix(part)? {
            "" => Some(String::new()),
            rest => rest.strip_prefix('.').map(String::from),
        };
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

/// The name in the whole of the entry `name` of a part.
pub(super) fn joined(part: &str, name: &str) -> String {
    if name.is_empty() { part.into() } else { format!("{part}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::tensor::Tensor;

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
    fn a_part_may_be_one_value() {
        let mut state = StateDict::from_iter([("steps", 1), ("a.step", 2)]);
        state.insert_part("step", StateDict::from_iter([("", 3)]));
        assert_eq!(entries(&state), [("steps", 1), ("a.step", 2), ("step", 3)]);
        assert_eq!(entries(&state.part("step")), [("", 3)]);
        assert_eq!(entries(&state.part("a")), [("step", 2)]);
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
}

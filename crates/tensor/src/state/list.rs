//! The states of lists and arrays.

use super::dict::{StateDict, joined};
use super::mismatch::{Mismatch, StateError};
use super::stateful::Stateful;
use super::value::Value;
use crate::arrays::array::Array;
use std::collections::BTreeMap;

/// The length is part of the state: a longer or shorter list loads, its elements being made by
/// `Default` first. Numbers are one array; other elements are named by their index, after `len`.
impl<S: Stateful + Default> Stateful for Vec<S> {
    fn state_dict(&self) -> StateDict {
        if let Some(array) = packed(self) {
            return StateDict::from_iter([("", array)]);
        }
        let mut state = StateDict::from_iter([("len", self.len() as i64)]);
        insert_elements(&mut state, self);
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        read::<S>(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = read(state)?;
        Ok(())
    }
}

fn insert_elements(state: &mut StateDict, elements: &[impl Stateful]) {
    for (i, element) in elements.iter().enumerate() {
        state.insert_part(&i.to_string(), element.state_dict());
    }
}

/// The array of elements that are all integers or all floats; `None` if there are others, or none.
fn packed(elements: &[impl Stateful]) -> Option<Value> {
    let states = || elements.iter().map(Stateful::state_dict);
    let is_one = |state: &StateDict| state.len() == 1;
    let shape = || [elements.len()].into();
    // Collecting stops at the first element that is something else.
    match states().next().filter(is_one)?.get("")? {
        Value::Float(_) => {
            let values = states().map(|state| state.float("").ok().filter(|_| is_one(&state)));
            Some(Array::from_slice(shape(), &values.collect::<Option<Vec<f64>>>()?).into())
        }
        Value::Int(_) => {
            let values = states().map(|state| state.int("").ok().filter(|_| is_one(&state)));
            let values = values.collect::<Option<Vec<i64>>>()?;
            Some(Value::I64(Array::from_slice(shape(), &values)))
        }
        _ => None,
    }
}

fn read<S: Stateful + Default>(state: &StateDict) -> Result<Vec<S>, StateError> {
    match state.get("") {
        None => read_numbered(state),
        Some(value) => {
            let mut errors = StateError::new();
            errors.check_names(state, [""]);
            errors.into_result()?;
            match value {
                Value::F64(array) if array.shape().len() == 1 => read_array(array.to_vec()),
                Value::I64(array) if array.shape().len() == 1 => read_array(array.to_vec()),
                other => Err(only(Mismatch::wrong("", other.kind(), "a list"))),
            }
        }
    }
}

/// Elements that were one array. The first that does not fit is the only one reported, since they
/// are of one type.
fn read_array<S: Stateful + Default>(values: Vec<impl Into<Value>>) -> Result<Vec<S>, StateError> {
    let elements = values.into_iter().enumerate().map(|(i, value)| {
        let mut element = S::default();
        let loaded = element.load_state_dict(&StateDict::from_iter([("", value)]));
        let mut errors = StateError::new();
        errors.extend(&i.to_string(), loaded);
        errors.into_result().map(|()| element)
    });
    elements.collect()
}

/// Elements that are named by their index.
fn read_numbered<S: Stateful + Default>(state: &StateDict) -> Result<Vec<S>, StateError> {
    let len = state.int("len").map_err(only)?;
    if len < 0 {
        return Err(only(Mismatch::wrong("len", len.to_string(), "a number of elements")));
    }
    let mut parts: BTreeMap<&str, StateDict> = BTreeMap::new();
    for (name, value) in state.iter().filter(|(name, _)| *name != "len") {
        let (index, name) = name.split_once('.').unwrap_or((name, ""));
        parts.entry(index).or_default().insert(name, value.clone());
    }
    let mut errors = StateError::new();
    let mut elements = Vec::new();
    for i in 0..len {
        let name = i.to_string();
        let part = parts.remove(name.as_str());
        let mut element = S::default();
        let loaded = element.load_state_dict(part.as_ref().unwrap_or(&StateDict::new()));
        // An element whose state is empty may have no entry. Any other is missing, and so are those
        // after it, however many a wrong length claims.
        if part.is_none() && loaded.is_err() {
            let expected = format!("{i}, the number of elements from `0` on");
            return Err(only(Mismatch::wrong("len", len.to_string(), expected)));
        }
        errors.extend(&name, loaded);
        elements.push(element);
    }
    for (index, rest) in parts {
        for (name, value) in rest.iter() {
            let name = joined(index, name);
            errors.push(Mismatch::Unexpected { name, found: value.kind() });
        }
    }
    errors.into_result()?;
    Ok(elements)
}

fn only(mismatch: Mismatch) -> StateError {
    let mut errors = StateError::new();
    errors.push(mismatch);
    errors
}

/// The elements, by their index. The length is the type's.
impl<S: Stateful, const N: usize> Stateful for [S; N] {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        insert_elements(&mut state, self);
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let names: [String; N] = std::array::from_fn(|i| i.to_string());
        let parts: Vec<(&str, &dyn Stateful)> =
            names.iter().zip(self).map(|(name, part)| (name.as_str(), part as _)).collect();
        state.check_parts(&parts)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let names: [String; N] = std::array::from_fn(|i| i.to_string());
        let mut parts: Vec<(&str, &mut dyn Stateful)> =
            names.iter().zip(self).map(|(name, part)| (name.as_str(), part as _)).collect();
        state.load_parts(&mut parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn assert_restored<S: Stateful + Default + PartialEq + Debug + Clone>(
        list: &[S],
        names: &[&str],
    ) {
        let state = list.to_vec().state_dict();
        assert_eq!(state.keys().collect::<Vec<_>>(), names);
        for mut loaded in [vec![], vec![S::default(); 3]] {
            loaded.load_state_dict(&state).unwrap();
            assert_eq!(loaded, list);
        }
    }

    #[test]
    fn a_list_of_any_length_is_restored() {
        assert_restored::<f64>(&[], &["len"]);
        assert_restored(&[0.5f32, f32::MAX], &[""]);
        assert_restored(&[1u64, i64::MAX as u64], &[""]);
        assert_restored(&[1u64, u64::MAX], &["len", "0", "1"]); // the second one is a string
        assert_restored(&["a".to_string(), String::new()], &["len", "0", "1"]);
        assert_restored(&[[1.0, 2.0], [3.0, 4.0]], &["len", "0.0", "0.1", "1.0", "1.1"]);
        assert_restored(&[vec![1u32], vec![]], &["len", "0", "1.len"]);
        assert_restored(&[Some(1i8), None], &["len", "0.is_some", "0.value", "1.is_some"]);
        assert_restored(&[StateDict::from_iter([("", 1), ("a", 2)])], &["len", "0", "0.a"]);
        assert_restored(&[StateDict::new(), StateDict::from_iter([("a", 2)])], &["len", "1.a"]);
        assert_restored(&[(true, 1u8); 12], &{
            let mut names = vec!["len".to_string()];
            names.extend((0..12).flat_map(|i| [format!("{i}.0"), format!("{i}.1")]));
            names.leak().iter().map(String::as_str).collect::<Vec<_>>()
        });
    }

    #[test]
    fn a_list_that_does_not_fit_changes_nothing() {
        let mismatch = |entries: &[(&str, Value)]| {
            let mut list = vec![7u8];
            let state = StateDict::from_iter(entries.iter().cloned());
            let error = list.load_state_dict(&state).unwrap_err();
            assert_eq!(list, [7]);
            assert!(list.check_state_dict(&state) == Err(error.clone()));
            error.mismatches().iter().map(|m| m.to_string()).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(mismatch(&[]), "`len`: missing, expected an integer");
        let array = Array::from_slice([3].into(), &[1i64, 256, 257]);
        assert_eq!(
            mismatch(&[("", Value::I64(array))]),
            "`1`: found the integer 256, expected a u8"
        );
        assert_eq!(mismatch(&[("", Value::Int(1))]), "found the integer 1, expected a list");
        assert_eq!(
            mismatch(&[("len", (-1).into())]),
            "`len`: found -1, expected a number of elements"
        );
        for len in [i64::MAX, 2] {
            assert_eq!(
                mismatch(&[("len", Value::Int(len)), ("0", Value::Int(1))]),
                format!("`len`: found {len}, expected 1, the number of elements from `0` on")
            );
        }
        assert_eq!(
            mismatch(&[("len", 3.into()), ("0", 1.into()), ("2", 1.into()), ("x", 1.into())]),
            "`len`: found 3, expected 1, the number of elements from `0` on"
        );
        assert_eq!(
            mismatch(&[("len", 1.into()), ("0", 1.into()), ("2", 1.into()), ("x.y", 2.into())]),
            "`2`: found the integer 1, expected nothing of this name; \
             `x.y`: found the integer 2, expected nothing of this name"
        );
        assert_eq!(
            mismatch(&[("len", 2.into()), ("0", "a".into()), ("1", true.into())]),
            "`0`: found the string \"a\", expected a u8; `1`: found true, expected a u8"
        );
    }

    #[test]
    fn an_array_keeps_its_length() {
        let mut array = [1u64, 2];
        array.load_state_dict(&[3u64, 4].state_dict()).unwrap();
        assert_eq!(array, [3, 4]);
        let error = array.load_state_dict(&[5u64; 3].state_dict()).unwrap_err();
        let expected = "`2`: found the integer 5, expected nothing of this name";
        assert_eq!(error.mismatches(), [expected]);
        assert!(array.load_state_dict(&[5u64; 1].state_dict()).is_err());
        assert_eq!(array, [3, 4]);
    }
}

//! The states of lists and arrays.

use super::dict::StateDict;
use super::mismatch::{Mismatch, StateError};
use super::stateful::Stateful;
use super::value::Value;
use crate::arrays::array::Array;
use std::collections::BTreeMap;

/// The length is part of the state. Loading keeps the elements that are there and their
/// configuration, removes those beyond the length, and makes additional ones by `Default`. Numbers
/// are one array; other elements are named by their index, after `len`.
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
        let saved = Saved::read(state)?;
        let mut errors = StateError::new();
        for index in 0..saved.len() {
            let checked = match self.get(index) {
                Some(element) => saved.check(index, element),
                None => saved.check(index, &S::default()),
            };
            if checked.is_err() {
                saved.check_has(index)?;
                errors.extend(&index.to_string(), checked);
                if saved.is_array() {
                    break; // the elements are of one type, and the first error says it
                }
            }
        }
        saved.unexpected().for_each(|mismatch| errors.push(mismatch.clone()));
        errors.into_result()
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.check_state_dict(state)?;
        let saved = Saved::read(state)?;
        self.resize_with(saved.len(), S::default);
        for (index, element) in self.iter_mut().enumerate() {
            if let Err(error) = saved.load(index, element) {
                panic!("load: `{index}` rejects a state that it accepted in its check: {error}");
            }
        }
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
    let values = || elements.iter().map(Stateful::plain_value);
    let shape = || [elements.len()].into();
    // Collecting stops at the first element that is something else.
    match elements.first()?.plain_value()? {
        Value::Float(_) => {
            let float = |value| if let Some(Value::Float(x)) = value { Some(x) } else { None };
            let values: Vec<f64> = values().map(float).collect::<Option<_>>()?;
            Some(Array::from_slice(shape(), &values).into())
        }
        Value::Int(_) => {
            let int = |value| if let Some(Value::Int(x)) = value { Some(x) } else { None };
            let values: Vec<i64> = values().map(int).collect::<Option<_>>()?;
            Some(Value::I64(Array::from_slice(shape(), &values)))
        }
        _ => None,
    }
}

/// A saved list: the state of each element.
enum Saved {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    /// An element whose state is empty has no entry.
    Numbered {
        len: i64,
        parts: BTreeMap<usize, StateDict>,
        unexpected: Vec<Mismatch>,
    },
}

impl Saved {
    fn read(state: &StateDict) -> Result<Self, StateError> {
        let Some(value) = state.get("") else { return Self::read_numbered(state) };
        let mut errors = StateError::new();
        errors.check_names(state, [""]);
        errors.into_result()?;
        match value {
            Value::F64(array) if array.shape().len() == 1 => Ok(Saved::Floats(array.to_vec())),
            Value::I64(array) if array.shape().len() == 1 => Ok(Saved::Ints(array.to_vec())),
            other => Err(StateError::from(Mismatch::wrong("", other.kind(), "a list"))),
        }
    }

    fn read_numbered(state: &StateDict) -> Result<Self, StateError> {
        let len = state.int("len")?;
        if len < 0 {
            return Err(StateError::from(Mismatch::wrong(
                "len",
                len.to_string(),
                "a number of elements",
            )));
        }
        let mut parts: BTreeMap<usize, StateDict> = BTreeMap::new();
        let mut unexpected = Vec::new();
        for (name, value) in state.iter().filter(|(name, _)| *name != "len") {
            let (index, rest) = name.split_once('.').unwrap_or((name, ""));
            match index.parse::<usize>() {
                // Not `01` or `+1`.
                Ok(i) if i.to_string() == index && (i as u64) < len.cast_unsigned() => {
                    parts.entry(i).or_default().insert(rest, value.clone());
                }
                _ => {
                    let (name, found) = (name.into(), value.kind());
                    unexpected.push(Mismatch::Unexpected { name, found });
                }
            }
        }
        Ok(Saved::Numbered { len, parts, unexpected })
    }

    fn len(&self) -> usize {
        match self {
            Saved::Floats(values) => values.len(),
            Saved::Ints(values) => values.len(),
            Saved::Numbered { len, .. } => usize::try_from(*len).unwrap_or(usize::MAX),
        }
    }

    /// The entries that belong to no element.
    fn unexpected(&self) -> impl Iterator<Item = &Mismatch> {
        match self {
            Saved::Numbered { unexpected, .. } => unexpected.iter(),
            _ => [].iter(),
        }
    }

    fn is_array(&self) -> bool {
        !matches!(self, Saved::Numbered { .. })
    }

    /// The error of an element that is missing, and so are those after it, however many a wrong
    /// length claims.
    fn check_has(&self, index: usize) -> Result<(), StateError> {
        match self {
            Saved::Numbered { len, parts, .. } if !parts.contains_key(&index) => {
                let expected = format!("{index}, the number of elements from `0` on");
                Err(StateError::from(Mismatch::wrong("len", len.to_string(), expected)))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, index: usize, element: &impl Stateful) -> Result<(), StateError> {
        match self {
            Saved::Floats(values) => element.check_plain_value(values[index].into()),
            Saved::Ints(values) => element.check_plain_value(values[index].into()),
            Saved::Numbered { parts, .. } => match parts.get(&index) {
                Some(state) => element.check_state_dict(state),
                None => element.check_state_dict(&StateDict::new()),
            },
        }
    }

    fn load(&self, index: usize, element: &mut impl Stateful) -> Result<(), StateError> {
        match self {
            Saved::Floats(values) => element.load_plain_value(values[index].into()),
            Saved::Ints(values) => element.load_plain_value(values[index].into()),
            Saved::Numbered { parts, .. } => match parts.get(&index) {
                Some(state) => element.load_state_dict(state),
                None => element.load_state_dict(&StateDict::new()),
            },
        }
    }
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
        assert_restored(&[StateDict::from_iter([("", 1)])], &["len", "0"]);
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

    /// A mean over a window whose length is configuration: it must equal the state's.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Windowed {
        window: u64,
        mean: f64,
    }

    impl Stateful for Windowed {
        fn state_dict(&self) -> StateDict {
            StateDict::of_parts(&[("window", &self.window), ("mean", &self.mean)])
        }

        fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
            state.check_parts(&[("window", &self.window), ("mean", &self.mean)])?;
            match state.int("window") {
                Ok(found) if found.cast_unsigned() != self.window => {
                    let expected = self.window.to_string();
                    Err(StateError::from(Mismatch::wrong("window", found.to_string(), expected)))
                }
                _ => Ok(()),
            }
        }

        fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
            self.check_state_dict(state)?;
            state.load_parts(&mut [("window", &mut self.window), ("mean", &mut self.mean)])
        }
    }

    #[test]
    fn elements_are_loaded_in_place() {
        let list = |means: &[f64]| -> Vec<Windowed> {
            let windowed = |(i, &mean)| Windowed { window: 10 * (1 + i as u64), mean };
            means.iter().enumerate().map(windowed).collect()
        };
        let saved = list(&[1.0, 2.0]).state_dict();
        let mut same = list(&[0.0, 0.0]);
        same.load_state_dict(&saved).unwrap();
        assert_eq!(same, list(&[1.0, 2.0]));
        let mut longer = list(&[0.0, 0.0, 0.0]);
        longer.load_state_dict(&saved).unwrap();
        assert_eq!(longer, list(&[1.0, 2.0]));
        // The second one is made by `Default`, whose window is another.
        let mut shorter = list(&[0.0]);
        let error = shorter.load_state_dict(&saved).unwrap_err();
        assert_eq!(error.mismatches(), ["`1.window`: found 20, expected 0"]);
        assert_eq!(shorter, list(&[0.0]));
    }

    #[test]
    fn elements_behind_pointers_are_one_array_too() {
        assert_restored(&[Box::new(1u8), Box::new(2)], &[""]);
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

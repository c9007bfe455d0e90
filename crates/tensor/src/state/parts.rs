//! A state of named parts: what structs and tuples have in common.

use super::dict::StateDict;
use super::mismatch::{Mismatch, StateError};
use super::stateful::Stateful;

impl StateDict {
    /// The states of named parts, one after the other: what `#[derive(Stateful)]` saves.
    ///
    /// ```
    /// use adamant_tensor::{Generator, StateDict};
    /// let (step, rng) = (3u64, Generator::seed(0));
    /// let state = StateDict::of_parts(&[("step", &step), ("rng", &rng)]);
    /// assert_eq!(state.int("step"), Ok(3));
    /// ```
    #[must_use]
    pub fn of_parts(parts: &[(&str, &dyn Stateful)]) -> StateDict {
        let mut state = StateDict::new();
        for (name, part) in parts {
            state.insert_part(name, part.state_dict());
        }
        state
    }

    /// Checks that this would load into the parts, and changes nothing.
    ///
    /// # Errors
    /// All mismatches of all parts at once, and the names that belong to no part.
    pub fn check_parts(&self, parts: &[(&str, &dyn Stateful)]) -> Result<(), StateError> {
        let mut errors = StateError::new();
        for (name, part) in parts {
            errors.extend(name, part.check_state_dict(&self.part(name)));
        }
        for (name, value) in self.iter() {
            let first = name.split('.').next().unwrap_or_default();
            if !parts.iter().any(|(part, _)| *part == first) {
                errors.push(Mismatch::Unexpected { name: name.into(), found: value.kind() });
            }
        }
        errors.into_result()
    }

    /// Loads this into the parts: all of it, or nothing if any of it does not fit.
    ///
    /// # Errors
    /// As [`check_parts`](StateDict::check_parts).
    ///
    /// # Panics
    /// If a part fails to load a state that it accepted in its check.
    pub fn load_parts(&self, parts: &mut [(&str, &mut dyn Stateful)]) -> Result<(), StateError> {
        let checked: Vec<(&str, &dyn Stateful)> =
            parts.iter().map(|(name, part)| (*name, &**part)).collect();
        self.check_parts(&checked)?;
        for (name, part) in parts {
            if let Err(error) = part.load_state_dict(&self.part(name)) {
                panic!("load: `{name}` rejects a state that it accepted in its check: {error}");
            }
        }
        Ok(())
    }
}

macro_rules! tuple {
    ($($S:ident $i:tt),+) => {
        impl<$($S: Stateful),+> Stateful for ($($S,)+) {
            fn state_dict(&self) -> StateDict {
                StateDict::of_parts(&[$((stringify!($i), &self.$i)),+])
            }
            fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
                state.check_parts(&[$((stringify!($i), &self.$i)),+])
            }
            fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
                state.load_parts(&mut [$((stringify!($i), &mut self.$i)),+])
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// `is_some`, and the state of `value` if there is one. Loading one where there is none makes it by
/// `Default` first.
impl<S: Stateful + Default> Stateful for Option<S> {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::from_iter([("is_some", self.is_some())]);
        if let Some(value) = self {
            state.insert_part("value", value.state_dict());
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        let is_some = false;
        match (is_present(state), self) {
            (false, _) => state.check_parts(&[("is_some", &is_some)]),
            (true, Some(value)) => state.check_parts(&[("is_some", &is_some), ("value", value)]),
            (true, None) => state.check_parts(&[("is_some", &is_some), ("value", &S::default())]),
        }
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.check_state_dict(state)?;
        if !is_present(state) {
            *self = None;
            return Ok(());
        }
        let state = state.part("value");
        match self {
            Some(value) => value.load_state_dict(&state),
            None => {
                let mut value = S::default();
                value.load_state_dict(&state)?;
                *self = Some(value);
                Ok(())
            }
        }
    }
}

fn is_present(state: &StateDict) -> bool {
    state.bool("is_some") == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::generator::Generator;

    #[test]
    fn an_absent_and_a_present_value_both_restore() {
        for saved in [None, Some(2.5f64)] {
            for mut loaded in [None, Some(7.0)] {
                loaded.load_state_dict(&saved.state_dict()).unwrap();
                assert_eq!(loaded, saved);
            }
        }
        let nested = [None, Some(None), Some(Some(true))];
        for (saved, mut loaded) in nested.iter().flat_map(|a| nested.map(|b| (a, b))) {
            loaded.load_state_dict(&saved.state_dict()).unwrap();
            assert_eq!(loaded, *saved);
        }
    }

    #[test]
    fn an_option_without_its_mark_does_not_load() {
        let mut loaded = Some(1u64);
        let error = loaded.load_state_dict(&StateDict::new()).unwrap_err();
        assert_eq!(error.mismatches(), ["`is_some`: missing, expected a boolean"]);
        let mut state = None::<u64>.state_dict();
        state.insert("value", 3);
        let error = loaded.load_state_dict(&state).unwrap_err();
        let expected = "`value`: found the integer 3, expected nothing of this name";
        assert_eq!(error.mismatches(), [expected]);
        let mut state = Some(3u64).state_dict();
        state.remove("value");
        let error = loaded.load_state_dict(&state).unwrap_err();
        assert_eq!(error.mismatches(), ["`value`: missing, expected a u64"]);
        assert_eq!(loaded, Some(1));
    }

    #[test]
    fn parts_load_all_or_none_and_report_everything() {
        let mut parts = (1u64, Generator::seed(1), true);
        let before = parts.state_dict();
        let mut state = (2u64, Generator::seed(2), false).state_dict();
        state.insert("0", "two");
        state.insert("1.position", 0.5);
        state.insert("3", 1);
        let error = parts.load_state_dict(&state).unwrap_err();
        let expected = [
            "`0`: found the string \"two\", expected a u64",
            "`1.position`: found the float 0.5, expected an integer",
            "`3`: found the integer 1, expected nothing of this name",
        ];
        assert_eq!(error.mismatches(), expected);
        assert_eq!(parts.state_dict(), before);
    }

    #[test]
    fn a_borrowed_part_is_loaded_in_place() {
        let (mut step, mut rng) = (0u64, Generator::seed(1));
        let saved = (5u64, Generator::seed(2)).state_dict();
        (&mut step, &mut rng).load_state_dict(&saved).unwrap();
        assert_eq!((step, rng.state_dict()), (5, Generator::seed(2).state_dict()));
    }
}

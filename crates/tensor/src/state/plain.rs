//! The states of plain values: one entry with the empty name.

use super::dict::StateDict;
use super::mismatch::{Mismatch, StateError};
use super::stateful::Stateful;
use super::value::Value;

/// A value that is one entry.
trait Plain: Sized {
    /// The type, for messages: `a u64`.
    const EXPECTED: &'static str;

    fn saved(&self) -> Value;

    /// `None` if the value is something else.
    fn restored(value: &Value) -> Option<Self>;
}

fn read<V: Plain>(state: &StateDict) -> Result<V, StateError> {
    let mut errors = StateError::new();
    errors.check_names(state, [""]);
    let restored = match state.get("") {
        None => Err(Mismatch::Missing { name: String::new(), expected: V::EXPECTED.into() }),
        Some(value) => restore(value),
    };
    let restored = errors.take(restored);
    errors.into_result()?;
    Ok(restored.expect("what is missing was an error"))
}

fn restore<V: Plain>(value: &Value) -> Result<V, Mismatch> {
    V::restored(value).ok_or_else(|| Mismatch::wrong("", value.kind(), V::EXPECTED))
}

macro_rules! plain {
    ($($V:ty, $expected:literal, $saved:expr, $restored:expr;)+) => {$(
        impl Plain for $V {
            const EXPECTED: &'static str = $expected;

            fn saved(&self) -> Value {
                let saved: fn(&$V) -> Value = $saved;
                saved(self)
            }

            fn restored(value: &Value) -> Option<Self> {
                let restored: fn(&Value) -> Option<$V> = $restored;
                restored(value)
            }
        }

        impl Stateful for $V {
            fn state_dict(&self) -> StateDict {
                StateDict::from_iter([("", self.saved())])
            }

            fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
                read::<$V>(state).map(drop)
            }

            fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
                *self = read(state)?;
                Ok(())
            }

            fn plain_value(&self) -> Option<Value> {
                Some(self.saved())
            }

            fn check_plain_value(&self, value: Value) -> Result<(), StateError> {
                restore::<$V>(&value).map(drop).map_err(StateError::from)
            }

            fn load_plain_value(&mut self, value: Value) -> Result<(), StateError> {
                *self = restore(&value)?;
                Ok(())
            }
        }
    )+};
}
plain! {
    bool, "a boolean", |x| Value::Bool(*x), |value| match value {
        Value::Bool(x) => Some(*x),
        _ => None,
    };
    String, "a string", |x| Value::Text(x.clone()), |value| match value {
        Value::Text(x) => Some(x.clone()),
        _ => None,
    };
    f64, "a float", |x| Value::Float(*x), float;
    // Only a value that an `f32` can have: another one was saved by something else.
    f32, "a float that fits in an f32", |x| Value::Float(f64::from(*x)), |value| {
        let x = float(value)?;
        let single = x as f32;
        (f64::from(single) == x || x.is_nan()).then_some(single)
    };
    u8, "a u8", saved_int, restored_int;
    u16, "a u16", saved_int, restored_int;
    u32, "a u32", saved_int, restored_int;
    u64, "a u64", saved_int, restored_int;
    usize, "a usize", saved_int, restored_int;
    i8, "an i8", saved_int, restored_int;
    i16, "an i16", saved_int, restored_int;
    i32, "an i32", saved_int, restored_int;
    i64, "an i64", saved_int, restored_int;
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

/// An integer, or its digits if it is above [`i64::MAX`], as a seed may be.
fn saved_int<I: Copy + ToString + TryInto<i64>>(x: &I) -> Value {
    (*x).try_into().map_or_else(|_| Value::Text(x.to_string()), Value::Int)
}

fn restored_int<I: TryFrom<i64> + TryFrom<u64>>(value: &Value) -> Option<I> {
    match value {
        Value::Int(x) => I::try_from(*x).ok(),
        Value::Text(digits) => {
            let x: u64 = digits.parse().ok()?;
            (x > i64::MAX as u64 && x.to_string() == *digits).then(|| I::try_from(x).ok())?
        }
        _ => None,
    }
}

/// A dictionary is its own state, and loads any other.
impl Stateful for StateDict {
    fn state_dict(&self) -> StateDict {
        self.clone()
    }

    fn check_state_dict(&self, _state: &StateDict) -> Result<(), StateError> {
        Ok(())
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.clone_from(state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn assert_restored<S: Stateful + Default + PartialEq + Debug>(saved: S) {
        let mut loaded = S::default();
        loaded.load_state_dict(&saved.state_dict()).unwrap();
        assert_eq!(loaded, saved);
    }

    #[test]
    fn every_value_is_restored() {
        [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX]
            .into_iter()
            .for_each(assert_restored);
        [0, usize::MAX].into_iter().for_each(assert_restored);
        [i64::MIN, -1, i64::MAX].into_iter().for_each(assert_restored);
        [0, u32::MAX].into_iter().for_each(assert_restored);
        [i8::MIN, i8::MAX].into_iter().for_each(assert_restored);
        [f64::MIN, 0.1, f64::INFINITY].into_iter().for_each(assert_restored);
        [f32::MIN_POSITIVE, 0.1, f32::NEG_INFINITY].into_iter().for_each(assert_restored);
        [false, true].into_iter().for_each(assert_restored);
        ["", "a.b", "18446744073709551615"]
            .into_iter()
            .for_each(|text| assert_restored(text.to_string()));
    }

    #[test]
    fn floats_are_restored_to_the_bit() {
        for saved in [-0.0, f64::from_bits(0x7ff8_0000_0000_1234)] {
            let mut loaded = 1.0f64;
            loaded.load_state_dict(&saved.state_dict()).unwrap();
            assert_eq!(loaded.to_bits(), saved.to_bits());
        }
        for saved in [-0.0, f32::from_bits(0x7fc0_0012)] {
            let mut loaded = 1.0f32;
            loaded.load_state_dict(&saved.state_dict()).unwrap();
            assert_eq!(loaded.to_bits(), saved.to_bits());
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused() {
        fn refused<S: Stateful + Default + PartialEq + Debug>(value: impl Into<Value>) -> String {
            let mut loaded = S::default();
            let error = loaded.load_state_dict(&StateDict::from_iter([("", value)])).unwrap_err();
            assert_eq!(loaded, S::default());
            error.to_string().lines().last().unwrap().trim().to_string()
        }
        assert_eq!(refused::<u64>(-1), "found the integer -1, expected a u64");
        assert_eq!(refused::<u32>(1 << 32), "found the integer 4294967296, expected a u32");
        assert_eq!(refused::<i64>("9223372036854775808"), {
            "found the string \"9223372036854775808\", expected an i64"
        });
        assert_eq!(refused::<u64>("7"), "found the string \"7\", expected a u64");
        assert_eq!(
            refused::<f32>(0.1),
            "found the float 0.1, expected a float that fits in an f32"
        );
        assert_eq!(refused::<f64>(1), "found the integer 1, expected a float");
        assert_eq!(refused::<bool>(1), "found the integer 1, expected a boolean");
        assert_eq!(refused::<String>(true), "found true, expected a string");
    }

    #[test]
    fn a_value_has_no_other_entries() {
        let mut state = 1u64.state_dict();
        state.insert("other", 2);
        let error = 0u64.check_state_dict(&state).unwrap_err();
        let expected = "`other`: found the integer 2, expected nothing of this name";
        assert_eq!(error.mismatches(), [expected]);
        let error = 0u64.check_state_dict(&StateDict::new()).unwrap_err();
        assert_eq!(error.mismatches(), ["missing, expected a u64"]);
    }
}

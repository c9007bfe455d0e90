//! Where a state is loaded from: a dictionary, or a file that is read one value at a time.

use super::dict::StateDict;
use super::mismatch::Mismatch;
use super::value::Value;
use crate::arrays::shape::Shape;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// The error of a [`StateSource`] that cannot read a value: a file's, usually.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Names and values that can be described without their elements, and read one at a time.
///
/// A [`StateDict`] is a source that shares its arrays. Files of weights are sources too, so that a
/// model can be loaded from one without a second copy of all its weights in memory.
///
/// ```
/// use adamant_tensor::{StateDict, StateSource, Tensor};
/// let state = StateDict::from_iter([("weight", Tensor::from([0.5f32, 1.0]))]);
/// let source: &dyn StateSource = &state;
/// for (name, kind) in source.kinds() {
///     assert_eq!(format!("{name}: {kind}"), "weight: f32 [2]");
///     assert_eq!(source.read(name).unwrap(), state[name]);
/// }
/// ```
pub trait StateSource {
    /// The names, each once, in order, and what their values are.
    fn kinds(&self) -> Vec<(&str, ValueKind)>;

    /// Reads the value of a name.
    ///
    /// # Errors
    /// If there is no such name, or its value cannot be read.
    fn read(&self, name: &str) -> Result<Value, SourceError>;
}

/// What a value is, without its elements. `Display` describes it for messages: `BF16 [2, 3]`.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// An array that is read as [`Value::F32`] or [`Value::F64`].
    Floats {
        /// The type of the elements where they are stored, which a file may write in its own way:
        /// `f32`, `F32`, `BF16`.
        stored: Cow<'static, str>,
        /// The sizes of the dimensions.
        shape: Shape,
    },
    /// An array that is read as [`Value::I64`].
    Integers {
        /// The type of the elements where they are stored: `i64`, `U8`.
        stored: Cow<'static, str>,
        /// The sizes of the dimensions.
        shape: Shape,
    },
    /// Anything else, in words: `the integer 7`. It need not be readable.
    Other(String),
}

impl From<&Value> for ValueKind {
    fn from(value: &Value) -> Self {
        let floats = |stored: &'static str, shape: &Shape| ValueKind::Floats {
            stored: stored.into(),
            shape: shape.clone(),
        };
        match value {
            Value::F32(array) => floats("f32", array.shape()),
            Value::F64(array) => floats("f64", array.shape()),
            Value::I64(array) => {
                ValueKind::Integers { stored: "i64".into(), shape: array.shape().clone() }
            }
            Value::Bool(value) => ValueKind::Other(value.to_string()),
            Value::Int(value) => ValueKind::Other(format!("the integer {value}")),
            Value::Float(value) => ValueKind::Other(format!("the float {value}")),
            Value::Text(value) => ValueKind::Other(string(value)),
        }
    }
}

/// A string, or the start of a long one.
fn string(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("the string {:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("the string {text:?}"),
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueKind::Floats { stored, shape } | ValueKind::Integers { stored, shape } => {
                write!(f, "{stored} {shape}")
            }
            ValueKind::Other(description) => f.write_str(description),
        }
    }
}

/// Shares the arrays.
impl StateSource for StateDict {
    fn kinds(&self) -> Vec<(&str, ValueKind)> {
        self.iter().map(|(name, value)| (name, value.into())).collect()
    }

    fn read(&self, name: &str) -> Result<Value, SourceError> {
        match self.get(name) {
            Some(value) => Ok(value.clone()),
            None => {
                let expected = "a value to read".into();
                Err(Mismatch::Missing { name: name.into(), expected }.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::array::Array;

    #[test]
    fn a_dictionary_describes_its_values_and_shares_them() {
        let array = Array::full([2, 3].into(), 1.0f32);
        let mut state = StateDict::from_iter([("weight", Value::F32(array.clone()))]);
        state.insert("mean", Array::full([3].into(), 1.0f64));
        state.insert("seen", Value::I64(Array::full([].into(), 7)));
        state.insert("on", true);
        state.insert("step", 7);
        state.insert("lr", 0.5);
        state.insert("name", "net");
        let kinds = state.kinds();
        let described: Vec<String> =
            kinds.iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
        let expected = [
            "weight: f32 [2, 3]",
            "mean: f64 [3]",
            "seen: i64 []",
            "on: true",
            "step: the integer 7",
            "lr: the float 0.5",
            "name: the string \"net\"",
        ];
        assert_eq!(described, expected);
        for (name, _) in kinds {
            assert_eq!(state.read(name).unwrap(), state[name]);
        }
        let Value::F32(read) = state.read("weight").unwrap() else { panic!("not f32") };
        assert!(std::ptr::eq(read.contiguous_slice(), array.contiguous_slice()));
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error() {
        let error = StateDict::new().read("weight").unwrap_err();
        assert_eq!(error.to_string(), "`weight`: missing, expected a value to read");
    }
}

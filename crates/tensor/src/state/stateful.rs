//! What has a state.

use super::dict::StateDict;
use super::mismatch::StateError;
use super::value::Value;

/// An object whose state can be saved to a [`StateDict`] and loaded from it.
///
/// Models, optimizers, schedules, loaders, metrics and generators are. So are numbers, `bool`s,
/// `String`s, and `Option`s, `Vec`s, arrays and tuples of what is. A struct whose fields are becomes
/// one by `#[derive(Stateful)]`, for which see [`adamant_nn::Stateful`][derive].
///
/// A plain value is one entry with the empty name, which [`StateDict::insert_part`] turns into the
/// part's. An `Option` is `is_some` and, if it is, `value`. A `Vec` of numbers is one array; another
/// one is its `len` and the elements by their index. Loading an `Option` or a `Vec` loads the values
/// that are there in place, and makes missing ones by `Default`.
///
/// [derive]: https://docs.rs/adamant-nn/latest/adamant_nn/derive.Stateful.html
///
/// ```
/// use adamant_tensor::Stateful;
/// let state = (7u64, Some(0.5), vec![1.0f32, 2.0]).state_dict();
/// assert_eq!(state.keys().collect::<Vec<_>>(), ["0", "1.is_some", "1.value", "2"]);
/// let mut loaded = (0, None, vec![]);
/// loaded.load_state_dict(&state).unwrap();
/// assert_eq!(loaded, (7u64, Some(0.5), vec![1.0f32, 2.0]));
/// ```
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

    /// The value, if this is a plain one, whose state is one entry with the empty name. This and the
    /// next two methods are a shorter way for lists of numbers.
    #[doc(hidden)]
    fn plain_value(&self) -> Option<Value> {
        None
    }

    #[doc(hidden)]
    fn check_plain_value(&self, value: Value) -> Result<(), StateError> {
        self.check_state_dict(&StateDict::from_iter([("", value)]))
    }

    #[doc(hidden)]
    fn load_plain_value(&mut self, value: Value) -> Result<(), StateError> {
        self.load_state_dict(&StateDict::from_iter([("", value)]))
    }
}

macro_rules! behind_pointer {
    ($($Pointer:ty),+) => {$(
        impl<S: Stateful + ?Sized> Stateful for $Pointer {
            fn state_dict(&self) -> StateDict {
                (**self).state_dict()
            }

            fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
                (**self).check_state_dict(state)
            }

            fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
                (**self).load_state_dict(state)
            }

            fn plain_value(&self) -> Option<Value> {
                (**self).plain_value()
            }

            fn check_plain_value(&self, value: Value) -> Result<(), StateError> {
                (**self).check_plain_value(value)
            }

            fn load_plain_value(&mut self, value: Value) -> Result<(), StateError> {
                (**self).load_plain_value(value)
            }
        }
    )+};
}
behind_pointer!(Box<S>, &mut S);

/// The bound on the fields of a derived [`Stateful`]: the same trait. A field without it gets a
/// short error with this one, instead of a list of all types that have a state.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not have a state that can be saved",
    label = "not `Stateful`",
    note = "`#[stateful(skip)]` leaves out a field that is not part of the state",
    note = "an `Option` or a `Vec` is `Stateful` if its values are `Stateful` and `Default`"
)]
pub trait StatefulField {
    fn as_stateful(&self) -> &dyn Stateful;
    fn as_stateful_mut(&mut self) -> &mut dyn Stateful;
}

#[diagnostic::do_not_recommend]
impl<S: Stateful> StatefulField for S {
    fn as_stateful(&self) -> &dyn Stateful {
        self
    }
    fn as_stateful_mut(&mut self) -> &mut dyn Stateful {
        self
    }
}

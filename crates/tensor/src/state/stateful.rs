//! What has a state.

use super::dict::StateDict;
use super::mismatch::StateError;

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

impl<S: Stateful + ?Sized> Stateful for Box<S> {
    fn state_dict(&self) -> StateDict {
        (**self).state_dict()
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        (**self).check_state_dict(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        (**self).load_state_dict(state)
    }
}

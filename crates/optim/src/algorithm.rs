//! What one optimizer has that others have not.

use crate::error::OptimError;
use crate::group::Group;
use crate::param_group::Setting;
use adamant_kernels::SweepSize;
use adamant_tensor::{Float, Parameter, StateDict, StateError};
use std::fmt::Debug;

/// The hyperparameters of an optimizer, of which each group has its own.
pub trait Hyperparameters: Clone + Debug + Send + Sync + 'static {
    /// The optimizer's name, for errors.
    const OPTIMIZER: &'static str;

    /// Sets one; `false` if the optimizer has none of this name.
    fn set(&mut self, setting: Setting) -> bool;

    /// Checks every one; gives an error for each that is out of its range, which
    /// names `place`.
    fn problems(&self, place: &str) -> Vec<OptimError>;

    /// Checks what a user sets: the first of the [`problems`](Hyperparameters::problems), or
    /// hyperparameters that do not go together.
    ///
    /// # Errors
    /// If there is such a thing.
    fn check(&self, place: &str) -> Result<(), OptimError> {
        self.problems(place).into_iter().next().map_or(Ok(()), Err)
    }

    /// The learning rate.
    fn lr(&self) -> f64;

    /// Sets the learning rate.
    fn set_lr(&mut self, lr: f64);

    /// Sets what a one-cycle schedule moves against the rate: the momentum, or Adam's β₁.
    fn set_momentum(&mut self, momentum: f64);

    /// Adds each under its name, behind `prefix`.
    fn save(&self, prefix: &str, state: &mut StateDict);

    /// Takes over each that `state` has; what cannot be read is added to `errors`.
    fn load(&mut self, prefix: &str, state: &StateDict, errors: &mut StateError);
}

/// What an optimizer remembers of a parameter that it has moved.
pub trait Memory<T: Float>: Sized + Send {
    /// The names of its parts in a state.
    const PARTS: &'static [&'static str];

    /// Adds it, behind `prefix`.
    fn save(&self, prefix: &str, state: &mut StateDict);

    /// What `state` has for a parameter of this shape; `None` if it has nothing,
    /// or nothing right: then `errors` says what.
    fn load(
        prefix: &str,
        shape: &[usize],
        state: &StateDict,
        errors: &mut StateError,
    ) -> Option<Self>;
}

/// An optimizer's rule: its hyperparameters, what it remembers of a parameter,
/// and how it moves them.
pub trait Algorithm<T: Float>: Hyperparameters {
    /// What is remembered of a parameter.
    type Memory: Memory<T>;

    /// Makes or advances what is remembered of `parameter`, which has a
    /// gradient and is about to be moved.
    fn advance(&self, memory: &mut Option<Self::Memory>, parameter: &Parameter<T>);

    /// Moves every parameter that is at hand; `size` is theirs.
    fn update(groups: &mut [Group<T, Self>], size: SweepSize);
}

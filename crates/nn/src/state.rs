//! A module's state: its parameters and generators by path.
//!
//! `#[derive(Module)]` implements [`Stateful`] with these functions.

use crate::module::{Leaf, Module, Path};
use adamant_tensor::{Float, Generator, Parameter, StateDict, StateError, Stateful};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A generator's lock: held to draw or to read its state, which leaves it whole
/// even if the holder panics.
pub(crate) fn lock(generator: &Mutex<Generator>) -> MutexGuard<'_, Generator> {
    generator.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every generator with its path.
fn generators<T: Float>(module: &dyn Module<T>, mut f: impl FnMut(&str, &mut Generator)) {
    module.visit(&mut Path::default(), &mut |path, leaf| {
        if let Leaf::Generator(generator) = leaf {
            f(path, &mut lock(generator));
        }
    });
}

/// The state of a module: a name for each parameter, and a few for each generator.
#[must_use]
pub fn module_state<T: Float>(module: &dyn Module<T>) -> StateDict {
    let mut state = StateDict::new();
    for (name, parameter) in module.named_parameters() {
        state.insert(name, parameter.tensor().array().clone());
    }
    generators(module, |path, generator| state.insert_part(path, generator.state_dict()));
    state
}

/// Checks that `state` has each parameter with its shape and type, each
/// generator, and nothing else.
///
/// # Errors
/// All mismatches at once.
pub fn check_module_state<T: Float>(
    module: &dyn Module<T>,
    state: &StateDict,
) -> Result<(), StateError> {
    let mut errors = StateError::new();
    for (name, parameter) in module.named_parameters() {
        errors.take(state.array::<T>(&name, parameter.shape()));
    }
    generators(module, |path, generator| {
        errors.extend(path, generator.check_state_dict(&state.part(path)));
    });
    let present = module_state(module);
    let generator_parts: Vec<String> = {
        let mut parts = Vec::new();
        generators(module, |path, _| parts.push(format!("{path}.")));
        parts
    };
    let others = state.iter().map(|(name, _)| name);
    let others = others.filter(|name| generator_parts.iter().any(|part| name.starts_with(part)));
    errors.check_names(state, present.iter().map(|(name, _)| name).chain(others));
    errors.into_result()
}

/// Takes over `state`: all of it, or nothing.
///
/// # Errors
/// All mismatches at once.
pub fn load_module_state<T: Float>(
    module: &dyn Module<T>,
    state: &StateDict,
) -> Result<(), StateError> {
    check_module_state(module, state)?;
    let load = |(name, parameter): (String, Parameter<T>)| {
        let array = state.array::<T>(&name, parameter.shape()).expect("checked above");
        parameter.set_value(&array.clone().into());
    };
    module.named_parameters().into_iter().for_each(load);
    generators(module, |path, generator| {
        generator.load_state_dict(&state.part(path)).expect("checked above");
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Dropout, Forward, Linear, Module, Relu, Sequential};
    use adamant_tensor::{Generator, Stateful, Tensor};

    fn net(seed: u64, width: usize) -> Sequential {
        let rng = &mut Generator::seed(seed);
        Sequential::new()
            .add(Linear::new(3, width, rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng))
            .add(Linear::new(width, 2, rng))
    }

    #[test]
    fn a_loaded_model_computes_the_same_dropout_included() {
        let (a, mut b) = (net(1, 8), net(2, 8));
        b.load_state_dict(&a.state_dict()).unwrap();
        assert_eq!(a.state_dict(), b.state_dict());
        let x = Tensor::ones([4, 3]);
        assert_eq!(a.forward(&x).to_vec(), b.forward(&x).to_vec());
    }

    #[test]
    fn what_does_not_fit_is_told_at_once_and_changes_nothing() {
        let (a, mut b) = (net(1, 8), net(2, 7));
        let before = b.state_dict();
        let mut state = a.state_dict();
        state.insert("surprise", 1);
        let error = b.load_state_dict(&state).unwrap_err();
        assert_eq!(error.mismatches().len(), 4, "{error}");
        assert_eq!(b.state_dict(), before);
    }

    #[test]
    fn a_snapshot_does_not_follow_the_model() {
        let net = net(1, 8);
        let (state, copy) = (net.state_dict(), net.state_dict());
        net.parameters()[0].value_mut().fill(0.0);
        assert_eq!(state, copy);
        assert_ne!(state, net.state_dict());
    }
}

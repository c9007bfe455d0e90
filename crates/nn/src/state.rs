//! A module's state: its parameters, buffers and generators by path.
//!
//! `#[derive(Module)]` implements [`Stateful`] with these functions.

use crate::module::{Leaf, Module, Path};
use adamant_tensor::{
    Array, Float, Generator, Shape, StateDict, StateError, Stateful, Tensor, Value,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A generator's lock: held to draw or to read its state, which leaves it whole
/// even if the holder panics.
pub(crate) fn lock(generator: &Mutex<Generator>) -> MutexGuard<'_, Generator> {
    generator.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of a module: a name for each parameter, buffer and count, and a few for each
/// generator. What is shared is there once, under its first path.
///
/// For modules that are not [`Stateful`] themselves, as lists, tuples and boxes of modules, which
/// are other crates' types, and layers without parameters:
///
/// ```
/// use adamant_nn::{Linear, load_module_state, module_state};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let (a, b) = (vec![Linear::new(3, 2, rng)], vec![Linear::new(3, 2, rng)]);
/// load_module_state::<f32>(&b, &module_state::<f32>(&a)).unwrap();
/// assert_eq!(a[0].weight.tensor().to_vec(), b[0].weight.tensor().to_vec());
/// ```
#[must_use]
pub fn module_state<T: Float>(module: &(impl Module<T> + ?Sized)) -> StateDict {
    let mut state = StateDict::new();
    let mut seen = HashSet::new();
    module.visit(&mut Path::default(), &mut |path, leaf| match leaf {
        Leaf::Parameter(parameter) => {
            if seen.insert(parameter.id()) {
                state.insert(path, parameter.tensor().array().clone());
            }
        }
        Leaf::Buffer(buffer) => {
            if seen.insert(buffer.id()) {
                state.insert(path, buffer.tensor().array().clone());
            }
        }
        Leaf::Counter(counter) => {
            state.insert(path, Value::I64(Array::full([].into(), counter.get())));
        }
        Leaf::Generator(generator) => state.insert_part(path, lock(generator).state_dict()),
    });
    state
}

/// Whether `name` is a batch normalisation's count that the state does not have: it then stays as
/// it is. States of PyTorch from before it counted have none, and it still takes them.
fn may_be_missing(name: &str, state: &StateDict) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked") && state.get(name).is_none()
}

/// What of a state fits a module, and what does not.
#[derive(Default)]
struct Fit {
    /// Of each leaf that can be loaded: its first path, and its name in the state.
    fits: Vec<(String, String)>,
    missing: Vec<String>,
    unexpected: Vec<String>,
    misshapen: Vec<String>,
    /// A line for each of the three kinds of trouble.
    errors: StateError,
}

impl Fit {
    fn of<T: Float>(module: &(impl Module<T> + ?Sized), state: &StateDict) -> Fit {
        let mut fit = Fit::default();
        // The arrays, each with all its names: a state may hold a tied one under any of them.
        let mut arrays: Vec<(Vec<String>, Shape)> = Vec::new();
        let mut places = HashMap::new();
        let mut counters = Vec::new();
        let mut generators = Vec::new();
        module.visit(&mut Path::default(), &mut |path, leaf| {
            let (id, shape) = match leaf {
                Leaf::Parameter(parameter) => (parameter.id(), parameter.shape()),
                Leaf::Buffer(buffer) => (buffer.id(), buffer.shape()),
                Leaf::Counter(_) => return counters.push(path.to_string()),
                Leaf::Generator(generator) => {
                    let check = lock(generator).check_state_dict(&state.part(path));
                    return generators.push((path.to_string(), check));
                }
            };
            let place = *places.entry(id).or_insert_with(|| {
                arrays.push((Vec::new(), shape.into()));
                arrays.len() - 1
            });
            arrays[place].0.push(path.to_string());
        });

        for (names, shape) in &arrays {
            fit.array::<T>(state, names, shape);
        }
        for name in counters.iter().filter(|name| !may_be_missing(name, state)) {
            let found = state.count(name).map(drop);
            fit.take(state, name, found);
        }
        // A state of PyTorch has no generators: if there is none, each stays as it is.
        let within = |name: &str, path: &str| {
            name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        let generated = |name: &str| generators.iter().any(|(path, _)| within(name, path));
        if state.iter().any(|(name, _)| generated(name)) {
            for (path, check) in &generators {
                match check {
                    Ok(()) => fit.fits.push((path.clone(), path.clone())),
                    Err(error) => {
                        let there = state.iter().any(|(name, _)| within(name, path));
                        let list = if there { &mut fit.misshapen } else { &mut fit.missing };
                        list.push(path.clone());
                        fit.errors.extend(path, Err(error.clone()));
                    }
                }
            }
        }
        let names = arrays.iter().flat_map(|(names, _)| names).chain(&counters);
        let known: HashSet<&str> = names.map(String::as_str).collect();
        let others = state.iter().map(|(name, _)| name);
        let (expected, unexpected): (Vec<&str>, Vec<&str>) =
            others.partition(|name| known.contains(name) || generated(name));
        fit.unexpected = unexpected.into_iter().map(String::from).collect();
        fit.errors.check_names(state, expected);
        fit
    }

    /// One array, under as many of its names as the state has: its values are those of the first.
    fn array<T: Float>(&mut self, state: &StateDict, names: &[String], shape: &Shape) {
        let mut found = names.iter().filter(|name| state.get(name).is_some());
        let first = found.next().unwrap_or(&names[0]);
        match state.array::<T>(first, shape) {
            Ok(_) => self.fits.push((names[0].clone(), first.clone())),
            Err(error) => self.refuse(state, first, error),
        }
        for name in found {
            let error = match state.array::<T>(name, shape) {
                Ok(_) if state.get(name) == state.get(first) => continue,
                Ok(_) => format!("`{name}`: differs from `{first}`, which is the same here"),
                Err(error) => error,
            };
            self.refuse(state, name, error);
        }
    }

    fn take(&mut self, state: &StateDict, name: &str, found: Result<(), String>) {
        match found {
            Ok(()) => self.fits.push((name.into(), name.into())),
            Err(error) => self.refuse(state, name, error),
        }
    }

    fn refuse(&mut self, state: &StateDict, name: &str, error: String) {
        let there = state.get(name).is_some();
        let list = if there { &mut self.misshapen } else { &mut self.missing };
        list.push(name.into());
        self.errors.push(error);
    }

    /// Loads what fits.
    fn load<T: Float>(&self, module: &(impl Module<T> + ?Sized), state: &StateDict) {
        let names: HashMap<&str, &str> =
            self.fits.iter().map(|(path, name)| (path.as_str(), name.as_str())).collect();
        module.visit(&mut Path::default(), &mut |path, leaf| {
            let Some(&name) = names.get(path) else { return };
            let array = |shape| -> Tensor<T> {
                state.array::<T>(name, shape).expect("it was found to fit").clone().into()
            };
            match leaf {
                Leaf::Parameter(parameter) => parameter.set_value(&array(parameter.shape())),
                Leaf::Buffer(buffer) => buffer.set(&array(buffer.shape())),
                Leaf::Counter(counter) => {
                    counter.set(state.count(name).expect("it was found to fit"));
                }
                Leaf::Generator(generator) => {
                    let state = state.part(name);
                    lock(generator).load_state_dict(&state).expect("it was found to fit");
                }
            }
        });
    }
}

/// Checks that `state` has each parameter and buffer with its shape and type, each
/// generator, and nothing else.
///
/// A shared parameter may be there under any of its names, or several that agree. A state
/// without any generator, as PyTorch's are, fits too, and so does one without the counts of batch
/// normalisations (`num_batches_tracked`), as PyTorch's once were.
///
/// # Errors
/// All mismatches at once.
pub fn check_module_state<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> Result<(), StateError> {
    Fit::of(module, state).errors.into_result()
}

/// Takes over `state`: all of it, or nothing. Generators, and counts of batches, stay as they are if
/// the state has none.
///
/// # Errors
/// All mismatches at once.
pub fn load_module_state<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> Result<(), StateError> {
    let fit = Fit::of(module, state);
    fit.errors.clone().into_result()?;
    fit.load(module, state);
    Ok(())
}

/// What [`Module::load_partial`] did: every name that was looked for or found.
///
/// PyTorch: what `load_state_dict(state, strict=False)` returns.
#[derive(Clone, Debug, Default)]
#[must_use = "it tells what was not loaded"]
pub struct PartialLoad {
    /// What was taken over: names in the module.
    pub loaded: Vec<String>,
    /// What the module has and the state has not.
    pub missing: Vec<String>,
    /// What the state has and the module has not.
    pub unexpected: Vec<String>,
    /// What both have, but with another shape or type. (Also a shared parameter's name whose
    /// values differ from those under its first.)
    pub misshapen: Vec<String>,
    errors: StateError,
}

impl PartialLoad {
    /// Whether all of the state was loaded, and all of the module.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.errors.mismatches().is_empty()
    }
}

/// What was loaded, and a line for each name that was not.
impl fmt::Display for PartialLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.errors.mismatches();
        write!(f, "loaded {}, left out {}", self.loaded.len(), lines.len())?;
        lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

pub(crate) fn load_partial<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> PartialLoad {
    let fit = Fit::of(module, state);
    fit.load(module, state);
    let Fit { fits, missing, unexpected, misshapen, errors } = fit;
    let loaded = fits.into_iter().map(|(path, _)| path).collect();
    PartialLoad { loaded, missing, unexpected, misshapen, errors }
}

#[cfg(test)]
mod tests {
    use super::{load_module_state, module_state};
    use crate::{BatchNorm1d, Buffer, Counter, Dropout, Forward, Linear, Module, Relu, Sequential};
    use adamant_tensor::{Generator, Parameter, StateDict, Stateful, Tensor, Value};

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

    #[derive(Module)]
    #[module(crate = crate)]
    struct Tied {
        embedding: Parameter,
        mean: Buffer,
        seen: Counter,
        head: Parameter,
        dropout: Dropout,
    }

    fn tied(value: f32) -> Tied {
        let embedding = Parameter::new(Tensor::full([2], value));
        Tied {
            head: embedding.clone(),
            embedding,
            mean: Buffer::new(Tensor::full([3], value)),
            seen: Counter::default(),
            dropout: Dropout::new(0.5, &mut Generator::seed(value as u64)),
        }
    }

    #[test]
    fn a_tied_parameter_is_saved_once_and_loads_under_any_of_its_names() {
        let (a, mut b) = (tied(1.0), tied(2.0));
        a.seen.set(7);
        let state = a.state_dict();
        let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
        assert_eq!(names[..4], ["embedding", "mean", "seen", "dropout.rng.algorithm"]);
        b.load_state_dict(&state).unwrap();
        assert_eq!(b.state_dict(), state);
        assert_eq!((b.named_buffers().len(), b.num_parameters()), (1, 2));

        let value = |value| Value::from(Tensor::<f32>::full([2], value).array().clone());
        let mut both = state.clone();
        both.insert("embedding", value(3.0));
        both.insert("head", value(3.0));
        b.load_state_dict(&both).unwrap();
        assert_eq!(b.embedding.tensor().to_vec(), [3.0, 3.0]);
        both.insert("head", value(4.0));
        let error = b.load_state_dict(&both).unwrap_err();
        let expected = "`head`: differs from `embedding`, which is the same here";
        assert_eq!(error.mismatches(), [expected]);
        both.insert("embedding", value(5.0));
        let report = b.load_partial(&both);
        assert_eq!(report.misshapen, ["head"]);
        assert!(report.loaded.contains(&"embedding".to_string()));
        assert_eq!(b.embedding.tensor().to_vec(), [5.0, 5.0]);
        both.insert("embedding", 1);
        assert_eq!(b.load_partial(&both).misshapen, ["embedding", "head"]);

        let mut other = StateDict::new();
        for (name, value) in state.iter() {
            let name = if name == "embedding" { "head" } else { name };
            other.insert(name, value.clone());
        }
        b.load_state_dict(&other).unwrap();
        assert_eq!(b.embedding.tensor().to_vec(), [1.0, 1.0]);
    }

    #[test]
    fn a_state_without_generators_leaves_them_as_they_are() {
        let (a, mut b) = (tied(1.0), tied(2.0));
        let rng = b.state_dict().part("dropout");
        let mut state = StateDict::new();
        for (name, value) in a.state_dict().iter().filter(|(name, _)| !name.contains("rng")) {
            state.insert(name, value.clone());
        }
        b.load_state_dict(&state).unwrap();
        assert_eq!(b.state_dict().part("dropout"), rng);
        assert!(b.load_partial(&state).is_complete());
        state.insert("dropout.rng.seed", "half of it");
        assert!(b.load_state_dict(&state).is_err());
    }

    #[test]
    fn a_batch_norms_count_may_be_missing_and_stays_as_it_is() {
        let net = || (Linear::new(3, 2, &mut Generator::seed(0)), BatchNorm1d::new(2));
        let (a, b) = (net(), net());
        for (net, count) in [(&a, 7), (&b, 3)] {
            net.1.num_batches_tracked.as_ref().unwrap().set(count);
        }
        a.1.running_mean.as_ref().unwrap().set(&Tensor::from([4.0, 5.0]));
        let mut state = StateDict::new();
        for (name, value) in
            module_state::<f32>(&a).iter().filter(|(name, _)| !name.contains("num_"))
        {
            state.insert(name, value.clone());
        }
        load_module_state::<f32>(&b, &state).unwrap();
        assert_eq!(b.1.num_batches_tracked.as_ref().unwrap().get(), 3);
        assert_eq!(b.1.running_mean.as_ref().unwrap().tensor().to_vec(), [4.0, 5.0]);
        state.insert("1.num_batches_tracked", "many");
        assert!(load_module_state::<f32>(&b, &state).is_err());
    }

    #[test]
    fn a_partial_load_tells_all_that_it_left_out() {
        let (a, mut b) = (net(1, 8), tied(2.0));
        let mut state = tied(1.0).state_dict();
        state.insert("mean", Value::from(Tensor::<f32>::ones([4]).array().clone()));
        state.insert_part("body", a.state_dict().part("0"));
        let mut without = StateDict::new();
        for (name, value) in state.iter().filter(|(name, _)| *name != "seen") {
            without.insert(name, value.clone());
        }
        let report = b.load_partial(&without);
        assert_eq!(report.loaded, ["embedding", "dropout.rng"]);
        assert_eq!(report.missing, ["seen"]);
        assert_eq!(report.unexpected, ["body.weight", "body.bias"]);
        assert_eq!(report.misshapen, ["mean"]);
        assert!(!report.is_complete());
        let text = report.to_string();
        assert!(
            text.starts_with("loaded 2, left out 4\n  `mean`: found f32 [4], expected f32 [3]"),
            "{text}"
        );
        assert_eq!(b.head.tensor().to_vec(), [1.0, 1.0]);
        assert_eq!(b.mean.tensor().to_vec(), [2.0; 3]);
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

//! A module's state: its parameters, buffers, counts and generators by path.
//!
//! `#[derive(Module)]` implements [`Stateful`] with these functions.

use crate::tree::module::{Leaf, Module, Path};
use adamant_tensor::{
    Array, Float, Mismatch, Parameter, Shape, StateDict, StateError, Stateful, Value, take_values,
};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// The state of a module: an entry for each parameter, buffer and count, and several for each
/// generator. A shared parameter or buffer is there once, under its first path.
///
/// For modules that are not [`Stateful`]: lists, tuples and boxes of modules, and layers without
/// parameters.
///
/// A model is cast by loading its cast state into a model of the other type:
///
/// ```
/// use adamant_nn::{Linear, load_module_state, module_state};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let single = vec![Linear::new(3, 2, rng)];
/// let double = vec![Linear::<f64>::with_options(3, 2, Default::default(), rng)];
/// load_module_state::<f64>(&double, &module_state::<f32>(&single).cast::<f64>()).unwrap();
/// let element = |i| f64::from(single[0].weight.tensor().to_vec()[i]);
/// assert_eq!(double[0].weight.tensor().to_vec()[5], element(5));
/// ```
#[must_use]
pub fn module_state<T: Float>(module: &(impl Module<T> + ?Sized)) -> StateDict {
    let mut state = StateDict::new();
    let mut seen = HashSet::new();
    module.visit(&mut Path::default(), &mut |path, leaf| match leaf {
        Leaf::Parameter(parameter) => {
            if seen.insert(parameter.id()) {
                state.insert(path, parameter.tensor());
            }
        }
        Leaf::Buffer(buffer) => {
            if seen.insert(buffer.id()) {
                state.insert(path, buffer.tensor());
            }
        }
        Leaf::Counter(counter) => {
            state.insert(path, Value::I64(Array::full([].into(), counter.get())));
        }
        Leaf::Generator(generator) => state.insert_part(path, generator.lock().state_dict()),
        Leaf::Adapter(_) => {}
    });
    state
}

/// Whether `name` is a batch normalization's count that the state does not have: the count then
/// stays as it is. Old states of PyTorch do not have it, and PyTorch still loads them.
fn may_be_missing(name: &str, state: &StateDict) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked") && !state.contains(name)
}

const FITS: &str = "checked before";

/// The parts of a state that fit a module, and those that do not.
#[derive(Default)]
struct Fit {
    /// For each leaf that can be loaded: its first path, and its name in the state.
    fits: Vec<(String, String)>,
    missing: Vec<String>,
    unexpected: Vec<String>,
    misshapen: Vec<String>,
    /// A line for each name in the three lists above.
    errors: StateError,
}

impl Fit {
    fn of<T: Float>(module: &(impl Module<T> + ?Sized), state: &StateDict) -> Fit {
        let mut fit = Fit::default();
        // Each array with all its names: a state may hold a tied one under any of them.
        let mut arrays: Vec<(Vec<String>, Shape)> = Vec::new();
        let mut indices = HashMap::new();
        let mut counters = Vec::new();
        let mut generators = Vec::new();
        module.visit(&mut Path::default(), &mut |path, leaf| {
            let (id, shape) = match leaf {
                Leaf::Parameter(parameter) => {
                    if parameter.is_being_written() {
                        let found = "a parameter with a `ValueMut`";
                        fit.errors.push(Mismatch::wrong(path, found, "one that can be replaced"));
                    }
                    (parameter.id(), parameter.shape())
                }
                Leaf::Buffer(buffer) => (buffer.id(), buffer.shape()),
                Leaf::Counter(_) => return counters.push(path.to_string()),
                Leaf::Generator(generator) => {
                    let check = generator.lock().check_state_dict(&state.part(path));
                    return generators.push((path.to_string(), check));
                }
                Leaf::Adapter(_) => return,
            };
            let index = *indices.entry(id).or_insert_with(|| {
                arrays.push((Vec::new(), shape.into()));
                arrays.len() - 1
            });
            arrays[index].0.push(path.to_string());
        });

        for (names, shape) in &arrays {
            fit.array::<T>(state, names, shape);
        }
        for name in counters.iter().filter(|name| !may_be_missing(name, state)) {
            let found = state.count(name).map(drop);
            match found {
                Ok(()) => fit.fits.push((name.clone(), name.clone())),
                Err(mismatch) => fit.refuse(state, name, mismatch),
            }
        }
        // PyTorch's states have no generators; without any, all stay as they are.
        let within = |name: &str, path: &str| {
            name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        let generated = |name: &str| generators.iter().any(|(path, _)| within(name, path));
        if state.keys().any(generated) {
            for (path, check) in &generators {
                match check {
                    Ok(()) => fit.fits.push((path.clone(), path.clone())),
                    Err(error) => {
                        let is_there = state.keys().any(|name| within(name, path));
                        let list = if is_there { &mut fit.misshapen } else { &mut fit.missing };
                        list.push(path.clone());
                        fit.errors.extend(path, Err(error.clone()));
                    }
                }
            }
        }
        let names = arrays.iter().flat_map(|(names, _)| names).chain(&counters);
        let known: HashSet<&str> = names.map(String::as_str).collect();
        let (expected, unexpected): (Vec<&str>, Vec<&str>) =
            state.keys().partition(|name| known.contains(name) || generated(name));
        fit.unexpected = unexpected.into_iter().map(String::from).collect();
        fit.errors.check_names(state, expected);
        fit
    }

    /// Checks one array, under all of its names that the state has: they must agree.
    fn array<T: Float>(&mut self, state: &StateDict, names: &[String], shape: &Shape) {
        let mut found = names.iter().filter(|name| state.contains(name));
        let first = found.next().unwrap_or(&names[0]);
        match state.array::<T>(first, shape) {
            Ok(_) => self.fits.push((names[0].clone(), first.clone())),
            Err(mismatch) => self.refuse(state, first, mismatch),
        }
        for name in found {
            let mismatch = match state.array::<T>(name, shape) {
                Ok(_) if state.get(name) == state.get(first) => continue,
                Ok(_) => Mismatch::Wrong {
                    name: name.clone(),
                    found: "other values".into(),
                    expected: format!("those of `{first}`, to which it is tied"),
                },
                Err(mismatch) => mismatch,
            };
            self.refuse(state, name, mismatch);
        }
    }

    fn refuse(&mut self, state: &StateDict, name: &str, mismatch: Mismatch) {
        let list = if state.contains(name) { &mut self.misshapen } else { &mut self.missing };
        list.push(name.into());
        self.errors.push(mismatch);
    }

    /// Loads what fits. Panics, and changes nothing, if one of the parameters is being written to.
    #[track_caller]
    fn load<T: Float>(&self, module: &(impl Module<T> + ?Sized), state: &StateDict) {
        let names: HashMap<&str, &str> =
            self.fits.iter().map(|(path, name)| (path.as_str(), name.as_str())).collect();
        let array = |name: &str, shape: &[usize]| state.array::<T>(name, shape).expect(FITS);

        let mut parameters: Vec<(Parameter<T>, Array<T>)> = Vec::new();
        module.visit(&mut Path::default(), &mut |path, leaf| {
            if let (Some(&name), Leaf::Parameter(parameter)) = (names.get(path), leaf) {
                parameters.push((parameter.clone(), array(name, parameter.shape()).clone()));
            }
        });
        // Only this can panic, before the first value has changed.
        let of_each = parameters.iter().map(|(parameter, _)| parameter);
        let mut values = take_values("load_state_dict", of_each);
        for (value, (_, array)) in values.iter_mut().zip(parameters.iter().cloned()) {
            value.replace(array);
        }
        drop(values);

        module.visit(&mut Path::default(), &mut |path, leaf| {
            let Some(&name) = names.get(path) else { return };
            match leaf {
                Leaf::Parameter(_) | Leaf::Adapter(_) => {}
                Leaf::Buffer(buffer) => {
                    buffer.set(&array(name, buffer.shape()).clone().into());
                }
                Leaf::Counter(counter) => counter.set(state.count(name).expect(FITS)),
                Leaf::Generator(generator) => {
                    let state = state.part(name);
                    generator.lock().load_state_dict(&state).expect(FITS);
                }
            }
        });
    }
}

/// Checks that `state` has each parameter and buffer with its shape and type, each generator, and
/// nothing else.
///
/// A shared parameter may be there under any of its names, or under several that agree. A state
/// may be without any generators, as PyTorch's are, and without the counts of batch normalizations
/// (`num_batches_tracked`), as PyTorch's once were.
///
/// # Errors
/// All mismatches at once.
pub fn check_module_state<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> Result<(), StateError> {
    Fit::of(module, state).errors.into_result()
}

/// Loads `state`: all of it, or nothing. Generators and counts of batches stay as they are if the
/// state does not have them.
///
/// # Errors
/// All mismatches at once.
///
/// # Panics
/// If a [`ValueMut`](adamant_tensor::ValueMut) of a parameter exists; nothing is loaded.
#[track_caller]
pub fn load_module_state<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> Result<(), StateError> {
    let fit = Fit::of(module, state);
    fit.errors.clone().into_result()?;
    fit.load(module, state);
    Ok(())
}

/// The result of [`load_partial`]: the names that were loaded, and those that were not.
///
/// PyTorch: the result of `load_state_dict(state, strict=False)`.
#[derive(Clone, Debug, Default)]
#[must_use = "it lists what was not loaded"]
pub struct PartialLoad {
    /// Names in the module that were loaded.
    pub loaded: Vec<String>,
    /// Names that the module has and the state does not have.
    pub missing: Vec<String>,
    /// Names that the state has and the module does not have.
    pub unexpected: Vec<String>,
    /// Names that both have, with different shapes or types. (Also a shared parameter's name whose
    /// values differ from those under its first name.)
    pub misshapen: Vec<String>,
    errors: StateError,
}

impl PartialLoad {
    /// Whether all of the state was loaded into all of the module.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.errors.mismatches().is_empty()
    }
}

/// The number of names that were loaded, and a line for each that was not.
impl fmt::Display for PartialLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.errors.mismatches();
        write!(f, "loaded {}, left out {}", self.loaded.len(), lines.len())?;
        lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Loads the parts of `state` that fit, and reports those that do not: for a body that was trained
/// with another head. To require that all of it fits:
/// [`load_state_dict`](adamant_tensor::Stateful::load_state_dict).
///
/// PyTorch: `model.load_state_dict(state, strict=False)`, which however raises an error if a shape
/// differs.
///
/// # Panics
/// If a [`ValueMut`](adamant_tensor::ValueMut) of a parameter exists; nothing is loaded.
///
/// ```
/// use adamant_nn::{Linear, Sequential, Stateful, load_partial};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let ten = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 10, rng));
/// let two = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 2, rng));
/// let report = load_partial(&two, &ten.state_dict());
/// assert_eq!(report.loaded, ["0.weight", "0.bias"]);
/// assert_eq!(report.misshapen, ["1.weight", "1.bias"]);
/// ```
#[track_caller]
pub fn load_partial<T: Float>(
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
    use super::{load_module_state, load_partial, module_state};
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
    fn a_loaded_model_computes_the_same() {
        let (a, mut b) = (net(1, 8), net(2, 8));
        b.load_state_dict(&a.state_dict()).unwrap();
        assert_eq!(a.state_dict(), b.state_dict());
        let x = Tensor::ones([4, 3]);
        assert_eq!(a.forward(&x).to_vec(), b.forward(&x).to_vec());
    }

    /// The entries whose names do not contain `part`.
    fn without(part: &str, state: &StateDict) -> StateDict {
        let entries = state.iter().filter(|(name, _)| !name.contains(part));
        entries.map(|(name, value)| (name, value.clone())).collect()
    }

    #[test]
    fn a_prefix_in_all_names_is_reported_with_its_remedy() {
        let (a, mut b) = (net(1, 8), net(2, 8));
        let mut state = StateDict::new();
        state.insert_part("module", a.state_dict());
        let text = b.load_state_dict(&state).unwrap_err().to_string();
        assert!(text.ends_with("`StateDict::remove_prefix(\"module.\")` removes it"), "{text}");
        state.remove_prefix("module.").unwrap();
        b.load_state_dict(&state).unwrap();
        assert_eq!(b.state_dict(), a.state_dict());
    }

    #[test]
    fn a_cast_state_loads_into_a_model_of_the_other_type() {
        let a = net(1, 8);
        let rng = &mut Generator::seed(2);
        let mut b = Sequential::<f64>::default()
            .add(Linear::with_options(3, 8, Default::default(), rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng))
            .add(Linear::with_options(8, 2, Default::default(), rng));
        assert!(b.load_state_dict(&a.state_dict()).is_err());
        b.load_state_dict(&a.state_dict().cast::<f64>()).unwrap();
        assert_eq!(b.state_dict().cast::<f32>(), a.state_dict());
    }

    #[test]
    fn all_mismatches_are_reported_at_once() {
        let (a, mut b) = (net(1, 8), net(2, 7));
        let before = b.state_dict();
        let mut state = a.state_dict();
        state.insert("surprise", 1);
        let error = b.load_state_dict(&state).unwrap_err();
        assert_eq!(error.mismatches().len(), 4, "{error}");
        assert_eq!(b.state_dict(), before);
    }

    #[test]
    fn a_parameter_being_written_to_stops_the_whole_load() {
        let (a, b) = (net(1, 8), net(2, 8));
        let before = b.state_dict();
        let guard = b.parameters()[3].value_mut(); // the last one
        let error = load_module_state(&b, &a.state_dict()).unwrap_err();
        let expected = "found a parameter with a `ValueMut`, expected one that can be replaced";
        assert!(error.to_string().contains(expected), "{error}");
        drop(guard);
        assert_eq!(b.state_dict(), before);
        load_module_state(&b, &a.state_dict()).unwrap();
        assert_eq!(b.state_dict(), a.state_dict());
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
    fn tied_parameters_load_under_any_of_their_names() {
        let (a, mut b) = (tied(1.0), tied(2.0));
        a.seen.set(7);
        let state = a.state_dict();
        let names: Vec<&str> = state.keys().collect();
        assert_eq!(names[..4], ["embedding", "mean", "seen", "dropout.rng.algorithm"]);
        b.load_state_dict(&state).unwrap();
        assert_eq!(b.state_dict(), state);
        assert_eq!((b.named_buffers().len(), b.num_parameters()), (1, 2));

        let value = |value| Value::from(Tensor::<f32>::full([2], value));
        let mut both = state.clone();
        both.insert("embedding", value(3.0));
        both.insert("head", value(3.0));
        b.load_state_dict(&both).unwrap();
        assert_eq!(b.embedding.tensor().to_vec(), [3.0, 3.0]);
        both.insert("head", value(4.0));
        let error = b.load_state_dict(&both).unwrap_err();
        let expected =
            "`head`: found other values, expected those of `embedding`, to which it is tied";
        assert_eq!(error.mismatches(), [expected]);
        both.insert("embedding", value(5.0));
        let report = load_partial(&b, &both);
        assert_eq!(report.misshapen, ["head"]);
        assert!(report.loaded.contains(&"embedding".to_string()));
        assert_eq!(b.embedding.tensor().to_vec(), [5.0, 5.0]);
        both.insert("embedding", 1);
        assert_eq!(load_partial(&b, &both).misshapen, ["embedding", "head"]);

        let mut other = state.clone();
        other.rename("embedding", "head").unwrap();
        b.load_state_dict(&other).unwrap();
        assert_eq!(b.embedding.tensor().to_vec(), [1.0, 1.0]);
    }

    #[test]
    fn generators_may_be_missing() {
        let (a, mut b) = (tied(1.0), tied(2.0));
        let rng = b.state_dict().part("dropout");
        let mut state = without("rng", &a.state_dict());
        b.load_state_dict(&state).unwrap();
        assert_eq!(b.state_dict().part("dropout"), rng);
        assert!(load_partial(&b, &state).is_complete());
        state.insert("dropout.rng.seed", "half of it");
        assert!(b.load_state_dict(&state).is_err());
    }

    #[test]
    fn a_batch_norms_count_may_be_missing() {
        let net = || (Linear::new(3, 2, &mut Generator::seed(0)), BatchNorm1d::new(2));
        let (a, b) = (net(), net());
        for (net, count) in [(&a, 7), (&b, 3)] {
            net.1.num_batches_tracked.as_ref().unwrap().set(count);
        }
        a.1.running_mean.as_ref().unwrap().set(&Tensor::from([4.0, 5.0]));
        let mut state = without("num_", &module_state::<f32>(&a));
        load_module_state::<f32>(&b, &state).unwrap();
        assert_eq!(b.1.num_batches_tracked.as_ref().unwrap().get(), 3);
        assert_eq!(b.1.running_mean.as_ref().unwrap().tensor().to_vec(), [4.0, 5.0]);
        state.insert("1.num_batches_tracked", "many");
        assert!(load_module_state::<f32>(&b, &state).is_err());
    }

    #[test]
    fn a_partial_load_reports_what_it_left_out() {
        let (a, b) = (net(1, 8), tied(2.0));
        let mut state = tied(1.0).state_dict();
        state.insert("mean", Tensor::<f32>::ones([4]));
        state.insert_part("body", a.state_dict().part("0"));
        state.remove("seen");
        let report = load_partial(&b, &state);
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

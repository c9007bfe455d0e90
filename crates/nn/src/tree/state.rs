//! A module's state: its parameters, buffers, counts and generators by path.
//!
//! `#[derive(Module)]` implements [`Stateful`] with these functions.

use crate::tree::load::{LoadError, LoadOptions};
use crate::tree::module::{Leaf, Module, Path};
use crate::tree::new_values::NewValues;
use adamant_tensor::{Array, Float, StateDict, StateError, Stateful, Value};
use std::collections::HashSet;

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

/// The error of loading a [`StateDict`], every value of which can be read.
fn mismatches(error: LoadError) -> StateError {
    match error {
        LoadError::State(error) => error,
        LoadError::Read { .. } => unreachable!("a StateDict has each value that it describes"),
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
    NewValues::read(module, state, &LoadOptions::exact()).map(drop).map_err(mismatches)
}

/// Loads `state`: all of it, or nothing. Generators and counts of batches stay as they are if the
/// state does not have them.
///
/// To load a part of the state, or to convert names or types: [`load_with`](crate::load_with).
///
/// # Errors
/// All mismatches at once; also a parameter that is being written to.
#[track_caller]
pub fn load_module_state<T: Float>(
    module: &(impl Module<T> + ?Sized),
    state: &StateDict,
) -> Result<(), StateError> {
    let (values, _) = NewValues::read(module, state, &LoadOptions::exact()).map_err(mismatches)?;
    values.replace("load_state_dict");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{load_module_state, module_state};
    use crate::{
        BatchNorm1d, Buffer, Counter, Dropout, Forward, Linear, LoadOptions, LoadReport, Module,
        Relu, Sequential, load_with,
    };
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

    fn load_partial(module: &impl Module, state: &StateDict) -> LoadReport {
        load_with(module, state, LoadOptions::default().strict(false)).unwrap()
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
            text.starts_with("loaded 2; left out 4\n  `mean`: found f32 [4], expected f32 [3]"),
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

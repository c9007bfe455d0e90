//! Loading from a source: names, types, and what keeps a load from happening.

use adamant_nn::{
    BatchNorm1d, Dropout, Linear, LoadError, LoadOptions, Module, Sequential, load_with,
    module_state,
};
use adamant_tensor::{
    Array, Generator, Parameter, SourceError, StateDict, StateSource, Stateful, Tensor, Value,
    ValueKind,
};
use std::cell::RefCell;

fn net(seed: u64) -> Sequential {
    let rng = &mut Generator::seed(seed);
    Sequential::new()
        .add(Linear::new(3, 4, rng))
        .add(BatchNorm1d::new(4))
        .add(Dropout::new(0.5, rng))
        .add(Linear::new(4, 2, rng))
}

/// A file: it names its type of floats, records which values are read, and may fail.
struct File {
    state: StateDict,
    stored: &'static str,
    read: RefCell<Vec<String>>,
    damaged: Option<&'static str>,
}

impl File {
    fn of(state: StateDict) -> Self {
        File { state, stored: "BF16", read: RefCell::default(), damaged: None }
    }
}

impl StateSource for File {
    fn kinds(&self) -> Vec<(&str, ValueKind)> {
        let as_stored = |kind| match kind {
            ValueKind::Floats { shape, .. } => {
                ValueKind::Floats { stored: self.stored.into(), shape }
            }
            other => other,
        };
        self.state.kinds().into_iter().map(|(name, kind)| (name, as_stored(kind))).collect()
    }

    fn read(&self, name: &str) -> Result<Value, SourceError> {
        self.read.borrow_mut().push(name.into());
        if self.damaged == Some(name) { Err("it is damaged".into()) } else { self.state.read(name) }
    }
}

fn mismatches(error: LoadError) -> Vec<String> {
    match error {
        LoadError::State(error) => error.mismatches().iter().map(ToString::to_string).collect(),
        LoadError::Read { .. } => panic!("expected mismatches: {error}"),
    }
}

#[test]
fn a_file_loads_and_its_types_are_reported() {
    let (a, b) = (net(1), net(2));
    let file = File::of(a.state_dict());
    let report = load_with(&b, &file, LoadOptions::default()).unwrap();
    assert_eq!(b.state_dict(), a.state_dict());
    assert!(report.is_complete());
    // Four arrays of the layers, the norm's four arrays and its count, and the generator.
    assert_eq!((report.loaded.len(), report.converted.len()), (10, 8));
    assert_eq!(report.converted[0], ("0.weight".into(), "BF16".into()));
    assert_eq!(report.to_string(), "loaded 10, 8 of them from BF16; left out 0");

    let file = File { stored: "F32", ..file }; // the module's own type
    let report = load_with(&b, &file, LoadOptions::default()).unwrap();
    assert_eq!(report.to_string(), "loaded 10; left out 0");
}

#[test]
fn floats_are_rounded_to_the_type_of_the_module() {
    let layer = Linear::new(2, 1, &mut Generator::seed(0));
    let mut state = StateDict::new();
    state.insert("weight", Tensor::from([[0.1f64, 1e300]]));
    state.insert("bias", Tensor::from([0.5f32]));
    let report = load_with(&layer, &state, LoadOptions::default()).unwrap();
    assert_eq!(layer.weight.tensor().to_vec(), [0.1f32, f32::INFINITY]);
    assert_eq!(report.loaded, ["weight", "bias"]);
    assert_eq!(report.converted, [("weight".to_string(), "f64".to_string())]);

    let options = adamant_nn::LinearOptions::default();
    let layer = Linear::<f64>::with_options(2, 1, options, &mut Generator::seed(0));
    let report = load_with(&layer, &state, LoadOptions::default()).unwrap();
    assert_eq!(layer.weight.tensor().to_vec(), [0.1, 1e300]);
    assert_eq!(report.converted, [("bias".to_string(), "f32".to_string())]);
}

#[test]
fn integers_become_floats_and_are_reported() {
    let mut layer = Linear::new(2, 1, &mut Generator::seed(0));
    let mut state = layer.state_dict();
    state.insert("weight", Value::I64(Array::full([1, 2].into(), -3)));
    let report = load_with(&layer, &state, LoadOptions::default()).unwrap();
    assert_eq!(layer.weight.tensor().to_vec(), [-3.0; 2]);
    assert_eq!(report.converted, [("weight".to_string(), "i64".to_string())]);

    // A state that is restored has the module's types.
    let error = layer.load_state_dict(&state).unwrap_err().to_string();
    assert!(error.contains("`weight`: found i64 [1, 2], expected f32 [1, 2]"), "{error}");
    state.insert("bias", 0.5);
    let error = load_with(&layer, &state, LoadOptions::default()).unwrap_err();
    assert_eq!(mismatches(error), ["`bias`: found the float 0.5, expected f32 [1]"]);
}

#[test]
fn nothing_is_read_from_a_file_that_does_not_fit() {
    let (a, b) = (net(1), net(2));
    let before = b.state_dict();
    let mut file = File::of(a.state_dict());
    file.state.insert("3.bias", Tensor::<f32>::ones([3]));
    file.state.remove("0.weight");
    file.state.insert("extra", Tensor::<f32>::ones([1]));
    let error = load_with(&b, &file, LoadOptions::default()).unwrap_err();
    let expected = [
        "`0.weight`: missing, expected f32 [4, 3]",
        "`3.bias`: found BF16 [3], expected f32 [2]",
        "`extra`: found BF16 [1], expected nothing of this name",
    ];
    assert_eq!(mismatches(error), expected);
    let read = file.read.borrow();
    assert!(read.iter().all(|name| name.starts_with("2.rng.")), "{read:?}"); // scalars
    assert_eq!(b.state_dict(), before);
}

#[test]
fn only_what_fits_is_read_if_not_strict() {
    let (a, b) =
        (Linear::new(3, 2, &mut Generator::seed(1)), Linear::new(3, 2, &mut Generator::seed(2)));
    let mut file = File::of(a.state_dict());
    file.state.insert("bias", Tensor::<f32>::ones([3]));
    let bias = b.bias.as_ref().unwrap().tensor().to_vec();
    let report = load_with(&b, &file, LoadOptions::default().strict(false)).unwrap();
    assert_eq!(*file.read.borrow(), ["weight"]);
    assert_eq!(b.weight.tensor().to_vec(), a.weight.tensor().to_vec());
    assert_eq!(b.bias.as_ref().unwrap().tensor().to_vec(), bias);
    let expected =
        "loaded 1, 1 of them from BF16; left out 1\n  `bias`: found BF16 [3], expected f32 [2]";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn a_value_that_cannot_be_read_changes_nothing() {
    let (a, b) = (net(1), net(2));
    let before = b.state_dict();
    let file = File { damaged: Some("3.bias"), ..File::of(a.state_dict()) };
    for strict in [true, false] {
        let error = load_with(&b, &file, LoadOptions::default().strict(strict)).unwrap_err();
        let expected = "`3.bias` cannot be read; nothing was changed: it is damaged";
        assert_eq!(error.to_string(), expected);
        assert_eq!(b.state_dict(), before);
    }
}

/// A file that was replaced after it was described.
struct Replaced(StateDict, StateDict);

impl StateSource for Replaced {
    fn kinds(&self) -> Vec<(&str, ValueKind)> {
        self.0.kinds()
    }
    fn read(&self, name: &str) -> Result<Value, SourceError> {
        self.1.read(name)
    }
}

#[test]
fn another_value_than_described_is_an_error() {
    let net = (Linear::new(3, 2, &mut Generator::seed(1)), BatchNorm1d::new(2));
    let before = module_state::<f32>(&net);
    let error_of = |name: &str, value: Value| {
        let mut other = before.clone();
        other.insert(name, value);
        let source = Replaced(before.clone(), other);
        load_with::<f32>(&net, &source, LoadOptions::default()).unwrap_err().to_string()
    };
    let expected = "`0.weight` cannot be read; nothing was changed: found f32 [3, 2], expected \
                    f32 [2, 3], as the source described it";
    assert_eq!(error_of("0.weight", Tensor::<f32>::ones([3, 2]).into()), expected);
    let expected = "`1.num_batches_tracked` cannot be read; nothing was changed: found the integer \
                    7, expected i64 [], as the source described it";
    assert_eq!(error_of("1.num_batches_tracked", 7.into()), expected);
    assert_eq!(module_state::<f32>(&net), before);
}

/// The state of `net(1)` as Hugging Face and `DataParallel` would name it.
fn foreign() -> StateDict {
    let mut state = StateDict::new();
    for (name, value) in net(1).state_dict().iter() {
        let name = name.replace("weight", "kernel");
        state.insert(format!("module.model.{name}"), value.clone());
    }
    state
}

#[test]
fn renamings_apply_in_order() {
    let b = net(2);
    let options = LoadOptions::default()
        .rename_prefix("module.", "")
        .rename_prefix("model.", "")
        .rename(|name| name.replace("kernel", "weight"));
    let report = load_with(&b, &foreign(), options).unwrap();
    assert!(report.is_complete());
    assert_eq!(b.state_dict(), net(1).state_dict());

    // In the other order, `model.` is not at the beginning yet.
    let options = LoadOptions::default().rename_prefix("model.", "").rename_prefix("module.", "");
    let error = load_with(&b, &foreign(), options).unwrap_err().to_string();
    let line = "`model.0.kernel`: found f32 [4, 3] under `module.model.0.kernel`, expected nothing \
                of this name";
    assert!(error.contains(line), "{error}");
}

#[test]
fn an_empty_prefix_is_put_before_all_names() {
    let (a, b) = (Linear::new(3, 2, &mut Generator::seed(1)), net(2));
    let options = LoadOptions::default().rename_prefix("", "0.").strict(false);
    let report = load_with(&b, &a.state_dict(), options).unwrap();
    assert!(report.loaded.is_empty());
    assert_eq!(report.misshapen, ["0.weight", "0.bias"]);
}

#[test]
fn a_surplus_prefix_is_reported_with_the_option_that_removes_it() {
    let mut state = StateDict::new();
    state.insert_part("module", net(1).state_dict());
    let error = load_with(&net(2), &state, LoadOptions::default()).unwrap_err().to_string();
    let remedy = "expected ones do not: `LoadOptions::rename_prefix(\"module.\", \"\")` or";
    assert!(error.contains(remedy), "{error}");
}

#[test]
fn left_out_entries_are_not_missed_by_the_source() {
    let layer = Linear::new(3, 2, &mut Generator::seed(2));
    let mut state = Linear::new(3, 2, &mut Generator::seed(1)).state_dict();
    state.insert("inv_freq", Tensor::<f32>::ones([7]));
    let keep = |name: &str| (name != "inv_freq").then(|| name.to_string());
    let report = load_with(&layer, &state, LoadOptions::default().rename(keep)).unwrap();
    assert_eq!(report.skipped, ["inv_freq"]);
    assert!(report.is_complete() && report.unexpected.is_empty());
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let layer = Linear::new(3, 2, &mut Generator::seed(2));
    let before = layer.state_dict();
    let mut state = StateDict::new();
    state.insert_part("model", before.clone());
    state.insert_part("ema", before.clone());
    for strict in [true, false] {
        let options = LoadOptions::default().strict(strict);
        let options = options.rename_prefix("model.", "").rename_prefix("ema.", "");
        let error = load_with(&layer, &state, options).unwrap_err();
        let expected = [
            "`weight`: found `model.weight` and `ema.weight`, expected one entry of this name",
            "`bias`: found `model.bias` and `ema.bias`, expected one entry of this name",
        ];
        assert_eq!(mismatches(error), expected);
    }
    assert_eq!(layer.state_dict(), before);
}

#[test]
fn a_parameter_being_written_to_stops_a_partial_load_too() {
    let layer = Linear::new(3, 2, &mut Generator::seed(2));
    let before = layer.state_dict();
    let state = Linear::new(3, 2, &mut Generator::seed(1)).state_dict();
    let guard = layer.bias.as_ref().unwrap().value_mut();
    let error = load_with(&layer, &state, LoadOptions::default().strict(false)).unwrap_err();
    let expected = "`bias`: found a parameter with a `ValueMut`, expected one that can be replaced";
    assert_eq!(mismatches(error), [expected]);
    drop(guard);
    assert_eq!(layer.state_dict(), before);
}

#[test]
fn tied_names_may_be_stored_as_different_types() {
    let shared = Parameter::new(Tensor::<f32>::ones([2]));
    let tied = (shared.clone(), shared.clone());
    let mut state = StateDict::new();
    state.insert("0", Tensor::from([0.5f64, 2.0]));
    state.insert("1", Tensor::from([0.5f32, 2.0]));
    let report = load_with::<f32>(&tied, &state, LoadOptions::default()).unwrap();
    assert_eq!(report.loaded, ["0"]);
    assert_eq!(shared.tensor().to_vec(), [0.5, 2.0]);
    state.insert("1", Tensor::from([0.5f32, 3.0]));
    let error = load_with::<f32>(&tied, &state, LoadOptions::default()).unwrap_err();
    let expected = "`1`: found other values, expected those of `0`, to which it is tied";
    assert_eq!(mismatches(error), [expected]);
}

#[test]
fn a_loaded_array_is_shared_with_its_dictionary() {
    let (a, b) =
        (Linear::new(3, 2, &mut Generator::seed(1)), Linear::new(3, 2, &mut Generator::seed(2)));
    let state = a.state_dict();
    load_with(&b, &state, LoadOptions::default()).unwrap();
    let slice = |value: &Value| value.array::<f32>().unwrap().as_slice().unwrap().as_ptr();
    assert_eq!(slice(&b.state_dict()["weight"]), slice(&state["weight"]));
    b.parameters()[0].value_mut().fill(7.0);
    assert_eq!(a.state_dict(), state);
}

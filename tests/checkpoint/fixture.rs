//! A file of the format's first version, which every later version must read.

use adamant::prelude::*;
use adamant::tensor::{Array, StateError, Value};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoint_version_1.ckpt");

/// A value of every kind.
struct Kinds;

impl Stateful for Kinds {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("f32", Array::from_slice([2, 2].into(), &[1.5f32, -0.0, f32::NAN, 1e-45]));
        state.insert("f64", Array::from_slice([1].into(), &[0.1f64]));
        state.insert("i64", Value::I64(Array::from_slice([].into(), &[i64::MIN])));
        state.insert("none", Array::<f32>::from_slice([0, 3].into(), &[]));
        state.insert("bool", true);
        state.insert("int", -7);
        state.insert("float", f64::NEG_INFINITY);
        state.insert("text", "Grüße");
        state
    }
    fn check_state_dict(&self, _: &StateDict) -> Result<(), StateError> {
        Ok(())
    }
    fn load_state_dict(&mut self, _: &StateDict) -> Result<(), StateError> {
        Ok(())
    }
}

/// A run whose values no kernel rounds: only the optimizers' exact arithmetic changes them.
fn with_run<R>(seed: u64, f: impl FnOnce(&mut [(&str, &mut dyn Stateful)]) -> R) -> R {
    let mut rng = Generator::seed(seed);
    let mut net = Sequential::new()
        .add(Linear::new(2, 1, &mut rng))
        .add(BatchNorm1d::new(1))
        .add(Dropout::new(0.5, &mut rng));
    let (linear, norm): (Vec<_>, Vec<_>) =
        net.named_parameters().into_iter().partition(|(name, _)| name.starts_with("0."));
    let groups = [ParamGroup::new(linear), ParamGroup::new(norm).lr(0.25)];
    let mut adam = Adam::with_groups(groups, AdamOptions::default().lr(0.5)).unwrap();
    let mut schedule = StepLr::new(&adam, 1, 0.5);
    let other = Parameter::new(Tensor::<f64>::full([2], 1.0));
    let mut sgd = Sgd::new([other.clone()], SgdOptions::default().lr(0.5).momentum(0.5)).unwrap();
    let (warm_up, down) = (LinearLr::new(&mut sgd, 0.5, 1.0, 2), ExponentialLr::new(&sgd, 0.5));
    let mut sequence = SequentialLr::new(&mut sgd, warm_up).then(2, down);
    let data = TensorDataset::new(Tensor::<f32>::zeros([5, 2]), vec![0usize; 5]).unwrap();
    let mut loader = DataLoader::new(&data, 2).shuffle(&mut rng);
    for (i, parameter) in net.parameters().iter().enumerate() {
        parameter.set_value(&Tensor::full(parameter.shape(), i as f32));
        parameter.set_grad(Some(Tensor::full(parameter.shape(), 0.25)));
    }
    adam.step();
    schedule.step(&mut adam);
    for _ in 0..3 {
        other.set_grad(Some(Tensor::full([2], 0.25)));
        sgd.step();
        sequence.step(&mut sgd);
    }
    let _ = (loader.next_batch(), loader.next_batch(), rng.normal());
    f(&mut [
        ("model", &mut net),
        ("optimizer", &mut adam),
        ("schedule", &mut schedule),
        ("sgd", &mut sgd),
        ("sequence", &mut sequence),
        ("loader", &mut loader),
        ("rng", &mut rng),
        ("kinds", &mut Kinds),
    ])
}

fn snapshot(targets: &mut [(&str, &mut dyn Stateful)]) -> Checkpoint {
    let new = Checkpoint::new().note("step", "1").note("für", "tests/checkpoint/fixture.rs — ✓");
    targets.iter().fold(new, |checkpoint, (name, part)| checkpoint.with(*name, &**part))
}

/// `ADAMANT_WRITE=1` writes the file if it does not exist: a published version never changes.
#[test]
fn a_file_of_version_1_round_trips() {
    let expected = with_run(7, snapshot);
    if std::env::var_os("ADAMANT_WRITE").is_some() && !std::path::Path::new(PATH).exists() {
        expected.save(PATH).unwrap();
    }
    let saved = Checkpoint::load(PATH).unwrap();
    assert_eq!(saved, expected);
    let weight = saved.part("model").unwrap().array::<f32>("0.weight", &[1, 2]).unwrap();
    assert_eq!(weight.to_vec(), [-0.49999994; 2]);
    assert_eq!(saved.part("loader").unwrap().int("returned"), Ok(4));

    let restored = with_run(8, |targets| {
        saved.restore(targets).unwrap();
        snapshot(targets)
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.ckpt");
    restored.save(&path).unwrap();
    assert!(std::fs::read(path).unwrap() == std::fs::read(PATH).unwrap(), "other bytes");
}

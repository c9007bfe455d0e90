//! ResNet-18 and EfficientNet-Lite0 beside torchvision's and timm's, with equal weights: names,
//! features, logits and training steps. Fixtures: `fixtures/image_nets.py`, PyTorch 2.15.0.

use adamant_checkpoint::{load_safetensors, save_safetensors};
use adamant_models::{EfficientNetLite, EfficientNetLiteOptions, ResNet, ResNetOptions};
use adamant_nn::{BatchNormOptions, Forward, Linear, Module, cross_entropy};
use adamant_optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use adamant_tensor::{Generator, StateDict, Stateful, Tensor, Value};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// `numbers` of `image_nets.py`.
fn numbers(seed: u64, shape: &[usize], scale: f64) -> Tensor {
    let number = |i: u64| {
        let x = i.wrapping_add(seed.wrapping_mul(1_000_003)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (((x >> 40) as f64 * (-24f64).exp2() - 0.5) * scale) as f32
    };
    let len = shape.iter().product::<usize>() as u64;
    Tensor::from_vec((0..len).map(number).collect(), shape).unwrap()
}

/// `fill` of `image_nets.py`.
fn fill(seed: u64, leaf: &str, shape: &[usize], gain: f64) -> Tensor {
    let fan_in: usize = shape[1..].iter().product();
    match (shape, leaf) {
        ([_], "weight" | "running_var") => numbers(seed, shape, 0.5) + 1.0,
        ([_], _) => numbers(seed, shape, 0.5),
        _ => numbers(seed, shape, (gain / fan_in as f64).sqrt()),
    }
}

/// A state for the layers in `FILE.txt`, with the names in this column.
fn state(file: &str, column: usize, gain: f64) -> StateDict {
    let mut state = StateDict::new();
    for line in std::fs::read_to_string(format!("{FIXTURES}/{file}.txt")).unwrap().lines() {
        let (shape, names): (Vec<&str>, Vec<&str>) =
            line.split(' ').partition(|word| word.parse::<usize>().is_ok());
        let shape: Vec<usize> = shape.iter().map(|size| size.parse().unwrap()).collect();
        let leaves: &[(&str, &[usize])] = match shape.len() {
            1 => &["weight", "bias", "running_mean", "running_var"].map(|leaf| (leaf, &*shape)),
            2 => &[("weight", &shape), ("bias", &shape[..1])],
            _ => &[("weight", &shape)],
        };
        for (leaf, shape) in leaves {
            let array = fill(state.len() as u64 + 1, leaf, shape, gain);
            state.insert(format!("{}.{leaf}", names[column]), Value::from(array));
        }
    }
    state
}

fn resnet18() -> ResNet {
    let mut net = ResNet::new(1000, &mut Generator::seed(0));
    net.load_state_dict(&state("resnet18", 0, 6.0)).unwrap();
    net
}

/// EfficientNet-Lite0 from timm's names.
fn lite0(options: EfficientNetLiteOptions) -> EfficientNetLite {
    let mut net = EfficientNetLite::with_options(1000, options, &mut Generator::seed(0));
    net.load_state_dict(&state("efficientnet_lite0", 1, 20.0)).unwrap();
    net
}

/// Asserts that all elements of the fixture's array `name` are equal within `tolerance` of the
/// largest one.
#[track_caller]
fn close(found: &Tensor, name: &str, tolerance: f32) {
    let fixture = load_safetensors(format!("{FIXTURES}/image_nets.safetensors")).unwrap();
    let expected = fixture.array::<f32>(name, found.shape()).unwrap();
    let [found, expected] = [found.to_vec(), Tensor::from(expected.clone()).to_vec()];
    let largest = expected.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let differences = found.iter().zip(&expected).map(|(x, y)| (x - y).abs() / largest);
    let difference = differences.fold(0.0, |most: f32, x| if x <= most { most } else { x });
    assert!(difference <= tolerance, "{name}: {difference:e}\n{found:?}\n{expected:?}");
}

/// The elements of the fixtures: every `step`th channel.
fn some(x: &Tensor, step: usize) -> Tensor {
    x.index_select(1, &(0..x.shape()[1]).step_by(step).collect::<Vec<_>>())
}

/// The head that replaces the old one, for ten classes.
fn new_head(inputs: usize) -> Linear {
    let head = Linear::new(inputs, 10, &mut Generator::seed(0));
    head.weight.set_value(&fill(2001, "weight", &[10, inputs], 12.0));
    head.bias.as_ref().unwrap().set_value(&fill(2002, "bias", &[10], 12.0));
    head
}

/// Ten training steps; `NAME.losses`, and afterwards `NAME.logits` in evaluation mode.
#[track_caller]
fn trains(name: &str, net: &mut (impl Forward + Module), mut optimizer: impl Optimizer) {
    net.train();
    let images = numbers(2, &[4, 3, 64, 64], 4.0);
    let mut losses = Vec::new();
    for _ in 0..10 {
        optimizer.zero_grad();
        let loss = cross_entropy(&net.forward(&images), &[0, 1, 2, 3]);
        loss.backward();
        optimizer.step();
        losses.push(loss.item());
    }
    close(&Tensor::from_vec(losses, [10]).unwrap(), &format!("{name}.losses"), 1e-4);
    net.eval();
    close(&net.forward(&numbers(1, &[2, 3, 64, 64], 4.0)), &format!("{name}.logits"), 1e-4);
}

#[test]
fn resnet_18_equals_torchvisions() {
    let mut net = resnet18();
    net.eval();
    for (name, size) in [("resnet18", [64, 64]), ("resnet18_odd", [45, 70])] {
        let x = numbers(1, &[2, 3, size[0], size[1]], 4.0);
        close(&some(&net.features(&x), 16), &format!("{name}.features"), 1e-5);
        close(&some(&net.forward(&x), 25), &format!("{name}.logits"), 1e-5);
    }
}

#[test]
fn efficientnet_lite0_equals_timms() {
    let google = EfficientNetLiteOptions::default();
    let timm = google.same_padding(false).batch_norm(BatchNormOptions::default()).dropout(0.0);
    for (name, size, options) in [
        ("tf_efficientnet_lite0", [64, 64], google),
        ("tf_efficientnet_lite0_odd", [45, 70], google),
        ("efficientnet_lite0", [45, 70], timm),
    ] {
        let mut net = lite0(options);
        net.eval();
        let x = numbers(1, &[2, 3, size[0], size[1]], 4.0);
        close(&some(&net.features(&x), 16), &format!("{name}.features"), 1e-5);
        close(&some(&net.forward(&x), 25), &format!("{name}.logits"), 1e-5);
    }
}

#[test]
fn resnet_18_trains_as_torchvisions() {
    let mut net = resnet18();
    net.fc = new_head(512);
    let adam = Adam::new(net.parameters(), AdamOptions::default().lr(1e-5)).unwrap();
    trains("resnet18_train", &mut net, adam);

    let mut net = resnet18();
    net.fc = new_head(512);
    net.freeze_batch_norms();
    let options = SgdOptions::default().lr(1e-3).momentum(0.9);
    let sgd = Sgd::new(net.parameters(), options).unwrap();
    trains("resnet18_frozen", &mut net, sgd);
}

#[test]
fn efficientnet_lite0_trains_as_timms() {
    let batch_norm = BatchNormOptions::default().eps(1e-3); // timm's momentum is PyTorch's
    let options = EfficientNetLiteOptions::default().batch_norm(batch_norm).dropout(0.0);
    let mut net = lite0(options);
    net.classifier = new_head(1280);
    let sgd_options = SgdOptions::default().lr(3e-7).momentum(0.9);
    let sgd = Sgd::new(net.parameters(), sgd_options).unwrap();
    trains("lite0_train", &mut net, sgd);

    let mut net = lite0(options);
    net.classifier = new_head(1280);
    net.freeze_batch_norms();
    let adam = Adam::new(net.parameters(), AdamOptions::default().lr(1e-5)).unwrap();
    trains("lite0_frozen", &mut net, adam);
}

#[test]
fn names_of_the_package_are_those_of_timm() {
    let net = EfficientNetLiteOptions::default();
    let (package, timm) =
        (state("efficientnet_lite0", 0, 20.0), state("efficientnet_lite0", 1, 20.0));
    assert!(package.keys().zip(timm.keys()).all(|(package, timm)| net.timm_name(package) == timm));
    assert!(timm.keys().all(|name| net.timm_name(name) == name));
    for other in ["_blocks.16._bn0.weight", "_blocks.0._bn0.weight", "_blocks.x._bn0.weight", "a"] {
        assert_eq!(net.timm_name(other), other);
    }
}

#[test]
fn a_file_is_opened_with_as_many_classes_as_its_head_has() {
    let values = |net: &dyn Module| {
        Vec::from_iter(net.parameters().iter().map(|parameter| parameter.tensor().to_vec()))
    };
    let (folder, rng) = (tempfile::tempdir().unwrap(), &mut Generator::seed(0));
    let path = folder.path().join("weights");
    let options = EfficientNetLiteOptions::default();
    for names in [0, 1] {
        save_safetensors(&state("efficientnet_lite0", names, 20.0), &path).unwrap();
        let net = EfficientNetLite::open(&path, options, rng).unwrap();
        assert_eq!(values(&net), values(&lite0(options)));
    }
    let error = ResNet::open(&path, ResNetOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
    assert!(error.contains("`conv1.weight`: missing, expected f32 [64, 3, 7, 7]"), "{error}");

    let mut small = ResNet::with_options(1000, ResNetOptions::default().width(8), rng);
    small.fc = Linear::new(64, 3, rng);
    save_safetensors(&small.state_dict(), &path).unwrap();
    let net = ResNet::open(&path, ResNetOptions::default().width(8)).unwrap();
    assert_eq!((net.fc.weight.shape(), values(&net)), (&[3, 64][..], values(&small)));
}

/// The numbers of parameters of torchvision's `resnet34` and timm's `tf_efficientnet_lite4`.
#[test]
fn larger_nets_have_the_published_sizes() {
    let rng = &mut Generator::seed(0);
    let options = ResNetOptions::default().layers([3, 4, 6, 3]);
    assert_eq!(ResNet::with_options(1000, options, rng).num_parameters(), 21_797_672);
    let options = EfficientNetLiteOptions::default().width(1.4).depth(1.8);
    assert_eq!(EfficientNetLite::with_options(1000, options, rng).num_parameters(), 13_006_568);
}

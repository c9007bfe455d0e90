//! Layers and their gradients equal PyTorch's. Fixtures: `tests/fixtures/layers.py`, which has the
//! same cases under the same names.

use crate::cases::{Cases, leaf};
use adamant::nn::*;
use adamant::prelude::*;
use adamant::tensor::{AvgPool2dOptions, Float, Indices, MaxPool2dOptions};

/// Loads PyTorch's weights, and compares the results and all gradients.
fn record<T: Float, M: Module<T>>(
    cases: &Cases,
    name: &str,
    layer: &M,
    shapes: &[&[usize]],
    forward: impl Fn(&M, &[Tensor<T>]) -> Tensor<T>,
) {
    load_module_state(layer, &cases.state(name)).unwrap();
    let inputs: Vec<Tensor<T>> = shapes.iter().zip(1..).map(|(s, seed)| leaf(seed, s)).collect();
    cases.compare(name, &inputs, &[forward(layer, &inputs)], Some(layer));
}

fn all<T: Float>(file: &str, tolerance: f64) {
    let cases = &Cases::of(file, tolerance);
    let rng = &mut Generator::seed(0);
    let case = |name: &str, layer: Box<dyn Layer<T>>, shape: &[usize]| {
        record(cases, name, &layer, &[shape], |layer, x: &[Tensor<T>]| layer.forward(&x[0]));
    };

    case("linear", Box::new(Linear::with_options(5, 3, LinearOptions::default(), rng)), &[2, 4, 5]);
    let both = |layer: &Bilinear<T>, x: &[Tensor<T>]| layer.forward(&x[0], &x[1]);
    let layer = Bilinear::with_options(5, 4, 3, BilinearOptions::default(), rng);
    record(cases, "bilinear", &layer, &[&[2, 3, 5], &[2, 3, 4]], both);
    let layer = Bilinear::with_options(5, 4, 3, BilinearOptions::default().bias(false), rng);
    record(cases, "bilinear plain", &layer, &[&[5], &[4]], both);

    let plain = Conv1dOptions::default();
    let layer = Conv1d::with_options(3, 4, 3, plain, rng);
    case("conv1d", Box::new(layer), &[2, 3, 11]);
    let odd = plain.stride(2).padding(3).dilation(2).groups(2);
    let layer = Conv1d::with_options(4, 6, 3, odd.bias(false), rng);
    case("conv1d odd", Box::new(layer), &[2, 4, 11]);

    let plain = Conv2dOptions::default();
    let layer = Conv2d::with_options(3, 4, 3, plain, rng);
    case("conv2d", Box::new(layer), &[2, 3, 7, 6]);
    let layer = Conv2d::with_options(3, 4, [3, 2], plain, rng);
    case("conv2d one", Box::new(layer), &[3, 7, 6]);
    let odd = plain.stride([2, 1]).padding([1, 2]).dilation([2, 3]).groups(2);
    let layer = Conv2d::with_options(4, 6, [3, 2], odd, rng);
    case("conv2d odd", Box::new(layer), &[2, 4, 9, 8]);
    let layer = Conv2d::with_options(4, 4, 3, plain.padding(1).groups(4).bias(false), rng);
    case("conv2d depth", Box::new(layer), &[1, 4, 5, 5]);
    for mode in [None, Some(PadMode::Reflect), Some(PadMode::Replicate), Some(PadMode::Circular)] {
        let name = mode.map_or("zeros".into(), |mode| format!("{mode:?}").to_lowercase());
        let (mut same, mut two) = (plain.padding_same().dilation([1, 3]), Conv1dOptions::default());
        two = two.stride(2).padding(2);
        if let Some(mode) = mode {
            (same, two) = (same.padding_mode(mode), two.padding_mode(mode));
        }
        let layer = Conv2d::with_options(2, 3, [4, 2], same, rng);
        case(&format!("conv2d same {name}"), Box::new(layer), &[2, 2, 5, 6]);
        let layer = Conv1d::with_options(2, 3, 3, two, rng);
        case(&format!("conv1d {name}"), Box::new(layer), &[2, 2, 5]);
    }
    let plain = ConvTranspose2dOptions::default();
    let layer = ConvTranspose2d::with_options(3, 4, 3, plain, rng);
    case("transpose", Box::new(layer), &[2, 3, 4, 5]);
    let odd = plain.stride([2, 3]).padding(1).output_padding([1, 0]).groups(2).dilation([1, 2]);
    let layer = ConvTranspose2d::with_options(4, 6, [3, 2], odd, rng);
    case("transpose odd", Box::new(layer), &[2, 4, 4, 3]);

    let images = &[2, 3, 7, 6];
    case("max", Box::new(MaxPool2d::new(2)), images);
    let plain = MaxPool2dOptions::default();
    let odd = plain.stride(2).padding(1).ceil_mode(true);
    case("max odd", Box::new(MaxPool2d::with_options(3, odd)), &[3, 7, 6]);
    let dilated = plain.stride([2, 1]).padding([1, 0]).dilation([3, 2]);
    case("max dilated", Box::new(MaxPool2d::with_options([2, 3], dilated)), images);
    case("avg", Box::new(AvgPool2d::new(2)), images);
    let plain = AvgPool2dOptions::default();
    let odd = plain.stride(2).padding(1).ceil_mode(true).count_include_pad(false);
    case("avg odd", Box::new(AvgPool2d::with_options([3, 2], odd)), images);
    let divided = AvgPool2d::with_options(3, plain.divisor_override(2));
    case("avg divided", Box::new(divided), &[3, 7, 6]);
    case("adaptive", Box::new(AdaptiveAvgPool2d::new(1)), images);
    case("adaptive odd", Box::new(AdaptiveAvgPool2d::new([3, 4])), images);
    case("adaptive more", Box::new(AdaptiveAvgPool2d::new([5, 2])), &[3, 3, 3]);
    let (first, second) = ([None, Some(4)], [Some(3), None]);
    case("adaptive first free", Box::new(AdaptiveAvgPool2d::new(first)), images);
    case("adaptive second free", Box::new(AdaptiveAvgPool2d::new(second)), images);
    case("adaptive both free", Box::new(AdaptiveAvgPool2d::new([None, None])), &[3, 7, 6]);
    case("adaptive line", Box::new(AdaptiveAvgPool1d::new(3)), &[2, 3, 7]);
    case("adaptive max", Box::new(AdaptiveMaxPool2d::new([3, 4])), images);
    case("adaptive max more", Box::new(AdaptiveMaxPool2d::new([5, 2])), &[3, 3, 3]);
    case("adaptive max first free", Box::new(AdaptiveMaxPool2d::new(first)), images);
    case("adaptive max second free", Box::new(AdaptiveMaxPool2d::new(second)), images);
    case("adaptive max line", Box::new(AdaptiveMaxPool1d::new(3)), &[3, 7]);

    let shape = &[2, 3, 4];
    case("flatten", Box::<Flatten>::default(), shape);
    case("flatten some", Box::new(Flatten::new().start_dim(0).end_dim(-2)), shape);
    case("identity", Box::new(Identity), &[2, 3]);

    case("relu", Box::new(Relu), shape);
    case("tanh", Box::new(Tanh), shape);
    case("sigmoid", Box::new(Sigmoid), shape);
    case("gelu", Box::new(Gelu), shape);
    case("gelu tanh", Box::new(GeluTanh), shape);
    case("silu", Box::new(Silu), shape);
    case("softsign", Box::new(Softsign), shape);
    case("leaky", Box::<LeakyRelu>::default(), shape);
    case("leaky 2", Box::new(LeakyRelu::new().negative_slope(0.2)), shape);
    case("elu", Box::<Elu>::default(), shape);
    case("elu half", Box::new(Elu::new().alpha(0.5)), shape);
    case("softplus", Box::<Softplus>::default(), shape);
    case("softplus 2", Box::new(Softplus::new().beta(2.0).threshold(1.0)), shape);
    case("hardtanh", Box::<Hardtanh>::default(), shape);
    case("hardtanh odd", Box::new(Hardtanh::new().min_val(-0.5).max_val(1.5)), shape);
    case("softmax", Box::new(Softmax::new(1)), shape);
    case("softmax last", Box::new(Softmax::new(-1)), shape);
    case("log_softmax", Box::new(LogSoftmax::new(1)), shape);

    case("relu6", Box::new(Relu6), shape);
    case("hardsigmoid", Box::new(Hardsigmoid), shape);
    case("hardswish", Box::new(Hardswish), shape);
    case("mish", Box::new(Mish), shape);
    case("log_sigmoid", Box::new(LogSigmoid), shape);
    case("selu", Box::new(Selu), shape);
    case("celu", Box::<Celu>::default(), shape);
    case("celu half", Box::new(Celu::new().alpha(0.5)), shape);
    case("threshold", Box::new(Threshold::new(0.5, 3.0)), shape);

    let options = SqueezeExcitationOptions::default;
    let layer = SqueezeExcitation::with_options(4, 3, options(), rng);
    case("squeeze", Box::new(layer), &[2, 4, 3, 5]);
    let hard = options().activation(Silu).scale_activation(Hardsigmoid);
    let layer = SqueezeExcitation::with_options(4, 3, hard, rng);
    case("squeeze hard", Box::new(layer), &[4, 3, 5]);

    // Its state has a generator, which PyTorch's does not have.
    let mut dropout = Dropout2d::new(0.5, rng);
    Module::<T>::eval(&mut dropout);
    let x = leaf::<T>(1, &[2, 3, 2, 2]);
    cases.compare("dropout eval", std::slice::from_ref(&x), &[dropout.forward(&x)], None);

    let words = Indices::from([[1, 0, 4], [4, 1, 1]]);
    let rows = |layer: &Embedding<T>, _: &[Tensor<T>]| layer.forward(&words);
    let layer = Embedding::with_options(6, 3, EmbeddingOptions::default(), rng);
    record(cases, "embedding", &layer, &[], rows);
    let layer = Embedding::with_options(6, 3, EmbeddingOptions::default().padding_idx(1), rng);
    record(cases, "embedding padded", &layer, &[], rows);
    cases.finish(None);
}

#[test]
fn results_and_gradients_in_f32() {
    all::<f32>("layers_f32", 1e-5);
}

#[test]
fn results_and_gradients_in_f64() {
    all::<f64>("layers_f64", 1e-10);
}

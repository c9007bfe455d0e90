//! The results, gradients and running statistics of normalization layers equal PyTorch's. Fixtures:
//! `tests/fixtures/norms.py`, PyTorch 2.15.0.

use crate::close::close;
use adamant::prelude::*;
use adamant::tensor::{Float, Value};

fn case<T: Float>(
    fixture: &StateDict,
    name: &str,
    tolerance: f64,
    mut layer: impl Module<T> + Forward<T> + Stateful,
) {
    let fixture = fixture.part(name);
    layer.load_state_dict(&fixture.part("before")).unwrap();
    for step in 0..4 {
        let fixture = fixture.part(&step.to_string());
        let tensor = |key: &str| -> Tensor<T> {
            fixture.get(key).and_then(Value::array).expect(key).clone().into()
        };
        let close = |found: &Tensor<T>, key: &str| close(found, &fixture, key, tolerance);
        if step < 3 {
            layer.train();
        } else {
            layer.eval();
        }
        layer.zero_grad();
        let x = tensor("x").requires_grad();
        let y = layer.forward(&x);
        y.backward_with(&tensor("arriving"));
        close(&y, "y");
        close(&x.grad().unwrap(), "grad.x");
        for (key, parameter) in layer.named_parameters() {
            close(&parameter.grad().unwrap(), &format!("grad.{key}"));
        }
        let state = layer.state_dict();
        let names =
            |state: &StateDict| state.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        let (mut ours, theirs) = (names(&state), names(&fixture.part("state")));
        ours.sort(); // like the names in a file
        assert_eq!(ours, theirs, "{name}");
        for (key, value) in state.iter() {
            match value.array::<T>() {
                Some(array) => close(&array.clone().into(), &format!("state.{key}")),
                None => {
                    assert_eq!(Some(value), fixture.get(&format!("state.{key}")), "{name} {key}");
                }
            }
        }
    }
}

fn like_pytorch<T: Float>(file: &str, tolerance: f64) {
    let f = &crate::common::fixture(file);
    let options = BatchNormOptions::default();
    macro_rules! case {
        ($name:literal, $layer:expr) => {
            case::<T>(f, $name, tolerance, $layer)
        };
    }
    case!("bn1d", BatchNorm1d::with_options(5, options));
    case!("bn1d_length", BatchNorm1d::with_options(3, options.eps(1e-3).momentum(Some(0.3))));
    case!("bn1d_plain", BatchNorm1d::with_options(5, options.affine(false)));
    case!("bn2d", BatchNorm2d::with_options(4, options));
    case!("bn2d_cumulative", BatchNorm2d::with_options(2, options.momentum(None)));
    case!("bn2d_untracked", BatchNorm2d::with_options(3, options.track_running_stats(false)));
    let no_bias = options.bias(false);
    case!("bn1d_no_bias", BatchNorm1d::with_options(3, no_bias));
    case!("bn2d_no_bias", BatchNorm2d::with_options(4, no_bias.track_running_stats(false)));
    case!("bn1d_bias_unused", BatchNorm1d::with_options(3, options.affine(false).bias(true)));
    let options = LayerNormOptions::default();
    case!("ln", LayerNorm::with_options([37], options));
    case!("ln_two", LayerNorm::with_options([3, 5], options.eps(1e-3)));
    case!("ln_no_bias", LayerNorm::with_options([6], options.bias(false)));
    case!("ln_plain", LayerNorm::with_options([6], options.elementwise_affine(false)));
    let options = GroupNormOptions::default();
    case!("gn", GroupNorm::with_options(2, 6, options));
    case!("gn_flat", GroupNorm::with_options(3, 9, options.eps(1e-3)));
    case!("gn_plain", GroupNorm::with_options(1, 4, options.affine(false)));
    case!("gn_no_bias", GroupNorm::with_options(2, 6, options.bias(false)));
    case!("gn_flat_no_bias", GroupNorm::with_options(3, 9, options.bias(false)));
    let options = RmsNormOptions::default();
    case!("rms", RmsNorm::with_options([11], options));
    case!("rms_two", RmsNorm::with_options([2, 3], options.eps(Some(1e-2))));
    case!("rms_plain", RmsNorm::with_options([5], options.elementwise_affine(false)));
}

#[test]
fn f32_norms_equal_pytorchs() {
    like_pytorch::<f32>("norms_f32", 1e-5);
}

#[test]
fn f64_norms_equal_pytorchs() {
    like_pytorch::<f64>("norms_f64", 1e-10);
}

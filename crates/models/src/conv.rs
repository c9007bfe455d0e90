//! The convolutions of image nets.

use adamant_checkpoint::Weights;
use adamant_nn::{Conv2d, Conv2dOptions, init::normal};
use adamant_tensor::Generator;

/// More classes than any head has.
const MOST_CLASSES: usize = 1 << 20;

/// The rows of the head that has one of these names; 1000, as on ImageNet, if there is none, which loading
/// then reports.
pub(crate) fn classes_in(weights: &Weights, names: &[&str]) -> usize {
    let head = names.iter().find_map(|name| weights.entry(name));
    match head.map(|entry| entry.shape()) {
        Some(&[classes, _]) if (1..=MOST_CLASSES).contains(&classes) => classes,
        _ => 1000,
    }
}

/// A convolution without a bias, with a square kernel. Its weights start as normal with variance
/// `2 / fan_out`, where `fan_out` is the number of outputs that depend on an input: gradients then
/// keep their size from layer to layer.
///
/// PyTorch: `torch.nn.init.kaiming_normal_(weight, mode="fan_out")`; timm divides by the groups, as
/// here.
pub(crate) fn conv(
    [inputs, outputs]: [usize; 2],
    kernel: usize,
    options: Conv2dOptions,
    groups: usize,
    rng: &mut Generator,
) -> Conv2d {
    let options = options.groups(groups).bias(false);
    let conv = Conv2d::with_options(inputs, outputs, kernel, options, rng);
    let fan_out = (kernel * kernel * outputs / groups) as f64;
    conv.weight.set_value(&normal(conv.weight.shape(), 0.0, (2.0 / fan_out).sqrt(), rng));
    conv
}

//! How weights start: PyTorch's formulas and defaults.

use adamant_tensor::{Float, Generator, Shape, Tensor};

/// Kaiming-uniform: uniform in `±√(6 / ((1 + a²) fan_in))`.
///
/// `fan_in` is the number of inputs of an output: all dimensions but the first.
/// With `a = √5`, the default of PyTorch's layers, the bound is `1/√fan_in`.
///
/// PyTorch: `torch.nn.init.kaiming_uniform_(weight, a)`.
///
/// ```
/// use adamant_nn::init::kaiming_uniform;
/// use adamant_tensor::{Generator, Tensor};
/// let weight: Tensor = kaiming_uniform([8, 4], 5f64.sqrt(), &mut Generator::seed(0));
/// assert!(weight.to_vec().iter().all(|w| w.abs() <= 0.5));
/// ```
#[must_use]
pub fn kaiming_uniform<T: Float>(
    shape: impl Into<Shape>,
    a: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    let shape = shape.into();
    let fan_in: usize = shape.iter().skip(1).product();
    symmetric(shape, (6.0 / (1.0 + a * a)).sqrt(), fan_in, rng)
}

/// Uniform in `±1/√fan_in`: how PyTorch's layers draw a bias.
#[must_use]
pub fn bias<T: Float>(len: usize, fan_in: usize, rng: &mut Generator) -> Tensor<T> {
    symmetric([len].into(), 1.0, fan_in, rng)
}

/// Xavier-uniform: a matrix `[fan_out, fan_in]`, uniform in `±√(6 / (fan_in + fan_out))`.
///
/// PyTorch: `torch.nn.init.xavier_uniform_(weight)`.
///
/// ```
/// use adamant_nn::init::xavier_uniform;
/// use adamant_tensor::{Generator, Tensor};
/// let weight: Tensor = xavier_uniform([2, 4], &mut Generator::seed(0));
/// assert!(weight.to_vec().iter().all(|w| w.abs() <= 1.0));
/// ```
#[must_use]
pub fn xavier_uniform<T: Float>(shape: [usize; 2], rng: &mut Generator) -> Tensor<T> {
    let bound = (6.0 / (shape[0] + shape[1]).max(1) as f64).sqrt();
    Tensor::uniform(shape, -bound, bound, rng)
}

/// Uniform in `±gain/√fan_in`, and 0 if there is no input.
fn symmetric<T: Float>(shape: Shape, gain: f64, fan_in: usize, rng: &mut Generator) -> Tensor<T> {
    let bound = if fan_in == 0 { 0.0 } else { gain / (fan_in as f64).sqrt() };
    Tensor::uniform(shape, -bound, bound, rng)
}

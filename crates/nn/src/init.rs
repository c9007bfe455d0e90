//! Initial values of weights, by PyTorch's formulas.

use adamant_tensor::{Float, Generator, Shape, Tensor};

/// Kaiming-uniform: uniform in `±√(6 / ((1 + a²) fan_in))`.
///
/// `fan_in` is the number of inputs of an output: the product of all dimensions but the first.
/// With `a = √5`, the default of PyTorch's layers, the bound is `1/√fan_in`.
///
/// PyTorch: `torch.nn.init.kaiming_uniform_(weight, a)`.
///
/// # Panics
/// If `a` is NaN.
///
/// ```
/// use adamant_nn::init::kaiming_uniform;
/// use adamant_tensor::{Generator, Tensor};
/// let weight: Tensor = kaiming_uniform([8, 4], 5f64.sqrt(), &mut Generator::seed(0));
/// assert!(weight.to_vec().iter().all(|w| w.abs() <= 0.5));
/// ```
#[must_use]
#[track_caller]
pub fn kaiming_uniform<T: Float>(
    shape: impl Into<Shape>,
    a: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    let shape = shape.into();
    check_slope("kaiming_uniform", a);
    let (fan_in, _) = fans(&shape);
    symmetric(shape, (6.0 / (1.0 + a * a)).sqrt(), fan_in, rng)
}

/// Kaiming-normal: normal with variance `2 / ((1 + a²) fan_in)`, where `a` is the negative slope
/// of the rectifier that follows: 0 for [`Relu`](crate::Relu).
///
/// PyTorch: `torch.nn.init.kaiming_normal_(weight, a)`.
///
/// # Panics
/// If `a` is NaN.
#[must_use]
#[track_caller]
pub fn kaiming_normal<T: Float>(shape: impl Into<Shape>, a: f64, rng: &mut Generator) -> Tensor<T> {
    let shape = shape.into();
    check_slope("kaiming_normal", a);
    let (fan_in, _) = fans(&shape);
    let variance = 2.0 / ((1.0 + a * a) * fan_in.max(1) as f64);
    normal(shape, 0.0, variance.sqrt(), rng)
}

/// Xavier-uniform: uniform in `±gain √(6 / (fan_in + fan_out))`.
///
/// `fan_out` is the number of outputs of an input: the product of all dimensions but the second.
///
/// PyTorch: `torch.nn.init.xavier_uniform_(weight, gain)`, whose default gain is 1.
///
/// # Panics
/// If the gain is negative, infinite or NaN.
///
/// ```
/// use adamant_nn::init::xavier_uniform;
/// use adamant_tensor::{Generator, Tensor};
/// let weight: Tensor = xavier_uniform([16, 8], 1.0, &mut Generator::seed(0));
/// assert!(weight.to_vec().iter().all(|w| w.abs() <= 0.5));
/// ```
#[must_use]
#[track_caller]
pub fn xavier_uniform<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    assert!(
        gain >= 0.0 && gain.is_finite(),
        "xavier_uniform: gain is {gain}; expected finite and at least 0"
    );
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    let bound = gain * (6.0 / fan_in.saturating_add(fan_out).max(1) as f64).sqrt();
    Tensor::uniform(shape, -bound, bound, rng)
}

/// Xavier-normal: normal with variance `2 gain² / (fan_in + fan_out)`.
///
/// PyTorch: `torch.nn.init.xavier_normal_(weight, gain)`, whose default gain is 1.
///
/// # Panics
/// If the gain is negative or NaN.
#[must_use]
#[track_caller]
pub fn xavier_normal<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    assert!(gain >= 0.0, "xavier_normal: gain is {gain}; expected at least 0");
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    normal(shape, 0.0, gain * (2.0 / fan_in.saturating_add(fan_out).max(1) as f64).sqrt(), rng)
}

/// Normal with mean `mean` and standard deviation `std`.
///
/// PyTorch: `torch.nn.init.normal_(weight, mean, std)`.
///
/// # Panics
/// If `std` is negative or NaN.
///
/// ```
/// use adamant_nn::init::normal;
/// use adamant_tensor::{Generator, Tensor};
/// let weight: Tensor = normal([1000], 5.0, 0.02, &mut Generator::seed(0));
/// assert!((weight.mean().item() - 5.0).abs() < 0.01);
/// ```
#[must_use]
#[track_caller]
pub fn normal<T: Float>(
    shape: impl Into<Shape>,
    mean: f64,
    std: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    assert!(std >= 0.0, "normal: std is {std}; expected at least 0");
    Tensor::build(shape, |out| out.fill_with(|| T::from_f64(mean + std * rng.normal())))
}

#[track_caller]
fn check_slope(op: &str, a: f64) {
    assert!(!a.is_nan(), "{op}: a is NaN; expected a number");
}

/// The number of inputs of an output, and of outputs of an input. A missing dimension counts as 1;
/// PyTorch refuses fewer than two.
fn fans(shape: &[usize]) -> (usize, usize) {
    let without = |skip: usize| {
        let others = shape.iter().enumerate().filter(|&(d, _)| d != skip);
        others.fold(1usize, |product, (_, &size)| product.saturating_mul(size))
    };
    (without(0), without(1))
}

/// Uniform in `±1/√fan_in`, as the biases of PyTorch's layers.
#[must_use]
#[track_caller]
pub fn bias<T: Float>(len: usize, fan_in: usize, rng: &mut Generator) -> Tensor<T> {
    symmetric([len].into(), 1.0, fan_in, rng)
}

/// Uniform in `±gain/√fan_in`, or 0 if there are no inputs.
#[track_caller]
fn symmetric<T: Float>(shape: Shape, gain: f64, fan_in: usize, rng: &mut Generator) -> Tensor<T> {
    let bound = if fan_in == 0 { 0.0 } else { gain / (fan_in as f64).sqrt() };
    Tensor::uniform(shape, -bound, bound, rng)
}

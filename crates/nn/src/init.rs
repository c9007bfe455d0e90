//! Initial values of weights, by PyTorch's formulas.

use adamant_tensor::{Float, Generator, Shape, Tensor};
use std::cell::Cell;

thread_local! {
    static SKIPPED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `build` without initialization: the functions of this module draw nothing from their
/// generators, and return zeros that take the memory of one element.
///
/// For a model whose weights are loaded next, with [`load_with`](crate::load_with): it is built in no
/// time, and loading takes the memory of the new weights alone. Until they are loaded, the model
/// works as one whose weights are zeros. A weight that is changed gets its own memory then.
///
/// Parameters that start as ones or zeros, as those of the norms, do so here too. Layers with
/// dropout have their generators. The setting belongs to this thread and is restored when `build`
/// returns or panics.
///
/// PyTorch: `torch.nn.utils.skip_init`; `with torch.device("meta"):`, whose parameters cannot be
/// used before they are replaced.
///
/// ```
/// use adamant_nn::{Linear, LoadOptions, Stateful, init::skip_init, load_with};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let trained = Linear::new(512, 512, rng);
///
/// let model = skip_init(|| Linear::new(512, 512, rng));
/// assert_eq!(model.weight.tensor().sum().item(), 0.0);
/// load_with(&model, &trained.state_dict(), LoadOptions::default()).unwrap();
/// assert_eq!(model.state_dict(), trained.state_dict());
/// ```
pub fn skip_init<M>(build: impl FnOnce() -> M) -> M {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SKIPPED.set(self.0);
        }
    }
    let _restore = Restore(SKIPPED.replace(true));
    build()
}

/// Whether this thread is within [`skip_init`]: nothing needs to be drawn or written.
pub(crate) fn is_skipped() -> bool {
    SKIPPED.get()
}

/// Zeros that share one element.
#[track_caller]
fn placeholder<T: Float>(shape: Shape) -> Tensor<T> {
    Tensor::zeros([]).broadcast_to(shape)
}

/// Uniform in `[low, high)`, as [`Tensor::uniform`].
///
/// PyTorch: `torch.nn.init.uniform_(weight, a, b)`.
///
/// # Panics
/// If `low` is above `high`, or one of them or their difference is not finite in `T`.
#[must_use]
#[track_caller]
pub fn uniform<T: Float>(
    shape: impl Into<Shape>,
    low: f64,
    high: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    if is_skipped() {
        return placeholder(shape.into());
    }
    Tensor::uniform(shape, low, high, rng)
}

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
    uniform(shape, -bound, bound, rng)
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
    if is_skipped() {
        return placeholder(shape.into());
    }
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
    uniform(shape, -bound, bound, rng)
}

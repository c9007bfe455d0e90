//! The fully connected layer.

use crate::tree::adapter::AdapterSlot;
use crate::tree::observe::observe;
use crate::{Forward, Module, check, init};
use adamant_tensor::{Float, Generator, Parameter, Tensor};

/// The options of a [`Linear`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearOptions {
    bias: bool,
}

impl Default for LinearOptions {
    fn default() -> Self {
        LinearOptions { bias: true }
    }
}

impl LinearOptions {
    /// Whether there is a bias; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        LinearOptions { bias }
    }
}

/// `y = x Wᵀ + b`: `[…, in_features] → […, out_features]`.
///
/// `weight` is `[out_features, in_features]`, kaiming-uniform with a = √5; `bias` is
/// `[out_features]`, uniform in ±1/√in_features.
///
/// PyTorch: `torch.nn.Linear`.
///
/// ```
/// use adamant_nn::{Forward, Linear};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = Linear::new(784, 10, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::zeros([64, 784])).shape(), [64, 10]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct Linear<T: Float = f32> {
    /// `[out_features, in_features]`
    pub weight: Parameter<T>,
    /// `[out_features]`
    pub bias: Option<Parameter<T>>,
    /// Empty unless [`Lora`](crate::Lora) fills it.
    pub adapter: AdapterSlot<T>,
}

impl Linear {
    /// A layer with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(in_features: usize, out_features: usize, rng: &mut Generator) -> Self {
        Linear::with_options(in_features, out_features, LinearOptions::default(), rng)
    }
}

impl<T: Float> Linear<T> {
    /// A layer with these options, of any type.
    ///
    /// # Panics
    /// If the parameters do not fit in memory.
    ///
    /// ```
    /// use adamant_nn::{Linear, LinearOptions};
    /// use adamant_tensor::Generator;
    /// let options = LinearOptions::default().bias(false);
    /// let layer = Linear::<f64>::with_options(3, 2, options, &mut Generator::seed(0));
    /// assert!(layer.bias.is_none());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_options(
        in_features: usize,
        out_features: usize,
        options: LinearOptions,
        rng: &mut Generator,
    ) -> Self {
        let shape = [out_features, in_features];
        let sizes = format_args!("in_features = {in_features}, out_features = {out_features}");
        check::fits::<T>("Linear", sizes, &shape);
        Linear {
            weight: Parameter::new(init::kaiming_uniform(shape, 5f64.sqrt(), rng)),
            bias: options.bias.then(|| Parameter::new(init::bias(out_features, in_features, rng))),
            adapter: AdapterSlot::default(),
        }
    }
}

impl<T: Float> Forward<T> for Linear<T> {
    /// # Panics
    /// If the last dimension of `x` is not `in_features`.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let bias = self.bias.as_ref().map(Parameter::tensor);
        let y = x.linear(&self.weight, bias.as_ref());
        observe(self, self.adapter.apply(x, y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_start_within_pytorchs_bounds() {
        let layer = Linear::new(400, 50, &mut Generator::seed(0));
        let largest = |x: &Tensor| x.to_vec().iter().fold(0f32, |max, x| max.max(x.abs()));
        let (weight, bias) =
            (largest(&layer.weight.tensor()), largest(&layer.bias.unwrap().tensor()));
        assert!((0.0499..=0.05).contains(&weight) && (0.045..=0.05).contains(&bias));
    }
}

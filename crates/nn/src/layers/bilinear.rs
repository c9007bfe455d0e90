//! The bilinear layer.

use crate::tree::observe::observe;
use crate::{Module, check, init};
use adamant_tensor::{Float, Generator, Parameter, Tensor};

/// The options of a [`Bilinear`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BilinearOptions {
    bias: bool,
}

impl Default for BilinearOptions {
    fn default() -> Self {
        BilinearOptions { bias: true }
    }
}

impl BilinearOptions {
    /// Whether there is a bias; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        BilinearOptions { bias }
    }
}

/// `y_o = x₁ᵀ W_o x₂ + b_o`: `[…, in1_features], […, in2_features] → […, out_features]`.
///
/// `weight` is `[out_features, in1_features, in2_features]` and `bias` `[out_features]`, both
/// uniform in ±1/√in1_features.
///
/// PyTorch: `torch.nn.Bilinear(in1_features, in2_features, out_features)`.
///
/// ```
/// use adamant_nn::Bilinear;
/// use adamant_tensor::{Generator, Tensor};
/// let layer = Bilinear::new(5, 4, 3, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::zeros([8, 5]), &Tensor::zeros([8, 4])).shape(), [8, 3]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct Bilinear<T: Float = f32> {
    /// `[out_features, in1_features, in2_features]`
    pub weight: Parameter<T>,
    /// `[out_features]`
    pub bias: Option<Parameter<T>>,
}

impl Bilinear {
    /// A layer with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If `in1_features` is 0, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(
        in1_features: usize,
        in2_features: usize,
        out_features: usize,
        rng: &mut Generator,
    ) -> Self {
        let options = BilinearOptions::default();
        Bilinear::with_options(in1_features, in2_features, out_features, options, rng)
    }
}

impl<T: Float> Bilinear<T> {
    /// A layer with these options, of any type.
    ///
    /// # Panics
    /// If `in1_features` is 0, or the parameters do not fit in memory.
    ///
    /// ```
    /// use adamant_nn::{Bilinear, BilinearOptions};
    /// use adamant_tensor::Generator;
    /// let options = BilinearOptions::default().bias(false);
    /// let layer = Bilinear::<f64>::with_options(5, 4, 3, options, &mut Generator::seed(0));
    /// assert!(layer.bias.is_none());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_options(
        in1_features: usize,
        in2_features: usize,
        out_features: usize,
        options: BilinearOptions,
        rng: &mut Generator,
    ) -> Self {
        check::at_least_one("Bilinear", "in1_features", in1_features);
        let shape = [out_features, in1_features, in2_features];
        check::fits::<T>(
            "Bilinear",
            format_args!(
                "in1_features = {in1_features}, in2_features = {in2_features}, \
                 out_features = {out_features}"
            ),
            &shape,
        );
        // As in PyTorch, the fan-in of both is in1_features alone.
        let weight = init::bias(shape.iter().product(), in1_features, rng).reshape(shape);
        let draw_bias = || Parameter::new(init::bias(out_features, in1_features, rng));
        let bias = options.bias.then(draw_bias);
        Bilinear { weight: Parameter::new(weight), bias }
    }

    /// The outputs for `x1` and `x2`.
    ///
    /// # Panics
    /// If the last dimensions are not `in1_features` and `in2_features`, or the other dimensions
    /// differ.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, x1: &Tensor<T>, x2: &Tensor<T>) -> Tensor<T> {
        let (s1, s2, weight) = (x1.shape(), x2.shape(), self.weight.tensor());
        let &[outputs, in1, in2] = weight.shape() else { unreachable!("three dimensions") };
        let fits = matches!((s1, s2), ([a @ .., n], [b @ .., m]) if (a, *n, *m) == (b, in1, in2));
        assert!(
            fits,
            "Bilinear: inputs of shapes {s1:?} and {s2:?} with a weight of shape {:?}; expected \
             […, {in1}] and […, {in2}]",
            weight.shape()
        );
        let lead = &s1[..s1.len() - 1];
        let rows: usize = lead.iter().product();
        // From the right: one product of x₂ with the matrices of all outputs.
        let half = x2.reshape([rows, in2]).linear(&weight.reshape([outputs * in1, in2]), None);
        let (half, x1) = (half.reshape([rows, outputs, in1]), x1.reshape([rows, in1, 1]));
        let mut y = half.matmul(&x1).reshape([rows, outputs]);
        if let Some(bias) = &self.bias {
            y += bias.tensor();
        }
        let shape: Vec<usize> = lead.iter().copied().chain([outputs]).collect();
        observe(self, y.reshape(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_start_within_pytorchs_bounds() {
        let layer = Bilinear::new(4, 100, 3, &mut Generator::seed(0));
        let largest = layer.weight.tensor().abs().max().item();
        assert!((0.49..=0.5).contains(&largest), "{largest}");
    }
}

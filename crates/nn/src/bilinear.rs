//! A map that is linear in each of two inputs.

use crate::summary::observe;
use crate::{Module, init};
use adamant_tensor::{Float, Generator, Parameter, Tensor};

/// `y_o = x₁ᵀ W_o x₂ + b_o`: `[…, in1], […, in2] → […, outputs]`.
///
/// `weight` is `[outputs, in1, in2]` and `bias` `[outputs]`, both uniform in ±1/√in1.
///
/// PyTorch: `torch.nn.Bilinear(in1, in2, outputs)`.
///
/// ```
/// use adamant_nn::Bilinear;
/// use adamant_tensor::{Generator, Tensor};
/// let layer = Bilinear::new(5, 4, 3, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::zeros([8, 5]), &Tensor::zeros([8, 4])).shape(), [8, 3]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T)]
pub struct Bilinear<T: Float = f32> {
    /// `[outputs, in1, in2]`
    pub weight: Parameter<T>,
    /// `[outputs]`
    pub bias: Option<Parameter<T>>,
}

impl Bilinear {
    /// A layer with a bias, in `f32`. For another type, or without bias:
    /// [`with_bias`](Bilinear::with_bias).
    #[must_use]
    pub fn new(in1: usize, in2: usize, outputs: usize, rng: &mut Generator) -> Self {
        Bilinear::with_bias(in1, in2, outputs, true, rng)
    }
}

impl<T: Float> Bilinear<T> {
    /// A layer with or without a bias, of any type.
    ///
    /// ```
    /// use adamant_nn::Bilinear;
    /// use adamant_tensor::Generator;
    /// let layer = Bilinear::<f64>::with_bias(5, 4, 3, false, &mut Generator::seed(0));
    /// assert!(layer.bias.is_none());
    /// ```
    #[must_use]
    pub fn with_bias(
        in1: usize,
        in2: usize,
        outputs: usize,
        bias: bool,
        rng: &mut Generator,
    ) -> Self {
        // PyTorch takes in1 alone for the fan-in of both.
        let weight = init::bias(outputs * in1 * in2, in1, rng).reshape([outputs, in1, in2]);
        let bias = bias.then(|| Parameter::new(init::bias(outputs, in1, rng)));
        Bilinear { weight: Parameter::new(weight), bias }
    }

    /// The outputs for `x1` and `x2`.
    ///
    /// # Panics
    /// If the last dimensions are not `in1` and `in2`, or the others are not the same.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, x1: &Tensor<T>, x2: &Tensor<T>) -> Tensor<T> {
        let (s1, s2, weight) = (x1.shape(), x2.shape(), self.weight.tensor());
        let &[outputs, in1, in2] = weight.shape() else { unreachable!("made with three") };
        let fits = matches!((s1, s2), ([a @ .., n], [b @ .., m]) if (a, *n, *m) == (b, in1, in2));
        assert!(
            fits,
            "Bilinear: inputs of shapes {s1:?} and {s2:?} with a weight of shape {:?}; expected \
             […, {in1}] and […, {in2}]",
            weight.shape()
        );
        let lead = &s1[..s1.len() - 1];
        let rows: usize = lead.iter().product();
        // From the right: x₂ meets the matrices of all outputs in one product.
        let half = x2.reshape([rows, in2]).linear(&weight.reshape([outputs * in1, in2]), None);
        let (half, x1) = (half.reshape([rows, outputs, in1]), x1.reshape([rows, in1, 1]));
        let mut y = half.matmul(&x1).reshape([rows, outputs]);
        if let Some(bias) = &self.bias {
            y = y + bias.tensor();
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

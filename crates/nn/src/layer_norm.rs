//! The norm of the transformer's layers.

use crate::{Forward, Module};
use adamant_tensor::{Float, Parameter, Tensor};

/// `(x − mean) / √(var + 1e-5) · weight + bias` over the last dimension.
#[derive(Debug, Module)]
#[module(crate = crate, float = T)]
pub(crate) struct LayerNorm<T: Float> {
    weight: Parameter<T>,
    bias: Option<Parameter<T>>,
}

impl<T: Float> LayerNorm<T> {
    pub(crate) fn with_bias(width: usize, bias: bool) -> Self {
        LayerNorm {
            weight: Parameter::new(Tensor::ones([width])),
            bias: bias.then(|| Parameter::new(Tensor::zeros([width]))),
        }
    }
}

impl<T: Float> Forward<T> for LayerNorm<T> {
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let centred = x - x.mean_dim(-1, true);
        let var = centred.square().mean_dim(-1, true);
        let y = centred * (var + T::from_f64(1e-5)).rsqrt() * self.weight.tensor();
        match &self.bias {
            Some(bias) => y + bias.tensor(),
            None => y,
        }
    }
}
